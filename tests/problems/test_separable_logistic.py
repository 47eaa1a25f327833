"""Separable logistic regression: no critical point, and what descent goes to instead."""

from __future__ import annotations

import math

import pytest
import torch

from problems.global_structure._certificates import separable_logistic as evidence
from problems.global_structure.separable_logistic import SeparableLogistic
from ravine import Refused


@pytest.mark.parametrize("inverse", [1.0, 30.0, 300.0])
def test_the_widest_margin_is_the_stated_one(inverse):
    """Both examples are at 1, and it is their combination with positive weights (1, 2)/3γ²."""
    problem = SeparableLogistic(inverse_margin=inverse)
    for seed in range(3):
        data = problem.example(seed)
        torch.testing.assert_close(data["examples"] @ data["widest"], torch.ones(2))
        weights = torch.tensor([1.0, 2.0]) / 3 * inverse**2
        torch.testing.assert_close(
            weights @ data["examples"], data["widest"], rtol=1e-10, atol=1e-8
        )
        assert data["widest"].norm().item() == pytest.approx(inverse)


def test_no_point_is_critical():
    """Along the widest margin f falls everywhere, so the gradient is zero nowhere."""
    problem = SeparableLogistic(inverse_margin=3.0)
    data = problem.example()
    x = 20 * torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    assert (problem.value_and_gradient(x, data)[1] @ data["widest"] < 0).all()


def test_the_loss_keeps_its_digits_far_out():
    """ln(1 + e^−z) cancels from z = 37 on, and a softplus that is cut off is wrong at 20."""
    problem = SeparableLogistic(inverse_margin=1.0)
    data = problem.example()
    for size in (1.0, 19.0, 21.0, 40.0, 300.0, 700.0):
        value, gradient = problem.value_and_gradient(size * data["widest"], data)
        assert value.item() == pytest.approx(2 * math.log1p(math.exp(-size)), rel=1e-12)
        assert (-gradient @ data["widest"]).item() == pytest.approx(
            2 / (1 + math.exp(size)), rel=1e-12
        )
    wrong = problem.loss(-700 * data["widest"], data).item()
    assert wrong == pytest.approx(1400, rel=1e-12)


@pytest.mark.parametrize("noise", [0.01, 0.1, 1.0])
def test_noise_makes_a_minimum(noise):
    problem = SeparableLogistic(inverse_margin=2.0, noise=noise)
    data = problem.example()
    (minimizer,) = problem.minimizers(data)
    torch.testing.assert_close(minimizer, -math.log(noise) * data["widest"])
    value, gradient = problem.value_and_gradient(minimizer, data)
    assert value.item() == pytest.approx(problem.floor(data).item(), rel=1e-14)
    assert gradient.norm() < 1e-14
    assert (torch.linalg.eigvalsh(problem.hessian(minimizer, data)) > 0).all()


def test_without_noise_there_is_none():
    problem = SeparableLogistic()
    data = problem.example()
    assert problem.minimizers(data) is None
    assert problem.distance(data["start"], data) is None
    assert problem.floor(data) == 0


def test_descent_along_the_axes_is_descent_on_the_loss():
    """The scalar loop of the claims against the problem's gradient, turned back."""
    problem = SeparableLogistic(inverse_margin=2.0)
    data = problem.example()
    x = torch.zeros(2)
    for _ in range(50):
        x = x - 0.5 * problem.value_and_gradient(x, data)[1]
    first, second = evidence.descend(problem, 50)
    along = data["widest"] / data["widest"].norm()
    assert (x @ along).item() == pytest.approx(second)
    assert (x - (x @ along) * along).norm().item() == pytest.approx(abs(first))


def test_newton_gains_the_same_whatever_the_margin():
    """The margin is a change of coordinates to it; each step lowers the loss by e in the end."""
    ends = []
    for inverse in (1.0, 100.0):
        problem = SeparableLogistic(inverse_margin=inverse)
        data = problem.example()
        x, losses = torch.zeros(2), []
        for _ in range(15):
            value, gradient = problem.value_and_gradient(x, data)
            losses.append(value.item())
            x = x - torch.linalg.solve(problem.hessian(x, data), gradient)
        ends.append(losses)
        assert losses[-2] / losses[-1] == pytest.approx(math.e, rel=1e-4)
    assert ends[0] == pytest.approx(ends[1], rel=1e-6)


def test_refuses_no_margin_and_too_much_noise():
    for fields, message in [
        (
            {"inverse_margin": 0.0},
            "separable_logistic.inverse_margin is 0.0, but must be .* above 0",
        ),
        ({"noise": 2.0}, "separable_logistic.noise is 2.0, but must be a number, .* at most 1"),
    ]:
        with pytest.raises(Refused, match=message):
            SeparableLogistic(**fields)
