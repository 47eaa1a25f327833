"""Critical points of every kind, found from given starts by Levenberg and Marquardt's method."""

from __future__ import annotations

import torch

from problems.problem import Problem, Tree

CRITICAL = 1e-9  # the largest gradient that counts as zero


def critical_points(
    problem: Problem,
    data: Tree,
    x: torch.Tensor,
    steps: int = 40,
    critical: float = CRITICAL,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the critical points found from starts (count, dim), (found, dim), and their curvatures.

    s = −(H² + μI)⁻¹ H g lowers ½|g|², with its own μ for each start. Where |g| ends in a minimum above 0, or
    takes more steps, nothing is found. The sample is biased: it shows how the index depends on the
    energy, but not how frequent each kind is.
    """
    gradient = problem.value_and_gradient(x, data)[1]
    damping = torch.ones(len(x), 1)
    for _ in range(steps):
        if (gradient.norm(dim=-1) < critical).all():
            break
        curvatures, basis = torch.linalg.eigh(problem.hessian(x, data))
        along = torch.einsum("...ij,...i->...j", basis, gradient)
        along = along * curvatures / (curvatures.square() + damping)
        tried = problem.project(x - torch.einsum("...ij,...j->...i", basis, along), data)
        there = problem.value_and_gradient(tried, data)[1]
        better = there.norm(dim=-1, keepdim=True) < gradient.norm(dim=-1, keepdim=True)
        x, gradient = torch.where(better, tried, x), torch.where(better, there, gradient)
        damping = torch.where(better, damping / 5, damping * 3)
    x = x[gradient.norm(dim=-1) < critical]
    return x, torch.linalg.eigvalsh(problem.hessian(x, data))
