"""The winding valley: one critical point, a constant slope, and a length that is what it says."""

from __future__ import annotations

import math

import pytest
import torch

from problems.global_structure.meander import SLOPE, Meander

HERE = {
    "minimizer": torch.zeros(2, dtype=torch.float64),
    "phase": torch.tensor(0.3, dtype=torch.float64),
}


@pytest.mark.parametrize("twist", [0.0, 0.7, 1.0])
def test_loss_is_the_formula(twist):
    for x, y in ((3.0, 0.2), (-1.0, 1.0), (6.0, -7.0)):
        square = x**2 + y**2
        turn = twist * math.sqrt(1 + square) + 0.3
        across = y * math.cos(turn) - x * math.sin(turn)
        height = 0.01 * (math.sqrt(1 + square + twist**2 * square**2 / 4) - 1)
        expected = height + 0.5 * across**2 / (1 + twist**2 * square)
        found = Meander(twist=twist).loss(torch.tensor([x, y]), HERE)
        assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("twist", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("length", [1.0, 30.0, 400.0])
def test_the_floor_is_as_long_as_stated(twist, length):
    """Measured along the floor's points, whose chords are shorter by the square of their number."""
    problem = Meander(length=length, twist=twist)
    points = problem.on_floor(torch.linspace(0, problem.radius(), 20_001), HERE["phase"])
    assert points.diff(dim=0).norm(dim=-1).sum().item() == pytest.approx(length, rel=1e-5)
    assert twist > 0 or problem.radius() == pytest.approx(length)


@pytest.mark.parametrize(("twist", "low"), [(0.0, 0.89), (1.0, 0.97)])
def test_the_floor_falls_by_the_same_for_each_unit_of_its_length(twist, low):
    """To 3 % beyond r = 2, and by less near the minimum; and across there is no slope but gravity's."""
    problem = Meander(length=100.0, twist=twist)
    points = problem.on_floor(torch.linspace(2, problem.radius(), 2001), HERE["phase"])
    slopes = problem.loss(points, HERE).diff() / points.diff(dim=0).norm(dim=-1)
    assert slopes.min() > low * 0.01
    assert slopes.max() < 1.01 * 0.01


def test_descent_needs_the_length_over_twice_the_slope_winding_or_not():
    """The best rate needs about length/2s steps: within a factor of 1.5, for the target is reached before m."""
    lr = torch.linspace(0.5, 2.5, 9, dtype=torch.float64)[:, None]
    for twist in (0.0, 1.0):
        problem = Meander(length=10.0, twist=twist)
        x = problem.on_floor(torch.tensor(problem.radius()), HERE["phase"]).expand(9, 2)
        goal, steps = problem.card.target * problem.loss(x[0], HERE), 0
        while not (problem.loss(x, HERE) < goal).any() and steps < 1000:
            x, steps = x - lr * problem.value_and_gradient(x, HERE)[1], steps + 1
        assert 1 / 1.5 < steps * 2 * SLOPE / 10 < 1.5


def test_starts_lie_on_the_floor_on_all_sides():
    problem, sides = Meander(), []
    for seed in range(20):
        data = problem.example(seed)
        height = problem.loss(data["start"], data).item()
        assert height == pytest.approx(SLOPE * problem.radius() ** 2 / 2)
        assert height == pytest.approx(SLOPE * 30, rel=0.03)
        assert problem.signature(data) == pytest.approx(30 / problem.radius())
        sides.append(torch.sign(data["start"] - data["minimizer"]))
    assert len(torch.stack(sides).unique(dim=0)) == 4
