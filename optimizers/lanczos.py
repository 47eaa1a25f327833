"""Lanczos' tridiagonalisation, of all runs at once: a Hessian as its products with a few vectors show it."""

from __future__ import annotations

from typing import Protocol

import torch


class Product(Protocol):
    """A symmetric matrix H, known by its products H v with one vector (*runs, dim) a run."""

    def __call__(self, vector: torch.Tensor, who: torch.Tensor) -> torch.Tensor:
        """H v where the mask `who` (*runs, 1) is set; elsewhere v is 0."""
        ...


def lanczos(
    hvp: Product, start: torch.Tensor, steps: int, going: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """V (*runs, steps, dim), whose rows span start, H start, H² start, …, and T = V H Vᵀ (*runs, steps, steps).

    β v₊ = H v − α v − β₋ v₋, with α = vᵀ H v and β such that |v₊| = 1. In floating point the v soon
    lose their right angles, and T then shows eigenvalues that H has once several times; so each new
    vector is orthogonalised against all earlier ones, twice. Where β vanishes beside |H v| the space
    is invariant and the run is done: what would follow in V and T is 0, and is not asked for. So it
    is where the start is 0, and where the mask `going` (*runs, 1) is not set.

    Lanczos 1950; that twice is enough: Parlett 1980, "The Symmetric Eigenvalue Problem".
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
