"""Random symmetric matrices: the Gaussian orthogonal ensemble and its semicircle."""

from __future__ import annotations

import math

import torch


def semicircle_below(u: torch.Tensor) -> torch.Tensor:
    """F(u) = ½ + (u√(1 − u²) + asin u)/π: the share of a semicircle on [−1, 1] that lies below u."""
    u = u.clamp(-1, 1)
    return 0.5 + (u * (1 - u.square()).sqrt() + u.asin()) / math.pi


def goe_curvatures(
    dim: int, variance: float, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Eigenvalues, ascending, of `count` matrices of the Gaussian orthogonal ensemble: (count, dim).

    Entries are independent with this variance off the diagonal and twice that on it.
    """
    matrices = torch.randn(count, dim, dim, generator=generator)
    matrices = (matrices + matrices.mT) * math.sqrt(variance / 2)
    return torch.linalg.eigvalsh(matrices)


def weights_by_rank(curvatures: torch.Tensor, rate: float) -> torch.Tensor:
    """The mean of e^(−rate·λₖ²) for each rank k of the eigenvalues (count, dim): (dim,).

    As these do the critical points of a Gaussian field divide by index: weighting a GOE by
    |det(G − ε)| makes one of the next size that has an eigenvalue at ε, and what is left of the
    field's own weights is a Gaussian in that eigenvalue. As likely as a matrix is its negative.
    """
    weights = (-rate * curvatures.square()).exp().mean(0)
    return (weights + weights.flip(0)) / 2


def rms_of_means(differences: torch.Tensor, order: torch.Tensor, bins: int) -> float:
    """The root mean square of the means of `differences` within equally full bins of `order`."""
    means = [part.mean() for part in differences[order.argsort()].chunk(bins)]
    return torch.stack(means).square().mean().sqrt().item()
