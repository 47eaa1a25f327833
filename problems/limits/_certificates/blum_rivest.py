"""The evidence for `blum_rivest`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent, examples
from problems.limits.blum_rivest import BlumRivest
from problems.limits.set_splitting import SIZE, colorings
from problems.portrait import Curves
from problems.problem import Tree


def planted(problem: BlumRivest, data: Tree) -> torch.Tensor:
    """The weights of one instance's planted colouring: no error, all fields at least ½ off zero."""
    colors, n = data["colors"], problem.elements
    planes = torch.where(torch.stack([colors, ~colors]), -1.0, float(n))
    return torch.cat([torch.full((2, 1), 0.5), planes], -1).flatten()


def one_plane(problem: BlumRivest) -> torch.Tensor:
    """Weights that get all examples right but the origin: two elements are more than 1½, one is less."""
    return torch.cat([torch.tensor([-1.5]), torch.ones(problem.elements)]).repeat(2)


@claim(
    BlumRivest,
    "errors of the planted weights, the most on 60 instances of 3 to 20 elements",
    stated=0.0,
    within=(0.0, 0.0),
    source="Blum & Rivest 1992",
)
def planted_errors(problem: BlumRivest) -> float:
    counts = []
    for elements in (3, 4, 10, 12, 20):
        variant = replace(problem, elements=elements)
        for seed in range(12):
            data = variant.example(seed)
            counts.append(variant.errors(planted(variant, data), data).item())
    return max(counts)


@claim(
    BlumRivest,
    "loss at 100 times the planted weights",
    stated="below e⁻⁴⁹",
    within=(0.0, math.exp(-49)),
    source="derived",
)
def infimum(problem: BlumRivest) -> float:
    """All fields are 50 or more off zero there, and at most two of them count for an example."""
    data = problem.example()
    return problem.loss(100 * planted(problem, data), data).item()


@claim(
    BlumRivest,
    "share of 5 instances with 12 elements whose examples a single plane separates",
    stated=0.0,
    within=(0.0, 0.0),
    source="Blum & Rivest 1992",
)
def separable(problem: BlumRivest) -> float:
    """By linear programming. In short: each weight is below the threshold, which is below 0; so is
    then the sum of three."""
    from scipy.optimize import linprog

    problem, feasible = replace(problem, elements=12), 0
    for seed in range(5):
        data = problem.example(seed)
        rows = torch.cat([data["inputs"], torch.ones(len(data["inputs"]), 1)], -1)
        rows = torch.where(data["positive"][:, None], -rows, rows)
        found = linprog(
            [0.0] * rows.shape[1], rows.tolist(), [-1.0] * len(rows), bounds=(None, None)
        )
        feasible += found.status == 0
    return feasible / 5


@claim(
    BlumRivest,
    "colourings of the Fano plane's seven points that split all its seven lines",
    stated=0.0,
    within=(0.0, 0.0),
    source="by trying all",
    formula=True,
)
def fano(problem: BlumRivest) -> float:
    """So on its examples three units make an error at least; a single plane makes one."""
    lines = torch.zeros(7, 7, dtype=torch.bool)
    for k in range(7):
        lines[k, [k, (k + 1) % 7, (k + 3) % 7]] = True
    return float(len(colorings(lines, 7)))


@claim(
    BlumRivest,
    "colourings that 200 random sets of 12 triples leave of 12 elements, over those expected",
    stated=1.0,
    within=about(1.0, abs=0.06),
    source="derived",
    formula=True,
)
def colourings_left(problem: BlumRivest) -> float:
    """With k elements of one colour a triple is split unless it lies in the k or in the others.

    The standard error is 2 %, and the tolerance three of them.
    """
    n = count = 12
    generator = torch.Generator().manual_seed(0)
    left = 0
    for _ in range(200):
        chosen = torch.stack([torch.randperm(n, generator=generator) for _ in range(count)])
        left += len(colorings(chosen < SIZE, n))
    expected = 0.0
    for k in range(n + 1):
        inside = math.comb(k, SIZE) + math.comb(n - k, SIZE)
        expected += math.comb(n, k) / 2 * (1 - inside / math.comb(n, SIZE)) ** count
    return left / 200 / expected


def portrait(problem: BlumRivest) -> Curves:
    dots = {}
    for ratio in (0.5, 2.0):
        counts, shares = (4, 6, 8, 12, 20), []
        for elements in counts:
            variant = replace(problem, elements=elements, ratio=ratio)
            data = examples(variant, range(20))
            *_, x = islice(descent(variant, data, data["start"], 0.5, momentum=0.9), 150)
            shares.append((variant.errors(x, data) == 0).double().mean().item())
        dots[f"{ratio:g} triples per element"] = (torch.tensor(counts), torch.tensor(shares))
    return Curves(
        caption="The share of instances that gradient descent solves falls with their size, though all of them can "
        "be solved.",
        x_label="elements",
        y_label="share solved",
        dots=dots,
    )
