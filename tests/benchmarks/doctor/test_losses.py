"""Levels of the loss, their errors, falls, and when a run has arrived."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.doctor.losses import Losses, smooth


def losses(values) -> Losses:
    found = Losses()
    for each in values:
        found.add(float(each))
    return found


def noisy(level: np.ndarray, size: float, seed: int) -> Losses:
    return losses(level + size * np.random.default_rng(seed).standard_normal(len(level)))


def test_levels_are_means_of_stretches():
    run = losses(range(1000))
    assert run.level(10, 20)[0] == 14.5
    assert run.level(-5, 2)[0] == 0.5
    assert run.level(990, 2000)[0] == 994.5
    assert run.start[0] == np.mean(range(16))
    assert run.end[0] == np.mean(range(900, 1000))
    assert losses(range(10_000)).end[0] == np.mean(range(9800, 10_000))
    assert losses([3.0, 2.0]).start[0] == 3.0
    assert losses([3.0, 2.0]).end[0] == 2.0


def test_nothing_has_no_level():
    run = losses([])
    assert len(run) == 0
    assert all(math.isnan(each) for each in (*run.start, *run.end, *run.level(3, 2)))
    assert not run.falls
    assert not run.arrived(0.0)


def test_the_error_of_a_level_is_that_of_the_mean_whatever_the_trend():
    """σ/√n for independent noise; a slow trend adds nothing, for differences of successive losses cancel it."""
    trend = np.linspace(5, 4, 100)
    errors = [noisy(trend, 0.1, seed).level(0, 100)[1] for seed in range(50)]
    assert np.mean(errors) == pytest.approx(0.1 / 10, rel=0.05)
    assert losses(trend).level(0, 100)[1] < 1e-10
    assert math.isinf(losses([1.0, 2.0]).level(0, 2)[1])


def test_a_level_with_a_loss_that_is_not_finite():
    run = losses([1.0] * 10 + [math.nan] * 10)
    assert math.isnan(run.end[0])
    assert run.lowest == 1.0
    assert not run.falls
    assert not run.arrived(0.0)


@pytest.mark.parametrize("start", [1.0, 1e-8, 1e8, -1.0])
def test_a_fall_is_a_tenth_of_the_size_of_the_start(start):
    assert losses(np.linspace(start, start - 0.2 * abs(start), 200)).falls
    assert not losses(np.linspace(start, start - 0.05 * abs(start), 200)).falls
    assert not losses(np.linspace(start, start + 0.5 * abs(start), 200)).falls


def test_a_fall_is_beyond_its_error():
    """At a level of 1, an end of 20 steps whose losses have a deviation of 0.5 has an error of 0.11."""
    falls = [noisy(np.ones(200), 0.5, seed).falls for seed in range(100)]
    assert sum(falls) < 15  # the start is the mean of 4 losses, whose own error is not known
    assert all(noisy(np.linspace(5, 1, 200), 0.5, seed).falls for seed in range(100))


def test_a_run_arrives_when_a_tenth_is_left():
    def ending(end: float) -> Losses:
        return losses([2.0, 2.0, *[end] * 98])  # it begins with two losses

    assert ending(0.19).arrived(0.0)
    assert not ending(0.21).arrived(0.0)
    assert ending(-0.85).arrived(-1.0)
    assert not ending(0.19).arrived(None)


def test_a_constant_output_is_no_gain_unless_it_solves_all():
    run = losses([2.0, 2.0, *[0.15] * 98])
    assert not run.arrived(0.0, constant=1.0)  # 0.15 of the 1.0 that the inputs could explain
    assert losses([2.0, 2.0, *[0.09] * 98]).arrived(0.0, constant=1.0)
    assert run.arrived(0.0, constant=5.0)  # worse than the start
    thrown = losses([4.0, 2000.0, 900.0, *[2.3] * 97])
    assert not thrown.arrived(0.0, constant=2.3)  # down from where the first steps had thrown it
    assert run.arrived(0.0, constant=1e-9)
    assert run.arrived(0.0, constant=math.nan)


def test_a_level_below_the_floor_has_arrived():
    assert losses([1.0, *[-0.5] * 50]).arrived(0.0)


def test_smoothing_is_the_mean_of_the_last_values():
    values = np.random.default_rng(0).standard_normal(50)
    expected = [values[max(k - 6, 0) : k + 1].mean() for k in range(50)]
    assert smooth(values, 7) == pytest.approx(expected)
    assert np.array_equal(smooth(values, 1), values)
    assert smooth(values, 80) == pytest.approx(np.cumsum(values) / np.arange(1, 51))
    assert len(smooth(np.array([]), 5)) == 0


def test_smoothing_is_infinite_only_where_a_value_is_not_finite():
    values = np.ones(20)
    values[[5, 12]] = math.nan, math.inf
    found = smooth(values, 3)
    assert [int(k) for k in np.flatnonzero(np.isinf(found))] == [5, 6, 7, 12, 13, 14]
    assert (found[np.isfinite(found)] == 1).all()


def test_smoothing_keeps_small_values_behind_a_large_one():
    """A sum of all values would lose what is a 1e-16th of the largest."""
    values = np.array([1e20, *[1.0] * 30])
    assert smooth(values, 5)[10:] == pytest.approx(np.ones(21))
