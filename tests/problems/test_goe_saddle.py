"""What is known about random symmetric matrices as Hessians."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from problems.saddles._certificates.goe_saddle import EXACT, share_of_minima
from problems.saddles.goe_saddle import GoeSaddle
from ravine import Refused


def test_the_pfaffian_is_the_exact_share():
    for dim, share in EXACT.items():
        assert share_of_minima(dim) == pytest.approx(share, rel=1e-12)


@pytest.mark.parametrize(("dim", "share"), [(5, 1.47e-4), (6, 5.7e-6)])
def test_the_pfaffian_agrees_with_samples_in_odd_and_even_dimensions(dim, share):
    """Of 2e6 to 3e6 matrices; three standard errors, 1.2e-5 and 1.4e-6."""
    errors = {5: 1.2e-5, 6: 1.4e-6}
    assert share_of_minima(dim) == pytest.approx(share, abs=3 * errors[dim])


def test_minima_are_rarer_than_coins_say_and_ever_more_so():
    ratios = [share_of_minima(dim) * 2**dim for dim in range(1, 31)]
    assert ratios[0] == pytest.approx(1)
    assert all(after < before / 1.5 for before, after in pairwise(ratios))


def test_matrices_have_the_variances_of_the_ensemble():
    """1 off the diagonal, 2 on it, nothing correlated; five standard errors of 20,000 samples."""
    matrices = GoeSaddle(dim=3).matrices(20_000, torch.Generator().manual_seed(0))
    assert torch.equal(matrices, matrices.mT)
    rows, columns = torch.triu_indices(3, 3)
    entries = matrices[:, rows, columns]
    covariance = entries.T @ entries / len(entries)
    expected = torch.diag(torch.where(rows == columns, 2.0, 1.0))
    assert (covariance - expected).abs().max() < 5 * 2 * math.sqrt(2 / 20_000)
    assert entries.mean(0).abs().max() < 5 * math.sqrt(2 / 20_000)


def test_the_instance_has_such_a_matrix_and_the_lift_moves_it():
    plain, lifted = (
        GoeSaddle(dim=6, lift=lift).instance(torch.Generator().manual_seed(0))
        for lift in (0.0, 4.0)
    )
    expected = GoeSaddle(dim=6).matrices(1, torch.Generator().manual_seed(0))[0]
    torch.testing.assert_close(plain["hessian"], expected)
    torch.testing.assert_close(
        lifted["curvatures"] - plain["curvatures"], 4 * torch.full((6,), 6**0.5)
    )
    assert plain["curvatures"][0] < 0 < lifted["curvatures"][0]


def test_eigenvalues_lie_between_two_roots_of_the_dimension():
    problem = GoeSaddle(dim=200)
    curvatures = torch.linalg.eigvalsh(problem.matrices(1, torch.Generator().manual_seed(0)))
    assert curvatures.abs().max().item() / math.sqrt(200) == pytest.approx(2, abs=0.1)
    assert (curvatures.square().mean() / 200).item() == pytest.approx(1, abs=0.05)


def test_refuses_what_is_no_dimension_or_wall():
    for fields in ({"dim": 0}, {"wall": -1.0}, {"lift": math.nan}):
        with pytest.raises(Refused, match=f"goe_saddle.{next(iter(fields))}"):
            GoeSaddle(**fields)
