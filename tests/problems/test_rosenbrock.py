"""What is known about Rosenbrock's valley beside its claims."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from problems.ill_conditioning.rosenbrock import SECOND, Rosenbrock
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


def test_loss_is_the_coupled_variant():
    """scipy's, too: 100 (x₂ − x₁²)² + (1 − x₁)² + 100 (x₃ − x₂²)² + (1 − x₂)²."""
    from scipy.optimize import rosen, rosen_der, rosen_hess

    x = torch.tensor([-1.2, 1.0, 0.3, 2.0])
    problem = Rosenbrock(dim=4)
    value, gradient = problem.value_and_gradient(x, {})
    assert value == pytest.approx(rosen(x.numpy()), rel=1e-12)
    torch.testing.assert_close(gradient, torch.tensor(rosen_der(x.numpy())))
    torch.testing.assert_close(problem.hessian(x, {}), torch.tensor(rosen_hess(x.numpy())))
    assert Rosenbrock().loss(torch.tensor([-1.2, 1.0]), {}) == pytest.approx(24.2, rel=1e-12)


@pytest.mark.parametrize("b", [1.0, 100.0, 1e5])
def test_starts_are_as_high_at_every_steepness(b):
    """(1 − x₁)² + z²: falling onto the floor never is nearly all of the gap."""
    problem = Rosenbrock(b=b)
    values, floors = [], []
    for seed in range(200):
        x = drawn(problem, seed)["start"]
        assert -1 <= x[0] <= -0.6
        values.append(problem.loss(x, {}))
        floors.append((1 - x[0]) ** 2)
    # z² has mean 1 and standard deviation 1.41: five standard errors of 200.
    excess = torch.stack(values) - torch.stack(floors)
    assert excess.mean() == pytest.approx(1, abs=0.5)


@pytest.mark.parametrize("dim", [2, 3, 10, 100])
def test_starts_stay_bounded_in_every_dimension(dim):
    data = drawn(Rosenbrock(dim=dim))
    assert data["start"].shape == (dim,)
    assert data["start"].abs().max() < 2


def test_condition_grows_with_the_walls_and_from_the_bend_to_the_minimum():
    """b at the bend, where the Hessian is diag(2, 2b); 25 b at the minimum."""
    for b in (100.0, 1e5):
        problem = Rosenbrock(b=b)
        bend = torch.linalg.eigvalsh(problem.hessian(torch.zeros(2), {}))
        assert float(bend[1] / bend[0]) == pytest.approx(b, rel=1e-12)
        ratio = (10 * b + 2) ** 2 / (4 * b)
        condition = problem.signature(drawn(problem))
        assert condition + 2 + 1 / condition == pytest.approx(ratio, rel=1e-8)
        assert condition == pytest.approx(25 * b, rel=0.01)


def test_the_floor_is_curved():
    """At −0.8 on it descent points 58° off; a straight valley with the same curvatures would not."""
    for first, angle in ((-0.8, 57.9946), (0.0, 0.0)):
        x = torch.tensor([first, first**2])
        gradient = Rosenbrock().value_and_gradient(x, {})[1]
        assert gradient[1] == pytest.approx(0, abs=1e-12)
        assert gradient[0] == pytest.approx(-2 * (1 - first))
        assert math.degrees(math.atan(2 * abs(first))) == pytest.approx(angle, abs=1e-4)


@pytest.mark.parametrize("dim", [4, 7, 12])
def test_second_minimum_is_a_critical_point_that_is_stated(dim):
    problem = Rosenbrock(dim=dim)
    minimum, second = problem.critical_points(drawn(problem))
    assert torch.equal(minimum.x, torch.ones(dim))
    value, gradient = problem.value_and_gradient(second.x, {})
    assert value == pytest.approx(second.value, abs=1e-8)
    assert second.value == SECOND[dim]
    assert gradient.norm() < 1e-9
    assert torch.linalg.eigvalsh(problem.hessian(second.x, {}))[0] > 0.3
    assert second.x[0] < -0.7


def test_only_one_critical_point_is_stated_where_no_other_is_certain():
    for problem in (Rosenbrock(), Rosenbrock(dim=3), Rosenbrock(b=10.0, dim=4), Rosenbrock(dim=9)):
        assert len(problem.critical_points(drawn(problem))) == 1


def test_most_descents_end_in_the_second_minimum_from_four_dimensions_on():
    for dim, share in ((3, 0.0), (4, 1.0)):
        problem = Rosenbrock(dim=dim)
        x = torch.stack([drawn(problem, seed)["start"] for seed in range(8)])
        for _ in range(200):
            value, gradient = problem.value_and_gradient(x, {})
            curvatures, basis = torch.linalg.eigh(problem.hessian(x, {}))
            along = torch.einsum("...ij,...i->...j", basis, gradient) / (curvatures.abs() + 1)
            x = x - torch.einsum("...ij,...j->...i", basis, along)
        columns = problem.at_end(x, torch.zeros(8), {})
        if dim == 3:
            assert columns == {}
            assert (value < 1e-6).all()
        else:
            assert columns["second"].mean() >= 0.8 * share
            assert ((value - SECOND[4]).abs() < 1e-6).double().mean() >= 0.8


def test_refuses_what_is_no_valley():
    for fields, message in [
        ({"b": 0.0}, "rosenbrock.b is 0.0, but must be a number, above 0"),
        ({"dim": 1}, "rosenbrock.dim is 1, but must be a whole number, at least 2"),
    ]:
        with pytest.raises(Refused, match=message):
            replace(Rosenbrock(), **fields)
