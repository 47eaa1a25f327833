"""The evidence for `edge_of_stability`: claims and portrait."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache, partial

import torch

from problems.claims import about, claim
from problems.descent import adam, descent
from problems.ill_conditioning.edge_of_stability import (
    BETA1,
    FLATTENING,
    SLANT,
    STIFFNESS,
    EdgeOfStability,
)
from problems.portrait import Curves
from problems.problem import Tree
from problems.theory import ENOUGH, Leads

RUNGS = tuple(range(13))  # of sharpening, those of the ladder among them


def _middle(problem: EdgeOfStability, sharpest: float | None = None) -> tuple[Tree, torch.Tensor]:
    """Return an instance with the middle h₀, and its start (−1, 0), or where descent comes by when h = `sharpest`.

    There it lags behind the floor by e = s x/h, which a step of the rate η changes by −η h e, as the floor's s Δx.
    """
    data = problem.example() | {"stiffness": torch.tensor(STIFFNESS, dtype=torch.float64)}
    if sharpest is None:
        return data, data["minimizer"] + torch.tensor([-1.0, 0.0], dtype=torch.float64)
    grown = math.log(max(sharpest / STIFFNESS, 1.0))
    x = grown / problem.sharpening - 1 if problem.sharpening else -1.0
    start = torch.tensor([x, SLANT * x * (1 + 1 / sharpest)], dtype=torch.float64)
    return data, data["minimizer"] + start


def _largest(hessian: torch.Tensor) -> torch.Tensor:
    return torch.linalg.eigvalsh(hessian)[..., -1]


def _rest(problem: EdgeOfStability, limit: float, momentum: float) -> tuple[float, float]:
    """Return λmax and h where heavy ball with this limit rests, over the limit: means of 1000 steps.

    From half the limit it gets there in ln 2/k of x, at a speed of at most η/(1 − β); it has three times as long,
    and 5000 steps to settle.
    """
    data, start = _middle(problem, limit / 2)
    lr = 2 * (1 + momentum) / limit
    steps = 5000 + int(3 * math.log(2) * (1 - momentum) / (problem.sharpening * lr))
    x = torch.stack(
        list(itertools.islice(descent(problem, data, start, lr, momentum), steps, steps + 1000))
    )
    largest, floor = _largest(problem.hessian(x, data)), problem.stiffness(x, data)
    return largest.mean().item() / limit, floor.mean().item() / limit


def _predicted_rest(problem: EdgeOfStability, limit: float) -> float:
    """Return r where h = r · limit: r (r − 1) = 16² k |x|/limit, with |x| from h = h₀ e^(k (1 + x)) by iteration."""
    k, r = problem.sharpening, 1.0
    for _ in range(100):
        slope = 1 - math.log(r * limit / STIFFNESS) / k
        r = 0.5 + math.sqrt(0.25 + FLATTENING**2 * k * slope / limit)
    return r


@claim(
    EdgeOfStability,
    "the largest curvature where heavy ball rests, over 2 (1 + β)/(η r²): the value farthest from 1 among β = 0 and "
    "0.9 and k = 4, 6 and 12, at rates up to 2 (1 + β)/1000",
    stated=1.0,
    # For r up to 1.5 the slope of the walls along the floor adds less than 5 %.
    within=about(1.0, rel=0.05),
    source="derived: h/r³ on the walls, for h = 2 (1 + β) r/η",
    slow=True,
)
def rest_on_the_walls(problem: EdgeOfStability) -> float:
    found = []
    for k, limit in ((4.0, 1e3), (6.0, 1e3), (12.0, 5e3)):
        steeper = replace(problem, sharpening=k)
        squared = _predicted_rest(steeper, limit) ** 2
        found += [squared * _rest(steeper, limit, momentum)[0] for momentum in (0.0, 0.9)]
    return max(found, key=lambda share: abs(share - 1))


def _adam_at_edge(problem: EdgeOfStability) -> torch.Tensor:
    """Return the λmax of P⁻¹H at steps 2000 to 6000 of Adam at the rate 0.001, over 38/η."""
    data, start = _middle(problem)
    lr = 1e-3
    points, roots = zip(*itertools.islice(adam(problem, data, start, lr), 2000, 6000), strict=True)
    root = torch.stack(roots).sqrt()
    scaled = problem.hessian(torch.stack(points), data) / (root[:, :, None] * root[:, None])
    return _largest(scaled) * lr * (1 - BETA1) / (2 + 2 * BETA1)


@claim(
    EdgeOfStability,
    "the largest curvature where descent rests, over 2/η, at k = 10 and η = 4e-5",
    stated=1.0,
    within=about(
        1.0, rel=0.05
    ),  # 1/r² = 0.97: there the walls are a little flatter than on the floor
    source="Cohen et al. 2021, arXiv:2103.00065",
    slow=True,
)
def rest_of_descent(problem: EdgeOfStability) -> float:
    return _rest(replace(problem, sharpening=10.0), 5e4, 0.0)[0]


@claim(
    EdgeOfStability,
    "the same for heavy ball with β = 0.9, over 2 (1 + β)/η",
    stated=1.0,
    within=about(1.0, rel=0.05),
    source="Cohen et al. 2021, arXiv:2103.00065, for v ← βv + g",
)
def rest_of_momentum(problem: EdgeOfStability) -> float:
    return _rest(replace(problem, sharpening=10.0), 5e4, 0.9)[0]


@claim(
    EdgeOfStability,
    "h where descent at η = 0.001 and heavy ball with the same limit rest, over 2 (1 + β) r/η: what is farthest from 1",
    stated="1, with r = 1.2213",
    within=about(1.0, rel=1e-6),  # the slant moves x by some 1e-7 from step to step
    source="derived: r (r − 1) = 128 k η |x|/(1 + β)",
    slow=True,
)
def exact_rest(problem: EdgeOfStability) -> float:
    limit = 2000.0
    floors = [_rest(problem, limit, momentum)[1] for momentum in (0.0, 0.5, 0.9)]
    return max(floors, key=lambda h: abs(h / _predicted_rest(problem, limit) - 1)) / (
        _predicted_rest(problem, limit)
    )


@claim(
    EdgeOfStability,
    "the λmax of P⁻¹H at which the oscillation of Adam at η = 0.001 neither grows nor shrinks, over 38/η",
    stated=1.0,
    within=about(1.0, rel=0.01),  # P and H are not quite constant from step to step
    source="Cohen et al. 2022, arXiv:2207.14484: (2 + 2β₁)/((1 − β₁)η)",
)
def limit_of_adam(problem: EdgeOfStability) -> float:
    """Measure it: for the right limit, the factors by which e grows have the mean logarithm 0.

    A heavy ball whose λ is q times its limit multiplies e by the larger root of z² − (1 + β − 2 (1 + β) q) z + β, in
    absolute value: √β below the limit, 1 at it.
    """
    shares = _adam_at_edge(problem)

    def grows(limit: float) -> bool:
        middle = (1 + BETA1) * (shares / limit - 0.5)
        roots = middle.abs() + (middle**2 - BETA1).clamp(min=0).sqrt()
        return bool(roots.clamp(min=math.sqrt(BETA1)).log().mean() > 0)

    low, high = 0.5, 2.0
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (middle, high) if grows(middle) else (low, middle)
    return low


@claim(
    EdgeOfStability,
    "the mean λmax of P⁻¹H along the same run, over 38/η: it hovers a little below",
    stated="below 1",
    within=(0.9, 1.0),
    source="derived: below the limit e shrinks by at most √β₁ a step, above it grows much faster, so λ is mostly below",
)
def hovering_of_adam(problem: EdgeOfStability) -> float:
    return _adam_at_edge(problem).mean().item()


def _first_solved(
    problem: EdgeOfStability, data: Tree, points: Iterator[torch.Tensor], most: int
) -> torch.Tensor:
    """Return the first step at which each run has solved it, (runs); infinity if it has not before `most`."""
    enough = problem.card.target / 2  # the loss at the start is 1/2
    first = torch.tensor(math.inf)
    for step, x in enumerate(itertools.islice(points, most)):
        first = first.minimum(torch.where(problem.loss(x, data) <= enough, step, math.inf))
        if first.isfinite().all():
            break
    return first


@lru_cache
def measured_steps(problem: EdgeOfStability, optimizer: str) -> float:
    """Return the steps to the target at the best of many hyperparameters, at the middle h₀.

    Heavy ball: 59 rates × 49 values of β; Adam: 121 rates. A few settings of heavy ball get there by luck, so its
    minimum depends on the grid: with four times as many settings it is up to a sixth lower.
    """
    if optimizer == "sgd":
        return _steps_of_descent(problem)
    data, start = _middle(problem)
    spread = partial(torch.logspace, dtype=torch.float64)
    if optimizer == "adam":
        lr = spread(-5, 1, 121)[:, None]
        points = (x for x, _ in adam(problem, data, start.expand(len(lr), 2), lr))
    else:
        rates = spread(-0.5, 1, 59) * 4 / problem.sharpest()
        lr, rest = torch.cartesian_prod(rates, spread(-3, 0, 49)).T[..., None]
        points = descent(problem, data, start.expand(len(lr), 2), lr, 1 - rest)
    most = int(4 * problem.steps(optimizer)) + 100
    return _first_solved(problem, data, points, most).min().item()


def _steps_of_descent(problem: EdgeOfStability) -> float:
    """Try growing rates, from the predicted one on, until one is held before the target.

    Up to 0.95 of its limit a run is on the floor, where x = −(1 − η)ᵗ. So it starts there, and is given up if it takes
    a tenth longer than on the floor.
    """
    best, aim = math.inf, math.sqrt(problem.card.target)
    for share in torch.logspace(0, 0.3, 13).tolist():
        lr = min(2 * share / problem.sharpest(), 0.5)
        data, start = _middle(problem, 0.95 * 2 / lr)
        way = (data["minimizer"] - start)[0].item()
        before, left = math.log(way) / math.log1p(-lr), math.log(aim / way) / math.log1p(-lr)
        points = descent(problem, data, start, lr)
        first = _first_solved(problem, data, points, int(1.1 * left) + 100).item()
        if first == math.inf:
            break
        best = min(best, before + first)
    return best


def _steps(problem: EdgeOfStability, optimizer: str) -> tuple[list[float], list[float]]:
    """Return the predicted and the measured steps of an optimizer at each of the rungs."""
    rungs = [problem.at_dial(rung) for rung in RUNGS]
    predicted = [each.steps(optimizer) for each in rungs]
    return predicted, [measured_steps(each, optimizer) for each in rungs]


def leads(problem: EdgeOfStability) -> tuple[Leads, Leads]:
    """Return the leads of heavy ball and of Adam at each of the rungs."""

    def lead(leader: str) -> Leads:
        pairs = zip(_steps(problem, "sgd"), _steps(problem, leader), strict=True)
        predicted, measured = (list(zip(*pair, strict=True)) for pair in pairs)
        return Leads.of(leader, RUNGS, predicted, measured)

    return lead("momentum"), lead("adam")


@claim(
    EdgeOfStability,
    "the share of 13 rungs, k = 0 to 12, at which heavy ball's lead over descent is predicted within a factor of two",
    stated=f"at least {ENOUGH}",
    within=(ENOUGH, 1.0),
    source="EdgeOfStability.steps: 1.6 √λ",
    slow=True,
)
def lead_of_momentum(problem: EdgeOfStability) -> float:
    return leads(problem)[0].share_near


@claim(
    EdgeOfStability,
    "the same of Adam's lead",
    stated=f"at least {ENOUGH}",
    within=(ENOUGH, 1.0),
    source="EdgeOfStability.steps",
    slow=True,
)
def lead_of_adam(problem: EdgeOfStability) -> float:
    return leads(problem)[1].share_near


@claim(
    EdgeOfStability,
    "descent's steps at the rung farthest from their prediction, over it",
    stated=1.0,
    within=(0.8, 1.1),  # before e has grown, descent goes some way past its limit
    source="EdgeOfStability.steps: ½ ln(1/target) λ/2",
    slow=True,
)
def steps_of_descent(problem: EdgeOfStability) -> float:
    ratios = [found / stated for stated, found in zip(*_steps(problem, "sgd"), strict=True)]
    return max(ratios, key=lambda ratio: abs(math.log(ratio)))


def portrait(problem: EdgeOfStability) -> Curves:
    problem = replace(problem, sharpening=10.0)
    data, start = _middle(problem)
    runs = {
        "descent, η = 10⁻⁴": (1e-4, 0.0),
        "descent, η = 4·10⁻⁵": (4e-5, 0.0),
        "heavy ball, β = 0.9, η = 4·10⁻⁵": (4e-5, 0.9),
    }
    lr, momentum = torch.tensor(list(runs.values()), dtype=torch.float64).T[..., None]
    shown = torch.logspace(1, math.log10(45_000), 90).long().unique()
    path = descent(problem, data, start.expand(len(runs), 2), lr, momentum)
    wanted = set(shown.tolist())
    x = [each for t, each in enumerate(itertools.islice(path, 45_001)) if t in wanted]
    largest = _largest(problem.hessian(torch.stack(x), data))
    ends = shown[[0, -1]]
    return Curves(
        caption="The largest curvature grows until it meets the optimizer's limit of stability, 2 (1 + β)/η, and "
        "rests there or below, at 2 (1 + β)/(η r²): the larger the rate, the flatter the walls on which the run rests.",
        x_label="step",
        y_label="largest eigenvalue of the Hessian",
        lines={
            name: (ends, torch.full((2,), 2 * (1 + beta) / rate))
            for name, (rate, beta) in runs.items()
        },
        dots={name: (shown, largest[:, run]) for run, name in enumerate(runs)},
        x_scale="log",
        y_scale="log",
    )
