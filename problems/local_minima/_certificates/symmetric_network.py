"""The evidence for `symmetric_network`: claims and portrait."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice, permutations, product

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.local_minima.symmetric_network import SymmetricNetwork
from problems.portrait import Plane


def portrait(problem: SymmetricNetwork) -> Plane:
    data = problem.example()
    *weights, last = problem.parts(data["teacher"])
    zeros = [torch.zeros_like(each) for each in weights]
    ways = [*weights, torch.zeros_like(last)], [*zeros, last]
    axes = torch.stack([problem.join(way) for way in ways])
    return Plane(
        caption="The minima, all equal, lie on a hyperbola, the white valley. A run that starts far out ends far "
        "out, where the valley is narrow and the largest curvature is high.",
        window=((0.9, 2.9), (0.2, 1.2)),
        paths=(
            ("sgd", {"lr": 0.1}),
            ("momentum", {"lr": 0.02, "momentum": 0.9}),
            ("adam", {"lr": 0.03}),
        ),
        start=2.6 * axes[0] + 1.05 * axes[1],
        origin=torch.zeros_like(axes[0]),
        axes=axes,
        x_label="weights into the units",
        y_label="out of them",
    )


def flipped(
    problem: SymmetricNetwork, x: torch.Tensor, signs: Sequence[torch.Tensor]
) -> torch.Tensor:
    """Return the weights into and out of the units times ±1: with tanh the same network."""
    weights = problem.parts(x)
    for layer, each in enumerate(signs):
        weights[layer] = each[:, None] * weights[layer]
        weights[layer + 1] = weights[layer + 1] * each
    return problem.join(weights)


def _copies(problem: SymmetricNetwork, x: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield x with its units renamed in all ways, and with tanh their signs flipped."""
    orders = [torch.tensor(each) for each in permutations(range(problem.units))]
    signs = [torch.ones(problem.units)]
    if problem.activation == "tanh":
        signs = [torch.tensor(each) for each in product((1.0, -1.0), repeat=problem.units)]
    for names in product(orders, repeat=problem.layers):
        renamed = problem.renamed(x, names)
        for flips in product(signs, repeat=problem.layers):
            yield flipped(problem, renamed, flips)


def _equal_copies(problem: SymmetricNetwork) -> int:
    """Count the different copies of the teacher that cost nothing."""
    data = problem.example()
    copies = torch.stack(list(_copies(problem, data["teacher"])))
    equal = copies[problem.loss(copies, data) < 1e-24]
    return len(torch.unique((equal * 1e9).round(), dim=0))


def _drift(problem: SymmetricNetwork, lr: float) -> float:
    """Return the largest change of a unit's |w|² − v² after descent for a time of 2."""
    problem = replace(problem, rescaling=1.0)
    data = problem.example()
    path = descent(problem, data, data["start"], lr)
    end = next(islice(path, round(2 / lr), None))
    return (_imbalance(problem, end) - _imbalance(problem, data["start"])).abs().max().item()


def _imbalance(problem: SymmetricNetwork, x: torch.Tensor) -> torch.Tensor:
    """Return |w|² − v² of every unit of a network with one hidden layer: (*runs, units)."""
    first, last = problem.parts(x)
    return first.square().sum(-1) - last.square()


@claim(
    SymmetricNetwork,
    "equal copies of a minimum: two layers of three units, relu",
    stated=36,
    within=(36, 36),
    source="Goodfellow, Bengio & Courville 2016, section 8.2.2: (n!)^m",
)
def copies_by_name(problem: SymmetricNetwork) -> float:
    return _equal_copies(replace(problem, inputs=3, units=3, layers=2))


@claim(
    SymmetricNetwork,
    "equal copies of a minimum: two layers of three units, tanh",
    stated=2304,
    within=(2304, 2304),
    source="Hecht-Nielsen 1990; Sussmann 1992: (n! 2ⁿ)^m",
)
def copies_by_name_and_sign(problem: SymmetricNetwork) -> float:
    small = replace(problem, inputs=3, units=3, layers=2, activation="tanh", rescaling=1.0)
    return _equal_copies(small)


@claim(
    SymmetricNetwork,
    "the largest difference between the losses along 300 steps of descent from the start and from its "
    "24 copies, over the loss at the start",
    stated=0,
    within=about(0, abs=1e-10),  # rounding
    source="derived: descent commutes with renaming, so the copies are no worse as minima",
)
def difference_between_copies(problem: SymmetricNetwork) -> float:
    problem = replace(problem, rescaling=1.0)
    data = problem.example()
    starts = torch.stack(list(_copies(problem, data["start"])))
    path = islice(descent(problem, data, starts, 0.1), 301)
    losses = torch.stack([problem.loss(x, data) for x in path])
    return ((losses.amax(-1) - losses.amin(-1)).max() / losses[0, 0]).item()


@claim(
    SymmetricNetwork,
    "the largest change of the loss at the start, rescaled by 1 to 10, over that loss",
    stated=0,
    within=about(0, abs=1e-12),  # rounding
    source="Dinh et al. 2017",
)
def change_by_rescaling(problem: SymmetricNetwork) -> float:
    data = problem.example()
    factors = (1.0, 2.0, 4.0, 10.0)
    copies = torch.stack([problem.rescaled(data["start"], each) for each in factors])
    losses = problem.loss(copies, data)
    return ((losses - losses[0]).abs().max() / losses[0]).item()


@claim(
    SymmetricNetwork,
    "zeros of the Hessian at a minimum, below 1e-10",
    stated=4,
    within=(4, 4),
    source="derived: one direction of rescaling for each unit",
)
def flat_directions(problem: SymmetricNetwork) -> float:
    data = problem.example()
    curvatures = torch.linalg.eigvalsh(problem.hessian(data["teacher"], data))
    return (curvatures.abs() < 1e-10).sum().item()


@claim(
    SymmetricNetwork,
    "exponent of α by which the largest curvature grows, from α = 16 to 32",
    stated=2,
    within=about(2, abs=0.01),  # of the order of α⁻²
    source="Dinh et al. 2017, section 4",
)
def exponent_of_curvature(problem: SymmetricNetwork) -> float:
    data = problem.example()
    ratio = problem._largest_curvature(data, 32.0) / problem._largest_curvature(data, 16.0)
    return math.log2(ratio)


@claim(
    SymmetricNetwork,
    "exponent of α by which the largest curvature grows, from α = 1/16 to 1/32",
    stated=-2,
    within=about(-2, abs=0.01),  # of the order of α²
    source="Dinh et al. 2017, section 4",
)
def exponent_of_curvature_below(problem: SymmetricNetwork) -> float:
    data = problem.example()
    ratio = problem._largest_curvature(data, 1 / 32) / problem._largest_curvature(data, 1 / 16)
    return -math.log2(ratio)


@claim(
    SymmetricNetwork,
    "the largest of |w·∂f/∂w − v ∂f/∂v| of any unit at 100 points, over the gradient",
    stated=0,
    within=about(0, abs=1e-12),  # rounding
    source="derived: Euler's identity of a function that rescaling leaves alone",
)
def imbalance_of_the_gradient(problem: SymmetricNetwork) -> float:
    data = problem.example()
    points = torch.randn(100, len(data["start"]), generator=torch.Generator().manual_seed(0))
    first, last = problem.parts(points)
    gradient = problem.value_and_gradient(points, data)[1]
    by_first, by_last = problem.parts(gradient)
    difference = (first * by_first).sum(-1) - last * by_last
    return (difference.abs().amax(-1) / gradient.norm(dim=-1)).max().item()


@claim(
    SymmetricNetwork,
    "drift of |w|² − v² in descent at lr 1e-2, over that at 1e-3, at equal time: first order",
    stated=10,
    within=about(10, rel=0.05),  # the next order, of lr
    source="Du, Hu & Lee 2018: gradient flow conserves it",
    slow=True,
)
def drift_ratio(problem: SymmetricNetwork) -> float:
    return _drift(problem, 1e-2) / _drift(problem, 1e-3)
