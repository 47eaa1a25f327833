"""Predictions of orders: what they read, and what they must not read."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from scipy.stats import kendalltau

from benchmarks.study.hypotheses import p_of_difference, p_of_order, taus
from benchmarks.study.predictors import (
    by_label,
    by_match,
    by_mean,
    by_nearest,
    by_other_tasks,
    distances,
    places,
)
from benchmarks.study.simulated import Simulation

STUDY = Simulation(general=0.3, matched=0.35).draw(np.random.default_rng(0))
FIRST = [task for task, family in STUDY.family.items() if family == "family 0"]


def rungs(**shares):
    index = pandas.MultiIndex.from_tuples(
        [(name[0], float(name[1])) for name in shares], names=["problem", "dial"]
    )
    return pandas.DataFrame(list(shares.values()), index, ["one", "other"])


def reversed_at_first(outcome):
    """The same outcome, in which the first family has the opposite order."""
    changed = outcome.copy()
    changed.loc[FIRST] = 1 - changed.loc[FIRST]
    return changed


def test_the_mean_place_counts_each_problem_once():
    profile = rungs(a1=[1.0, 0.0], a2=[1.0, 0.0], a3=[1.0, 0.0], b1=[0.0, 1.0], c1=[0.0, 1.0])
    found = by_mean(profile, pandas.Index(["task"]))
    assert found.loc["task", "other"] < found.loc["task", "one"]


def test_the_nearest_rungs_are_of_different_problems():
    profile = rungs(a1=[1.0, 0.0], a2=[1.0, 0.0], b1=[0.0, 1.0], c1=[0.0, 1.0])
    signature = pandas.DataFrame({"kappa": [0.0, 0.1, 1.0, 5.0]}, profile.index)
    distance = distances(pandas.DataFrame({"kappa": [0.0]}, ["task"]), signature)
    near = by_nearest(profile, distance, 2).loc["task"]
    assert near["one"] == near["other"]  # a1 and b1, not a1 and a2
    far = by_nearest(profile, distance, 1, farthest=True).loc["task"]
    assert far["other"] < far["one"]


def test_a_feature_that_was_not_measured_is_left_out_of_a_distance():
    signature = pandas.DataFrame({"x": [0.0, 4.0], "y": [0.0, 9.0]}, list("ab"))
    task = pandas.DataFrame({"x": [4.0], "y": [np.nan]}, ["task"])
    assert distances(task, signature).loc["task", "b"] == 0


@pytest.mark.parametrize("of", ["other tasks", "label", "match"])
def test_the_outcomes_of_its_own_family_are_not_read(of):
    def predicted(outcome):
        if of == "other tasks":
            return by_other_tasks(outcome, STUDY.family)
        if of == "label":
            return by_label(outcome, STUDY.family, STUDY.label)
        return by_match(STUDY.profile, STUDY.rungs, STUDY.tasks, outcome, STUDY.family)

    before, after = predicted(STUDY.outcome), predicted(reversed_at_first(STUDY.outcome))
    pandas.testing.assert_frame_equal(before.loc[FIRST], after.loc[FIRST])
    assert not np.allclose(before.drop(FIRST), after.drop(FIRST))


def test_an_optimizer_does_not_foretell_itself_by_its_kind():
    changed = STUDY.outcome.copy()
    changed["optimizer 0"] = 1 - changed["optimizer 0"]
    before, after = (by_label(each, STUDY.family, STUDY.label) for each in (STUDY.outcome, changed))
    assert np.allclose(before["optimizer 0"], after["optimizer 0"])
    assert not np.allclose(before["optimizer 1"], after["optimizer 1"])  # of the same kind


def test_tau_is_kendall_s_with_ties():
    generator = np.random.default_rng(0)
    one, other = (places(pandas.DataFrame(generator.integers(6, size=(4, 12)))) for _ in range(2))
    wanted = [kendalltau(one.loc[k], other.loc[k])[0] for k in range(4)]
    assert taus(one, other).to_numpy() == pytest.approx(wanted)


def test_p_of_an_order_is_the_share_of_permutations():
    one = pandas.DataFrame([[1.0, 2.0, 3.0]])
    assert p_of_order(one, one, permutations=6000) == pytest.approx(1 / 6, abs=0.02)
    assert p_of_order(one, 4 - one, permutations=600) == 1


def test_p_of_a_difference_counts_families():
    difference = pandas.Series([0.1, 0.3, 0.2, 0.2], list("abcd"))
    assert p_of_difference(difference, dict(zip("abcd", "xyzw", strict=True))) == 1 / 16
    assert p_of_difference(difference, dict(zip("abcd", "xxyy", strict=True))) == 1 / 4


def test_an_optimizer_that_has_no_prediction_does_not_count():
    one = pandas.DataFrame([[1.0, 2.0, 3.0, np.nan]])
    assert taus(one, pandas.DataFrame([[1.0, 2.0, 3.0, 0.0]]))[0] == 1
    assert taus(one, pandas.DataFrame([[3.0, 2.0, 1.0, 0.0]]))[0] == -1
