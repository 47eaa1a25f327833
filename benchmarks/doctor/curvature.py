"""A Hessian known by its products: both ends of its spectrum, and what a step that knows it would gain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from optimizers.lanczos import lanczos

Product = Callable[[torch.Tensor], torch.Tensor]

DAMPING = 1e-4  # δ beside the largest |curvature|: what is flatter counts as this steep


@dataclass(frozen=True)
class Ritz:
    """What k steps of Lanczos from one vector show of a matrix H (dim, dim).

    values: Ritz values (k,), ascending; vectors: theirs (k, dim), unit length.
    residuals: |H v − θ v| (k,): some eigenvalue of H is as near as that to each value.
    along: the start in the basis of these vectors (k,).
    """

    values: torch.Tensor
    vectors: torch.Tensor
    residuals: torch.Tensor
    along: torch.Tensor


def ritz(product: Product, start: torch.Tensor, steps: int) -> Ritz:
    """Ritz pairs in the span of start, H start, …: at most `steps` of them, and dim at most.

    One more step than is used gives the residuals without further products: |H v − θ v| = β |y|, with y the
    last component of the eigenvector of the tridiagonal matrix (Parlett 1980, section 13.2). Where the
    space is invariant they are 0. Costs `steps` + 1 products.
    """
    kept = min(steps, start.numel())
    going = torch.ones_like(start[:1], dtype=torch.bool)
    basis, matrix = lanczos(lambda vector, who: product(vector), start, kept + 1, going)
    size = min(kept, int((basis.norm(dim=-1) > 0).sum()))
    beside = matrix[size - 1, size] if size else matrix.new_zeros(())
    values, axes = (
        each.to(start.dtype) for each in torch.linalg.eigh(matrix[:size, :size].double())
    )
    return Ritz(
        values,
        axes.T @ basis[:size],
        (beside * axes[-1]).abs() if size else values,
        axes[0] * start.norm() if size else values,
    )


@dataclass(frozen=True)
class End:
    """One end of a spectrum: the value, a unit vector on which H has it, and how far off it may be."""

    value: float
    vector: torch.Tensor
    residual: float


def ends(*found: Ritz) -> tuple[End, End]:
    """The least and the largest of what several starts have shown.

    A start at right angles to an eigenvector never shows it: the gradient is, beside a saddle on its axis. So
    one start is drawn at random. A start that is zero shows nothing.
    """

    def end(at: int) -> list[End]:
        return [
            End(each.values[at].item(), each.vectors[at], each.residuals[at].item())
            for each in found
            if len(each.values)
        ]

    return min(end(0), key=lambda each: each.value), max(end(-1), key=lambda each: each.value)


def direction(found: Ritz, largest: float) -> tuple[torch.Tensor, torch.Tensor]:
    """(|H| + δ)⁻¹ g in the Krylov space of g, and the part of it along negative curvature, (dim,) each.

    found: from the start g; δ = `DAMPING` · largest.
    """
    weights = found.along / (found.values.abs() + DAMPING * largest)
    return weights @ found.vectors, torch.where(found.values < 0, weights, 0.0) @ found.vectors
