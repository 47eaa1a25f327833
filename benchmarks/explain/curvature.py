"""Curvatures of a problem's exact loss, and the distance to its solutions."""

from __future__ import annotations

import torch

from problems import Problem, Tree
from problems.modifiers.modifier import ProblemModifier
from problems.precision import default_dtype
from problems.quadratic_form import QuadraticForm


def modes(problem: Problem, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the eigenvalues of the exact loss's Hessian, ascending, and the eigenvectors as columns."""
    return torch.linalg.eigh(tame(problem.hessian(x, data)))


def tame(hessian: torch.Tensor) -> torch.Tensor:
    """Replace Hessians with entries that are too large for an eigendecomposition by the identity."""
    fine = (hessian.abs() < 1e100).all(-1).all(-1)[..., None, None]
    unit = torch.eye(hessian.shape[-1], dtype=hessian.dtype, device=hessian.device)
    return torch.where(fine, hessian, unit)


def constant(problem: Problem) -> bool:
    """True for a convex quadratic, in any coordinates and with any noise: its Hessian is the same everywhere."""
    while isinstance(problem, ProblemModifier):
        problem = problem.inner
    return isinstance(problem, QuadraticForm)


def into(basis: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Return the coordinates (*runs, dim) of a vector in a basis, given as columns."""
    return torch.einsum("...ij,...i->...j", basis, vector)


def along(basis: torch.Tensor, vector: torch.Tensor) -> torch.Tensor:
    """Return the vector (*runs, dim) that has these coordinates in a basis."""
    return torch.einsum("...ij,...j->...i", basis, vector)


def distance_to_solutions(problem: Problem, data: Tree) -> torch.Tensor | None:
    """Return the distance from the start to the solutions (*runs); None if they are unknown or at infinity."""
    found = problem.distance(data["start"], data)
    return None if found is None or not torch.isfinite(found).all() else found


def nearest_minimizer(problem: Problem, data: Tree) -> float | None:
    """Return the distance from one instance's start to the nearest minimizer that is stated; None if none is."""
    with default_dtype(torch.float64):
        stated = problem.minimizers(data)
    return None if stated is None else (stated - data["start"]).norm(dim=-1).min().item()
