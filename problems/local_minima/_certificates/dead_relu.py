"""The evidence for `dead_relu`: claims and portrait."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.local_minima.dead_relu import DeadRelu
from problems.portrait import Curves


def portrait(problem: DeadRelu) -> Curves:
    steps = torch.arange(0, 500, 10)
    dots = {}
    for dead in (0.0, 0.25, 0.5, 0.75, 1.0):
        variant = replace(problem, dead=dead)
        data = variant.example()
        path = islice(descent(variant, data, data["start"], 0.05, 0.9), 0, 500, 10)
        losses = torch.stack([variant.loss(x, data) for x in path])
        dots[f"{variant.dead_units} of {problem.units} units dead"] = (steps, losses)
    return Curves(
        caption="The more units are dead, the worse is the minimum that is left; with all of them dead, descent with "
        "momentum ends at half the targets' variance.",
        x_label="step",
        y_label="loss",
        dots=dots,
        y_scale="log",
    )


@claim(
    DeadRelu,
    "parameters that have a gradient where all units are dead: the output bias",
    stated=1,
    within=(1, 1),
    source="derived",
)
def parameters_with_a_gradient(problem: DeadRelu) -> float:
    problem = replace(problem, dead=1.0)
    data = problem.example()
    return problem.value_and_gradient(data["start"], data)[1].count_nonzero().item()


@claim(
    DeadRelu,
    "rank of the Hessian where all units are dead",
    stated=1,
    within=(1, 1),
    source="derived",
)
def rank_of_the_hessian(problem: DeadRelu) -> float:
    problem = replace(problem, dead=1.0)
    data = problem.example()
    return torch.linalg.matrix_rank(problem.hessian(data["start"], data)).item()


@claim(
    DeadRelu,
    "where descent with all units dead ends, over half the variance of the targets",
    stated=1,
    within=about(1, abs=1e-12),  # rounding
    source="derived: the best constant",
)
def end_over_the_variance(problem: DeadRelu) -> float:
    problem = replace(problem, dead=1.0)
    data = problem.example()
    end = next(islice(descent(problem, data, data["start"], 0.5), 100, None))
    return (2 * problem.loss(end, data) / data["targets"].var(correction=0)).item()


@claim(
    DeadRelu,
    "the largest change of the loss where all units are dead, among 1000 moves of all hidden weights "
    "by up to 0.1",
    stated=0,
    within=(0, 0),
    source="derived: the flat region has positive measure",
)
def change_in_the_flat_region(problem: DeadRelu) -> float:
    problem = replace(problem, dead=1.0)
    data = problem.example()
    start = data["start"]
    moves = torch.rand(1000, len(start), generator=torch.Generator().manual_seed(0)) * 0.2 - 0.1
    moves[:, -1] = 0
    losses = problem.loss(start + moves, data)
    return (losses - problem.loss(start, data)).abs().max().item()


@claim(
    DeadRelu,
    "the farthest that any weight of a dead unit is from the start after 500 steps with momentum",
    stated=0,
    within=(0, 0),
    source="derived: what has no gradient does not move",
)
def move_of_the_dead(problem: DeadRelu) -> float:
    data = problem.example()
    end = next(islice(descent(problem, data, data["start"], 0.05, 0.9), 500, None))
    weight, bias, out, _ = problem.parts(end - data["start"])
    dead = slice(problem.units - problem.dead_units, None)
    return max(each[dead].abs().max().item() for each in (weight, bias, out))


@claim(
    DeadRelu,
    "the largest difference between the losses, along 200 steps with momentum, and those of a network "
    "that never had the dead units",
    stated=0,
    within=about(0, abs=1e-12),  # rounding
    source="derived",
)
def difference_to_the_smaller_network(problem: DeadRelu) -> float:
    data = problem.example()
    live = problem.units - problem.dead_units
    smaller = replace(problem, units=live, dead=0.0)
    weight, bias, out, offset = problem.parts(data["start"])
    start = torch.cat([weight[:live].flatten(), bias[:live], out[:live], offset])
    paths = (
        descent(problem, data, data["start"], 0.05, 0.9),
        descent(smaller, data, start, 0.05, 0.9),
    )
    return max(
        (problem.loss(x, data) - smaller.loss(y, data)).abs().item()
        for x, y in islice(zip(*paths, strict=False), 200)
    )
