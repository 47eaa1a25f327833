"""The turning points of Styblinski and Tang's function, and the share of its best basin."""

from __future__ import annotations

import math

import pytest

from benchmarks.checks.contracts import has_the_stated_critical_points
from problems.local_minima.styblinski_tang import StyblinskiTang


@pytest.mark.parametrize("tilt", [0.1, 5.0, 34.8, 34.9, 1000.0])
def test_turning_points_are_roots(tilt):
    """Three of them up to t = 64 √(8/3)/3 = 34.837, where two of them meet."""
    problem = StyblinskiTang(tilt=tilt)
    roots = problem.turning_points()
    assert len(roots) == (3 if tilt < 64 * math.sqrt(8 / 3) / 3 else 1)
    for z in roots:
        assert 2 * z**3 - 16 * z + tilt / 2 == pytest.approx(0, abs=1e-9 * tilt + 1e-11)
        assert problem.height(z) == pytest.approx(0.5 * (z**4 - 16 * z**2 + tilt * z))
    assert min(map(problem.height, roots)) == problem.height(roots[0])


def test_the_control_has_one_critical_point():
    has_the_stated_critical_points(StyblinskiTang().control())


def test_predicted_share():
    for dim, share in [(1, 0.5156731), (3, 0.137130), (10, 0.00132967)]:
        assert StyblinskiTang(dim=dim).predicted_share() == pytest.approx(share, rel=1e-4)
    assert StyblinskiTang().control().predicted_share() == 1.0
