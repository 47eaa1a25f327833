"""What is known about Rosenbrock's valley beside its claims."""

from __future__ import annotations

import pytest
import torch

from benchmarks.checks.contracts import has_the_stated_critical_points
from problems.ill_conditioning.rosenbrock import SECOND, Rosenbrock


def test_loss_is_the_coupled_variant():
    """It is scipy's: 100 (x₂ − x₁²)² + (1 − x₁)² + 100 (x₃ − x₂²)² + (1 − x₂)² + …"""
    from scipy.optimize import rosen

    x = torch.tensor([-1.2, 1.0, 0.3, 2.0])
    assert Rosenbrock(dim=4).loss(x, {}) == pytest.approx(rosen(x.numpy()), rel=1e-12)


@pytest.mark.parametrize("b", [1.0, 100.0, 1e5])
def test_starts_are_as_high_at_every_steepness(b):
    """(1 − x₁)² + z²: falling onto the floor never is nearly all of the gap."""
    problem = Rosenbrock(b=b)
    starts = torch.stack([problem.example(seed)["start"] for seed in range(200)])
    first = starts[:, 0]
    assert -1 <= first.min() < -0.98
    assert -0.62 < first.max() <= -0.6
    # z² has mean 1 and standard deviation 1.41: five standard errors of 200.
    excess = problem.loss(starts, {}) - (1 - first).square()
    assert excess.mean() == pytest.approx(1, abs=0.5)


def test_starts_lie_on_the_floor():
    start = Rosenbrock(b=1e16, dim=10).example()["start"]
    torch.testing.assert_close(start[1:], start[:-1].square(), rtol=0, atol=1e-6)


def test_signature_is_the_condition_at_the_minimum():
    problem = Rosenbrock()
    claim = problem.claims["condition"]
    assert claim.holds(problem.signature(problem.example()))


@pytest.mark.parametrize("dim", [4, 7, 12])
def test_second_minimum_is_a_critical_point_that_is_stated(dim):
    problem = Rosenbrock(dim=dim)
    assert len(problem.critical_points(problem.example())) == 2
    has_the_stated_critical_points(problem)


def test_only_one_critical_point_is_stated_where_no_other_is_certain():
    for problem in (Rosenbrock(), Rosenbrock(dim=3), Rosenbrock(b=10.0, dim=4), Rosenbrock(dim=9)):
        assert len(problem.critical_points(problem.example())) == 1


@pytest.mark.parametrize("dim", [3, 4])
def test_most_descents_end_in_the_second_minimum_from_four_dimensions_on(dim):
    problem = Rosenbrock(dim=dim)
    x = torch.stack([problem.example(seed)["start"] for seed in range(8)])
    for _ in range(200):
        gradient = problem.value_and_gradient(x, {})[1]
        curvatures, basis = torch.linalg.eigh(problem.hessian(x, {}))
        along = torch.einsum("...ij,...i->...j", basis, gradient) / (curvatures.abs() + 1)
        x = x - torch.einsum("...ij,...j->...i", basis, along)
    columns = problem.at_end(x, torch.zeros(8), {})
    if dim == 3:
        assert columns == {}
        assert (problem.loss(x, {}) < 1e-6).all()
    else:
        assert columns["second"].mean() >= 0.8
        assert ((problem.loss(x, {}) - SECOND[4]).abs() < 1e-6).double().mean() >= 0.8
