"""What is known about the monkey saddle, beside the claims."""

from __future__ import annotations

from itertools import islice

import pytest

from benchmarks.checks.contracts import has_the_stated_critical_points, has_the_stated_minimizers
from problems.descent import descent
from problems.saddles.monkey_saddle import MonkeySaddle, breaking_point_of_descent


@pytest.mark.parametrize("wall", [0.5, 3.0])
def test_the_wall_is_a_unit_of_length(wall):
    problem = MonkeySaddle(wall=wall)
    has_the_stated_minimizers(problem)
    has_the_stated_critical_points(problem)
    plain, scaled = MonkeySaddle().example(), problem.example()
    for name in ("start", "center"):
        assert (scaled[name] * wall).tolist() == pytest.approx(plain[name].tolist())
    assert problem.signature(scaled) == pytest.approx(MonkeySaddle().signature(plain), abs=1)


@pytest.mark.parametrize(("factor", "expected"), [(10, True), (0.3, False)])
def test_descent_breaks_at_the_angle_that_the_passage_says(factor, expected):
    """At nine tenths of the largest stable rate, 2/27."""
    breaks = breaking_point_of_descent(MonkeySaddle(), 1000)
    assert breaks == pytest.approx(1.03e-6, rel=0.01)
    problem = MonkeySaddle(angle=factor * breaks)
    data = problem.example()
    end = next(islice(descent(problem, data, data["start"], 0.9 * 2 / 27), 1000, None))
    height = problem.loss(data["start"], data) - problem.floor(data)
    gap = (problem.loss(end, data) - problem.floor(data)) / height
    assert bool(gap <= problem.card.target) == expected
