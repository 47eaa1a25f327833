"""Rastrigin's ripples, and where the first trap appears."""

from __future__ import annotations

import math

import torch

from problems.local_minima._certificates.rastrigin import SINGLE
from problems.local_minima.rastrigin import Rastrigin


def test_the_function_is_rastrigins():
    """A n + Σ (z² − A cos 2πz)."""
    z = torch.randn(10, 3)
    wanted = 30 + (z.square() - 10 * (2 * math.pi * z).cos()).sum(-1)
    torch.testing.assert_close(Rastrigin(dim=3, amplitude=10.0).landscape(z), wanted)


def test_traps_are_stated_from_the_threshold_on():
    problems = [Rastrigin(amplitude=SINGLE * factor) for factor in (0.1, 1 - 1e-6, 1 + 1e-6)]
    assert [len(each.critical_points(each.example())) for each in problems] == [1, 1, 4]
