"""What is known about a Gaussian random field, beside the claims."""

from __future__ import annotations

import math

import pytest
import torch

from problems.saddles._certificates.landscape import found, rms_of_means
from problems.saddles._certificates.random_field import predicted_index
from problems.saddles.random_field import RandomField


@pytest.mark.parametrize("dim", [2, 20])
def test_the_field_is_gaussian_with_unit_gradients(dim):
    """Variances N of f and 1 of each gradient's component, uncorrelated, over 4000 points of 20 fields."""
    problem = RandomField(dim=dim)
    energies, gradients = [], []
    for seed in range(20):
        x = 10 * torch.randn(200, dim, generator=torch.Generator().manual_seed(seed))
        value, gradient = problem.value_and_gradient(x, problem.example(seed))
        energies.append(value / math.sqrt(dim))
        gradients.append(gradient)
    energies, gradients = torch.cat(energies), torch.cat(gradients)
    error = 5 / math.sqrt(4000)
    assert energies.mean().abs() < error
    assert energies.var() == pytest.approx(1, abs=1.5 * error)
    assert energies.pow(4).mean() == pytest.approx(3, abs=10 * error)
    assert gradients.var() == pytest.approx(1, abs=0.05)
    together = torch.cat([energies[:, None], gradients], -1).T
    assert (torch.corrcoef(together) - torch.eye(dim + 1)).abs().max() < error


def test_predicted_index():
    """Far below no direction goes down, at the mean half of them, far above all; between them a table's values."""
    energies = torch.tensor([-3.0, -2.0, -0.717, -0.137, 0.0, 0.416, 2.0, 3.0])
    expected = torch.tensor([0.0, 0.0, 0.277, 0.456, 0.5, 0.631, 1.0, 1.0])
    torch.testing.assert_close(predicted_index(energies), expected, rtol=0, atol=6e-4)


def test_the_index_of_critical_points_is_that_of_their_energy():
    """The index law's slow claim, on fewer points."""
    energies, indices = found(RandomField(), 3, 120)
    assert len(energies) > 150
    assert torch.corrcoef(torch.stack([energies, indices]))[0, 1] > 0.9
    assert (indices > 0).all()  # one critical point in 6e6 is a minimum
    assert rms_of_means(indices - predicted_index(energies), energies, 6) < 0.02


@pytest.mark.parametrize(("dim", "budget"), [(2, 500), (10, 2100), (20, 4100), (40, 4100)])
def test_the_budget_pays_for_100_steps_of_newton(dim, budget):
    assert RandomField(dim=dim).budget == budget
