"""The evidence for `monkey_saddle`: claims and portrait."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.portrait import Plane
from problems.saddles.monkey_saddle import PASSAGE, MonkeySaddle
from problems.saddles.newton_iteration import newton_iteration


def portrait(problem: MonkeySaddle) -> Plane:
    data = replace(problem, angle=1e-3).example()
    unit = 1 / problem.wall
    return Plane(
        caption="Three valleys lead down from the monkey saddle, and three ridges up to it. From beside a ridge "
        "Newton's method ends on the saddle, and gradient descent has hardly left it; momentum runs across it, down "
        "the valley on the other side.",
        window=((-4.2 * unit, 3.0 * unit), (-3.6 * unit, 3.6 * unit)),
        paths=(
            ("newton", {"lr": 1.0}),
            ("sgd", {"lr": 0.02}),
            ("momentum", {"lr": 0.02, "momentum": 0.9}),
        ),
        steps=250,
        start=data["start"],
        origin=data["center"],
        axes=data["basis"].T,
        x_label="u",
        y_label="v",
    )


@claim(
    MonkeySaddle,
    "where 100 steps of descent on the ridge lead from 0.1, at the rate 0.01, without a wall",
    stated=0.0768764,
    within=about(0.0768764, abs=1e-7),  # the digits stated
    source="measured; the flow's 1/(1/r₀ + 3t) is 0.0769231",
)
def ridge_after_100_steps(problem: MonkeySaddle) -> float:
    return _along_the_ridge(problem, 100)


@claim(
    MonkeySaddle,
    "where 1000 steps of descent on the ridge lead from 0.1, at the rate 0.01, without a wall",
    stated=0.024974,
    within=about(0.024974, abs=1e-6),  # the digits stated
    source="measured; the flow's is 0.025",
)
def ridge_after_1000_steps(problem: MonkeySaddle) -> float:
    return _along_the_ridge(problem, 1000)


@claim(
    MonkeySaddle,
    "where 10,000 steps of descent on the ridge lead from 0.1, at the rate 0.01, without a wall",
    stated=0.0032247,
    within=about(0.0032247, abs=1e-7),  # the digits stated
    source="measured; the flow's is 0.0032258",
    slow=True,
)
def ridge_after_10000_steps(problem: MonkeySaddle) -> float:
    return _along_the_ridge(problem, 10_000)


@claim(
    MonkeySaddle,
    "share of the distance to the saddle that is left by a step of Newton's method beside it",
    stated=0.5,
    within=about(0.5, abs=1e-3),  # the wall is q r/3 = 3e-4 of the gradient there, and less
    source="a form of degree 3 has H x = 2g",
)
def newton_factor(problem: MonkeySaddle) -> float:
    """Measure it over ten steps from 1e-3."""
    data = problem.example()
    start = data["center"] + 1e-3 * (data["start"] - data["center"])
    end = next(islice(newton_iteration(problem, data, start), 10, None))
    gone = (end - data["center"]).norm() / (start - data["center"]).norm()
    return gone.item() ** 0.1


@claim(
    MonkeySaddle,
    "slope of the time that descent takes past the saddle from the angle θ, against 1/∛θ",
    stated=PASSAGE,
    within=about(PASSAGE, rel=0.02),  # of discrete steps, in proportion to the rate
    source="Im z³ is kept: Re z³ falls at 9|z³|^(4/3)",
    slow=True,
)
def passage(problem: MonkeySaddle) -> float:
    """Measure the time until r = 2/q at θ = 1e-2 and 1e-4, at the rate 0.005 q, in the unit q of time."""
    data = problem.example()
    angles = torch.tensor([1e-2, 1e-4])
    start = torch.stack([angles.cos(), angles.sin()], -1) / problem.wall
    path = descent(problem, data, data["center"] + start @ data["basis"].T, 0.005 * problem.wall)
    steps = torch.zeros(2)
    while (there := (next(path) - data["center"]).norm(dim=-1) < 2 / problem.wall).any():
        steps += there
    few, many = steps.tolist()
    return 0.005 * (many - few) / (10 ** (4 / 3) - 10 ** (2 / 3))


def _along_the_ridge(problem: MonkeySaddle, steps: int) -> float:
    problem = replace(problem, wall=1e-8)  # 1e-10 of the force
    data = {"center": torch.zeros(2), "basis": torch.eye(2)}
    start = torch.tensor([0.1, 0.0])
    return next(islice(descent(problem, data, start, 0.01), steps, None))[0].item()
