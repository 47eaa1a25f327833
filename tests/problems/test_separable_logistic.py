"""Separable logistic regression: no critical point, and what descent goes to instead."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from benchmarks.checks.contracts import (
    has_the_derivatives_of_its_loss,
    has_the_stated_minimizers,
)
from problems.descent import descent
from problems.global_structure._certificates import separable_logistic as evidence
from problems.global_structure.separable_logistic import SeparableLogistic


@pytest.mark.parametrize("inverse", [1.0, 30.0, 300.0])
def test_the_widest_margin_is_the_stated_one(inverse):
    """Both examples are at 1, and it is their combination with positive weights (1, 2)/3γ²."""
    data = SeparableLogistic(inverse_margin=inverse).example()
    torch.testing.assert_close(data["examples"] @ data["widest"], torch.ones(2))
    weights = torch.tensor([1.0, 2.0]) / 3 * inverse**2
    torch.testing.assert_close(weights @ data["examples"], data["widest"], rtol=1e-10, atol=1e-8)
    assert data["widest"].norm().item() == pytest.approx(inverse)


@pytest.mark.parametrize("inverse", [4.0, 30.0])
def test_along_the_widest_margin_there_is_little_curvature(inverse):
    problem = SeparableLogistic(inverse_margin=inverse)
    data = problem.example()
    curvatures = torch.linalg.eigvalsh(problem.hessian(torch.zeros(2), data))
    assert curvatures[0] / curvatures[1] == pytest.approx(0.36 / inverse**2, rel=0.1 / inverse)


def test_the_loss_keeps_its_digits_far_out():
    """ln(1 + e^−z) cancels from z = 37 on, and a softplus that is cut off is wrong at 20."""
    problem = SeparableLogistic(inverse_margin=1.0)
    data = problem.example()
    for size in (1.0, 19.0, 21.0, 40.0, 300.0, 700.0):
        x = size * data["widest"]
        value, gradient = problem.value_and_gradient(x, data)
        # The margins' own rounding is ε of up to 700.
        expected = pytest.approx(2 * math.log1p(math.exp(-size)), rel=1e-12, abs=0)
        assert value.item() == expected
        assert problem.loss(x, data).item() == expected
        slope = (-gradient @ data["widest"]).item()
        assert slope == pytest.approx(2 / (1 + math.exp(size)), rel=1e-12, abs=0)
    wrong = problem.loss(-700 * data["widest"], data).item()
    assert wrong == pytest.approx(1400, rel=1e-12)


@pytest.mark.parametrize("noise", [0.01, 0.1, 1.0])
def test_noise_makes_a_minimum(noise):
    problem = SeparableLogistic(inverse_margin=2.0, noise=noise)
    has_the_stated_minimizers(problem)
    has_the_derivatives_of_its_loss(problem)


def test_without_noise_there_is_none():
    problem = SeparableLogistic()
    data = problem.example()
    assert problem.minimizers(data) is None
    assert problem.distance(data["start"], data) is None
    assert problem.floor(data) == 0


@pytest.mark.parametrize("inverse", [1.0, 2.0, 30.0])
def test_descent_along_the_axes_is_descent_on_the_loss(inverse):
    """The scalar loop of the claims against descent on the problem, turned back: but for 1000 steps of rounding."""
    problem = SeparableLogistic(inverse_margin=inverse)
    data = problem.example()
    end = next(islice(descent(problem, data, torch.zeros(2), 0.5), 1000, None))
    expected = torch.tensor(evidence.descend(problem, 1000))
    torch.testing.assert_close(evidence.axes(problem) @ end, expected, rtol=0, atol=1e-9)
