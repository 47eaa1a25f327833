"""Griewank's bowl and its product of cosines."""

from __future__ import annotations

import math

import pytest
import torch

from problems.local_minima._certificates import griewank as evidence
from problems.local_minima.griewank import Griewank


def test_the_function_is_griewanks():
    z = torch.tensor([[3.0, -2.0, 5.0]])
    cosines = math.cos(3.0) * math.cos(2 / math.sqrt(2)) * math.cos(5 / math.sqrt(3))
    wanted = 1 + 38 / 4000 - cosines
    assert Griewank(dim=3, ripple=1.0).landscape(z).item() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("in_twenty", "in_five", "holds"), [(0.29, 0.0, True), (0.4, 0.1, False), (0.1, 0.0, False)]
)
def test_the_claim_on_dimensions_needs_both_of_its_parts(monkeypatch, in_twenty, in_five, holds):
    shares = {20: in_twenty, 5: in_five}
    monkeypatch.setattr(evidence, "share_solved", lambda problem, *size: shares[problem.dim])
    claim = Griewank().claims["share_in_twenty_dimensions"]
    assert claim.holds(claim.measure(Griewank())) == holds
