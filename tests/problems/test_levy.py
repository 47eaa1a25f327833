"""Levy's bowl, whose ripples grow outwards."""

from __future__ import annotations

import math

import torch

from problems.local_minima.levy import Levy


def test_the_function_is_levys():
    """As it is printed, with w = 1 + (z − 1)/4."""
    z = torch.randn(10, 5) * 5
    w = 1 + (z - 1) / 4
    wanted = (
        (math.pi * w[:, 0]).sin() ** 2
        + ((w[:, :-1] - 1) ** 2 * (1 + 10 * (math.pi * w[:, :-1] + 1).sin() ** 2)).sum(-1)
        + (w[:, -1] - 1) ** 2 * (1 + (2 * math.pi * w[:, -1]).sin() ** 2)
    )
    torch.testing.assert_close(Levy(ripple=1.0).landscape(z), wanted)
