"""What is known about Newton's method on the Mexican hat."""

from __future__ import annotations

import math

import pytest
import torch

from problems.saddles._certificates import mexican_hat as evidence
from problems.saddles.mexican_hat import MexicanHat
from problems.saddles.newton_iteration import end_of_newton
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


def damped_ends(radius, lr, steps=200):
    """How far from the top steps lr times Newton's end, on a line."""
    problem = MexicanHat(dim=1)
    data = {"center": torch.zeros(1)}
    x = torch.tensor([[radius]])
    for _ in range(steps):
        gradient = problem.value_and_gradient(x, data)[1]
        x = x - lr * gradient / problem.hessian(x, data)[..., 0]
    return abs(x.item())


@pytest.mark.parametrize("radius", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_step_of_newton_is_the_radial_map(radius):
    assert evidence.newton_step(MexicanHat(), radius) == pytest.approx(
        abs(2 * radius**3 / (3 * radius**2 - 1)), rel=1e-12
    )


@pytest.mark.parametrize("radius", [0.2, 0.44, 0.447, 0.4475, 0.5, 0.55, 0.6, 0.8])
def test_newton_ends_at_the_top_from_within_the_border_and_on_the_brim_from_beyond(radius):
    problem = MexicanHat(radius=radius)
    for seed in range(3):
        data = drawn(problem, seed)
        end = (end_of_newton(problem, data, steps=80) - data["center"]).norm()
        assert end == pytest.approx(0 if radius < 1 / math.sqrt(5) else 1, abs=1e-9)


@pytest.mark.parametrize("lr", [0.1, 1.0, 1.6])
def test_the_longer_the_steps_the_farther_up_is_the_border(lr):
    border = math.sqrt((2 - lr) / (6 - lr))
    assert damped_ends(0.99 * border, lr) < 1e-3
    assert damped_ends(1.01 * border, lr) == pytest.approx(1, abs=1e-3)


def test_curvatures_at_the_top_and_on_the_brim():
    problem = MexicanHat(dim=4)
    data = drawn(problem)
    assert torch.equal(problem.hessian(data["center"], data), -torch.eye(4))
    for point in problem.minimizers(data):
        hessian = problem.hessian(point, data)
        y = data["direction"]
        torch.testing.assert_close(hessian, 2 * torch.outer(y, y), rtol=0, atol=1e-12)


def test_the_distance_is_that_to_the_whole_brim():
    problem = MexicanHat(dim=3)
    data = drawn(problem)
    ways = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    ways = ways / ways.norm(dim=-1, keepdim=True)
    for radius in (0.0, 0.4, 1.0, 2.5):
        away = problem.distance(data["center"] + radius * ways, data)
        torch.testing.assert_close(away, torch.full((50,), abs(radius - 1)))


def test_rungs_differ_in_the_radius_only():
    near, far = drawn(MexicanHat(radius=0.2)), drawn(MexicanHat(radius=0.8))
    assert torch.equal(near["center"], far["center"])
    assert torch.equal(near["direction"], far["direction"])
    for radius, data in ((0.2, near), (0.8, far)):
        assert (data["start"] - data["center"]).norm() == pytest.approx(radius)


def test_refuses_starts_at_the_top_or_on_the_brim():
    for radius in (0.0, 1.0):
        with pytest.raises(Refused, match=f"mexican_hat.radius is {radius}"):
            MexicanHat(radius=radius)
