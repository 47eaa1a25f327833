"""The needle's slope, the time it costs, and where it ends."""

from __future__ import annotations

import math

import pytest
import torch

from problems.plateaus.needle import (
    Needle,
    breaking_point_of_descent,
    exponential_integral,
    flow_time,
)


@pytest.mark.parametrize("start", [4.0, 20.0])
def test_the_flow_time_is_the_integral(start):
    """∫ e^(r²/2)/r dr by the midpoint rule."""
    r = torch.arange(1, start, 1e-4) + 5e-5
    integral = ((r.square() / 2).exp() / r).sum().item() * 1e-4
    assert flow_time(start, 1.0) == pytest.approx(integral, rel=1e-6)


@pytest.mark.parametrize("radius", [12.0, 30.0])
def test_the_gradient_keeps_its_digits_far_away(radius):
    """e^(−r²/2) (x − m), also where the loss is 1 but for rounding."""
    problem = Needle(radius=radius)
    data = problem.example()
    gradient = problem.value_and_gradient(data["start"], data)[1]
    wanted = math.exp(-(radius**2) / 2) * (data["start"] - data["minimizer"])
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=0)


def test_descent_breaks_where_the_flow_takes_twice_the_budget():
    radius = breaking_point_of_descent(Needle(), 1000)
    assert flow_time(radius, 1.0) == pytest.approx(2000, rel=1e-6)


def test_the_exponential_integral_is_the_tabulated_one():
    assert exponential_integral(1.0) == pytest.approx(1.8951178163559368, rel=1e-14)
