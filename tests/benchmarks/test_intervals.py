"""Intervals: against scipy, and against what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from benchmarks.analysis.intervals import median_interval, order_statistics, wilson


def test_ten_runs_take_the_second_and_the_ninth():
    assert order_statistics(10) == (2, pytest.approx(0.979, abs=5e-4))
    assert median_interval(np.arange(1, 11)) == (2, 9)


@pytest.mark.parametrize("n", range(1, 60))
def test_k_is_the_largest_that_is_sure_enough(n):
    k, attained = order_statistics(n)
    assert attained == pytest.approx(1 - 2 * stats.binom.cdf(k - 1, n, 0.5))
    assert 1 <= k <= (n + 1) // 2
    assert attained >= 0.95 or k == 1
    assert 2 * k + 1 >= n or 1 - 2 * stats.binom.cdf(k, n, 0.5) < 0.95


def test_another_level():
    assert order_statistics(10, 0.8)[0] == 3
    assert order_statistics(10, 0.99)[0] == 1


def test_a_median_interval_of_another_level_takes_other_order_statistics():
    assert median_interval(np.arange(1, 11), 0.8) == (3, 8)
    assert median_interval(np.arange(1, 11), 0.99) == (1, 10)


def test_median_interval_is_scipys():
    """scipy's interval of a quantile is one-sided twice over, by the same binomial."""
    generator = np.random.default_rng(0)
    for n in (6, 10, 15, 40):
        values = generator.standard_normal(n)
        expected = stats.quantile_test(values, p=0.5).confidence_interval(0.95)
        assert median_interval(values) == pytest.approx((expected.low, expected.high))


def test_coverage_is_what_is_said():
    values = np.random.default_rng(1).exponential(size=(20000, 10))
    low, high = median_interval(values)
    covered = np.mean((low <= np.log(2)) & (np.log(2) <= high))
    assert covered == pytest.approx(order_statistics(10)[1], abs=0.004)


def test_censored_values_stay_infinite():
    values = np.array([5, np.inf, 1, 2, 3, 4, 6, 7, np.inf, np.inf])
    assert median_interval(values) == (2, np.inf)
    assert median_interval(np.full(10, np.inf)) == (np.inf, np.inf)


def test_leading_dimensions_are_batches():
    values = np.random.default_rng(2).standard_normal((3, 4, 9))
    low, high = median_interval(values)
    assert low.shape == high.shape == (3, 4)
    for place in np.ndindex(3, 4):
        assert (low[place], high[place]) == median_interval(values[place])


def test_no_values():
    low, high = median_interval(np.zeros((2, 0)))
    assert np.isnan(low).all() and np.isnan(high).all()
    assert np.isnan(median_interval([])).all()


@pytest.mark.parametrize("n", [1, 5, 10, 33])
def test_wilson_is_scipys(n):
    solved = np.arange(n + 1)
    for level in (0.8, 0.95):
        low, high = wilson(solved, n, level)
        for k in solved:
            expected = stats.binomtest(int(k), n).proportion_ci(level, method="wilson")
            assert (low[k], high[k]) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_ends_exactly_at_none_and_at_all():
    runs = np.arange(1, 200)
    assert (wilson(np.zeros(199), runs)[0] == 0).all() and (wilson(runs, runs)[1] == 1).all()


def test_wilson_of_no_runs():
    assert wilson(0, 0) == (0, 1)
    low, high = wilson([0, 3], [0, 10])
    assert (low[0], high[0]) == (0, 1) and 0 < low[1] < 0.3 < high[1] < 1
