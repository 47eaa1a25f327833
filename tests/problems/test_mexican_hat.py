"""What is known about Newton's method on the Mexican hat, beside the claims."""

from __future__ import annotations

import pytest
import torch

from problems.saddles._certificates.mexican_hat import newton_step
from problems.saddles.mexican_hat import MexicanHat


@pytest.mark.parametrize("radius", [0.1, 0.5, 0.9])
def test_a_step_of_newton_is_the_radial_map(radius):
    expected = abs(2 * radius**3 / (3 * radius**2 - 1))
    assert newton_step(MexicanHat(), radius) == pytest.approx(expected, rel=1e-12)


def test_the_distance_is_that_to_the_whole_brim():
    problem = MexicanHat(dim=3, radius=0.2)
    data = problem.example()
    ways = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    ways = ways / ways.norm(dim=-1, keepdim=True)
    for radius in (0.0, 0.4, 1.0, 2.5):
        away = problem.distance(data["center"] + radius * ways, data)
        torch.testing.assert_close(away, torch.full((50,), abs(radius - 1)))
    assert problem.distance(data["start"], data) == pytest.approx(0.8)
