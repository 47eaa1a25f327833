"""Studies whose answer is known: what is planted is found, and nothing is found where nothing is."""

from __future__ import annotations

import numpy as np
import pandas
import pytest

from benchmarks.study.answers import answers
from benchmarks.study.simulated import Simulation, critical, p_values
from ravine import Refused

FEW = {"nearest": 5, "permutations": 400, "seed": 0}


def test_a_planted_effect_is_found():
    found = p_values(Simulation(general=0.3, matched=0.35), 12, **FEW)
    assert (found["H1"] <= 0.01).mean() >= 0.9
    assert (found[["H2", "H3"]] <= 0.05).mean().min() >= 0.75


def test_general_strength_alone_orders_but_does_not_match():
    found = p_values(Simulation(general=0.4), 12, **FEW)
    assert (found["H1"] <= 0.01).mean() >= 0.9
    assert (found[["H2", "H3"]] <= 0.01).mean().max() <= 0.25


def test_a_profile_of_others_foretells_nothing():
    studies = [
        Simulation(general=0.3, seen=False).draw(np.random.default_rng(k)) for k in range(12)
    ]
    taus = pandas.concat([answers(each, nearest=5, permutations=10).tau for each in studies])
    assert abs(taus["nearest"].mean()) < 0.1 and abs(taus["mean"].mean()) < 0.1
    assert taus["other tasks"].mean() > 0.2  # real tasks still foretell each other


def test_the_critical_p_is_the_largest_that_rejects_few_enough():
    one = pandas.DataFrame({name: np.arange(1, 101) / 100 for name in ("H1", "H2", "H3", "H4")})
    assert critical([one])["H1"] == 0.05
    assert critical([one, one / 2])["H3"] == 0.025  # the worst null counts
    assert critical([0 * one])["H2"] == 0


@pytest.mark.slow
def test_tests_at_their_critical_p_have_their_level():
    null = Simulation(general=0.3, matched=0.35, seen=False)
    limits = critical([p_values(null, 300, nearest=5, permutations=400, seed=1)])
    fresh = p_values(null, 300, nearest=5, permutations=400, seed=2)
    assert all(
        (fresh[name] <= limits[name]).mean() <= 0.09 for name in limits
    )  # 5 % and three errors
    assert (fresh["H1"] <= 0.05).mean() > 0.05  # the nominal level is not the level


def test_an_optimizer_without_an_outcome_is_refused():
    study = Simulation().draw(np.random.default_rng(0))
    study.outcome.loc["task 3", "optimizer 2"] = np.nan
    with pytest.raises(Refused, match="optimizer 2 has no place on task 3"):
        answers(study, nearest=5, permutations=10)
