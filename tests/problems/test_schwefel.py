"""Schwefel's wide landscape, and who starts where in it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from problems.local_minima.schwefel import DEPTH, OPTIMUM, WALL, WALL_DEPTH, Schwefel
from ravine import Refused


def test_the_constants_solve_their_equations():
    """tan u = −u/2 at z = u², and z sin u there is u³/√(4 + u²), down or up."""
    for z, depth, sign in [(OPTIMUM, DEPTH, 1), (WALL, WALL_DEPTH, -1)]:
        u = math.sqrt(z)
        assert math.sin(u) + u / 2 * math.cos(u) == pytest.approx(0, abs=1e-13)
        assert depth == pytest.approx(z * math.sin(u), rel=1e-14)
        assert depth == pytest.approx(sign * u**3 / math.sqrt(4 + u**2), rel=1e-14)


def test_the_best_minimum_is_the_best_on_the_whole_line():
    """Also far outside the domain, where the unconfined function would fall for ever."""
    problem = Schwefel(dim=1)
    z = torch.linspace(-5000, 5000, 1_000_001)[:, None]
    values = problem.landscape(z)
    assert values.min() >= 0
    assert z[values.argmin(), 0].item() == pytest.approx(OPTIMUM, abs=0.01)


def test_the_second_best_is_at_the_other_end():
    problem = Schwefel(dim=1)
    z = torch.linspace(-500, 500, 100_001)[:, None]
    values = problem.landscape(z)
    values[(z[:, 0] > WALL)] = math.inf
    assert z[values.argmin(), 0].item() == pytest.approx(-WALL, abs=0.01)
    assert values.min().item() == pytest.approx(118.4383, abs=1e-3)


def test_the_predicted_share_is_the_share_of_starts_beyond_the_wall():
    generator = torch.Generator().manual_seed(0)
    for spread in (0.1, 0.2, 0.35, 1.0):
        problem = Schwefel(dim=2, spread=spread)
        z = problem.first(torch.rand(20_000, 2, generator=generator))
        share = (z > WALL).all(-1).double().mean().item()
        assert share == pytest.approx(problem.predicted_share(), abs=0.011)
    assert replace(Schwefel(), spread=0.1286).predicted_share() == 1.0
    assert replace(Schwefel(), spread=0.1287).predicted_share() < 1.0


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 0}, {"spread": 0.0}, {"spread": 1.1}):
        with pytest.raises(Refused, match=r"schwefel\."):
            Schwefel(**fields)
