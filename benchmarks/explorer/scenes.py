"""The problems that the page shows: in two dimensions, with the data of one instance at every stop of a slider."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from typing import Any

import torch

from benchmarks.catalog.subsections import summary, title_of
from problems import PROBLEMS, Problem
from problems.precision import default_dtype

LONGEST = 1000  # steps of a run on the page
BETWEEN = 10  # stops of a slider from one rung to the next


@dataclass(frozen=True)
class Scene:
    """A problem on a map.

    Attributes:
        problem: The problem in two dimensions.
        seed: The seed of its instance.
        half: Half the width and height of the map.
        around: The middle of the map: the name of a tensor of the instance, or a point.
        start: Where runs start; None if the problem's own start moves with the slider.
        slider: The field that the slider moves, and its stops; None for the problem's dial and its ladder.
        decades: How many decades below the highest level the lowest one is; 0 for levels that are evenly spaced.
        steps: How many steps a run takes at first.
        methods: The optimizers that are on at first, with their learning rates.
        note: What the page says about the slider and the noise.
        rates: The learning rates of others, where `METHODS` has none that suits.
    """

    problem: Problem
    half: tuple[float, float]
    methods: Mapping[str, float]
    note: str = ""
    seed: int = 0
    around: str | tuple[float, float] = "minimizer"
    start: tuple[float, float] | None = None
    slider: tuple[str, str, Sequence[float]] | None = None
    decades: float = 4
    steps: int = 200
    rates: Mapping[str, float] = field(default_factory=dict)

    @property
    def dial(self) -> tuple[str, str, tuple[float, ...]]:
        """The name of the slider's field, its scale and its stops."""
        card = self.problem.card
        name, scale, rungs = self.slider or (card.dial, card.scale, card.ladder)
        whole = isinstance(getattr(self.problem, name), int)
        stops = [value for low, high in pairwise(rungs) for value in _between(low, high, scale)]
        stops.append(rungs[-1])
        return name, scale, tuple(dict.fromkeys(round(each) if whole else each for each in stops))

    def at(self, value: float) -> Problem:
        """Return the problem at a stop of the slider."""
        return dataclasses.replace(self.problem, **{self.dial[0]: value})  # type: ignore[type-var]


def _between(low: float, high: float, scale: str) -> list[float]:
    """Return the stops from one rung up to the next, which is left out, in three digits but for the rung itself."""
    shares = [place / BETWEEN for place in range(1, BETWEEN)]
    inner = [
        low * (high / low) ** each if scale == "log" else low + (high - low) * each
        for each in shares
    ]
    return [low, *(float(f"{each:.3g}") for each in inner)]


def _scene(name: str, fields: Mapping[str, Any], **rest: Any) -> Scene:
    return Scene(dataclasses.replace(PROBLEMS.find(name), **fields), **rest)  # type: ignore[type-var]


# The optimizers of the page, with the learning rates that they have where a scene gives no other.
METHODS = {
    "sgd": 0.1, "momentum": 0.1, "nesterov": 0.1, "adam": 0.1, "rmsprop": 0.01, "newton": 1.0,
    "saddle_free_newton": 1.0,
}  # fmt: skip

KEPT = "The start stays where it is when the slider moves."
SCENES: Mapping[str, Scene] = {
    "quadratic": _scene(
        "quadratic", {"dim": 2, "condition": 31.6},
        half=(3.2, 3.2), start=(-0.8, 1.6), methods={"sgd": 1.78, "momentum": 0.316},
        rates={"nesterov": 0.316}, steps=100,
    ),
    "rosenbrock": _scene(
        "rosenbrock", {},
        half=(2.2, 2.0), around=(0.0, 1.0), start=(-0.9, 0.9), methods={"sgd": 1e-3, "adam": 0.1},
        rates={"momentum": 1e-3, "nesterov": 1e-3}, steps=500, decades=6,
    ),
    "winding_ravine": _scene(
        "winding_ravine", {}, half=(8.0, 5.0), seed=1, methods={"sgd": 0.178, "adam": 0.1},
        rates={"momentum": 0.1, "nesterov": 0.1}, steps=500, start=(6.83, -0.34),
    ),
    "narrowing_valley": _scene(
        "narrowing_valley", {"walls": 1}, note="Its noise is on.",
        half=(30.0, 3.0), around=(26.541, -0.293), methods={"sgd": 0.2, "saddle_free_newton": 0.5}, decades=5,
        start=(1.541, -0.29), steps=500,
    ),
    "rastrigin": _scene(
        "rastrigin", {"dim": 2}, half=(5.6, 5.6), seed=2, start=(1.5, -8.0),
        methods={"sgd": 0.0501, "momentum": 0.0501}, decades=3,
    ),
    "bad_neuron": _scene(
        "bad_neuron", {}, half=(5.0, 5.0), around=(0.0, 0.0), seed=2,
        methods={"sgd": 0.1, "adam": 0.1}, decades=2.2,
    ),
    "monkey_saddle": _scene(
        "monkey_saddle", {"angle": 1e-5}, half=(4.4, 4.4), around="center",
        methods={"sgd": 0.0501, "momentum": 0.01, "newton": 1.0}, decades=2, steps=300,
    ),
    "mexican_hat": _scene(
        "mexican_hat", {"dim": 2, "radius": 0.1}, half=(1.6, 1.6), around="center",
        methods={"newton": 1.0, "saddle_free_newton": 1.0, "sgd": 0.1}, decades=2.5, steps=60,
    ),
    "shelf": _scene(
        "shelf", {"dim": 2}, half=(5.5, 5.5), seed=3,
        methods={"sgd": 0.5, "momentum": 0.1}, decades=3,
    ),
    "cliff": _scene(
        "cliff", {"units": 1},
        note="The dial, which is the number of units, is fixed. "
        "The slider sets for how many steps the unit runs.",
        half=(2.2, 1.6), around=(5.7, -2.6), start=(5.0, -2.3), slider=("steps", "linear", (5, 20, 50)),
        methods={"sgd": 0.1, "adam": 3.16e-3}, decades=0, steps=300,
    ),
    "generalized_smoothness": _scene(
        "generalized_smoothness", {}, half=(13.0, 13.0), seed=1,
        methods={"sgd": 0.0282, "adam": 0.1},
        rates={"momentum": 3.16e-3, "nesterov": 3.16e-3}, decades=7, steps=300,
    ),
    "matrix_power": _scene(
        "matrix_power", {"dim": 2},
        half=(5.2, 5.2), start=(4.3, 2.01), methods={"sgd": 0.0398, "momentum": 0.02}, seed=2,
        rates={"nesterov": 0.02},
    ),
    "noisy_quadratic": _scene(
        "noisy_quadratic", {"dim": 2}, note="Every run sees the same noise.",
        half=(2.6, 2.6), start=(-0.6, 0.3), methods={"sgd": 0.2, "momentum": 0.1}, steps=300, decades=3,
    ),
    "mountain": _scene(
        "mountain", {"dim": 2},
        note="The dial, which is the dimension, is fixed. The slider sets the mountain's height.",
        half=(4.5, 4.5), around="center", slider=("height", "linear", (0.0, 0.5, 1.0)), start=(0.4, -1.3), seed=2,
        methods={"sgd": 0.5, "adam": 0.1}, decades=0, steps=500,
    ),
    "step_units": _scene(
        "step_units", {"inputs": 2, "hidden": 1, "examples": 30, "sharpness": 5.0},
        half=(2.6, 2.6), around=(0.0, 0.0), start=(-1.0, 0.031), methods={"sgd": 1.0, "adam": 0.1}, decades=3,
    ),
}  # fmt: skip


def described(scene: Scene) -> dict[str, Any]:
    """Return all that the page has to know about a scene, as JSON has it."""
    problem, (name, scale, stops) = scene.problem, scene.dial
    given = {
        each.name: getattr(problem, each.name)
        for each in dataclasses.fields(problem)  # type: ignore[arg-type]
        if each.name != name and getattr(problem, each.name) != each.default
    }
    with default_dtype(torch.float64):
        found = [_stop(scene, value) for value in stops]
    return {
        "section": title_of(problem),
        "summary": summary(problem),
        "note": " ".join([_sizes(problem, given), scene.note, KEPT * (scene.start is not None)]),
        "module": type(problem).__module__,
        "class": type(problem).__name__,
        "seed": scene.seed,
        "given": given,
        "fields": {each.name: getattr(problem, each.name) for each in dataclasses.fields(problem)},  # type: ignore[arg-type]
        "slider": {"name": name, "isDial": scene.slider is None, "scale": scale},
        "first": min(
            range(len(stops)), key=lambda place: abs(stops[place] - getattr(problem, name))
        ),
        "stops": found,
        "follows": scene.start is None,
        "draws": _draws(scene),
        "target": problem.card.target,
        "box": _box(scene, found[0]["data"]),
        "decades": scene.decades,
        "steps": scene.steps,
        "on": list(scene.methods),
        "rates": {**METHODS, **scene.rates, **scene.methods},
    }


def _sizes(problem: Problem, given: Mapping[str, Any]) -> str:
    """Return a sentence on the fields that make a problem two-dimensional."""
    if not given:
        return "The problem itself, which has two dimensions."
    defaults = {each.name: each.default for each in dataclasses.fields(problem)}  # type: ignore[arg-type]
    fields = (f"{name} = {value} (default: {defaults[name]})" for name, value in given.items())
    return f"The problem itself with {', '.join(fields)}."


def _stop(scene: Scene, value: float) -> dict[str, Any]:
    problem = scene.at(value)
    data = problem.example(scene.seed)
    minimizers = problem.minimizers(data) if problem.has_own("minimizers") else None
    return {
        "value": value,
        "data": {name: each.tolist() for name, each in data.items() if name != "start"},
        "start": data["start"].tolist() if scene.start is None else list(scene.start),
        "floor": float(problem.floor(data)),
        "minima": [] if minimizers is None else minimizers.tolist(),
        "others": [
            {"x": each.x.tolist(), "index": each.index, "nullity": each.nullity}
            for each in (problem.critical_points(data) if scene.start is None else ())
            if each.index or each.nullity == 2 or each.value > float(problem.floor(data)) + 1e-6
        ],
    }


def _draws(scene: Scene) -> list[list[float]] | None:
    """Return the noise of all steps at a strength of 1, or None without noise."""
    if not scene.problem.noisy:
        return None
    problem = dataclasses.replace(scene.problem, noise=1.0)  # type: ignore[type-var]
    data = problem.example(scene.seed)
    with default_dtype(torch.float64):
        draws = problem.draws(data, torch.Generator().manual_seed(scene.seed))
        assert draws is not None
        return [next(iter(each.values())).tolist() for each in islice(draws, LONGEST)]


def _box(scene: Scene, data: Mapping[str, Any]) -> list[list[float]]:
    """Return the map's left and right end, and its lower and upper one."""
    middle = data[scene.around] if isinstance(scene.around, str) else scene.around
    return [[at - half, at + half] for at, half in zip(middle, scene.half, strict=True)]
