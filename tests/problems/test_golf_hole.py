"""The golf hole and its rim."""

from __future__ import annotations

import math

import pytest
import torch

from problems.plateaus.golf_hole import GolfHole
from ravine import Refused


def at(problem, radii):
    """Points at these distances from m, and the instance."""
    data = problem.example()
    direction = data["start"] - data["minimizer"]
    return data["minimizer"] + radii[:, None] * direction / direction.norm(), data


def test_the_hole_is_what_the_formula_says():
    problem = GolfHole(hole=0.5)
    x, data = at(problem, torch.tensor([0.0, 0.25, 0.4]))
    wanted = [1 - math.exp(1 - 1 / (1 - (r / 0.5) ** 2)) for r in (0.0, 0.25, 0.4)]
    torch.testing.assert_close(problem.loss(x, data), torch.tensor(wanted))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_is_nan_at_the_rim(dtype):
    problem = GolfHole(hole=0.5)
    radii = 0.5 * (1 + torch.tensor([-0.1, -1e-3, -1e-6, -1e-12, -1e-16, 0.0, 1e-16, 1e-6]))
    x, data = at(problem, radii)
    x, data = x.to(dtype), {name: leaf.to(dtype) for name, leaf in data.items()}
    value, gradient = problem.value_and_gradient(x, data)
    assert value.isfinite().all()
    assert gradient.isfinite().all()
    assert problem.hessian(x, data).isfinite().all()


def test_the_hole_falls_all_the_way_from_its_rim():
    problem = GolfHole()
    x, data = at(problem, torch.linspace(0, 0.7, 1001))
    assert (problem.loss(x, data).diff() >= 0).all()
    curvature = problem.hessian(data["minimizer"], data)
    torch.testing.assert_close(curvature, 2 / 0.7**2 * torch.eye(2))


def test_starts_are_uniform_in_the_ball():
    """r^dim is uniform: the predicted share is that of the starts in the hole, at every radius."""
    for dim in (1, 2, 5):
        problem = GolfHole(dim=dim)
        data = [problem.instance(torch.Generator().manual_seed(seed)) for seed in range(1000)]
        radii = torch.stack([problem.distance(each["start"], each) for each in data])
        for hole in (0.3, 0.5, 0.7, 0.9):
            share = (radii < hole).double().mean().item()
            assert share == pytest.approx(GolfHole(dim=dim, hole=hole).predicted_share(), abs=0.05)
    assert GolfHole().control().predicted_share() == 1.0


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 0}, {"hole": 0.0}):
        with pytest.raises(Refused, match=r"golf_hole\."):
            GolfHole(**fields)
