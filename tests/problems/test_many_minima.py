"""What is known about a neuron's exponentially many minima, beyond its claims."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.checks.contracts import has_the_stated_critical_points
from problems.local_minima.many_minima import ManyMinima, find_minima, least_separation
from ravine import Refused


def test_the_loss_is_that_of_a_neuron_on_its_examples():
    """All examples cᵏ e_j written out, and w = e^(x − s)."""
    problem = ManyMinima(dim=2, scales=3)
    data = problem.example()
    w = (data["start"] - data["shift"]).exp()
    examples = torch.cat([100.0**k * torch.eye(2) for k in range(3)])
    expected = ((examples @ w).sigmoid() - 0.8).square().sum()
    torch.testing.assert_close(problem.loss(data["start"], data), expected)


@pytest.mark.parametrize("scales", [1, 2, 4])
def test_two_roads_to_the_minima(scales):
    problem = ManyMinima(scales=scales)
    minima, maxima = problem.stationary()
    torch.testing.assert_close(find_minima(*problem.axis), minima.flip(0), rtol=0, atol=1e-3)
    assert len(maxima) == scales - 1
    has_the_stated_critical_points(problem)


def test_predicted_share_is_one_in_all_combinations():
    for dim, scales in [(1, 2), (10, 2), (2, 3), (3, 1)]:
        problem = ManyMinima(dim=dim, scales=scales)
        assert problem.predicted_share() == pytest.approx(scales**-dim, rel=0.02)


def test_minima_are_certain_from_the_least_separation_on():
    """And no longer where it is a tenth smaller."""
    for wanted in (0.9, 0.95, 0.99):
        least = least_separation(wanted)
        assert len(find_minima(3, 1.01 * least, wanted)) == 3
        assert len(find_minima(3, 0.9 * least, wanted)) < 3
    with pytest.raises(
        Refused, match=r"many_minima.separation is 40.0, but must be at least 43.076"
    ):
        ManyMinima(separation=40.0, wanted=0.9)


def test_axes_at_the_best_are_counted():
    problem = ManyMinima()
    data = problem.example()
    (best,) = problem.minimizers(data)
    off = best - torch.tensor([math.log(100.0), 0, 0])
    counted = problem.at_end(torch.stack([best, off]), torch.zeros(2), data)["axes_at_the_best"]
    assert counted.tolist() == [3, 2]


def test_a_far_point_has_a_gradient_of_zero_and_no_nan():
    problem = ManyMinima()
    far = torch.tensor([50.0, 1e3, 1e4])
    value, gradient = problem.value_and_gradient(far, problem.example())
    assert value.isfinite()
    assert not gradient.any()
