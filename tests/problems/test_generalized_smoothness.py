"""What is known about a curvature that grows with the gradient, measured on ours by plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from problems.cliffs.generalized_smoothness import (
    GeneralizedSmoothness,
    breaking_point_of_descent,
)
from ravine import Refused

PLAIN = {"minimizer": torch.zeros(2, dtype=torch.float64), "axes": torch.eye(2).double()}


def psi(y):
    """Of slope 0.1, from its definition."""
    y = abs(y)
    return 0.1 * (y - 1) + 0.0625 if y >= 1 else 0.0125 * (6 * y**2 - y**4)


@pytest.mark.parametrize("growth", [0.01, 1.0, 3.0])
@pytest.mark.parametrize("point", [(0.3, 0.5), (-2.0, 7.0), (1.0, -1.0), (0.0, -12.0)])
def test_loss_is_the_bowl_and_the_slope(growth, point):
    x, y = point
    problem = GeneralizedSmoothness(growth=growth)
    expected = (math.cosh(growth * x) - 1) / growth**2 + psi(y)
    assert problem.loss(torch.tensor(point), PLAIN).item() == pytest.approx(expected, rel=1e-9)


def test_the_pieces_of_the_slope_meet_twice_differentiably():
    problem = GeneralizedSmoothness()
    for side in (-1, 1):
        near = torch.tensor([[0.0, side * (1 - 1e-9)], [0.0, side * (1 + 1e-9)]])
        value, gradient = problem.value_and_gradient(near, PLAIN)
        curvature = problem.hessian(near, PLAIN)[:, 1, 1]
        torch.testing.assert_close(value[0], value[1])
        torch.testing.assert_close(gradient[0], gradient[1])
        assert curvature.abs().max() < 1e-8


def test_curvatures_at_the_start_and_at_the_minimum():
    problem = GeneralizedSmoothness(radius=5.0)
    data = problem.instance(torch.Generator().manual_seed(0))
    at_start = torch.linalg.eigvalsh(problem.hessian(data["start"], data))
    assert at_start.tolist() == pytest.approx([0, math.cosh(5)], abs=1e-9)
    at_end = torch.linalg.eigvalsh(problem.hessian(data["minimizer"], data))
    assert at_end.tolist() == pytest.approx([0.15, 1])
    assert problem.signature(data) == pytest.approx(math.cosh(5))


def test_starts_are_on_the_wall_and_on_the_slope():
    problem = GeneralizedSmoothness(radius=5.0)
    for seed in range(5):
        data = problem.instance(torch.Generator().manual_seed(seed))
        coordinates = data["axes"].T @ (data["start"] - data["minimizer"])
        torch.testing.assert_close(coordinates, torch.tensor([5.0, 10.0]))
        slope = problem.value_and_gradient(data["start"], data)[1].norm()
        assert slope == pytest.approx(math.hypot(math.sinh(5), 0.1))


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_the_largest_rate_is_a_jump_from_one_wall_to_the_other(share):
    problem = GeneralizedSmoothness(radius=6.0, growth=0.5)
    x = torch.tensor([6.0, 10.0])
    rate = problem.largest_rate()
    step = rate * problem.value_and_gradient(x, PLAIN)[1]
    assert (x - step)[0].item() == pytest.approx(-6)
    first = problem.loss(x, PLAIN)
    for _ in range(12):
        x = x - share * rate * problem.value_and_gradient(x, PLAIN)[1]
    assert (problem.loss(x, PLAIN) < first) == (share < 1)


@pytest.mark.parametrize(("growth", "slope"), [(1.0, 0.1), (2.0, 0.4)])
def test_steps_of_descent(growth, slope):
    problem = GeneralizedSmoothness(radius=2.0, growth=growth, slope=slope)
    x, steps = torch.tensor([2.0, 10.0]), 0
    while not problem.solved(x, x[0], None, PLAIN):
        x = x - 0.95 * problem.largest_rate() * problem.value_and_gradient(x, PLAIN)[1]
        steps += 1
    assert 0.95 * steps == pytest.approx(problem.steps_of_descent(), rel=0.02)


def test_breaking_points_of_theory_grow_with_the_logarithm_of_the_budget():
    problem = GeneralizedSmoothness()
    for budget, radius in [(1e3, 5.22), (1e4, 7.94), (1e5, 10.53)]:
        assert breaking_point_of_descent(problem, budget) == pytest.approx(radius, abs=0.02)
    assert breaking_point_of_descent(problem, 10) == 0.01  # the slope alone takes more
    assert breaking_point_of_descent(GeneralizedSmoothness(growth=0.01), 1e3) == math.inf


def test_solved_is_measured_by_the_slope_and_not_by_the_wall():
    problem = GeneralizedSmoothness(radius=12.0)
    foot = torch.tensor([0.0, 10.0])
    gap = problem.loss(foot, PLAIN) / problem.loss(torch.tensor([12.0, 10.0]), PLAIN)
    assert gap < 1e-4
    assert not problem.solved(foot, gap, None, PLAIN)
    assert problem.solved(torch.tensor([0.0, 0.03]), gap, None, PLAIN)


def test_refuses_what_would_make_the_truth_false():
    for fields, message in [
        ({"radius": 0.0}, "generalized_smoothness.radius is 0.0, but must be a number, above 0"),
        ({"radius": 50.0}, "generalized_smoothness.radius is 50.0, but must be at most 40"),
        ({"slope": 0.7}, "generalized_smoothness.slope is 0.7, but must be a number, above 0, at"),
    ]:
        with pytest.raises(Refused) as refused:
            GeneralizedSmoothness(**fields)
        assert message in str(refused.value)
