"""How many critical points one neuron has: what the evidence for both of them counts."""

from __future__ import annotations

from itertools import product

import torch

from problems.local_minima.one_neuron import OneNeuron
from problems.problem import Tree

FAR = 40.0  # an input at which the unit is saturated


def count_critical_points(problem: OneNeuron, data: Tree) -> int:
    """Count the critical points whose λ (below) is at least 1e-11.

    Three vectors in the plane have one relation, Σ νᵢ xᵢ = 0. So the gradient Σ cᵢ h(pᵢ) xᵢ, with
    h(p) = (tanh p − t)(1 − tanh² p), is zero where cᵢ h(pᵢ) = λ νᵢ for some λ, and p belongs to a w
    where Σ νᵢ pᵢ = 0. h falls from 0 to its least, rises through 0 to its largest, and falls to 0:
    each h(pᵢ) has two pᵢ. What is left is to count the zeros of eight functions of λ.
    """
    a, b = data["examples"].unbind(-1)
    relation = torch.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2]])
    relation = torch.cat([relation, (a[0] * b[1] - a[1] * b[0])[None]])
    relation = relation / relation.abs().max()
    folds = _folds(problem)
    extremes = _slope(problem, folds)
    size = torch.logspace(-11, 1, 4001)
    ends = (extremes * (data["counts"] / relation)[:, None]).flatten() * (1 - 1e-12)
    grid = torch.cat([-size, size, ends]).sort().values
    count = 0
    for side in (grid[grid < 0], grid[grid > 0]):
        inputs = [
            _inverse(problem, side * relation[i] / data["counts"][i], folds) for i in range(3)
        ]
        for branch in product((0, 1), repeat=3):
            terms = [relation[i] * inputs[i][branch[i]] for i in range(3)]
            total = torch.stack(terms).sum(0)
            count += int((total[:-1] * total[1:] < 0).sum())
    return count


def _slope(problem: OneNeuron, inputs: torch.Tensor) -> torch.Tensor:
    """Return h(p) = (tanh p − t)(1 − tanh² p), whose last factor is 1/cosh² p."""
    return (inputs.tanh() - problem.wanted) / inputs.cosh().square()


def _folds(problem: OneNeuron) -> torch.Tensor:
    """Return where h is least and where it is largest: the roots of 3z² − 2tz − 1, z = tanh p."""
    root = (problem.wanted**2 + 3) ** 0.5
    outputs = torch.tensor([(problem.wanted - root) / 3, (problem.wanted + root) / 3])
    return outputs.atanh().clamp(max=FAR)


def _inverse(
    problem: OneNeuron, heights: torch.Tensor, folds: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return both p with h(p) equal to these heights, all of one sign, by bisection; NaN if there is none."""
    least, largest = folds.tolist()
    extremes = _slope(problem, folds)
    there = (heights > extremes[0]) & (heights < extremes[1])
    down = heights[0] < 0
    found = []
    for low, high, rising in (
        (least, largest, True),
        (-FAR, least, False) if down else (largest, FAR, False),
    ):
        below, above = torch.full_like(heights, low), torch.full_like(heights, high)
        for _ in range(60):
            middle = (below + above) / 2
            under = (_slope(problem, middle) < heights) == rising
            below, above = torch.where(under, middle, below), torch.where(under, above, middle)
        found.append(torch.where(there, below, torch.nan))
    return found[0], found[1]
