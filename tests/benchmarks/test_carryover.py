"""How far an order of optimizers carries: on made-up places, on a sweep, and where the truth is known."""

import math
from typing import Any

import numpy as np
import pandas
import pytest
from scipy import stats

from benchmarks import statistics, sweep
from benchmarks.analysis.carryover import agreement, by_cost, by_share, ceiling
from benchmarks.simulations import carryover as simulation
from tests.benchmarks.problems_for_tests import Bowl

SIZE: dict[str, Any] = {"trials": 9, "tuning_seeds": 2, "seeds": 4, "budget": 60, "rungs": 3}
FOUR = [1.0, 2.0, 3.0, 4.0]


def places(*rows):
    return pandas.DataFrame(rows, index=[f"p{k}" for k in range(len(rows))])


class TestAgreement:
    def test_of_equal_orders(self):
        found = agreement(places(FOUR, FOUR, FOUR), {})
        assert (found["optimizers"], found["problems"]) == (4, 3)
        assert (found["w"], found["tau"]) == pytest.approx((1, 1))

    def test_of_opposite_orders(self):
        found = agreement(places(FOUR, FOUR[::-1]), {})
        assert (found["w"], found["tau"]) == pytest.approx((0, -1))

    def test_w_is_that_of_friedman_with_ties(self):
        """Friedman's statistic, corrected for ties, is W · problems · (optimizers − 1)."""
        values = np.random.default_rng(0).integers(0, 4, (6, 5))
        ranks = stats.rankdata(values, axis=1)
        expected = stats.friedmanchisquare(*values.T).statistic / (6 * 4)
        assert agreement(places(*ranks), {})["w"] == pytest.approx(expected)

    def test_each_problem_is_predicted_by_the_others_alone(self):
        rows = [FOUR, FOUR, [4.0, 3.0, 2.0, 1.0]]
        others = [np.mean([rows[j] for j in range(3) if j != k], axis=0) for k in range(3)]
        taus = [float(stats.kendalltau(*pair)[0]) for pair in zip(others, rows, strict=True)]  # type: ignore[arg-type]
        assert np.isnan(taus[0]) and agreement(places(*rows), {})["tau"] == np.nanmean(taus) == -1

    def test_families_are_the_units_of_the_mean(self):
        """Five problems of one family are outvoted by one of each of two others."""
        rows = [FOUR] * 5 + [FOUR[::-1]] * 2 + [FOUR[::-1]]
        alone = agreement(places(*rows), {})["tau"]
        one = agreement(places(*rows), {f"p{k}": "one" for k in range(5)})["tau"]
        assert alone == pytest.approx((5 - 3) / 8) and one == pytest.approx((3 - 5) / 8)

    def test_where_all_are_tied_there_is_no_order(self):
        found = agreement(places([1.5, 1.5], [1.5, 1.5]), {})
        assert math.isnan(found["tau"]) and math.isnan(found["w"])
        assert math.isnan(agreement(places(FOUR), {})["tau"])


class TestPlaces:
    PAID = np.array(
        [[[1.0, 5.0, math.inf], [2.0, 4.0, math.inf]], [[9.0, 3.0, 7.0], [math.inf, 3.0, 7.0]]]
    )

    def test_by_share(self):
        assert by_share(self.PAID).tolist() == [2, 1, 3]

    def test_by_cost(self):
        """Ranks 1, 2, 3 at the first rung and 3, 1, 2 at the second."""
        assert by_cost(self.PAID).tolist() == [2, 1, 3]


def test_without_luck_the_ceiling_is_one():
    paid = np.where(np.arange(4) > np.arange(3)[:, None], 1.0, math.inf)[:, None].repeat(10, 1)
    assert ceiling([paid], by_share) == pytest.approx(1)
    assert math.isnan(ceiling([paid[:, :1]], by_share))


def test_of_a_sweep():
    """An optimizer that was not run on all problems is left out; a skipped rung is missed."""
    problems = [Bowl(dim=2), Bowl(dim=3)]
    result = sweep(problems[0], ["sgd", "newton", "idle", "adam"], **SIZE)
    other = sweep(problems[1], ["sgd", "newton", "idle"], **SIZE)
    tables = [
        pandas.concat([getattr(result, name), getattr(other, name).assign(problem="Other")])
        for name in ("runs", "summary", "breaking_points")
    ]
    found = statistics.carryover(*tables[:2], {}, points=tables[2]).set_index("by")
    assert list(found.index) == ["breaking point", "solved share", "cost"]
    assert set(found["optimizers"]) == {3} and set(found["problems"]) == {2}
    assert (found["tau"].drop("cost") > 0.5).all() and (found["w"] > 0.5).all()
    assert found["ceiling"].notna().tolist() == [False, True, True]
    without = statistics.carryover(*tables[:2], {}).set_index("by")
    pandas.testing.assert_frame_equal(without, found.drop("breaking point"))


def test_it_finds_what_is_true():
    """Two tables of each kind, of 20 problems: a small version of the page's simulation."""
    table = simulation.simulate(repeats=2, problems=20, fresh=50).set_index("common share")
    for estimate in ("τ", "ceiling"):
        error = table[estimate] - table[f"true {estimate}"]
        assert (
            error.abs().max() < 0.12
        )  # three standard errors where nothing is common; .05 elsewhere
    assert table["W"].is_monotonic_increasing and table["τ"].is_monotonic_increasing
    assert table["W"][0] < 0.1 < 0.7 < table["W"][1]
