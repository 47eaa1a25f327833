"""What is known about the bad minimum of one neuron, beyond its claims."""

from __future__ import annotations

import pytest
import torch

from problems.local_minima.bad_neuron import BadNeuron


def test_starts_lie_on_a_circle_where_the_first_example_is_wrong():
    for seed in range(20):
        data = BadNeuron(radius=1.5).example(seed)
        assert data["start"].norm() == pytest.approx(1.5)
        assert data["examples"][0] @ data["start"] <= 0


def test_the_bad_minimum_is_wrong_and_a_plateau_is_not_certified():
    """However small its gradient is."""
    problem = BadNeuron()
    data = problem.example()
    best, bad, saddle = (point.x for point in problem.critical_points(data))
    points = torch.stack([best, bad, saddle, problem.place((0.0, 20.0), data)])
    assert problem.value_and_gradient(points, data)[1].norm(dim=-1).max() < 1e-10
    assert problem.certified(points, data).tolist() == [True, True, False, False]
    at_end = problem.at_end(points, torch.zeros(4), data)
    assert at_end["wrong"].tolist() == [0, 1, 1, 0]
    assert at_end["at_bad_minimum"].tolist() == [0, 1, 0, 0]


def test_predicted_share():
    """All within the boundary's least distance, 1.58; beyond it fewer and fewer; about half at 3."""
    shares = [BadNeuron(radius=radius).predicted_share() for radius in (0.1, 1.5, 1.7, 2, 3, 5)]
    assert shares == pytest.approx([1, 1, 0.76, 0.62, 0.435, 0.33], abs=0.005)
