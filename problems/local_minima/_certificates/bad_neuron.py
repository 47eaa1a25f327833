"""The evidence for `bad_neuron`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.local_minima._certificates.one_neuron import count_critical_points
from problems.local_minima.bad_neuron import BAD, GLOBAL, BadNeuron, _directions, _wrong_side
from problems.portrait import Plane
from problems.problem import Tree

TWINS = ((-4.0, 2.0), (0.0, 2.0), (-1.0, 1.0))  # examples with two minima that are equally good


def portrait(problem: BadNeuron) -> Plane:
    data = problem.example()
    return Plane(
        caption="A run that starts to the left of the saddle at (−1.6, 0.9) heads for the left minimum at (−3.3, "
        "1.1), where the first example is wrong. All around is so flat that no shade shows that minimum; the global "
        "one is white.",
        window=((-5.0, 2.0), (-1.5, 3.0)),
        paths=(
            ("sgd", {"lr": 0.1}),
            ("momentum", {"lr": 0.02, "momentum": 0.8}),
            ("adam", {"lr": 0.05}),
        ),
        steps=300,
        start=data["rotation"] @ torch.tensor([-2.5, -0.5]),
        origin=torch.zeros(2),
        axes=data["rotation"].T,
    )


@claim(
    BadNeuron,
    "the cost of the bad minimum over that of the global one",
    stated=81.25,
    within=about(81.25, rel=1e-4),  # 1.62/0.0199383 in six digits
    source="own data; the phenomenon is Brady, Raghavan & Slawny's (1989)",
)
def cost_ratio(problem: BadNeuron) -> float:
    return problem.signature(problem.example())


@claim(
    BadNeuron,
    "the cost of the bad minimum",
    stated=1.61999992,
    within=about(1.61999992, abs=1e-8),  # its last digit
    source="½ (1 + t)² = 1.62 for a saturated example and nothing for two fitted ones",
)
def cost_of_the_bad_minimum(problem: BadNeuron) -> float:
    data = problem.example()
    ends = problem.settle(3 * _directions(32), data)
    return problem.loss(ends, data)[problem.certified(ends, data)].max().item()


@claim(
    BadNeuron,
    "the smallest curvature at the bad minimum, which makes it strict",
    stated=0.0072,
    within=about(0.0072, abs=1e-4),  # its last digit
    source="own computation",
)
def smallest_curvature(problem: BadNeuron) -> float:
    data = problem.example()
    return torch.linalg.eigvalsh(problem.hessian(problem.place(BAD[0], data), data))[0].item()


@claim(
    BadNeuron,
    "critical points in all",
    stated=3,
    within=(3, 3),
    source="derived: the zeros of eight functions of one variable, as in `count_critical_points`",
)
def critical_points_in_all(problem: BadNeuron) -> float:
    return count_critical_points(problem, problem.example())


@claim(
    BadNeuron,
    "certified minima, from 32 starts, where the targets are the asymptotes",
    stated=0,
    within=(0, 0),
    source="Sontag & Sussmann 1991; Gori & Tesi 1992",
)
def minima_with_asymptotic_targets(problem: BadNeuron) -> float:
    problem = replace(problem, asymptotic=True)
    data = problem.example()
    return problem.certified(problem.settle(3 * _directions(32), data), data).sum().item()


@claim(
    BadNeuron,
    "the least slope down along a separating direction, of 10,000 points, where the targets are "
    "the asymptotes, over the gradient",
    stated="positive: there is no critical point",
    within=(1e-6, 1.0),
    source="Sontag & Sussmann 1991; Gori & Tesi 1992",
)
def slope_along_a_separating_direction(problem: BadNeuron) -> float:
    """Return it for u = (0.5, 1): −u·∇f = Σ (1 − zᵢ)² (1 + zᵢ) u·xᵢ is positive everywhere."""
    problem = replace(problem, asymptotic=True)
    data = problem.example()
    points = 4 * torch.randn(10_000, 2, generator=torch.Generator().manual_seed(0))
    gradients = problem.value_and_gradient(points, data)[1]
    # Inside the cone of the w that are right: (0.5, 1) has w·x = 2.5, 1 and 4.5.
    direction = data["rotation"] @ torch.tensor([0.5, 1.0])
    return (-(gradients @ direction) / gradients.norm(dim=-1)).min().item()


@claim(
    BadNeuron,
    "share of 500 descents, from directions spread evenly, that solve it, less the share of the "
    "directions in the basin",
    stated=0,
    within=about(0, abs=0.01),  # a step of 0.04 is not yet the flow, and 500 are few directions
    source="derived: the basins meet at the stable manifold of the saddle",
)
def share_less_the_predicted(problem: BadNeuron) -> float:
    data = problem.example()
    angles = _wrong_side() + math.pi * (torch.arange(500) + 0.5) / 500
    starts = problem.radius * torch.stack([angles.cos(), angles.sin()], -1) @ data["rotation"].T
    ends = next(islice(descent(problem, data, starts, 0.04), 2000, None))
    return (problem.loss(ends, data) < 1).double().mean().item() - problem.predicted_share()


@claim(
    BadNeuron,
    "share of descents from the square |w| ≤ 5 that end in the bad minimum, certified",
    stated=0.288,
    within=about(0.288, abs=0.03),  # three standard errors of 2000 runs
    source="own computation: lr 0.1, 20,000 steps",
    slow=True,
)
def share_of_the_bad_minimum(problem: BadNeuron) -> float:
    ends, data = _descents_from_the_square(problem)
    bad = (ends - problem.place(BAD[0], data)).norm(dim=-1) < 0.01
    return (bad & _is_minimum(problem, ends, data)).double().mean().item()


@claim(
    BadNeuron,
    "share of descents from the square |w| ≤ 5 that end in the global minimum, certified",
    stated=0.306,
    within=about(0.306, abs=0.03),  # three standard errors of 2000 runs
    source="own computation: lr 0.1, 20,000 steps",
    slow=True,
)
def share_of_the_global_minimum(problem: BadNeuron) -> float:
    ends, data = _descents_from_the_square(problem)
    found = (ends - problem.place(GLOBAL[0], data)).norm(dim=-1) < 0.01
    return (found & _is_minimum(problem, ends, data)).double().mean().item()


@claim(
    BadNeuron,
    "share of the other descents that lie on a plateau at 0.04, two examples saturated: no minimum, "
    "though their gradients are small",
    stated=0.85,
    within=about(0.85, abs=0.04),  # three standard errors of 800 runs
    source="own computation: lr 0.1, 20,000 steps",
    slow=True,
)
def share_of_the_plateau(problem: BadNeuron) -> float:
    ends, data = _descents_from_the_square(problem)
    rest = ends[~_is_minimum(problem, ends, data)]
    return ((problem.loss(rest, data) - 0.04).abs() < 1e-3).double().mean().item()


@claim(
    BadNeuron,
    "difference between the costs of the two minima of (−4, 2), (0, 2), (−1, 1), which both separate",
    stated=0,
    within=about(0, abs=1e-12),  # rounding
    source="own data: the map that swaps the first two examples keeps the third, and the loss",
)
def difference_of_twins(problem: BadNeuron) -> float:
    costs = _twins(problem)
    return (costs.max() - costs.min()).item()


@claim(
    BadNeuron,
    "the cost of these two minima",
    stated=0.0193541,
    within=about(0.0193541, abs=5e-8),  # its last digit
    source="own data",
)
def cost_of_twins(problem: BadNeuron) -> float:
    return _twins(problem).min().item()


def _twins(problem: BadNeuron) -> torch.Tensor:
    """Return the costs of the certified minima of the examples `TWINS`."""
    data = {"examples": torch.tensor(TWINS), "counts": torch.ones(3)}
    near = torch.tensor([[-0.5, 0.5], [0.5, 1.5]])
    ends = problem.settle(near, data)
    return problem.loss(ends, data)[problem.certified(ends, data)]


def _descents_from_the_square(problem: BadNeuron) -> tuple[torch.Tensor, Tree]:
    """Return where 2000 descents from |w| ≤ 5 are after 20,000 steps, (2000, 2), and the instance."""
    data = problem.example()
    starts = 10 * torch.rand(2000, 2, generator=torch.Generator().manual_seed(0)) - 5
    path = descent(problem, data, starts @ data["rotation"].T, 0.1)
    return next(islice(path, 20_000, None)), data


def _is_minimum(problem: BadNeuron, x: torch.Tensor, data: Tree) -> torch.Tensor:
    """Return which points are strict minima, as exactly as descent reaches one whose curvature is 0.007."""
    curvatures = torch.linalg.eigvalsh(problem.hessian(x, data))
    slopes = problem.value_and_gradient(x, data)[1].norm(dim=-1)
    return (slopes < 1e-5) & (curvatures[:, 0] > 1e-3)
