"""Ackley's funnel and its ripples."""

from __future__ import annotations

import math

import torch

from problems.local_minima.ackley import Ackley


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
