"""What is known about a saddle with a flat way down, measured on ours by plain loops."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.saddles.strict_saddle import StrictSaddle, breaking_point_of_descent
from ravine import Refused


def drawn(problem, count):
    return [problem.instance(torch.Generator().manual_seed(seed)) for seed in range(count)]


def height(data, x):
    """y: how far along the flat direction."""
    return ((x - data["center"]) @ data["basis"][:, -1]).abs()


def test_curvatures_at_the_saddle_and_at_the_minima():
    for ratio in (1.0, 300.0, 1e5):
        problem = StrictSaddle(ratio=ratio)
        (data,) = drawn(problem, 1)
        at_saddle = torch.linalg.eigvalsh(problem.hessian(data["center"], data))
        assert at_saddle[0] == pytest.approx(-1 / ratio, rel=1e-6)
        assert at_saddle[1] == pytest.approx(1 / ratio, rel=1e-6)
        assert at_saddle[-1] == pytest.approx(1)
        for point in problem.minimizers(data):
            axis = data["basis"][:, -1]
            bent = axis @ problem.hessian(point, data) @ axis
            assert bent == pytest.approx(2 / ratio, rel=1e-6)


def test_descent_follows_the_flow_in_closed_form():
    """y²(t) = (4/m)/(1 + (δ⁻² − 1) e^(−2mt)), to first order in the rate."""
    problem = StrictSaddle(dim=3, ratio=10.0, offset=0.01)
    (data,) = drawn(problem, 1)
    path = list(islice(descent(problem, data, data["start"], 0.02), 3001))
    for k in (0, 1000, 2000, 3000):
        flow = 40 / (1 + (1e4 - 1) * math.exp(-0.2 * 0.02 * k))
        assert height(data, path[k]).square() == pytest.approx(flow, rel=0.01)


def test_starts_differ_in_nothing_but_scale_between_rungs():
    """Each z has ½ λ z² from the same draw, and y is the same share of the way."""
    for mild, steep in zip(
        drawn(StrictSaddle(ratio=10.0), 3), drawn(StrictSaddle(ratio=1e4), 3), strict=True
    ):
        assert torch.equal(mild["center"], steep["center"])
        losses = [
            StrictSaddle(ratio=ratio).loss(data["start"], data).item()
            for ratio, data in ((10.0, mild), (1e4, steep))
        ]
        assert losses[0] == pytest.approx(losses[1], rel=1e-9)
        for ratio, data in ((10.0, mild), (1e4, steep)):
            assert height(data, data["start"]) == pytest.approx(2e-3 * math.sqrt(ratio), rel=1e-6)


def test_both_sides_come_up():
    sides = [
        ((data["start"] - data["center"]) @ data["basis"][:, -1]).sign().item()
        for data in drawn(StrictSaddle(), 20)
    ]
    assert set(sides) == {-1.0, 1.0}


def test_descent_breaks_where_the_flow_says():
    """At the rate 1.95 within 1000 steps, of two instances each; the prediction is for the mean start."""
    breaks = breaking_point_of_descent(StrictSaddle(), 1000)
    assert breaks == pytest.approx(228, abs=1)
    solved = {}
    for factor in (0.8, 1.25):
        problem = StrictSaddle(ratio=breaks * factor)
        found = []
        for data in drawn(problem, 2):
            end = next(islice(descent(problem, data, data["start"], 1.95), 1000, None))
            gap = problem.loss(end, data) / problem.loss(data["start"], data)
            found.append(bool(gap <= problem.card.target))
        solved[factor] = found
    assert all(solved[0.8])
    assert not any(solved[1.25])


def test_the_saddle_is_never_within_the_target():
    for ratio in StrictSaddle.card.ladder:
        problem = StrictSaddle(ratio=ratio)
        for data in drawn(problem, 3):
            gap = problem.loss(data["center"], data) / problem.loss(data["start"], data)
            assert gap > 100 * problem.card.target


def test_refuses_what_is_no_ratio_or_offset():
    for fields, message in [
        ({"ratio": 0.5}, "strict_saddle.ratio is 0.5, but must be a number, at least 1"),
        ({"offset": 0.0}, "strict_saddle.offset is 0.0"),
        ({"offset": 1.5}, "strict_saddle.offset is 1.5"),
        ({"dim": 0}, "strict_saddle.dim is 0"),
    ]:
        with pytest.raises(Refused, match=message):
            StrictSaddle(**fields)
