"""Groups of optimizers over many problems, which do not depend on who else is in the table."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pandas
import pytest

from benchmarks import sweep
from benchmarks.analysis.groups import climbed, duels, groups, letters, p_of_pair
from benchmarks.analysis.intervals import sign_test
from benchmarks.simulations import groups as simulation
from optimizers.adam import Adam
from problems.ill_conditioning.quadratic import Quadratic
from ravine import Refused

FAMILY = {f"{family}{k}": family for family in "abcdefgh" for k in range(3)}
SIZE = {"trials": 9, "tuning_seeds": 2, "seeds": 6, "budget": 300, "rungs": 3}


def scores(**shifts):
    """Scores of optimizers that differ by a shift from one whose scores are random."""
    generator = np.random.default_rng(0)
    base = pandas.Series(generator.uniform(0.3, 0.7, len(FAMILY)), list(FAMILY))
    noise = {name: generator.normal(0, 0.03, len(FAMILY)) for name in shifts}
    return pandas.DataFrame({name: base + shift + noise[name] for name, shift in shifts.items()})


def alike(table):
    """The pairs that share a letter."""
    found = groups(table, FAMILY).set_index("optimizer")["group"]
    pairs = itertools.combinations(sorted(found.index), 2)
    return {pair for pair in pairs if set(found[pair[0]]) & set(found[pair[1]])}


def test_who_shares_a_letter_does_not_depend_on_the_others():
    table = scores(first=0.2, second=0.19, third=0.05, fourth=0.0, last=-0.2)
    every = alike(table)
    assert ("first", "second") in every and ("first", "last") not in every
    for names in itertools.combinations(table, 3):
        assert alike(table[list(names)]) == {pair for pair in every if set(pair) <= set(names)}
    found = groups(table, FAMILY)
    assert found["optimizer"].iloc[0] == "first" and found["climbed"].is_monotonic_decreasing
    assert (found["problems"] == 24).all() and (found["families"] == 8).all()


def test_an_optimizer_is_compared_where_it_applies():
    """One that is better wherever it has a score is told apart; with five families nothing can be."""
    table = scores(whole=0.0, part=0.3)
    table.loc[[name for name in FAMILY if FAMILY[name] in "ab"], "part"] = np.nan
    assert alike(table) == set()
    found = groups(table, FAMILY).set_index("optimizer")
    assert found.loc["part", ["problems", "families"]].tolist() == [18, 6]
    table.loc[[name for name in FAMILY if FAMILY[name] == "c"], "part"] = np.nan
    assert groups(table, FAMILY).set_index("optimizer")["group"].to_dict() == {
        "part": "", "whole": "a",
    }  # fmt: skip


def test_the_p_value_is_that_of_all_signs():
    """With one problem in each family and equal differences only the two extreme assignments are as far from 0."""
    ones, none = (pandas.Series(each, list("abcdefgh")) for each in (1.0, 0.0))
    assert p_of_pair(ones, none, {}) == p_of_pair(none, ones, {}) == 2 / 2**8 == sign_test(0, 8)
    assert p_of_pair(ones, ones, {}) == 1 and p_of_pair(ones[:0], none[:0], {}) == 1
    once = pandas.Series([1.0, 1, 1, -1], list("abcd"))
    assert (
        p_of_pair(once, none[:4], {}) == 10 / 16
    )  # |Σ| is 2 or 4: all but the 6 of 16 with two signs each


def test_too_many_families_are_refused():
    """2²⁵ assignments of 25 signs would be gigabytes."""
    ones = pandas.Series(1.0, list("abcdefghijklmnopqrstuvwxy"))
    with pytest.raises(Refused, match="at most 20 families, and not of 25"):
        p_of_pair(ones, 0 * ones, {})
    assert p_of_pair(ones[:10], 0 * ones[:10], {}) == 2 / 2**10


def test_every_letter_is_one_and_its_own():
    found = letters((f"{k}" for k in range(400)), set()).values()
    assert len({*found}) == 400 and all(each.isalpha() and len(each) == 1 for each in found)


def test_letters_are_largest_sets():
    assert letters("ab", set()) == {"a": "a", "b": "b"}
    assert letters("abc", {("a", "b"), ("a", "c"), ("b", "c")}) == dict.fromkeys("abc", "a")
    generator = np.random.default_rng(0)
    for _ in range(50):
        pairs = [*itertools.combinations("uvwxyz", 2)]
        chosen = {pair for pair in pairs if generator.random() < 0.6}
        found = letters("uvwxyz", chosen)
        assert {(a, b) for a, b in pairs if set(found[a]) & set(found[b])} == chosen
        assert all(found.values())


@pytest.fixture(scope="module")
def swept():
    return sweep(Quadratic(dim=10), ["adam", "newton", "idle", Adam(lr=1e-6)], **SIZE).tables


def test_the_share_of_the_ladder_is_that_before_the_breaking_point(swept):
    points = swept.breaking_points
    infos = [cell.info for cell in swept.cells.values()]
    found = climbed(points, infos).loc["quadratic"]
    assert found["newton"] == 1 and found["idle"] == 0
    tuned = (points["choice"] == "tuned") & (points["budget"] == 1)
    at = points[tuned & (points["optimizer"] == "adam")].assign(breaking_point=10.0, censored="")
    assert climbed(at, infos).loc["quadratic", "adam"] == pytest.approx(1 / 5)  # of 1 to 1e5
    falling = [dataclasses.replace(info, falling=True) for info in infos]
    assert climbed(at, falling).loc["quadratic", "adam"] == pytest.approx(4 / 5)
    ends = at.assign(censored=">")
    assert climbed(ends, falling).loc["quadratic", "adam"] == 0
    assert climbed(ends, infos).loc["quadratic", "adam"] == 1
    assert climbed(ends.assign(unjudged="no_step"), infos).empty


def test_duels_are_signed_and_do_not_depend_on_the_others(swept):
    runs, summary = swept.runs, swept.summary
    found = duels(runs, summary, "adam").set_index("optimizer")
    assert found.loc["newton", ["better", "worse", "sign"]].tolist() == [6, 0, 1]
    assert found.loc["idle", ["better", "worse", "sign"]].tolist() == [0, 6, -1]
    few = ["adam", "idle"]
    alone = duels(*(each[each["optimizer"].isin(few)] for each in (runs, summary)), "adam")
    assert alone.set_index("optimizer").loc["idle"].equals(found.loc["idle"])


def test_two_that_do_not_differ_are_told_apart_in_one_of_twenty():
    """Of 200 tables, 10 are expected; 20 is three standard deviations above."""
    table = simulation.simulate(200).set_index(["family share", "mean difference"])["told apart"]
    share = table.str.rstrip("%").astype(float)
    assert (share.xs(0.0, level=1) <= 10).all() and (share.xs(0.2, level=1) > 30).all()
