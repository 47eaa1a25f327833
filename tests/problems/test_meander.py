"""The winding valley: one critical point, a constant slope, and a length that is what it says."""

from __future__ import annotations

import math

import pytest
import torch

from problems.global_structure.meander import SLOPE, Meander
from ravine import Refused

HERE = {"minimizer": torch.zeros(2, dtype=torch.float64), "phase": torch.tensor(0.3).double()}


def floor_points(problem, count=2001, low=0.0):
    radii = torch.linspace(low, problem.radius(), count)
    return radii, problem.on_floor(radii, HERE["phase"])


@pytest.mark.parametrize("twist", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("length", [1.0, 30.0, 400.0])
def test_the_floor_is_as_long_as_stated(twist, length):
    """Measured along the floor's points, whose chords are shorter by the square of their number."""
    problem = Meander(length=length, twist=twist)
    points = floor_points(problem, 20_001)[1]
    assert points.diff(dim=0).norm(dim=-1).sum().item() == pytest.approx(length, rel=1e-5)
    assert twist > 0 or problem.radius() == pytest.approx(length)


@pytest.mark.parametrize("twist", [0.0, 1.0])
def test_the_floor_falls_by_the_same_for_each_unit_of_its_length(twist):
    """To 3 % beyond r = 2, and by less near the minimum; and across there is no slope but gravity's."""
    problem = Meander(length=100.0, twist=twist)
    _, points = floor_points(problem, low=2.0)
    heights = problem.loss(points, HERE)
    slopes = heights.diff() / points.diff(dim=0).norm(dim=-1)
    low = 0.89 if twist == 0 else 0.97
    assert slopes.min() > low * SLOPE
    assert slopes.max() < 1.01 * SLOPE


def test_only_the_minimum_is_critical():
    """At fixed u = 0 or u turned by a right angle f grows with the radius; elsewhere it changes on
    the circle, with the sine of twice the angle from the floor."""
    problem = Meander(length=100.0)
    radii = torch.linspace(0.05, 15, 300)
    for turn in (0.0, math.pi / 2):
        points = problem.on_floor(radii, HERE["phase"] + turn)
        gradient = problem.value_and_gradient(points, HERE)[1]
        assert ((gradient * points).sum(-1) > 0).all()
    for turn in (0.4, 1.2, 2.0, 2.8):
        points = problem.on_floor(radii, HERE["phase"] + turn)
        gradient = problem.value_and_gradient(points, HERE)[1]
        around = gradient[:, 1] * points[:, 0] - gradient[:, 0] * points[:, 1]
        expected = 0.5 * radii**2 / (1 + radii**2) * math.sin(2 * turn)
        torch.testing.assert_close(around, expected)


def test_curvatures_at_the_minimum():
    curvatures = torch.linalg.eigvalsh(Meander().hessian(torch.zeros(2), HERE))
    torch.testing.assert_close(curvatures, torch.tensor([SLOPE, 1 + SLOPE]))


def test_the_untwisted_valley_is_straight():
    problem = Meander(twist=0.0)
    turn = torch.tensor([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    y = torch.tensor([[3.0, 0.2], [-1.0, 1.0]])
    expected = SLOPE * ((1 + y.square().sum(-1)).sqrt() - 1) + 0.5 * y[:, 1] ** 2
    torch.testing.assert_close(problem.loss(y @ turn.T, HERE), expected)


def test_the_straight_way_leads_over_walls():
    """Between two arms the wall is ½ high, more than gravity gives on the way from one to the other."""
    problem = Meander(length=100.0)
    radius = problem.radius()
    start = problem.on_floor(torch.tensor(radius), HERE["phase"])
    way = torch.linspace(1, 0, 400)[:, None] * start
    heights = problem.loss(way, HERE)
    peaks = (heights[1:-1] > heights[2:]) & (heights[1:-1] > heights[:-2])
    assert peaks.sum() >= math.floor(((1 + radius**2) ** 0.5 - 1) / math.pi + 0.5)
    assert (heights[1:-1][peaks] - heights[0]).max() < 0.5
    assert heights[:80].max() - heights[0] > 0.25  # of ½, while gravity gives 0.2


def test_starts_lie_on_the_floor():
    for seed in range(5):
        problem = Meander()
        data = problem.example(seed)
        height = problem.loss(data["start"], data).item()
        assert height == pytest.approx(SLOPE * problem.radius() ** 2 / 2)
        assert height == pytest.approx(SLOPE * 30, rel=0.03)


def test_refuses_lengths_beyond_the_walls():
    for fields, message in [
        ({"length": 501.0}, "meander.length is 501.0, but must be a number, above 0, at most 500"),
        ({"twist": 1.5}, "meander.twist is 1.5, but must be a number, at least 0, at most 1"),
    ]:
        with pytest.raises(Refused, match=message):
            Meander(**fields)
