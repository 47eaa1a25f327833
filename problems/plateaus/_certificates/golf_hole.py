"""The evidence for `golf_hole`: claims and portrait."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.plateaus.golf_hole import GolfHole, _in_the_ball
from problems.portrait import Curves


def portrait(problem: GolfHole) -> Curves:
    dense, some = torch.logspace(-1, 0, 65), torch.logspace(-1, 0, 9)
    problems = [problem.at_dial(hole) for hole in some.tolist()]
    predicted = [problem.at_dial(hole).predicted_share() for hole in dense.tolist()]
    return Curves(
        caption="Gradient descent finds the hole if it starts inside, off the rim, and from nowhere else. Predicted: "
        f"the hole's share of the volume, sⁿ at the relative radius s, here in n = {problem.dim} dimensions.",
        x_label="relative radius s of the hole",
        y_label="share of starts that find the hole",
        lines={"": (dense, torch.tensor(predicted))},
        dots={"": (some, torch.tensor([share_solved(each, 1000) for each in problems]))},
        x_scale="log",
    )


def share_solved(problem: GolfHole, count: int) -> float:
    """Return the share of random starts that 300 steps of gradient descent solve."""
    data = problem.example()
    generator = torch.Generator().manual_seed(1)
    start = data["minimizer"] + _in_the_ball(count, problem.dim, generator)
    *_, end = islice(descent(problem, data, start, 0.2 * problem.hole**2), 301)
    return (problem.loss(end, data) <= problem.card.target).double().mean().item()


@claim(
    GolfHole,
    "At s = 0.1 in two dimensions this share of the starts has no gradient and no curvature",
    stated=0.99,
    within=about(0.99, abs=0.003),
    source="1 − s^dim; three standard errors of 10,000 starts",
)
def share_of_the_green(problem: GolfHole) -> float:
    problem = replace(problem, dim=2, hole=0.1)
    return problem._flat(problem.example(), 10_000).double().mean().item()


@claim(
    GolfHole,
    "Of runs that start outside the hole descent moves this share",
    stated=0,
    within=(0, 0),
    source="f is constant there",
)
def share_that_moves(problem: GolfHole) -> float:
    data = problem.example()
    generator = torch.Generator().manual_seed(0)
    start = data["minimizer"] + _in_the_ball(1000, problem.dim, generator)
    outside = start[problem.distance(start, data) > problem.hole]
    *_, end = islice(descent(problem, data, outside, 1e6), 11)
    return (end != outside).any(-1).double().mean().item()


@claim(
    GolfHole,
    "Of random starts gradient descent solves this share",
    stated=0.4621,
    within=about(0.4621, abs=0.0237),
    source="0.9430 s^dim: the hole without its rim; three standard errors of 4000 starts",
)
def share_of_descent(problem: GolfHole) -> float:
    """Return the share after 300 steps at lr = s²/5, a time of 60 s².

    With q = r²/s² the flow takes s² ∫ (1 − q)² e^(1/(1−q) − 1)/4q dq down to the target: 60 s² from
    q = 0.9430, inside of which a share 0.9430 s² of the starts lies in two dimensions.
    """
    return share_solved(problem, 4000)
