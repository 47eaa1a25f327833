"""The evidence for `strict_saddle`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.portrait import Curves
from problems.saddles.strict_saddle import StrictSaddle


def steps_to_leave(problem: StrictSaddle, offsets: torch.Tensor) -> torch.Tensor:
    """Return the steps of descent, at lr·m = 0.01, from these distances to half way to a minimum: (starts,)."""
    problem = replace(problem, dim=2, ratio=10.0)
    data = problem.example()
    center, axis = data["center"], data["basis"][:, -1]
    path = descent(problem, data, center + 2 * math.sqrt(10) * offsets[:, None] * axis, 0.1)
    steps = torch.zeros(len(offsets))
    while (there := ((next(path) - center) @ axis).abs() < math.sqrt(10)).any():
        steps += there
    return steps


def portrait(problem: StrictSaddle) -> Curves:
    offsets = torch.logspace(-6, -0.5, 12)
    dense = torch.logspace(-6, -0.4, 100)
    return Curves(
        caption="The nearer to the ridge gradient descent begins, the longer it stays there, by the logarithm of the "
        "distance; gradient flow predicts it.",
        x_label="distance of the start from the ridge, over that of the minima",
        y_label="steps to half way, at lr·m = 0.01",
        lines={"": (dense, ((dense**-2 - 1) / 3).log() / 0.02)},
        dots={"": (offsets, steps_to_leave(problem, offsets))},
        x_scale="log",
    )


@claim(
    StrictSaddle,
    "steps of descent from y = 1e-2 to half way to a minimum, at √10, at lr·m = 0.01",
    stated=524,
    within=(524, 524),
    source="measured; the flow takes 520.7, ln((δ⁻² − 1)/3)/(2 lr·m), δ = y/√10",
)
def steps_from_1e_2(problem: StrictSaddle) -> float:
    return _steps_from(problem, 1e-2)


@claim(
    StrictSaddle,
    "steps of descent from y = 1e-4 to half way to a minimum, at √10, at lr·m = 0.01",
    stated=986,
    within=(986, 986),
    source="measured; the flow takes 981.2",
)
def steps_from_1e_4(problem: StrictSaddle) -> float:
    return _steps_from(problem, 1e-4)


@claim(
    StrictSaddle,
    "steps of descent from y = 1e-8 to half way to a minimum, at √10, at lr·m = 0.01",
    stated=1912,
    within=(1912, 1912),
    source="measured; the flow takes 1902.3",
)
def steps_from_1e_8(problem: StrictSaddle) -> float:
    return _steps_from(problem, 1e-8)


@claim(
    StrictSaddle,
    "steps that each decade nearer to the ridge costs descent, over ln 10/ln(1 + lr·m)",
    stated=1.0,
    within=about(1.0, rel=2e-3),  # a step in the 694 between 1e-4 and 1e-7
    source="y grows by 1 + lr·m a step",
)
def steps_a_decade(problem: StrictSaddle) -> float:
    few, many = steps_to_leave(problem, torch.tensor([1e-4, 1e-7])).tolist()
    return (many - few) / 3 * math.log(1.01) / math.log(10)


@claim(
    StrictSaddle,
    "height of the saddle above the minima, however flat the way down",
    stated=1.0,
    within=about(1.0, abs=1e-9),  # rounding at 632 from the centre
    source="m²/4c with c = m²/4",
)
def depth(problem: StrictSaddle) -> float:
    """Return that of the ratios 1 and 1e5 that is farther from 1."""
    depths = []
    for ratio in (1.0, 1e5):
        variant = replace(problem, ratio=ratio)
        data = variant.example()
        points = torch.stack([data["center"], variant.minimizers(data)[0]])
        top, bottom = variant.loss(points, data).tolist()
        depths.append(top - bottom)
    return max(depths, key=lambda depth: abs(depth - 1))


def _steps_from(problem: StrictSaddle, y: float) -> float:
    """Return the same from y in the units of m = 0.1 and c = 0.01, with minima at √(m/c)."""
    return steps_to_leave(problem, torch.tensor([y / math.sqrt(10)])).item()
