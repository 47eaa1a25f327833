"""Ackley's funnel, its ripples and its tip."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from problems.local_minima._certificates.ackley import SINGLE, STEEPEST
from problems.local_minima.ackley import Ackley
from ravine import Refused


def test_the_function_is_ackleys():
    """−20 exp(−0.2 √(mean z²)) − exp(mean cos 2πz) + 20 + e."""
    z = torch.randn(10, 5)
    wanted = (
        -20 * (-0.2 * z.square().mean(-1).sqrt()).exp()
        - (2 * math.pi * z).cos().mean(-1).exp()
        + 20
        + math.e
    )
    torch.testing.assert_close(Ackley(ripple=1.0).landscape(z), wanted)


def test_the_steepest_ripple_is_at_the_golden_ratio():
    angle = torch.linspace(0, math.pi, 100_001)
    height, where = (angle.sin() * angle.cos().exp()).max(0)
    assert height.item() == pytest.approx(STEEPEST, abs=1e-8)
    assert angle[where].cos().item() == pytest.approx((math.sqrt(5) - 1) / 2, abs=1e-4)
    assert pytest.approx(0.1606, abs=5e-5) == SINGLE


def test_the_funnel_alone_has_one_direction():
    """Without ripples the gradient points away from m everywhere, with slope 4 e^(−ρ/5)/√dim."""
    problem = Ackley().control()
    data = problem.example()
    z = torch.randn(50, 5)
    gradient = problem.value_and_gradient(problem.place(z, data), data)[1]
    rms = z.square().mean(-1).sqrt()
    slope = 4 / math.sqrt(5) * (-rms / 5).exp()
    outwards = problem.place(z, data) - data["minimizer"]
    wanted = slope[:, None] * outwards / outwards.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(gradient, wanted)


def test_a_constant_rate_circles_around_the_tip():
    """However long: it ends on two points, a step apart, on both sides."""
    problem = replace(Ackley(), ripple=0.0)
    data = problem.example()
    x = data["minimizer"] + data["basis"][:, 0]
    for _ in range(400):
        x = x - 0.1 * problem.value_and_gradient(x, data)[1]
    step = 0.1 * 4 / math.sqrt(5)
    after = x - 0.1 * problem.value_and_gradient(x, data)[1]
    there_and_back = problem.distance(x, data) + problem.distance(after, data)
    assert there_and_back.item() == pytest.approx(step, rel=0.02)


def test_the_gradient_at_the_tip_is_no_nan():
    problem = Ackley()
    data = problem.example()
    assert problem.value_and_gradient(data["minimizer"], data)[1].norm() == 0


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 0}, {"ripple": -0.1}):
        with pytest.raises(Refused, match=r"ackley\."):
            Ackley(**fields)
