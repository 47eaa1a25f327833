"""How readings are compared with measured causes: counted by hand, on made-up tables."""

from __future__ import annotations

import math

import numpy as np
import pandas
import pytest

from benchmarks.analysis.agreement import (
    DRAWS,
    HALVES,
    OUTCOMES,
    Agreement,
    half,
    held,
    outcome,
    shares,
)
from benchmarks.catalog.suites import suites


def explained(*rows: tuple[str, str, bool]) -> pandas.DataFrame:
    """Rows of `explained.csv`: the problem, the cause, whether it holds; all of sgd."""
    table = pandas.DataFrame(rows, columns=["problem", "cause", "holds"])
    return table.assign(optimizer="sgd", note="")


def read(*rows: tuple[str, str, str]) -> pandas.DataFrame:
    """Rows of `readings.csv`: the problem, the verdict, the other causes; all of sgd."""
    return pandas.DataFrame(rows, columns=["problem", "verdict", "also"]).assign(optimizer="sgd")


CAUSES = explained(
    ("a", "vanishing_gradient/exploding_gradient", True),
    ("a", "cliff", True),
    ("a", "saddle", False),
    ("b", "noise+plateau", True),
    ("b", "noise", False),
    ("c", "saddle", False),
)
RUNS = read(
    ("a", "exploding_gradient", ""),  # right
    ("a", "saddle", "cliff"),  # right beside the verdict
    ("a", "step_too_large", ""),
    ("b", "plateau", "noise"),  # right, and so is the other
    ("b", "not_sure", ""),
    ("c", "saddle", ""),  # nothing is known to be right
)
AGREEMENT = Agreement.of(RUNS, CAUSES)


def by_name(names, found):
    return dict(zip(names, found, strict=True))


def test_a_reading_is_right_if_it_is_among_the_causes_that_hold():
    assert len(AGREEMENT.problem) == 5
    assert AGREEMENT.right(AGREEMENT.first).value == 2 / 5
    assert AGREEMENT.right(AGREEMENT.named).value == 3 / 5


def test_either_of_two_causes_of_one_removal_will_do_and_a_pair_is_two_causes():
    first, mean = AGREEMENT.recall(AGREEMENT.first)
    found = {name: each.value for name, each in by_name(AGREEMENT.causes, first).items()}
    assert found == {
        "cliff": 0,
        "noise": 0,
        "plateau": 1 / 2,
        "vanishing_gradient/exploding_gradient": pytest.approx(1 / 3),
    }
    assert mean.value == pytest.approx((1 / 2 + 1 / 3) / 4)
    assert mean.runs == 5 and mean.problems == 2
    some = by_name(AGREEMENT.causes, AGREEMENT.recall(AGREEMENT.named)[0])
    assert some["cliff"].value == pytest.approx(1 / 3) and some["noise"].value == 1 / 2


def test_the_precision_of_a_verdict():
    found = by_name(AGREEMENT.readings, AGREEMENT.precision())
    assert found["exploding_gradient"].value == 1 and found["saddle"].value == 0
    assert found["cliff"].runs == 0 and math.isnan(found["cliff"].value)
    taken = by_name(AGREEMENT.readings, AGREEMENT.asked.T)
    assert taken["saddle"].tolist() == [True] * 3 + [False] * 2  # taken away from a, in vain


def test_chance_deals_the_readings_out_and_knows_no_run():
    """Of 25 pairs of a run and a reading: three runs of a with exploding, two of b with plateau."""
    right, recall = AGREEMENT.dealt(AGREEMENT.first)
    assert right == (3 + 2) / 25
    assert recall == pytest.approx((0 + 0 + 1 / 5 + 1 / 5) / 4)


def test_the_commonest_cause_is_that_of_the_other_problems():
    """Else what is commonest would know the runs that it is judged on."""
    said = AGREEMENT.commonest()
    assert (said[:3] == AGREEMENT.means[AGREEMENT.causes.index("noise")]).all()
    assert (said[3:] == AGREEMENT.means[AGREEMENT.causes.index("cliff")]).all()
    assert AGREEMENT.right(said).value == 0
    alone = AGREEMENT.where(AGREEMENT.problem == "a")
    assert not alone.commonest().any()


def test_a_confusion_is_in_the_row_of_the_cause_that_is_named_or_shifts_most():
    counts = AGREEMENT.confusion().stack()
    assert {pair: n for pair, n in counts.items() if n} == {
        ("vanishing_gradient/exploding_gradient", "exploding_gradient"): 1,
        ("vanishing_gradient/exploding_gradient", "saddle"): 1,
        ("vanishing_gradient/exploding_gradient", "step_too_large"): 1,
        ("plateau", "plateau"): 1,
        ("noise", "not_sure"): 1,
    }


def test_an_interval_counts_problems_and_not_runs():
    """Ten problems, of which half have all of their runs right: as wide as that of ten coins."""
    problem = np.repeat([f"p{k}" for k in range(10)], 100)
    hits = np.repeat(np.arange(10) % 2 == 0, 100)[:, None]
    (share,), _ = shares(hits, np.ones_like(hits), problem)
    coins = np.random.default_rng(1).binomial(10, 0.5, DRAWS) / 10
    low, high = np.quantile(coins, [0.025, 0.975])
    assert (share.value, share.runs, share.problems) == (0.5, 1000, 10)
    assert abs(share.low - low) <= 0.1 and abs(share.high - high) <= 0.1
    few = problem < "p4"
    (share,), _ = shares(hits[few], np.ones_like(hits[few]), problem[few])
    assert share.value == 0.5 and math.isnan(share.low) and math.isnan(share.high)


@pytest.mark.parametrize(
    ("rows", "note", "expected"),
    [
        ([("a", "noise", True), ("a", "cliff", False)], "", "one cause"),
        ([("a", "cliff", True), ("a", "cliff", True)], "", "one cause"),  # by two removals
        ([("a", "noise", True), ("a", "cliff", True)], "", "two or more causes, each alone"),
        ([("a", "noise+cliff", True), ("a", "noise", False)], "", "two causes together"),
        ([("a", "noise", False)], "helped at none of the settings tried", "none of the causes"),
        ([("a", "noise", False)], "too few instances", "too few instances"),
    ],
)
def test_how_a_pair_is_explained(rows, note, expected):
    assert outcome(explained(*rows).assign(note=note)) == expected
    assert expected in OUTCOMES


def test_causes_keep_their_order_each_once():
    table = explained(("a", "noise", True), ("a", "cliff", True), ("a", "noise", True))
    assert held(table) == ["noise", "cliff"]


def test_a_half_of_the_problems_is_a_matter_of_their_names():
    ranked = [half(name) for name in suites()["standard"].problems]
    assert min(ranked.count(each) for each in HALVES) >= len(ranked) // 3
    assert (half("rosenbrock"), half("quadratic")) == HALVES  # as when the rules were made
