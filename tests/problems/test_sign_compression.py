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


@pytest.mark.parametrize("scale", ["mean", "adam"])
def test_coordinates_that_are_scaled_alike_stay_on_the_line(scale):
    """Adam's division is the same for all coordinates, whose gradients have one size."""
    problem = SignCompression()
    data = problem.instance(generator())
    stream = problem.draws(data, generator(1))
    x, mean, square = data["start"], torch.zeros(20), torch.zeros(20)
    for _ in range(300):
        draw = next(stream)
        exact = problem.sampled_value_and_gradient(x, data, draw)[1]
        seen = problem.seen(exact, data, draw, None)[0]
        mean, square = 0.9 * mean + 0.1 * seen, 0.99 * square + 0.01 * seen**2
        x = x - 0.01 * (mean if scale == "mean" else mean / (square.sqrt() + 1e-8))
    moved = x - data["start"]
    off = moved - data["signs"] * (moved @ data["signs"]) / 20
    assert off.norm() < 1e-10 * moved.norm()
    assert moved.norm() > 1e-3
    assert problem.loss(x, data) >= problem.best_on_the_line(data) * (1 - 1e-12)


def test_the_reference_solves_what_can_be_solved():
    lr = SignCompression.card.reference[1]["lr"]
    for bits, solved in [(8, True), (2, True), (1, False)]:
        problem = SignCompression(bits=bits)
        for seed in range(3):
            data = problem.instance(generator(seed))
            x, stream = data["start"], problem.draws(data, generator(100 + seed))
            for _ in range(900):
                draw = next(stream)
                exact = problem.sampled_value_and_gradient(x, data, draw)[1]
                x = x - lr * problem.seen(exact, data, draw, None)[0]
            gap = problem.loss(x, data) / problem.loss(data["start"], data)
            assert (gap <= problem.card.target) == solved


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
