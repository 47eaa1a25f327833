"""What is known about a saddle with a flat way down, beside the claims."""

from __future__ import annotations

import math

import pytest
import torch

from problems.saddles.strict_saddle import (
    StrictSaddle,
    breaking_point_of_descent,
    breaking_point_of_newton,
)


def test_curvatures_at_the_saddle_and_at_the_minima():
    for ratio in (1.0, 300.0, 1e5):
        problem = StrictSaddle(ratio=ratio)
        data = problem.example()
        at_saddle = torch.linalg.eigvalsh(problem.hessian(data["center"], data))
        assert at_saddle[0] == pytest.approx(-1 / ratio, rel=1e-6)
        assert at_saddle[1] == pytest.approx(1 / ratio, rel=1e-6)
        assert at_saddle[-1] == pytest.approx(1)


def test_starts_differ_in_nothing_but_scale_between_rungs():
    """Each z has ½ λ z² from the same draw, and y is the same share of the way, on either side."""
    mild, steep = StrictSaddle(ratio=10.0), StrictSaddle(ratio=1e4)
    sides = set()
    for seed in range(10):
        one, other = mild.example(seed), steep.example(seed)
        assert torch.equal(one["center"], other["center"])
        losses = mild.loss(one["start"], one).item(), steep.loss(other["start"], other).item()
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        y = (other["start"] - other["center"]) @ other["basis"][:, -1]
        assert abs(y) == pytest.approx(2e-3 * 1e2, rel=1e-6)
        sides.add(y.sign().item())
    assert sides == {-1.0, 1.0}


def test_where_theory_says_that_descent_and_newton_break():
    assert breaking_point_of_descent(StrictSaddle(), 1000) == pytest.approx(228, abs=1)
    for offset, breaks in [(0.44, 1.0), (0.45, math.inf)]:
        assert breaking_point_of_newton(StrictSaddle(offset=offset), 1000) == breaks


def test_the_saddle_is_never_within_the_target():
    for ratio in StrictSaddle.card.ladder:
        problem = StrictSaddle(ratio=ratio)
        for data in map(problem.example, range(3)):
            gap = problem.loss(data["center"], data) / problem.loss(data["start"], data)
            assert gap > 100 * problem.card.target


def test_no_ratio_is_too_large_from_beside_a_minimum():
    """As on the control, whose start has y at the minimum's: there the formula's logarithm ends."""
    for offset in (1.0, 0.9999):
        assert breaking_point_of_descent(StrictSaddle(offset=offset), 1000) == math.inf
    assert breaking_point_of_descent(StrictSaddle(offset=0.5), 1000) < math.inf
