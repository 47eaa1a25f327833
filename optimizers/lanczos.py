"""Lanczos tridiagonalisation for all runs at once: a Hessian's part in the space of a few of its products."""

from __future__ import annotations

from typing import Protocol

import torch


class Product(Protocol):
    """A symmetric matrix H, known by its products H v with one vector per run, (*runs, dim)."""

    def __call__(self, vector: torch.Tensor, who: torch.Tensor) -> torch.Tensor:
        """Return H v for the runs of the mask `who` (*runs, 1); v is 0 for the others."""
        ...


def lanczos(
    hvp: Product, start: torch.Tensor, steps: int, going: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an orthonormal basis V of the space of start, H start, H² start, …, and T = V H Vᵀ.

    β v₊ = H v − α v − β₋ v₋, with α = vᵀ H v and β such that |v₊| = 1. In floating point the vectors v soon lose
    their orthogonality, and T then shows single eigenvalues of H several times; so each new vector is
    orthogonalised against all earlier ones, twice. If β vanishes beside |H v| the space is invariant and the run
    is done: its later rows of V and T are 0 and cost no product. The same holds if start is 0, and for runs outside
    of the mask `going`.

    Lanczos 1950; that twice is enough: Parlett 1980, "The Symmetric Eigenvalue Problem".

    Args:
        hvp: The product with H.
        start: The first vector, of any length, (*runs, dim).
        steps: The number of rows of V.
        going: Mask of the runs that take part, (*runs, 1).

    Returns:
        V (*runs, steps, dim), and T (*runs, steps, steps), tridiagonal.
    """
    *runs, dim = start.shape
    basis, matrix = start.new_zeros(*runs, steps, dim), start.new_zeros(*runs, steps, steps)
    rounding = torch.finfo(start.dtype).eps ** 0.75  # 2e-12 in double precision, 6e-6 in single
    length, scale = start.norm(dim=-1, keepdim=True), torch.zeros_like(start[..., :1])
    vector, going = start, going & (length > 0)
    for k in range(steps):
        if not going.any():
            break
        basis[..., k, :] = vector = torch.where(going, vector / length, 0.0)
        product = hvp(vector, going)
        matrix[..., k, k] = (vector * product).sum(-1)
        scale = torch.maximum(scale, product.norm(dim=-1, keepdim=True))
        known, vector = basis[..., : k + 1, :], product
        for _ in range(2):
            along = torch.einsum("...ki,...i->...k", known, vector)
            vector = vector - torch.einsum("...ki,...k->...i", known, along)
        length = vector.norm(dim=-1, keepdim=True)
        going = going & (length > rounding * scale)
        if k + 1 < steps:
            beside = torch.where(going, length, 0.0)[..., 0]
            matrix[..., k, k + 1] = matrix[..., k + 1, k] = beside
    return basis, matrix
