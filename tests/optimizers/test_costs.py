"""What each family pays, counted by hand."""

from __future__ import annotations

import pytest
import torch

from optimizers import OPTIMIZERS
from optimizers.clip import Clip
from optimizers.damped_newton import DampedNewton
from optimizers.newton import Newton

DIM, HESSIAN, LOSS = 3, 2 * 3, 1 / 3


@pytest.mark.parametrize(
    ("name", "first", "later"),
    [
        ("sgd", 1, 1),
        ("momentum", 1, 1),
        ("nesterov", 1, 1),
        ("adam", 1, 1),
        ("rmsprop", 1, 1),
        ("clipped_sgd", 1, 1),
        ("clipped_momentum", 1, 1),
        ("newton", 1 + HESSIAN, 1 + HESSIAN),
        ("saddle_free_newton", 1 + HESSIAN, 1 + HESSIAN),
        # The loss of the point tried is a third; at the next step, it is there, and two thirds are
        # left to pay for the gradient.
        ("damped_newton", 1 + HESSIAN + LOSS, 1 + HESSIAN),
        ("random_search", 2 * LOSS, LOSS),
        ("idle", 0, 0),
    ],
)
def test_price_of_a_step(walk, draw, valley, name, first, later):
    prices = walk(OPTIMIZERS[name], valley, draw(), steps=3).prices
    torch.testing.assert_close(prices[0], torch.full_like(prices[0], first))
    torch.testing.assert_close(prices[1:], torch.full_like(prices[1:], later))


def test_a_rejected_step_is_not_paid_again(walk, start):
    """At 2, Newton's step on log cosh leads to −11.6, where the loss is higher."""
    steep = walk(DampedNewton(damping=1e-4), log_cosh, start(2.0), steps=3)
    assert steep.points[:2].flatten().tolist() == [2.0, 2.0]
    assert steep.prices.flatten().tolist()[:2] == pytest.approx([1 + 2 + LOSS, LOSS])


def test_a_model_without_a_minimum_costs_no_look_at_the_loss(walk, start):
    """On top of a hill H + μI is negative until μ has grown to 1: nothing is asked for that."""
    hill = walk(DampedNewton(damping=1e-4), lambda x, data: x.cos().sum(-1), start(0.1), steps=1)
    assert hill.points[1].item() != 0.1
    assert hill.prices.flatten().tolist() == pytest.approx([1 + 2 + 1 / 3])


def test_clipping_costs_nothing(walk, draw, valley):
    prices = walk(Clip(Newton()), valley, draw(), steps=2).prices
    torch.testing.assert_close(prices, torch.full_like(prices, 1 + HESSIAN))


def log_cosh(x, data):
    return torch.logaddexp(x, -x).sum(-1)
