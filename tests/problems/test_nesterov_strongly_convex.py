"""Nesterov's strongly convex chain: its truth, and what the bound is a bound of."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import pytest
import torch

from problems.limits._certificates.nesterov_strongly_convex import BEST, FAST, HEAVY, run
from problems.limits.nesterov_strongly_convex import NesterovStronglyConvex
from ravine import Refused


def dense(problem):
    """Nesterov's matrix, written out: w A + 1/Q, with the last entry (√Q + 3)/(√Q + 1)."""
    n, root = problem.dim, math.sqrt(problem.condition)
    ones = torch.ones(n - 1)
    matrix = 2 * torch.eye(n) - ones.diag(1) - ones.diag(-1)
    matrix[-1, -1] = (root + 3) / (root + 1)
    return (problem.condition - 1) / (4 * problem.condition) * matrix + torch.eye(
        n
    ) / problem.condition


@pytest.mark.parametrize("rotated", [False, True])
@pytest.mark.parametrize("condition", [1.5, 100.0, 1e6])
def test_the_loss_is_the_stated_one(condition, rotated):
    problem = NesterovStronglyConvex(dim=9, condition=condition, rotated=rotated)
    data = problem.example()
    basis = data.get("basis", torch.eye(9))
    hessian = basis @ dense(problem) @ basis.T
    pull = (condition - 1) / (4 * condition) * basis[:, 0]
    torch.testing.assert_close(problem.hessian(data["start"], data), hessian)
    gradient = problem.value_and_gradient(data["start"], data)[1]
    torch.testing.assert_close(gradient, -pull)
    curvatures = torch.linalg.eigvalsh(hessian)
    assert 1 / condition * (1 - 1e-9) <= curvatures[0]
    assert curvatures[-1] <= 1


def test_the_decay_is_that_of_any_chain():
    """The smaller root of w q² − (2w + m) q + w."""
    for condition in (2.0, 100.0, 1e5):
        problem = NesterovStronglyConvex(condition=condition)
        q, w, m = problem.decay, problem.stiffness, problem.convexity
        assert abs(w * q * q - (2 * w + m) * q + w) < 1e-15
        assert problem.lowest() == pytest.approx(
            -w / 2 * problem.first(torch.tensor(10**7)).item(), rel=1e-9
        )


def test_least_values_are_those_of_the_best_points_of_each_subspace():
    problem = NesterovStronglyConvex(dim=30, condition=50.0)
    matrix, solution = dense(problem), problem.solution()
    for t in (1, 3, 10, 29):
        square = solution[t:].square().sum().item()
        assert problem.least_square_distance(torch.tensor(t)).item() == pytest.approx(square)
        best = torch.linalg.solve(matrix[:t, :t], problem.stiffness * torch.eye(t)[0])
        gap = -problem.stiffness / 2 * best[0].item() - problem.lowest()
        assert problem.least_gap(torch.tensor(t)).item() == pytest.approx(gap, rel=1e-9)
    assert problem.least_square_distance(torch.tensor(30)) == 0


def test_no_method_beats_the_bound_and_heavy_ball_alone_attains_it():
    problem = NesterovStronglyConvex(condition=100.0)
    data = problem.example()
    steps = torch.arange(60)
    ratios = {}
    for method in (BEST, FAST, HEAVY):
        points = torch.stack(list(islice(run(problem, method, data), 60)))
        ratios[method] = problem.at_end(points, steps, data)["bound_ratio"][1:]
        assert (ratios[method] > 1 - 1e-9).all()
        rounding = 1e-15  # of the loss, which is 0.1 lower than at the start
        assert (problem.gap(points, data) > problem.least_gap(steps) - rounding).all()
    torch.testing.assert_close(ratios[HEAVY], torch.ones(59), rtol=1e-9, atol=0)
    assert ratios[BEST][-1] > 1.5
    assert ratios[FAST][-1] > 1e4


def test_nesterovs_method_decays_at_its_own_rate():
    """Its distance falls by 1 − 1/√Q a step, heavy ball's by q = 1 − 2/(√Q + 1)."""
    problem = NesterovStronglyConvex(dim=400, condition=400.0)
    data = problem.example()
    points = torch.stack(list(islice(run(problem, FAST, data), 181)))
    distances = problem.distance(points, data)
    slope = (distances[180] / distances[100]).log().item() / 80
    assert slope == pytest.approx(math.log(1 - 1 / 20), rel=0.05)


def test_no_first_order_method_solves_the_last_rung():
    """The least gap after 100 steps passes the target between 3500 and 4000."""
    problem = NesterovStronglyConvex()
    for condition, possible in [(3500.0, True), (4000.0, False), (1e5, False)]:
        each = replace(problem, condition=condition)
        left = each.least_gap(torch.tensor(100)).item() / -each.lowest()
        assert (left <= problem.card.target) == possible
    assert problem.card.theory["sgd"](problem, 100) < 1e3


def test_refuses_a_condition_that_leaves_no_way_to_go():
    with pytest.raises(Refused, match=r"nesterov_strongly_convex.condition is 1.0, but must be"):
        NesterovStronglyConvex(condition=1.0)
