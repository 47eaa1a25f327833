"""Nesterov's worst quadratic: its truth, its chain of zeros, and the bound."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import pytest
import torch

from problems.limits.first_order import conjugate_gradients
from problems.limits.nesterov_worst import NesterovWorst
from ravine import Refused


def dense(problem):
    """¼ tridiag(−1, 2, −1) + ridge, written out."""
    n = problem.dim
    ones = torch.ones(n - 1)
    return 0.25 * (2 * torch.eye(n) - ones.diag(1) - ones.diag(-1)) + problem.ridge * torch.eye(n)


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.01, 1.0])
def test_the_loss_is_the_tridiagonal_one(ridge, rotated):
    problem = NesterovWorst(horizon=6, ridge=ridge, rotated=rotated)
    data = problem.example()
    basis = data.get("basis", torch.eye(13))
    hessian = basis @ dense(problem) @ basis.T
    z = torch.randn(4, 13, generator=torch.Generator().manual_seed(0))
    expected = 0.5 * torch.einsum("ri,ij,rj->r", z, hessian, z) - 0.25 * z @ basis[:, 0]
    torch.testing.assert_close(problem.loss(data["start"] + z, data), expected)
    torch.testing.assert_close(problem.hessian(data["start"], data), hessian)
    minimizer = data["start"] + torch.linalg.solve(hessian, 0.25 * basis[:, 0])
    torch.testing.assert_close(data["minimizer"], minimizer)
    assert problem.loss(minimizer, data).item() == pytest.approx(problem.lowest(), rel=1e-12)


def test_the_least_gap_is_that_of_the_best_point_of_each_subspace():
    """By solving for the best point with z_i = 0 beyond t; with and without a ridge."""
    for ridge in (0.0, 0.05):
        problem = NesterovWorst(horizon=10, ridge=ridge)
        matrix = dense(problem)
        for t in (1, 2, 7, 20):
            best = torch.linalg.solve(matrix[:t, :t], 0.25 * torch.eye(t)[0])
            gap = -best[0].item() / 8 - problem.lowest()
            assert problem.least_gap(torch.tensor(t)).item() == pytest.approx(gap, rel=1e-9)
        assert problem.least_gap(torch.tensor(21)) == 0


def test_at_end_measures_in_units_of_the_least_gap():
    problem = NesterovWorst(horizon=5)
    data = problem.example()
    points = torch.stack(list(islice(conjugate_gradients(problem, data), 11)))
    ratios = problem.at_end(points, torch.arange(11), data)["bound_ratio"]
    assert ratios[0].isnan()
    torch.testing.assert_close(ratios[1:], torch.ones(10), rtol=1e-9, atol=0)
    late = problem.at_end(points[:1], torch.tensor([11.0]), data)["bound_ratio"]
    assert late.isnan().all()


def test_the_share_that_is_predicted_is_the_theorem():
    """(1/101 − 1/(n + 1))/(1 − 1/(n + 1)) is above 1e-3 from n = 112 on, that is from horizon 56."""
    problem = NesterovWorst()
    shares = [problem.at_dial(horizon).predicted_share() for horizon in (5, 25, 55, 56, 100)]
    assert shares == [None, None, None, 0.0, 0.0]


def test_descent_breaks_where_its_modes_say():
    problem = NesterovWorst()
    first = round(problem.card.theory["sgd"](problem, 100))
    assert first < 56
    for horizon, fails in [(first - 1, False), (first, True)]:
        each = replace(problem, horizon=horizon)
        data = each.example()
        ends = []
        for rate in torch.linspace(1, 2, 21):
            x = data["start"]
            for _ in range(100):
                x = x - rate * each.value_and_gradient(x, data)[1]
            ends.append((each.gap(x, data) / -each.lowest()).item())
        assert (min(ends) > 1e-3) == fails


def test_refuses_no_horizon():
    with pytest.raises(Refused, match=r"nesterov_worst.horizon is 0, but must be a whole number"):
        NesterovWorst(horizon=0)
