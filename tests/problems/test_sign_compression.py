"""How gradients are rounded, and what that does to the line on which steps of one bit stay."""

from __future__ import annotations

import math

import pytest
import torch

from problems.inexact_gradients.sign_compression import SignCompression
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rounding_by_hand():
    gradient = torch.tensor([4.0, -1.0, 0.0, 0.5, -2.9])
    one = torch.tensor([2.0, -2.0, 0.0, 2.0, -2.0])
    two = torch.tensor([3.0, -1.0, 0.0, 1.0, -3.0])
    three = torch.tensor([3.5, -1.5, 0.0, 0.5, -2.5])
    for bits, expected in [(1, one), (2, two), (3, three)]:
        torch.testing.assert_close(SignCompression(bits=bits).rounded(gradient), expected)


@pytest.mark.parametrize("bits", [1, 2, 5, 12])
def test_rounding_errs_by_half_a_level(bits):
    problem = SignCompression(bits=bits)
    gradient = torch.randn(50, 20, generator=generator())
    rounded = problem.rounded(gradient)
    largest = gradient.abs().amax(-1, keepdim=True)
    assert ((rounded - gradient).abs() <= largest * 2.0**-bits * (1 + 1e-12)).all()
    assert torch.equal(rounded.sign(), gradient.sign())
    torch.testing.assert_close(problem.rounded(1e-9 * gradient), 1e-9 * rounded)
    assert not problem.rounded(torch.zeros(3, 20)).any()


def test_the_hessian_is_that_of_the_examples():
    problem = SignCompression(dim=5)
    data = problem.instance(generator())
    stream = problem.draws(data, generator(1))
    examples = torch.stack([next(stream)["example"] for _ in range(20_000)])
    assert (examples * data["signs"] >= 0).all()
    measured = examples.T @ examples / len(examples)
    torch.testing.assert_close(measured, data["hessian"], rtol=0, atol=0.05)  # 4 errors


def test_the_start_is_whitened():
    problem = SignCompression()
    data = problem.instance(generator())
    _, whitened, _ = torch.randn(3, problem.dim, generator=generator())
    torch.testing.assert_close(problem.loss(data["start"], data), 0.5 * whitened.square().sum())


def test_the_best_point_on_the_line_is_the_best():
    problem = SignCompression()
    data = problem.instance(generator())
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


def test_gradients_of_one_bit_have_one_direction():
    problem = SignCompression(bits=1)
    assert problem.signature(problem.example()) == pytest.approx(1)
    full = SignCompression(bits=8)
    # E a aᵀ has 1 − 2/π + dim · 2/π along s, of a trace of dim.
    share = (1 - 2 / math.pi + 40 / math.pi) / 20
    assert full.signature(full.example()) == pytest.approx(share, abs=0.1)


def test_bad_fields_are_refused():
    for name, value in [("dim", 1), ("bits", 0), ("bits", 33)]:
        with pytest.raises(Refused, match=f"sign_compression.{name}"):
            SignCompression(**{name: value})
