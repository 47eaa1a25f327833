"""Schwefel's wide landscape, and which starts lie in its best basin."""

from __future__ import annotations

import math

import pytest
import torch

from problems.local_minima.schwefel import DEPTH, OPTIMUM, WALL, WALL_DEPTH, Schwefel


@pytest.mark.parametrize(("z", "depth"), [(OPTIMUM, DEPTH), (WALL, WALL_DEPTH)])
def test_the_constants_solve_their_equations(z, depth):
    """tan u = −u/2 at z = u²."""
    u = math.sqrt(z)
    assert math.sin(u) + u / 2 * math.cos(u) == pytest.approx(0, abs=1e-13)
    assert depth == pytest.approx(z * math.sin(u), rel=1e-14)


def test_the_best_minimum_is_the_best_on_the_whole_line():
    """Also far outside the domain, where the function without its last term falls without end."""
    z = torch.linspace(-5000, 5000, 1_000_001)[:, None]
    values = Schwefel(dim=1).landscape(z)
    assert values.min() >= 0
    assert z[values.argmin(), 0].item() == pytest.approx(OPTIMUM, abs=0.01)
    assert values[0].item() == pytest.approx(4500**2, rel=1e-3)


def test_the_predicted_share_is_the_share_of_starts_beyond_the_wall():
    uniform = torch.rand(20_000, 2, generator=torch.Generator().manual_seed(0))
    for spread in (0.1, 0.2, 1.0):
        problem = Schwefel(dim=2, spread=spread)
        share = (problem.first(uniform) > WALL).all(-1).double().mean().item()
        assert share == pytest.approx(problem.predicted_share(), abs=0.011)
