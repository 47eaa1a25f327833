"""What is known about the critical points of a linear autoencoder, beside the claims."""

from __future__ import annotations

import pytest
import torch

from problems.saddles.linear_autoencoder import LinearAutoencoder


def test_variances_fall_by_half_again_but_for_the_gap():
    problem = LinearAutoencoder(gap=0.03)
    expected = torch.tensor([1.5 * 1.03, 1.03, 1, 1 / 1.5, 1 / 1.5**2])
    torch.testing.assert_close(problem.variances(), expected)
    assert problem.shapes == ((5, 2), (2, 5))
    data = problem.example()
    assert len(problem.critical_points(data)) == 1 + 5 + 10  # a set of up to two of five each
    assert data["start"].std().item() == pytest.approx(0.1, rel=0.5)


@pytest.mark.parametrize("gap", LinearAutoencoder.card.ladder)
def test_the_target_lies_far_below_the_lowest_saddle(gap):
    problem = LinearAutoencoder(gap=gap)
    for seed in range(3):
        data = problem.example(seed)
        saddle = problem.lowest_saddle(data)
        assert saddle.index == 1
        height = problem.loss(data["start"], data) - problem.floor(data)
        assert 10 * problem.card.target < (saddle.value - problem.floor(data)) / height < 1
