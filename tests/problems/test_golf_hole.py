"""The golf hole and its rim."""

from __future__ import annotations

import math

import pytest
import torch

from problems.plateaus.golf_hole import GolfHole


def at(problem, radii):
    """Return points at these distances from m, and the instance."""
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


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_predicted_share_is_that_of_the_starts_in_the_hole(dim):
    problem = GolfHole(dim=dim)
    data = [problem.instance(torch.Generator().manual_seed(seed)) for seed in range(1000)]
    radii = torch.stack([problem.distance(each["start"], each) for each in data])
    for hole in (0.3, 0.9, 2.0):
        share = (radii < hole).double().mean().item()
        assert share == pytest.approx(GolfHole(dim=dim, hole=hole).predicted_share(), abs=0.05)
