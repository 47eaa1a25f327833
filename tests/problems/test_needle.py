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
from ravine import Refused


@pytest.mark.parametrize("x", [0.01, 0.5, 1.0, 8.0, 12.5, 18.0, 100.0])
def test_the_exponential_integral_is_scipys(x):
    expi = pytest.importorskip("scipy.special").expi
    assert exponential_integral(x) == pytest.approx(expi(x), rel=1e-12)


def test_the_flow_time_is_the_integral():
    """∫ e^(r²/2)/r dr by the midpoint rule."""
    r = torch.linspace(1, 4, 30_001)
    middle = (r[1:] + r[:-1]) / 2
    integral = ((middle.square() / 2).exp() / middle).sum() * 1e-4
    assert flow_time(4.0, 1.0) == pytest.approx(integral.item(), rel=1e-6)


@pytest.mark.parametrize("radius", [1.0, 5.0, 8.0, 12.0, 30.0])
def test_the_gradient_keeps_its_digits_far_away(radius):
    """e^(−r²/2) (x − m), also where the loss is 1 but for rounding."""
    problem = Needle(radius=radius)
    data = problem.example()
    gradient = problem.value_and_gradient(data["start"], data)[1]
    wanted = math.exp(-(radius**2) / 2) * (data["start"] - data["minimizer"])
    torch.testing.assert_close(gradient, wanted, rtol=1e-9, atol=0)


def test_starts_lie_at_the_radius_in_all_directions():
    problem = Needle(radius=5.0)
    data = [problem.instance(torch.Generator().manual_seed(seed)) for seed in range(100)]
    radii = torch.stack([problem.distance(each["start"], each) for each in data])
    torch.testing.assert_close(radii, torch.full((100,), 5.0))
    directions = torch.stack([each["start"] - each["minimizer"] for each in data]) / 5
    assert directions.mean(0).norm() < 0.3


def test_newtons_step_leads_away():
    """By r/(r² − 1), to r + r/(r² − 1)."""
    problem = Needle()
    data = problem.example()
    gradient = problem.value_and_gradient(data["start"], data)[1]
    step = -torch.linalg.solve(problem.hessian(data["start"], data), gradient)
    assert problem.distance(data["start"] + step, data).item() == pytest.approx(5 + 5 / 24)


def test_descent_breaks_where_the_flow_takes_twice_the_budget():
    radius = breaking_point_of_descent(Needle(), 1000)
    assert flow_time(radius, 1.0) == pytest.approx(2000, rel=1e-6)
    assert radius == pytest.approx(4.58, abs=0.01)


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 0}, {"radius": 0.0}, {"radius": 39.0}):
        with pytest.raises(Refused, match=r"needle\."):
            Needle(**fields)
