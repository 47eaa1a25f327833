"""What is known about random symmetric matrices as Hessians, beside the claims."""

from __future__ import annotations

import math

import pytest
import torch

from problems.saddles._certificates.goe_saddle import EXACT, share_of_minima
from problems.saddles.goe_saddle import GoeSaddle


def test_the_pfaffian_is_the_exact_share():
    for dim, share in EXACT.items():
        assert share_of_minima(dim) == pytest.approx(share, rel=1e-12)


def test_matrices_have_the_variances_of_the_ensemble():
    """1 off the diagonal, 2 on it, nothing correlated; five standard errors of 20,000 samples."""
    matrices = GoeSaddle(dim=3).matrices(20_000, torch.Generator().manual_seed(0))
    assert torch.equal(matrices, matrices.mT)
    rows, columns = torch.triu_indices(3, 3)
    entries = matrices[:, rows, columns]
    covariance = entries.T @ entries / len(entries)
    expected = torch.diag(torch.where(rows == columns, 2.0, 1.0))
    assert (covariance - expected).abs().max() < 5 * 2 * math.sqrt(2 / 20_000)


def test_the_instance_has_such_a_matrix_and_the_lift_moves_it():
    plain, lifted = (GoeSaddle(dim=6, lift=lift).example() for lift in (0.0, 4.0))
    expected = GoeSaddle(dim=6).matrices(1, torch.Generator().manual_seed(0))[0]
    torch.testing.assert_close(plain["hessian"], expected)
    moved = lifted["curvatures"] - plain["curvatures"]
    torch.testing.assert_close(moved, 4 * torch.full((6,), 6**0.5))
