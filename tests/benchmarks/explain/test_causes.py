"""Which removals hold as causes: the tests against brute force and books, the table on made-up runs."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pandas
import pytest

from benchmarks.analysis.causes import (
    TOO_FEW,
    Broken,
    Removed,
    holm,
    judged,
    sign_flip,
    solved,
    too_few,
)
from benchmarks.explain.removals import Both, Cause, Clipped, Conditioned, Fields, Held
from benchmarks.simulations import causes as simulation
from benchmarks.store.cell_info import SKIPPED

LADDER = (1.0, 10.0, 100.0)
BUDGET = 1000.0
GAP = -1.0  # log10, of the settings near the tuned one


@dataclass(frozen=True)
class Named(Cause):
    """A removal as the table needs it."""

    name: str = ""
    cause: str = "cliff"
    beyond: str = ""


def rung(dial, reporting, *, tuning=None, cost=100.0, cell="cell", **more):
    """The runs of one rung: `reporting` and `tuning` say which instances the only trial solves."""
    tuning = reporting if tuning is None else tuning
    outcomes = np.array([*tuning, *reporting], dtype=bool)
    seeds = [*range(len(tuning)), *range(1000, 1000 + len(reporting))]
    return pandas.DataFrame({
        "problem": "p", "optimizer": "o", "dial": float(dial), "budget": BUDGET, "cell": cell,
        "trial": 1, "search": "sobol", "seed": seeds, "hp.lr": 0.1 * dial,
        "role": ["tuning"] * len(tuning) + ["reporting"] * len(reporting),
        "status": np.where(outcomes, "solved", "missed"),
        "cost_to_target": np.where(outcomes, cost, np.nan), "cost": np.where(outcomes, cost, BUDGET),
        "gap_final": np.where(outcomes, 1e-6, 0.5),
    } | more)  # fmt: skip


def runs(*rungs):
    return pandas.concat(rungs, ignore_index=True)


def of(count, of=10):
    """Which of ten instances are solved: the first `count`."""
    return np.arange(of) < count


def broken(*counts, ladder=LADDER, falling=False, instances=10):
    found = runs(
        *(
            rung(dial, of(count, instances))
            for dial, count in zip(sorted(ladder, reverse=falling), counts, strict=True)
        )
    )
    return Broken.of(found, "log", falling, ladder)


class TestTheTest:
    def test_is_the_share_of_all_signs(self):
        generator = np.random.default_rng(0)
        for _ in range(30):
            differences = generator.integers(-3, 4, generator.integers(1, 9))
            signs = itertools.product((-1, 1), repeat=len(differences))
            sums = np.array([np.dot(each, np.abs(differences)) for each in signs])
            expected = np.mean(sums >= differences.sum())
            assert sign_flip(differences) == pytest.approx(expected, abs=1e-12)

    def test_instances_that_do_not_differ_say_nothing(self):
        assert sign_flip(np.zeros(10)) == 1
        assert sign_flip(np.array([1, 1, 0, 0])) == sign_flip(np.array([1, 1])) == 0.25

    def test_holm_as_in_the_literature(self):
        """R's `p.adjust(p, "holm")` gives these."""
        assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
        assert holm([0.5, 0.001, 0.9]) == pytest.approx([1, 0.003, 1])
        assert holm([0.04]) == pytest.approx([0.04])
        assert len(holm([])) == 0

    def test_holm_is_monotone_and_between_p_and_bonferroni(self):
        p = np.random.default_rng(0).random((50, 6))
        for each in p:
            adjusted = holm(each)
            assert (adjusted >= each).all() and (adjusted <= np.minimum(6 * each, 1) + 1e-12).all()
            assert (np.diff(adjusted[np.argsort(each)]) >= 0).all()

    @pytest.mark.parametrize("tests", [1, 2, 6, 12])
    def test_too_few_is_where_the_clearest_outcome_is_not_told_apart(self, tests):
        for instances in range(1, 12):
            clearest = holm([sign_flip(np.ones(instances)), *[1.0] * (tests - 1)])[0]
            assert too_few(instances, tests) == (clearest > 0.05)


class TestWhereItBreaks:
    def test_nowhere(self):
        assert broken(10, 5, 7) is None

    def test_where_it_is_clearly_broken(self):
        """At most .2 are solved: at .4 it may have had bad luck."""
        found = broken(10, 2, 0)
        assert (found.rungs, found.easier, found.measured) == ((10, 100), (1,), 10)
        assert found.instances == 10 and found.tuning == 2
        assert found.setting(["lr"]) == {"lr": 1.0}
        found = broken(10, 4, 0)
        assert (found.rungs, found.easier, found.measured) == ((100,), (10, 1), 100)

    def test_where_the_fewest_are_solved_if_it_is_not_clear(self):
        found = broken(10, 4, 3)
        assert (found.rungs, found.easier) == ((100,), (10, 1))

    def test_at_the_first_rung(self):
        found = broken(2, 1, 0)
        assert (found.rungs, found.easier) == (LADDER, ())

    def test_a_rung_that_is_solved_again_is_pooled(self):
        """.4 and .8 are two rungs of .6 each, so that it breaks after both."""
        assert broken(10, 4, 8) is None
        assert broken(10, 2, 7).rungs == (10, 100)

    def test_falling_dials(self):
        found = broken(10, 9, 0, falling=True, ladder=(100.0, 10.0, 1.0))
        assert (found.rungs, found.easier) == ((1,), (10,))
        assert found.shift(10, 1) == (10, 1)

    def test_bisected_rungs_are_broken_ones_only_if_first(self):
        """Harder rungs are those of the ladder, which every job on the problem has."""
        found = runs(
            *(rung(dial, of(n)) for dial, n in ((1, 10), (3, 8), (10, 0), (30, 0), (100, 0)))
        )
        assert Broken.of(found, "log", False, LADDER).rungs == (10, 100)
        found = runs(
            *(rung(dial, of(n)) for dial, n in ((1, 10), (3, 2), (10, 0), (30, 0), (100, 0)))
        )
        assert Broken.of(found, "log", False, LADDER).rungs == (3, 10, 100)

    def test_a_skipped_rung_has_no_numbers(self):
        found = runs(rung(1, of(10)), rung(10, of(0), cell=f"cell{SKIPPED}"), rung(100, of(0)))
        assert Broken.of(found, "log", False, LADDER).measured == 1

    def test_a_single_rung(self):
        found = Broken.of(rung(10, of(3)), "log", False, [10.0])
        assert (found.rungs, found.easier, found.measured) == ((10,), (), 10)
        assert Broken.of(rung(0, of(3)), "log", False, [0.0]).shift(0, 0) == (1, 0)  # not 0/0
        table = judged(found, [Removed(Named("clip"), 10, GAP, rung(10, of(10)))])
        assert table["holds"].tolist() == [True]
        assert (table["solved"][0], table["solved_without"][0]) == (3, 10)
        assert table[["shift", "shift_rungs"]].isna().all(axis=None)  # there is nowhere to shift to

    def test_shifts_are_in_the_dial_s_units_and_in_rungs(self):
        found = broken(10, 4, 0)
        assert found.shift(1, 10) == (10, 1)
        assert found.shift(1, 1) == (1, 0)
        linear = Broken.of(found.runs, "linear", False, LADDER)
        assert linear.shift(1, 10) == (9, 1)


class TestTheTable:
    def table(self, *found, counts=(10, 2, 0)):
        return judged(broken(*counts), found).set_index("removal")

    def removed(self, name, first, last=0, *, beyond="", gain=1.0, cost=100.0, cause="cliff"):
        with_it = [rung(10, of(first), cost=cost)]
        if first >= 5:
            with_it.append(rung(100, of(last), cost=cost))
        return Removed(Named(name, cause, beyond), first, GAP, runs(*with_it), gain)

    def test_what_solves_more_than_chance_explains_holds(self):
        table = self.table(self.removed("clip", 10, 10), self.removed("nothing", 2))
        assert table["holds"].to_dict() == {"clip": True, "nothing": False}
        assert table["note"].to_dict() == {"clip": "", "nothing": "not told apart from chance"}
        row = table.loc["clip"]
        assert (row["dials"], row["solved"], row["solved_without"]) == ("10,100", 2, 10)
        assert row["p"] == pytest.approx(2.0**-10) and row["p_holm"] == pytest.approx(2.0**-9)
        assert row["beyond"] and row["text_without"].startswith("> 100")

    def test_rungs_are_pooled_by_instance(self):
        """Four instances more at one rung are too few of them; at two rungs as well: they are the same."""
        one, two = self.removed("a", 6), self.removed("b", 6, 6)
        found = broken(10, 2, 0)
        assert one.differences(found).tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 0, 0]
        assert two.differences(found).tolist() == [1, 1, 2, 2, 2, 2, 0, 0, 0, 0]
        assert sign_flip(two.differences(found)) == 2.0**-6

    def test_the_largest_shift_is_first(self):
        table = self.table(
            self.removed("tried", 0), self.removed("small", 10, 0), self.removed("large", 10, 10)
        )
        assert list(table.index) == ["large", "small", "tried"]
        assert table["shift_rungs"].is_monotonic_decreasing

    def test_of_equal_shifts_other_fields_of_the_problem_are_last(self):
        fields = Removed(
            Fields({"steps": 5}, "exploding_gradient"),
            10,
            GAP,
            runs(rung(10, of(10)), rung(100, of(10))),
        )
        table = self.table(fields, self.removed("clip", 10, 10))
        assert list(table.index) == ["clip", "steps=5"] and table["shift_rungs"].nunique() == 1
        fewer = self.table(fields, self.removed("clip", 9, 10))
        assert list(fewer.index) == ["steps=5", "clip"]

    @pytest.mark.parametrize("falling", [False, True])
    @pytest.mark.parametrize("scale", ["log", "linear"])
    def test_what_solves_nothing_shifts_nothing_outwards(self, falling, scale):
        """At the full budget it solves the rung, so that no easier one is searched; at its share of it, none."""
        dials = (100.0, 50.0, 10.0, 1.0) if falling else (1.0, 5.0, 10.0, 100.0)
        counts = (10, 6, 0, 0)
        found = runs(*(rung(dial, of(n)) for dial, n in zip(dials, counts, strict=True)))
        job = Broken.of(found, scale, falling, dials)
        late = Removed(Named("late"), 10, GAP, rung(dials[2], of(10), cost=600.0), 2.0)
        row = judged(job, [late]).iloc[0]
        assert row["censored_without"] == (">" if falling else "<")
        assert row["shift_rungs"] == 0 and row["shift"] == (1 if scale == "log" else 0)

    def test_a_removal_that_was_only_tried_is_no_test(self):
        tried = [Removed(Named(f"tried {k}"), 0, GAP) for k in range(9)]
        table = self.table(self.removed("clip", 8, 0), *tried)
        assert table.loc["clip", "p"] == table.loc["clip", "p_holm"]
        assert table.loc[
            "tried 0", "note"
        ] == "helped at none of the settings tried" and math.isnan(table.loc["tried 0", "p"])

    def test_too_few_instances_are_said_and_are_no_verdict(self):
        found = broken(4, 0, 0, instances=4)
        table = judged(found, [Removed(Named("clip"), 4, GAP, rung(10, of(4, 4)))])
        assert table["note"].tolist() == [TOO_FEW] and not table["holds"].any()

    def test_what_the_control_gains_is_subtracted(self):
        """Twice as cheap without the pathology: with half of the budget, what costs 600 is not solved."""
        at_once, late = (
            self.removed(name, 10, 10, gain=2.0, cost=cost)
            for name, cost in (("at once", 400.0), ("late", 600.0))
        )
        table = self.table(at_once, late)
        assert table["holds"].to_dict() == {"at once": True, "late": False}
        assert table["solved_without"].to_dict() == {"at once": 10, "late": 0}

    def test_what_another_removal_takes_away_as_well_is_its_own(self):
        loss = self.removed("loss", 10, 0)
        same, more = (
            self.removed(name, 10, last, beyond="loss")
            for name, last in (("same", 0), ("more", 10))
        )
        table = self.table(loss, same, more)
        assert table["holds"].to_dict() == {"loss": True, "same": False, "more": True}
        assert table.loc["same", "p"] == 1
        without = self.table(same)  # where the other one was not asked
        assert without.loc["same", "holds"]

    def test_a_breaking_point_beyond_the_rungs_is_said_to_be(self):
        table = self.table(self.removed("clip", 10, 10))
        assert table.loc["clip", ["censored", "censored_without"]].tolist() == ["", ">"]

    @pytest.mark.parametrize(("last", "all_of_them"), [(10, True), (9, False)])
    def test_what_solves_all_leaves_nothing_to_another_removal(self, last, all_of_them):
        assert self.removed("clip", 10, last).solves_all(broken(10, 2, 0)) == all_of_them
        assert not Removed(Named("tried"), 9, GAP).solves_all(broken(10, 2, 0))

    def test_what_was_not_tried_says_why(self):
        row = self.table(Removed(Named("even"), 0, GAP, unasked="more than 512 dimensions")).iloc[0]
        assert row["note"] == "not asked: more than 512 dimensions" and math.isnan(row["tried"])
        assert not row["holds"] and math.isnan(row["solved_without"])
        row = self.table(Removed(Named("limited"), 0, GAP, instead="clipped")).iloc[0]
        assert row["note"] == "not tried: clipped solves all" and math.isnan(row["tried"])

    def test_two_at_once(self):
        both = Both(Clipped(), Conditioned())
        table = self.table(Removed(both, 9, GAP, runs(rung(10, of(10)), rung(100, of(10)))))
        row = table.loc["gradients clipped and curvatures made alike"]
        assert row["holds"] and row["cause"] == "cliff+ill_conditioning"

    def test_the_same_bits_are_no_cause(self):
        found = broken(10, 2, 0)
        table = judged(
            found, [Removed(Named(f"sham {k}"), 2, GAP, found.at(10)) for k in range(12)]
        )
        assert not table["holds"].any() and (table["p"] == 1).all()

    def test_nothing_to_judge(self):
        assert judged(broken(10, 2, 0), []).empty

    def test_the_best_has_most_runs_solved_then_tried_then_the_least_gap(self):
        found = [self.removed("few", 3), self.removed("many", 4), Removed(Named("tried"), 9, GAP)]
        job = broken(10, 2, 0)
        assert max(found, key=lambda each: each.order(job)).removal.name == "many"
        tried = [Removed(Named(str(gap)), 0, gap) for gap in (-1.0, -3.0, math.inf)]
        assert max(tried, key=lambda each: each.order(job)).gap == -3

    def test_what_is_solved_at_easier_rungs_or_when_tuned_makes_no_removal_better(self):
        job = broken(10, 2, 0)
        better = Removed(Named("better"), 0, GAP, rung(10, of(6)))
        worse = rung(10, of(2), tuning=of(10)), rung(1, of(10))
        assert better.order(job) > Removed(Named("worse"), 0, GAP, runs(*worse)).order(job)

    def test_one_that_could_not_be_run_is_a_row_with_its_error(self):
        row = self.table(Removed(Named("failing"), 0, math.inf, error="ValueError: no")).iloc[0]
        assert row["note"] == "failed: ValueError: no" and math.isnan(row["tried"])


def test_names_of_removals_say_what_is_done():
    assert (Held().name, Held().cause) == ("steps held against curvature", "sharpening")
    assert Fields({"steps": 5, "units": 2}, "vanishing_gradient").name == "steps=5, units=2"


def test_the_tuned_trial_is_judged_at_a_share_of_the_budget():
    """Trial 2 solves all at once, trial 1 later and is chosen first by number only."""
    both = runs(rung(1, of(10), cost=600.0), rung(1, of(10), cost=400.0, trial=2))
    assert solved(both).all() and solved(both, 0.5).all() and not solved(both, 0.3).any()


@pytest.mark.slow
def test_the_published_simulation_promises_what_its_text_says():
    """With few jobs, so that bounds are loose."""
    table = simulation.simulate(400).set_index(["search", "solved", "removals"])
    shares = table.apply(lambda column: column.str.rstrip(" %").astype(float) / 100)
    called = [name for name in shares if name.startswith("called")]
    assert (shares.xs(0.05, level="solved")[called] < 0.05).all(axis=None)
    assert (shares["called, other noise"].xs(0.2, level="solved") < 0.05).all()
    nearly_half = shares.xs((0.45, 6), level=("solved", "removals"))
    assert (nearly_half["called, other trials"] > 0.2).all()
    assert (shares["called if 80 % are solved"] <= shares["called, other trials"]).all()
    assert (shares["found"] > 0.8).all()
