"""What is known about a curvature that grows with the gradient beside its claims."""

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


@pytest.mark.parametrize("growth", [0.5, 1.0, 3.0])
def test_conditioning_clips_the_wall(growth):
    """Slope over curvature is tanh(L x)/L."""
    wall = torch.tensor([[0.1, 5.0], [2.0, 5.0], [6.0, 5.0]], dtype=torch.float64)
    problem = GeneralizedSmoothness(growth=growth)
    slope = problem.value_and_gradient(wall, PLAIN)[1][:, 0]
    found = slope / problem.hessian(wall, PLAIN)[:, 0, 0]
    torch.testing.assert_close(found, (growth * wall[:, 0]).tanh() / growth)


@pytest.mark.parametrize("growth", [0.01, 1.0, 3.0])
@pytest.mark.parametrize("point", [(0.3, 0.5), (-2.0, 7.0), (1.0, -1.0), (0.0, -12.0)])
def test_loss_is_the_bowl_and_the_slope(growth, point):
    x, y = point
    problem = GeneralizedSmoothness(growth=growth)
    expected = (math.cosh(growth * x) - 1) / growth**2 + psi(y)
    assert problem.loss(torch.tensor(point), PLAIN).item() == pytest.approx(expected, rel=1e-9)


def test_starts_are_on_the_wall_and_on_the_slope():
    problem = GeneralizedSmoothness(radius=5.0)
    data = problem.example()
    coordinates = data["axes"].T @ (data["start"] - data["minimizer"])
    torch.testing.assert_close(coordinates, torch.tensor([5.0, 10.0]))
    assert problem.signature(data) == pytest.approx(math.cosh(5))


def test_the_largest_rate_is_a_jump_from_one_wall_to_the_other():
    problem = GeneralizedSmoothness(radius=6.0, growth=0.5)
    x = torch.tensor([6.0, 10.0])
    step = problem.largest_rate() * problem.value_and_gradient(x, PLAIN)[1]
    assert (x - step)[0].item() == pytest.approx(-6)


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
    y = math.sqrt(1e-4 * 0.9625 / 0.075)  # where ψ, near 0.075 y², is 1e-4 of ψ(10)
    for share, solved in ((0.99, True), (1.01, False)):
        assert problem.solved(torch.tensor([0.0, share * y]), gap, None, PLAIN) == solved


def test_refuses_walls_that_overflow():
    with pytest.raises(
        Refused, match=r"radius is 50\.0, but must be at most 40 with a growth of 1"
    ):
        GeneralizedSmoothness(radius=50.0)
    assert GeneralizedSmoothness(radius=80.0, growth=0.5).radius == 80
