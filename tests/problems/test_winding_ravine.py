"""What is known about the winding ravine beside its claims."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from problems.descent import descent
from problems.ill_conditioning._certificates import winding_ravine as evidence
from problems.ill_conditioning.winding_ravine import WindingRavine
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


def test_loss_is_the_formula():
    problem = WindingRavine(shear=6.0, swing=2.0, across=5.0, along=0.1)
    data = drawn(problem)
    x = data["minimizer"] + torch.tensor([1.5, -0.7])
    expected = 0.05 * 1.5**2 + 2.5 * (-0.7 - 2 * math.sin(3 * 1.5)) ** 2
    assert problem.loss(x, data) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("shear", "condition"), [(0.0, 100), (1.0, 400), (8.0, 422500)])
def test_condition_at_the_minimum(shear, condition):
    """Near b (1 + s²w²)²/c, and exactly what the trace and the determinant b c make it."""
    problem = WindingRavine(shear=shear)
    data = drawn(problem)
    hessian = problem.hessian(data["minimizer"], data)
    c, b = 0.01, 1.0
    expected = torch.tensor([[c + b * shear**2, -b * shear], [-b * shear, b]])
    torch.testing.assert_close(hessian, expected)
    curvatures = torch.linalg.eigvalsh(hessian)
    assert float(curvatures[1] / curvatures[0]) == pytest.approx(
        evidence.condition(problem), rel=1e-8
    )
    assert evidence.condition(problem) == pytest.approx(condition, rel=0.02)


def test_sheared_coordinates_make_it_a_bowl():
    """So its gradient is that of the bowl, carried over by a matrix of determinant 1: no other critical point."""
    problem = WindingRavine()
    data = drawn(problem)
    x = data["minimizer"] + 5 * torch.randn(50, 2, generator=torch.Generator().manual_seed(1))
    u, v = (x - data["minimizer"]).unbind(-1)
    residual = v - problem.floor_line(u)
    slope = problem.shear * (problem.shear * u).cos()
    gradient = problem.value_and_gradient(x, data)[1]
    torch.testing.assert_close(gradient[:, 1], residual)
    torch.testing.assert_close(gradient[:, 0], 0.01 * u - slope * residual)


def test_newton_is_thrown_from_the_wall():
    """The Hessian is indefinite where the wall's bend, b r s w² sin(w u), outweighs c."""
    problem = WindingRavine(shear=8.0)
    data = drawn(problem)
    u = torch.tensor(math.pi / 2 / 8 + math.pi)
    bend = 64 * float((8 * u).sin())
    for residual in (0.9 * 0.01 / bend, 1.1 * 0.01 / bend):
        x = data["minimizer"] + torch.stack([u, problem.floor_line(u) - residual])
        smallest = torch.linalg.eigvalsh(problem.hessian(x, data))[0]
        assert (smallest < 0) == (abs(residual * bend) > 0.01)


def test_starts_lie_on_both_sides_and_are_paired():
    starts = []
    for seed in range(20):
        one, other = (drawn(WindingRavine(shear=shear), seed) for shear in (0.0, 8.0))
        u, v = (one["start"] - one["minimizer"]).tolist()
        assert 5 <= abs(u) <= 10
        assert abs(v) < 5
        assert (other["start"] - other["minimizer"])[0] == pytest.approx(u, rel=1e-12)
        values = [
            WindingRavine(shear=shear).loss(data["start"], data)
            for shear, data in ((0.0, one), (8.0, other))
        ]
        torch.testing.assert_close(*values)
        starts.append(u)
    assert min(starts) < 0 < max(starts)


def test_bends_cost_descent_its_steps():
    """At the best of some rates the straight one is solved, and the winding one is not half done."""
    gaps = {}
    for shear in (0.0, 3.0):
        problem = WindingRavine(shear=shear)
        data = drawn(problem)
        lr = torch.tensor([0.5, 1.0, 1.9])[:, None] / (1 + shear**2)
        points = descent(problem, data, data["start"].expand(3, 2), lr)
        (x,) = itertools.islice(points, 1000, 1001)
        gaps[shear] = float((problem.loss(x, data) / problem.loss(data["start"], data)).min())
    assert gaps[0.0] < 1e-4 < 1e-2 < gaps[3.0]


def test_signature_is_the_mean_over_the_bends():
    """1 + s²w²/2 to what a winding is of all: a floor that does not wind has none of it."""
    for shear in (1.0, 3.0, 8.0):
        problem = WindingRavine(shear=shear)
        assert problem.signature(drawn(problem)) == pytest.approx(1 + shear**2 / 2, rel=0.15)
    straight = replace(WindingRavine(), shear=0.0)
    assert straight.signature(drawn(straight)) == pytest.approx(1, rel=1e-3)


def test_refuses_what_is_no_ravine():
    for fields in ({"shear": -1.0}, {"swing": 0.0}, {"across": 0.0}, {"along": -1.0}):
        with pytest.raises(Refused, match=f"winding_ravine.{next(iter(fields))} is"):
            WindingRavine(**fields)
