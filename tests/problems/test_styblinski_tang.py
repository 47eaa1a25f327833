"""The counts of Styblinski and Tang's critical points, from all of them at once."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import product

import pytest
import torch

from problems.local_minima.styblinski_tang import StyblinskiTang
from ravine import Refused


def test_the_turning_points_are_the_published_ones():
    low, wall, high = StyblinskiTang().turning_points()
    assert low == pytest.approx(-2.903534, abs=5e-7)
    assert wall == pytest.approx(0.156731, abs=5e-7)
    assert high == pytest.approx(2.746803, abs=5e-7)


@pytest.mark.parametrize("tilt", [0.1, 5.0, 30.0, 34.8, 34.9, 40.0, 1000.0])
def test_turning_points_are_roots(tilt):
    """Three of them up to t = 64 √(8/3)/3 = 34.837, where two of them meet."""
    problem = StyblinskiTang(tilt=tilt)
    roots = problem.turning_points()
    assert len(roots) == (3 if tilt < 64 * math.sqrt(8 / 3) / 3 else 1)
    for z in roots:
        assert 2 * z**3 - 16 * z + tilt / 2 == pytest.approx(0, abs=1e-9 * tilt + 1e-11)
        assert problem.height(z) == pytest.approx(0.5 * (z**4 - 16 * z**2 + tilt * z))
    assert min(map(problem.height, roots)) == problem.height(roots[0])


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_each_index_has_as_many_critical_points_as_the_formula_says(dim):
    problem = StyblinskiTang(dim=dim)
    data = problem.example()
    z = torch.tensor(list(product(problem.turning_points(), repeat=dim)))
    x = problem.place(z, data)
    assert len(x) == 3**dim
    assert problem.value_and_gradient(x, data)[1].norm(dim=-1).max() < 1e-11
    curvatures = torch.linalg.eigvalsh(problem.hessian(x, data))
    index = (curvatures < 0).sum(-1)
    for k in range(dim + 1):
        assert (index == k).sum() == math.comb(dim, k) * 2 ** (dim - k)
    assert (index == 0).sum() / 3**dim == pytest.approx((2 / 3) ** dim)


def test_small_steps_end_in_the_basin_in_which_they_start():
    """So that the share of the global minimum is that of its box, start by start."""
    problem = replace(StyblinskiTang(), dim=2)
    data = problem.example()
    z = problem.first(torch.rand(500, 2, generator=torch.Generator().manual_seed(0)))
    x = problem.place(z, data)
    for _ in range(200):
        x = x - 0.007 * problem.value_and_gradient(x, data)[1]
    wall = problem.turning_points()[1]
    assert torch.equal(problem.coordinates(x, data) < wall, z < wall)


def test_predicted_share():
    for dim, share in [(1, 0.5156731), (3, 0.137130), (10, 0.00132967)]:
        assert StyblinskiTang(dim=dim).predicted_share() == pytest.approx(share, rel=1e-4)
    assert StyblinskiTang().control().predicted_share() == 1.0


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 0}, {"tilt": 0.0}, {"tilt": -5.0}):
        with pytest.raises(Refused, match=r"styblinski_tang\."):
            StyblinskiTang(**fields)
