"""Griewank's bowl and its product of cosines."""

from __future__ import annotations

import math

import pytest
import torch

from problems.local_minima.griewank import Griewank


def test_the_function_is_griewanks():
    z = torch.tensor([[3.0, -2.0, 5.0]])
    cosines = math.cos(3.0) * math.cos(2 / math.sqrt(2)) * math.cos(5 / math.sqrt(3))
    wanted = 1 + 38 / 4000 - cosines
    assert Griewank(dim=3, ripple=1.0).landscape(z).item() == pytest.approx(wanted)
