"""What the evidence on random landscapes shares: random symmetric matrices, and samples of critical points."""

from __future__ import annotations

import math

import torch

from problems.saddles.landscape import Landscape


def semicircle_below(u: torch.Tensor) -> torch.Tensor:
    """Return F(u) = ½ + (u√(1 − u²) + asin u)/π, the share of a semicircle on [−1, 1] that lies below u."""
    u = u.clamp(-1, 1)
    return 0.5 + (u * (1 - u.square()).sqrt() + u.asin()) / math.pi


def goe_curvatures(
    dim: int, variance: float, count: int, generator: torch.Generator
) -> torch.Tensor:
    """Return the eigenvalues, ascending, of `count` matrices of the Gaussian orthogonal ensemble: (count, dim).

    Entries are independent with this variance off the diagonal and twice that on it.
    """
    matrices = torch.randn(count, dim, dim, generator=generator)
    matrices = (matrices + matrices.mT) * math.sqrt(variance / 2)
    return torch.linalg.eigvalsh(matrices)


def weights_by_rank(curvatures: torch.Tensor, rate: float) -> torch.Tensor:
    """Return the mean of e^(−rate·λₖ²) for each rank k of the eigenvalues (count, dim): (dim,).

    The critical points of a Gaussian field of index k are in proportion to these: a GOE weighted by
    |det(G − ε)| is one of the next size with an eigenvalue at ε, and the rest of the field's weight
    is a Gaussian in that eigenvalue. A matrix is as likely as its negative, so the weights are symmetrised.
    """
    weights = (-rate * curvatures.square()).exp().mean(0)
    return (weights + weights.flip(0)) / 2


def rms_of_means(differences: torch.Tensor, order: torch.Tensor, bins: int) -> float:
    """Return the root mean square of the means of `differences` within equally full bins of `order`."""
    means = [part.mean() for part in differences[order.argsort()].chunk(bins)]
    return torch.stack(means).square().mean().sqrt().item()


def found(problem: Landscape, instances: int, starts: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return energies f/dim, and shares of directions down, of critical points of some instances."""
    generator = torch.Generator().manual_seed(1)
    points = [
        problem.find_critical_points(problem.example(seed), starts, generator)[1:]
        for seed in range(instances)
    ]
    energies, shares = zip(*points, strict=True)
    return torch.cat(energies), torch.cat(shares)
