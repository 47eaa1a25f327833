"""The evidence for `random_field`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.portrait import Curves
from problems.saddles._certificates.landscape import (
    found,
    goe_curvatures,
    rms_of_means,
    semicircle_below,
    weights_by_rank,
)
from problems.saddles.random_field import RandomField


def predicted_index(energies: torch.Tensor) -> torch.Tensor:
    """Return F(ε/2), the share of directions that go down at critical points of energy f/dim = ε."""
    return semicircle_below(energies / 2)


def shares_by_index(problem: RandomField, samples: int) -> torch.Tensor:
    """Return the shares of the critical points that have index 0, 1, …, on average: (dim + 1,).

    E e^(−N λₖ²/4) / E Σⱼ e^(−N λⱼ²/4), λ₀ ≤ λ₁ ≤ … the eigenvalues of a GOE of size N + 1 with
    variance 1/N: exact for every dim, apart from the sampling of random matrices. Kac and Rice's
    formula weights the Hessian's GOE, shifted by ε, with |det| and with e^(−Nε²/2); a GOE of the
    next size has the joint density of an eigenvalue at ε and that determinant, times e^(−Nε²/4).
    """
    generator = torch.Generator().manual_seed(0)
    curvatures = goe_curvatures(problem.dim + 1, 1 / problem.dim, samples, generator)
    weights = weights_by_rank(curvatures, problem.dim / 4)
    return weights / weights.sum()


@claim(
    RandomField,
    "the share of directions that go down at a critical point is correlated with its energy",
    stated=0.947,
    within=about(0.947, abs=0.02),
    source="measured; that it is: Bray & Dean 2007",
    slow=True,
)
def correlation_of_index_and_energy(problem: RandomField) -> float:
    """Of some 1500 points of 10 instances."""
    return torch.corrcoef(torch.stack(found(problem, 10, 250)))[0, 1].item()


@claim(
    RandomField,
    "the share of directions that go down differs from F(ε/2), in twelve bins of the energy, by "
    "this root mean square",
    stated="below 0.02",
    within=(0.0, 0.02),
    source="Bray & Dean 2007",
    slow=True,
)
def index_law(problem: RandomField) -> float:
    """Of some 1500 points of 10 instances."""
    energies, indices = found(problem, 10, 250)
    return rms_of_means(indices - predicted_index(energies), energies, 12)


@claim(
    RandomField,
    "at dim 2 this share of the critical points are minima",
    stated=0.25,
    within=about(0.25, abs=0.002),
    source="derived: Morse theory; Bray & Dean 2007",
    formula=True,
)
def share_of_minima_at_2(problem: RandomField) -> float:
    """Apply the index law; its standard error is about 0.0005.

    A field on a torus has as many saddles as minima and maxima together, and −f is as likely as f.
    """
    return shares_by_index(replace(problem, dim=2), 100_000)[0].item()


@claim(
    RandomField,
    "at dim 4 this share of the critical points are minima",
    stated=0.0601,
    within=about(0.0601, rel=0.03),
    source="derived: the index law, and Monte Carlo of determinants",
    formula=True,
)
def share_of_minima_at_4(problem: RandomField) -> float:
    return shares_by_index(replace(problem, dim=4), 100_000)[0].item()


@claim(
    RandomField,
    "at dim 6 this share of the critical points are minima",
    stated=0.0136,
    within=about(0.0136, rel=0.03),
    source="derived: the index law, and Monte Carlo of determinants",
    slow=True,
    formula=True,
)
def share_of_minima_at_6(problem: RandomField) -> float:
    return shares_by_index(replace(problem, dim=6), 400_000)[0].item()


@claim(
    RandomField,
    "at dim 10 there are so many saddles and maxima to one minimum",
    stated=1622.0,
    within=about(1622.0, rel=0.1),
    source="derived: the index law",
    slow=True,
    formula=True,
)
def others_to_a_minimum_at_10(problem: RandomField) -> float:
    """The standard error of a share of 6e-4 is a few per cent."""
    return 1 / shares_by_index(replace(problem, dim=10), 400_000)[0].item() - 1


@claim(
    RandomField,
    "at dim 4, determinants give the share of minima too: the ratio of the two",
    stated=1.0,
    within=about(1.0, abs=0.03),
    source="derived: Kac & Rice's formula",
    formula=True,
)
def share_of_minima_by_determinants(problem: RandomField) -> float:
    """Return E |det(G − ε)| of minima over that of all, ε ~ N(0, 1/N), over the index law's share.

    The two share nothing but the ensemble; the standard error is 1 %.
    """
    small, generator = replace(problem, dim=4), torch.Generator().manual_seed(1)
    energies = torch.randn(200_000, 1, generator=generator) / math.sqrt(small.dim)
    curvatures = goe_curvatures(small.dim, 1 / small.dim, 200_000, generator) - energies
    sizes = curvatures.prod(-1).abs()
    share = (sizes * (curvatures > 0).all(-1)).sum() / sizes.sum()
    return (share / shares_by_index(small, 100_000)[0]).item()


def portrait(problem: RandomField) -> Curves:
    energies, indices = found(problem, 1, 100)
    grid = torch.linspace(-2, 2, 100)
    return Curves(
        caption="Critical points of one random field: the higher they lie, the more directions go "
        "down; none of those found is a minimum.",
        x_label="energy f/N",
        y_label="share of directions that go down",
        dots={"critical points": (energies, indices)},
        lines={"semicircle law": (grid, predicted_index(grid))},
    )
