"""What the evidence on walled forms shares: many instances at once, and where Newton's method ends on them."""

from __future__ import annotations

import torch

from problems.problem import Tree
from problems.saddles.newton_iteration import end_of_newton
from problems.saddles.walled_form import WalledForm


def many(problem: WalledForm, count: int) -> Tree:
    """Return the data of that many instances, stacked as runs."""
    generator = torch.Generator().manual_seed(0)
    drawn = [problem.instance(generator) for _ in range(count)]
    return {name: torch.stack([data[name] for data in drawn]) for name in drawn[0]}


def share_in_minima(problem: WalledForm, count: int, steps: int) -> float:
    """Return the share of the instances on which Newton's method, from ρ/2, ends in a minimum."""
    data = many(problem, count)
    ends = end_of_newton(problem, data, steps)  # it converges cubically
    return (problem.distance(ends, data) < 1e-6).double().mean().item()
