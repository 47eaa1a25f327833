"""What is known about the spherical 3-spin glass, beside the claims."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.saddles.spin_glass import SpinGlass


def test_the_loss_is_the_sum_over_triples():
    problem = SpinGlass(dim=4, field=0.7)
    data = problem.example()
    assert data["direction"].norm() == pytest.approx(2)
    for s in problem.project(torch.randn(3, 4, generator=torch.Generator().manual_seed(0)), {}):
        expected = torch.einsum("ijk,i,j,k", data["couplings"], s, s, s)
        expected = (expected - 0.7 * (data["direction"] @ s)).item()
        assert problem.loss(s, data).item() == pytest.approx(expected, abs=1e-12)
        energy = problem.at_end(s, torch.ones(()), data)["energy"]
        assert energy.item() == pytest.approx(expected / 4)


def test_no_descent_ends_below_the_floor():
    """With a field the floor is lower, by |m·s| at most: by dim at the direction itself."""
    for field in (0.0, 1.0, 3.0, 6.0, 20.0):
        problem = SpinGlass(field=field)
        data = problem.example()
        end = next(islice(descent(problem, data, data["start"], 0.03, 0.9), 500, None))
        assert problem.floor(data) == -(3 + field) * problem.dim < problem.loss(end, data)
        drop = problem.loss(data["direction"], data) - SpinGlass().loss(data["direction"], data)
        assert drop == pytest.approx(-field * problem.dim)


def test_energies_have_the_covariance_of_the_model():
    """E H(s) H(s') = N (s·s'/N)³, within five standard errors of 1500 instances."""
    problem = SpinGlass(dim=6)
    s = problem.project(torch.randn(2, 6, generator=torch.Generator().manual_seed(0)), {})
    s = torch.stack([s[0], problem.project(s[0] + 0.5 * s[1], {})])
    values = torch.stack([problem.loss(s, problem.example(seed)) for seed in range(1500)])
    overlap, error = float(s[0] @ s[1]) / 6, 5 * math.sqrt(2 / 1500)
    assert values.var(0)[0] / 6 == pytest.approx(1, abs=error)
    assert (values[:, 0] * values[:, 1]).mean() / 6 == pytest.approx(overlap**3, abs=error)


def test_the_curvature_across_the_sphere_is_ten():
    problem = SpinGlass(dim=10)
    data = problem.example()
    points, *_ = problem.find_critical_points(data, 10, torch.Generator().manual_seed(0))
    torch.testing.assert_close(problem.hessian(points[0], data) @ points[0], 10 * points[0])
