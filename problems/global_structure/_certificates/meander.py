"""The evidence for `meander`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.global_structure.meander import SLOPE, Meander
from problems.portrait import Plane

STEP = 1.8  # rate of the claims' descents


@claim(
    Meander,
    "length of descent's path, over the length of the floor, 15",
    stated=1.0,
    within=about(1.0, rel=0.02),
    source="derived",
)
def path_length(problem: Meander) -> float:
    """Measure it; the path runs a little inside the floor, where slope and wall balance: sin 2v = 2 s r."""
    problem = replace(problem, length=15.0)
    data = problem.example()
    path = islice(descent(problem, data, data["start"], STEP), round(20 / (STEP * SLOPE)))
    return torch.stack(list(path)).diff(dim=0).norm(dim=-1).sum().item() / 15


@claim(
    Meander,
    "steps of descent to the target, over 0.99 length/(lr s), at length 15",
    stated=1.0,
    within=about(1.0, rel=0.05),
    source="derived",
)
def steps_per_length(problem: Meander) -> float:
    """Count them; the gap is s times the length left, except near m, where the floor is level."""
    (steps,) = _steps_to_target(problem, 15.0)
    return steps * STEP * SLOPE / ((1 - problem.card.target) * 15)


@claim(
    Meander,
    "steps of descent in the spiral, over those in the straight valley of the same length",
    stated=1.0,
    within=about(1.0, rel=0.05),
    source="Goodfellow, Bengio & Courville 2016, section 8.2.7",
    slow=True,
)
def spiral_over_straight(problem: Meander) -> float:
    (spiral,) = _steps_to_target(problem, problem.length)
    (straight,) = _steps_to_target(replace(problem, twist=0.0), problem.length)
    return spiral / straight


@claim(
    Meander,
    "steps grow with this power of the length, from 10 to 100",
    stated=1.0,
    within=about(1.0, abs=0.05),
    source="Goodfellow, Bengio & Courville 2016, section 8.2.7",
    slow=True,
)
def power_of_length(problem: Meander) -> float:
    shorter, longer = _steps_to_target(problem, 10.0, 100.0)
    return math.log10(longer / shorter)


@claim(
    Meander,
    "largest curvature on the floor, over the smallest largest one, wherever one stands",
    stated="at most 4/3",
    within=(1.0, 4 / 3 + 2 * SLOPE),
    source="derived",
)
def steepness(problem: Meander) -> float:
    """Measure (1 + r²/(1 + r²) r²)/(1 + r²): 1 at 0 and far out, ¾ at r = 1; the slope adds up to s."""
    data = problem.example()
    radii = torch.linspace(0, problem.radius(), 200)
    points = data["minimizer"] + problem.on_floor(radii, data["phase"])
    largest = torch.linalg.eigvalsh(problem.hessian(points, data))[:, -1]
    return (largest.max() / largest.min()).item()


def _steps_to_target(problem: Meander, *lengths: float) -> list[int]:
    """Return the steps that descent takes to the target along floors of these lengths."""
    data = problem.example()
    radii = [replace(problem, length=length).radius() for length in lengths]
    start = data["minimizer"] + problem.on_floor(torch.tensor(radii), data["phase"])
    enough = round(1.1 * max(lengths) / (STEP * SLOPE))
    points = torch.stack(list(islice(descent(problem, data, start, STEP), enough)))
    heights = problem.loss(points, data)
    return [round(each) for each in (heights > problem.card.target * heights[0]).sum(0).tolist()]


def portrait(problem: Meander) -> Plane:
    data = problem.example()
    reach = 1.1 * problem.radius()
    low, high = (data["minimizer"] - reach).tolist(), (data["minimizer"] + reach).tolist()
    return Plane(
        caption="The minimum in the middle is near, and the way down leads round it: after the same number of steps "
        "gradient descent is half way, and momentum and Adam have arrived.",
        window=((low[0], high[0]), (low[1], high[1])),
        paths=(
            ("sgd", {"lr": 1.0}),
            ("momentum", {"lr": 0.5, "momentum": 0.95}),
            ("adam", {"lr": 0.1}),
        ),
        steps=1500,
    )
