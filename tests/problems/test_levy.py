"""Levy's bowl, whose ripples grow outwards."""

from __future__ import annotations

import math

import pytest
import torch

from problems.local_minima.levy import Levy
from ravine import Refused


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


def test_ripples_grow_outwards():
    """Of the coordinates in the middle the ripples are 10 r times the bowl, at most, and get there."""
    z = torch.ones(4001, 5)
    z[:, 2] = torch.linspace(-10, 10, 4001)
    bowl, rough = (Levy(ripple=ripple).landscape(z) for ripple in (0.0, 0.3))
    share = (rough - bowl) / bowl.clamp(min=1e-12)
    assert share.max().item() == pytest.approx(3.0, abs=1e-3)
    assert share.min() >= 0


def test_the_control_is_a_bowl():
    problem = Levy().control()
    data = problem.example()
    hessian = problem.hessian(data["start"], data)
    torch.testing.assert_close(hessian, torch.eye(5) / 8)


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 1}, {"ripple": -0.1}):
        with pytest.raises(Refused, match=r"levy\."):
            Levy(**fields)
