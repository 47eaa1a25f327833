"""Both ends of a Hessian's spectrum, and a saddle-free Newton step, from Hessian-vector products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from optimizers.lanczos import lanczos

Product = Callable[[torch.Tensor], torch.Tensor]

DAMPING = 1e-4  # δ/|λ|max: flatter curvatures count as this large


@dataclass(frozen=True)
class Ritz:
    """The Ritz pairs of a matrix H (dim, dim) after k steps of Lanczos from one vector.

    values: Ritz values θ (k,), ascending; vectors: Ritz vectors v (k, dim) of unit length.
    residuals: |H v − θ v| (k,): H has an eigenvalue within this distance of each θ.
    along: the start vector in the basis of the Ritz vectors (k,).
    """

    values: torch.Tensor
    vectors: torch.Tensor
    residuals: torch.Tensor
    along: torch.Tensor


def ritz(product: Product, start: torch.Tensor, steps: int) -> Ritz:
    """Return the Ritz pairs in the span of start, H start, …: at most min(`steps`, dim).

    One extra step gives the residuals without further products: |H v − θ v| = β |y|, with y the last
    component of the eigenvector of the tridiagonal matrix (Parlett 1980, section 13.2); 0 in an invariant
    space. Costs `steps` + 1 products.
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
    """One end of a spectrum: the value vᵀHv, its unit vector v, and the residual, a bound of its error."""

    value: float
    vector: torch.Tensor
    residual: float


def ends(*found: Ritz) -> tuple[End, End]:
    """Return the smallest and the largest Ritz value over several starts.

    Lanczos never finds an eigenvector orthogonal to its start, as the gradient is on the axis of a saddle. So
    one of the starts should be random. A zero start finds nothing.
    """

    def end(at: int) -> list[End]:
        return [
            End(each.values[at].item(), each.vectors[at], each.residuals[at].item())
            for each in found
            if len(each.values)
        ]

    return min(end(0), key=lambda each: each.value), max(end(-1), key=lambda each: each.value)


def direction(found: Ritz, largest: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return (|H| + δ)⁻¹ g in the Krylov space of g, and its part along negative curvature, (dim,) each.

    found: the Ritz pairs from the start g; largest: |λ|max. δ = `DAMPING` · largest.
    """
    weights = found.along / (found.values.abs() + DAMPING * largest)
    return weights @ found.vectors, torch.where(found.values < 0, weights, 0.0) @ found.vectors
