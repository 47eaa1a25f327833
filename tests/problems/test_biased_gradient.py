"""What the bias, the noise and the start are measured in."""

from __future__ import annotations

import pytest
import torch

from problems.inexact_gradients.biased_gradient import BiasedGradient
from problems.inexact_gradients.sampled import first_draws
from ravine import Refused


def test_rungs_share_all_but_the_length_of_the_bias():
    one, other = (BiasedGradient(bias=bias).example() for bias in (0.5, 5.0))
    for name in ("start", "minimizer", "hessian", "spread"):
        assert torch.equal(one[name], other[name])
    torch.testing.assert_close(10 * one["bias"], other["bias"])


def test_noise_is_in_the_unit_of_the_target_too():
    """E ½ ξᵀH⁻¹ξ of 20,000 draws is noise² times the target's height."""
    problem = BiasedGradient(noise=0.5)
    data = problem.example()
    noise = first_draws(problem, data, 20_000)["noise"]
    left = 0.5 * (noise * torch.linalg.solve(data["hessian"], noise.T).T).sum(-1).mean()
    share = left / problem.loss(data["start"], data)
    assert share.item() == pytest.approx(0.25 * problem.card.target, rel=0.05)


def test_the_start_is_whitened():
    problem = BiasedGradient()
    data = problem.example()
    _, whitened, _ = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(problem.loss(data["start"], data), 0.5 * whitened.square().sum())


def test_the_bias_alone_decides():
    shares = [BiasedGradient(bias=bias).predicted_share() for bias in (0.0, 0.99, 1.0, 10.0)]
    assert shares == [1.0, 1.0, 0.0, 0.0]


def test_bad_fields_are_refused():
    for name, value in [("dim", 0), ("bias", -1.0), ("condition", 0.1), ("noise", -0.1)]:
        with pytest.raises(Refused, match=f"biased_gradient.{name}"):
            BiasedGradient(**{name: value})
