"""How gradients are rounded, and what that does to the line on which steps of one bit stay."""

from __future__ import annotations

import pytest
import torch

from problems.inexact_gradients.sampled import first_draws
from problems.inexact_gradients.sign_compression import SignCompression
from ravine import Refused


def test_rounding_by_hand():
    gradient = torch.tensor([4.0, -1.0, 0.0, 0.5, -2.9])
    one = torch.tensor([2.0, -2.0, 0.0, 2.0, -2.0])
    two = torch.tensor([3.0, -1.0, 0.0, 1.0, -3.0])
    three = torch.tensor([3.5, -1.5, 0.0, 0.5, -2.5])
    gradients = torch.stack([gradient, 0 * gradient])
    for bits, expected in [(1, one), (2, two), (3, three)]:
        seen, _ = SignCompression(bits=bits).seen(gradients, {}, {}, None)
        torch.testing.assert_close(seen, torch.stack([expected, 0 * expected]))


def test_the_hessian_is_that_of_the_examples():
    problem = SignCompression(dim=5)
    data = problem.example()
    examples = first_draws(problem, data, 20_000)["example"]
    assert (examples * data["signs"] >= 0).all()
    measured = examples.T @ examples / len(examples)
    torch.testing.assert_close(measured, data["hessian"], rtol=0, atol=0.05)  # 4 errors


def test_the_start_is_whitened():
    problem = SignCompression()
    data = problem.example()
    _, whitened, _ = torch.randn(3, 20, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(problem.loss(data["start"], data), 0.5 * whitened.square().sum())


def test_the_best_point_on_the_line_is_the_best():
    problem = SignCompression()
    data = problem.example()
    places = torch.linspace(-3, 3, 100_001)[:, None]
    values = problem.loss(data["start"] + places * data["signs"], data)
    assert values.min().item() == pytest.approx(problem.best_on_the_line(data).item(), rel=1e-6)
    share = problem.best_on_the_line(data) / problem.loss(data["start"], data)
    assert share > 100 * problem.card.target
    ratio = problem.at_end(data["start"], torch.zeros(()), data)["loss_over_best_on_line"]
    assert ratio.item() == pytest.approx(1 / share.item())


def test_only_one_bit_is_predicted():
    assert SignCompression(bits=1).predicted_share() == 0.0
    assert SignCompression(bits=2).predicted_share() is None


def test_bad_fields_are_refused():
    for name, value in [("dim", 1), ("bits", 0), ("bits", 33)]:
        with pytest.raises(Refused, match=f"sign_compression.{name}"):
            SignCompression(**{name: value})
