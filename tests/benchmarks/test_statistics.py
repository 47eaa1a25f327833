"""Statistics on tables: against scipy, brute force and numbers from hand; and that nothing moves."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas
import pytest
from scipy import stats

from benchmarks import statistics
from benchmarks.analysis.pairs import Pairing, over_instances
from benchmarks.engine.trial_choice import choose
from ravine import Refused

MISS = math.inf


def cell(
    costs, *, problem="bowl", dial=1.0, optimizer="sgd", tuning=None, sobol=None, gaps=None, **more
):
    """Runs by trial: reporting costs (MISS or a number), and the tuning ones, the same if not given."""
    rows = []
    for role, first, by_trial in (("tuning", 0, tuning or costs), ("reporting", 1000, costs)):
        for trial, paid in by_trial.items():
            for k, cost in enumerate(paid):
                gap = gaps[trial][k] if gaps else 1e-5 if math.isfinite(cost) else 0.5
                search = "default" if trial == 0 else "sobol"
                if sobol is not None and trial > sobol:
                    search = "refined"
                rows.append({
                    "problem": problem, "dial": dial, "optimizer": optimizer, "trial": trial,
                    "search": search, "seed": first + k, "role": role, "budget": 1000.0,
                    "status": "solved" if math.isfinite(cost) else "missed", "gap_final": gap,
                    "cost": cost if math.isfinite(cost) else 1000.0,
                    "cost_to_target": cost if math.isfinite(cost) else math.nan,
                    "u": 10.0**-trial, "problem.dial": dial,
                    "cell": f"{problem} {dial} {optimizer}", **more,
                })  # fmt: skip
    return pandas.DataFrame(rows)


def summary(runs, choice="tuned"):
    """The trial that the tuning rows choose, cell by cell."""
    return pandas.DataFrame([
        {"cell": name, "choice": choice, "trial": choose(group)["tuned"]}
        for name, group in runs.groupby("cell")
    ])  # fmt: skip


def random_cell(generator, trials=5, seeds=4, missing=0.4, **named):
    def costs():
        paid = generator.integers(1, 900, (trials, seeds)).astype(float)
        return np.where(generator.random((trials, seeds)) < missing, MISS, paid)

    both = costs(), costs()
    by_trial = [dict(zip(range(1, trials + 1), each, strict=True)) for each in both]
    gaps = dict(enumerate(generator.random((trials, seeds)).tolist(), start=1))
    return cell(by_trial[0], tuning=by_trial[1], gaps=gaps, **named)


def pooled(*frames):
    return pandas.concat(frames, ignore_index=True)


class TestBestOf:
    def test_it_is_the_mean_over_all_subsets(self):
        """Each subset makes the choice of a search that has no other trials."""
        runs = random_cell(np.random.default_rng(0))
        found = statistics.best_of(runs, ks=range(1, 6)).set_index("k")
        for k in range(1, 6):
            shares, paid = [], []
            for subset in itertools.combinations(range(1, 6), k):
                trial = choose(runs[runs["trial"].isin(subset)])["tuned"]
                best = runs[(runs["trial"] == trial) & (runs["role"] == "reporting")]
                shares.append((best["status"] == "solved").mean())
                paid.extend(best["cost_to_target"].fillna(MISS))
            assert found["solved"][k] == pytest.approx(np.mean(shares), abs=1e-12)
            assert found["cost"][k] == np.median(paid)

    def test_the_choice_is_made_on_tuning_rows(self):
        """Trial 2 is lucky in tuning and solves nothing: the best of two does not either."""
        runs = cell({1: [5.0] * 4, 2: [MISS] * 4}, tuning={1: [5.0, MISS], 2: [5.0, 5.0]})
        assert statistics.best_of(runs)["solved"].tolist() == [0.5, 0.0]

    def test_defaults_and_refinement_are_drawn_from_no_smaller_search(self):
        costs = {0: [1.0] * 4, 1: [MISS] * 4, 2: [MISS] * 4, 3: [7.0] * 4, 4: [8.0] * 4}
        found = statistics.best_of(cell(costs, sobol=2), ks=(1, 2, 3, 4, 5))
        assert found["k"].tolist() == [1, 2, 4]
        assert found["solved"].tolist() == [0.0, 0.0, 1.0]
        assert found["cost"].tolist() == [MISS, MISS, 7.0]
        assert statistics.best_of(cell({0: [1.0]})).empty

    def test_chances_are_those_of_order_statistics(self):
        """That the best of k has rank r is hypergeometric: none of k among the r − 1 before it."""
        for n, k in ((24, 1), (24, 8), (16, 16)):
            below = stats.hypergeom.sf(0, n, np.arange(n + 1), k)  # at least one of the first r
            assert statistics.best_rank_chances(n, k) == pytest.approx(np.diff(below), abs=1e-12)

    def test_weighted_median_is_that_of_repeated_values(self):
        generator = np.random.default_rng(1)
        for _ in range(50):
            values = generator.choice([1.0, 2, 5, 9, MISS], 6)
            weights = generator.integers(0, 4, 6)
            weights[0] += 1
            expected = np.median(np.repeat(values, weights))
            assert statistics.weighted_median(values, weights / 7) == expected


class TestTransfer:
    FAMILY = {"a": "one", "a2": "one", "b": "two", "c": "three"}

    def test_the_family_itself_has_no_say(self):
        """Trial 1 is best in family one, trial 2 elsewhere."""
        good, bad = [1.0] * 3, [MISS] * 3
        runs = pooled(
            cell({1: good, 2: bad}, problem="a"),
            cell({1: good, 2: bad}, problem="a2"),
            cell({1: bad, 2: good}, problem="b"),
            cell({1: [9.0] * 3, 2: [8.0] * 3}, problem="c"),
        )
        found = statistics.transfer(runs, self.FAMILY).set_index("problem")
        assert found["trial"].to_dict() == {"a": 2, "a2": 2, "b": 1, "c": 1}
        assert found["families"].to_dict() == {"a": 2, "a2": 2, "b": 2, "c": 2}
        assert found["mean_rank"]["a"] == 1.0 and found["mean_rank"]["b"] == 1.5

    def test_ranks_are_means_of_means(self):
        """By brute force: sorted tuples, ties shared, rungs within problems within families."""
        generator = np.random.default_rng(2)
        names = [
            ("a", 1.0),
            ("a", 2.0),
            ("a", 3.0),
            ("a2", 1.0),
            ("b", 1.0),
            ("b", 2.0),
            ("c", 1.0),
        ]
        cells = {
            name: random_cell(generator, missing=0.8, problem=name[0], dial=name[1])
            for name in names
        }

        def ranks(runs):
            tuning = runs[runs["role"] == "tuning"]
            keys = {
                trial: (
                    -(group["status"] == "solved").sum(),
                    np.median(group["cost_to_target"].fillna(MISS)),
                    np.median(np.log10(group["gap_final"])),
                )
                for trial, group in tuning.groupby("trial")
            }
            ordered = sorted(keys.values())
            return np.array([
                np.mean([i + 1 for i, each in enumerate(ordered) if each == keys[trial]])
                for trial in range(1, 6)
            ])  # fmt: skip

        def problem(name):
            return np.mean([ranks(runs) for key, runs in cells.items() if key[0] == name], axis=0)

        one = (problem("a") + problem("a2")) / 2
        two, three = problem("b"), problem("c")
        means = {"a": (two + three) / 2, "b": (one + three) / 2, "c": (one + two) / 2}
        found = statistics.transfer(pooled(*cells.values()), self.FAMILY)
        assert len(found) == len(names)
        for row in found[found["problem"] != "a2"].to_dict("records"):
            expected = means[row["problem"]].round(9)
            assert row["trial"] == 1 + np.argmin(expected)
            assert row["mean_rank"] == pytest.approx(expected.min())

    def test_equal_trials_share_their_rank(self):
        costs = {1: [5.0], 2: [1.0], 3: [1.0]}
        runs = pooled(cell(costs, problem="a"), cell(costs, problem="b"))
        found = statistics.transfer(runs, self.FAMILY)
        assert found[["trial", "mean_rank"]].to_numpy().tolist() == [[2, 1.5]] * 2

    def test_only_cells_with_all_its_sobol_trials_vote(self):
        few = cell({1: [5.0], 2: [1.0]}, problem="a")
        many = cell({1: [1.0], 2: [5.0], 3: [3.0], 4: [0.5]}, problem="b", sobol=3)
        found = statistics.transfer(pooled(few, many), self.FAMILY)
        assert found[["problem", "trial"]].to_numpy().tolist() == [["a", 1]]

    def test_with_nothing_to_search_it_is_the_one_trial(self):
        runs = pooled(cell({0: [1.0]}, problem="a"), cell({0: [MISS]}, problem="b"))
        found = statistics.transfer(runs, self.FAMILY)
        assert found[["trial", "mean_rank", "families"]].to_numpy().tolist() == [[0, 1, 1]] * 2

    def test_alone_in_its_family_there_is_no_elsewhere(self):
        runs = pooled(cell({1: [1.0]}, problem="a"), cell({1: [1.0]}, problem="a2"))
        assert statistics.transfer(runs, self.FAMILY).empty

    def test_reporting_rows_have_no_say(self):
        tuning = {1: [1.0], 2: [2.0]}
        runs = pooled(
            cell({1: [MISS], 2: [1.0]}, tuning=tuning, problem="a"),
            cell({1: [MISS], 2: [1.0]}, tuning=tuning, problem="b"),
        )
        assert statistics.transfer(runs, self.FAMILY)["trial"].tolist() == [1, 1]


class TestSuccess:
    def test_ert_is_coco_s(self):
        """Three solved at 10, 20, 30 and two failed at 100 and 1000: 1160 / 3."""
        runs = cell({1: [10.0, 20.0, 30.0, MISS, MISS]}).query("role == 'reporting'")
        runs.loc[runs["seed"] == 1003, "cost"] = 100.0
        runs.loc[runs["seed"] == 1000, "cost"] = 777.0  # a solved run pays up to its target
        assert statistics.expected_running_time(runs) == pytest.approx(1160 / 3)
        assert statistics.expected_running_time(runs[runs["status"] == "missed"]) == math.inf

    def test_ert_is_what_restarts_pay(self):
        """Independent restarts of a run that solves with chance .3 at 10 and else fails at 40."""
        generator = np.random.default_rng(3)
        tries = generator.geometric(0.3, 100_000)
        simulated = np.mean(10.0 + 40.0 * (tries - 1))
        runs = cell({1: [10.0] * 3 + [MISS] * 7}).query("role == 'reporting'")
        runs.loc[runs["status"] == "missed", "cost"] = 40.0
        assert statistics.expected_running_time(runs) == pytest.approx(simulated, rel=0.02)

    def test_shares_have_wilson_s_interval(self):
        runs = cell({1: [10.0] * 7 + [MISS] * 3, 2: [MISS] * 10})
        found = statistics.success(statistics.chosen(runs, summary(runs))).iloc[0]
        expected = stats.binomtest(7, 10).proportion_ci(method="wilson")
        assert (found["solved"], found["runs"], found["share"], found["trial"]) == (7, 10, 0.7, 1)
        assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high))
        assert found["expected_running_time"] == pytest.approx(3070 / 7)

    def test_sensitivity_is_the_share_by_rate(self):
        costs = {0: [1.0] * 2, 1: [1.0, MISS], 2: [1.0, 1.0], 3: [1.0] * 2}
        runs = cell(costs, tuning=dict.fromkeys(costs, [MISS] * 2), sobol=2)
        found = statistics.sensitivity(runs)
        assert found[["u", "share", "runs"]].to_numpy().tolist() == [[0.01, 1, 2], [0.1, 0.5, 2]]
        assert statistics.sensitivity(runs.drop(columns="u")).empty

    def test_a_skipped_cell_counts_as_misses(self):
        hopeless = cell({1: [MISS] * 3}, dial=2.0)
        skipped = hopeless.iloc[:1].assign(
            dial=3.0, status="skipped", role=None, seed=None, trial=None, cell="skipped", budget=700.0,
            **{"problem.dial": 3.0},
        )  # fmt: skip
        rows = statistics.chosen(pooled(hopeless, skipped), summary(hopeless))
        found = statistics.with_variant(rows).query("dial == 3")
        assert found["seed"].tolist() == [1000, 1001, 1002]
        assert set(found["status"]) == {"missed"} and set(found["choice"]) == {"tuned"}
        assert set(found["cost"]) == {
            700.0
        }  # the price of its own budget, and not of the rung before
        easier = cell({1: [10.0] * 3}).query("role == 'reporting'")
        assert statistics.expected_running_time(pooled(easier, found)) == (3 * 10 + 3 * 700) / 3
        assert set(found["variant"]) == {"dial 3"}
        assert statistics.expected_running_time(found) == math.inf

    def test_a_wide_table_stays_in_few_blocks(self):
        """A suite has two hundred fields of problems; pandas warns of frames in more than a hundred blocks."""
        fields = [f"problem.field_{k}" for k in range(150)]
        hopeless = cell({1: [MISS] * 3}, dial=2.0)
        wide = pandas.concat(
            [hopeless, pandas.DataFrame(1.0, index=hopeless.index, columns=fields)], axis=1
        )
        skipped = wide.iloc[:1].assign(status="skipped", role=None, cell="skipped", budget=700.0)
        for runs in (wide, pooled(wide, skipped)):
            rows = statistics.chosen(runs, summary(hopeless))
            assert list(statistics.with_variant(rows).assign(more=1)) == [*rows, "variant", "more"]


class TestAttainment:
    @staticmethod
    def traces(generator, problem, optimizer="sgd", runs=6, length=30):
        rows = []
        for seed in range(runs):
            gap = np.exp(np.cumsum(generator.normal(-0.4, 1, length))) / 2
            cost = np.cumsum(generator.integers(1, 4, length)).astype(float)
            rows.append(pandas.DataFrame({
                "problem": problem, "optimizer": optimizer, "cell": f"{problem} {optimizer}",
                "trial": 1, "seed": seed, "step": np.arange(length), "cost": cost, "gap": gap,
            }))  # fmt: skip
        return pooled(*rows)

    def test_it_is_the_count_of_pairs_reached(self):
        generator = np.random.default_rng(4)
        traces = pooled(self.traces(generator, "a"), self.traces(generator, "b"))
        traces.loc[7, "gap"] = math.nan
        target = {"a": 1e-4, "b": 1e-2}
        found = statistics.attainment(traces.sample(frac=1, random_state=0), target, count=8)
        for cost in (2.0, 10.0, 25.0, 60.0, 1e9):
            reached = [
                ((run["cost"] <= cost) & (run["gap"] <= level)).any()
                for (problem, _), run in traces.groupby(["problem", "seed"])
                for level in 10 ** np.linspace(0, np.log10(target[problem]), 9)[1:]
            ]
            below = found[found["cost"] <= cost]["share"]
            assert (below.max() if len(below) else 0) == pytest.approx(np.mean(reached))
        assert set(found["pairs"]) == {2 * 6 * 8}
        assert found["cost"].is_monotonic_increasing

    def test_without_a_known_minimum_there_is_no_curve(self):
        generator = np.random.default_rng(5)
        known, unknown = self.traces(generator, "a"), self.traces(generator, "b")
        alone = statistics.attainment(known, {"a": 1e-2})
        both = statistics.attainment(pooled(known, unknown), {"a": 1e-2})
        pandas.testing.assert_frame_equal(alone, both)
        assert statistics.attainment(unknown, {"a": 1e-2}).empty

    def test_no_target_is_tighter_than_the_problem_s(self):
        """A run that ends at its target, in float32, has reached everything."""
        traces = self.traces(np.random.default_rng(6), "a", runs=1, length=3)
        traces["gap"] = np.array([1.0, 0.5, 0.1], dtype=np.float32)
        found = statistics.attainment(traces, {"a": 0.1})
        assert found["share"].iloc[-1] == 1.0
        assert statistics.attainment(traces, {"a": 0.09})["share"].iloc[-1] < 1.0


class TestPaired:
    def test_the_sign_test_is_scipy_s(self):
        for wins, losses in itertools.product(range(13), range(13)):
            expected = stats.binomtest(wins, wins + losses).pvalue if wins + losses else 1.0
            assert statistics.sign_test(wins, losses) == pytest.approx(expected)

    def test_without_misses_the_interval_is_scipy_s(self):
        generator = np.random.default_rng(7)
        first, second = generator.normal(size=(2, 12))
        found = statistics.paired(first, second)
        expected = stats.quantile_test(second - first, p=0.5).confidence_interval(0.95)
        assert (found["effect_low"], found["effect_high"]) == pytest.approx(
            (expected.low, expected.high)
        )
        assert found["effect"] == pytest.approx(np.median(second - first))
        assert found["wins"] == (second < first).sum() and found["pairs"] == 12
        assert found["level"] == pytest.approx(1 - 2 * stats.binom.cdf(2, 12, 0.5))

    def test_a_miss_is_infinitely_dear(self):
        first = np.array([1.0] * 9 + [MISS])
        found = statistics.paired(first, np.array([MISS] * 9 + [1.0]))
        assert (found["wins"], found["losses"], found["ties"]) == (1, 9, 0)
        assert found["effect"] == math.inf == found["effect_high"]

    def test_where_both_miss_nobody_knows(self):
        """Whatever the two would have paid, the interval holds that of the completed data."""
        generator = np.random.default_rng(8)
        for _ in range(200):
            first, second = generator.normal(size=(2, 10))
            both = generator.random(10) < 0.3
            full = statistics.paired(first, second)
            hidden = statistics.paired(np.where(both, MISS, first), np.where(both, MISS, second))
            assert hidden["effect_low"] <= full["effect_low"]
            assert hidden["effect_high"] >= full["effect_high"]
            assert hidden["ties"] == both.sum()
        nothing = statistics.paired(np.full(8, MISS), np.full(8, MISS))
        assert math.isnan(nothing["effect"]) and nothing["p"] == 1
        assert (nothing["effect_low"], nothing["effect_high"]) == (-math.inf, math.inf)

    def test_no_pairs(self):
        found = statistics.paired(np.zeros(0), np.zeros(0))
        assert found["pairs"] == 0 and found["p"] == 1 and math.isnan(found["effect"])

    def test_the_order_of_the_rows_is_nothing_and_seeds_are_paired(self):
        runs = pooled(
            cell({1: [1.0, 2.0, 300.0, MISS]}),
            cell({1: [2.0, 3.0, 301.0, 999.0]}, optimizer="adam").sample(frac=1, random_state=1),
        )
        found = statistics.compare_optimizers(runs, summary(runs), "sgd", "adam").iloc[0]
        assert (found["wins"], found["losses"], found["ties"]) == (1, 3, 0)
        assert found["measure"] == "cost"

    def test_noisy_problems_are_judged_by_their_gap(self):
        costs, gaps = {1: [5.0] * 6}, {1: [1e-3] * 6}
        runs = pooled(cell(costs, gaps=gaps), cell(costs, gaps={1: [1e-4] * 6}, optimizer="adam"))
        found = statistics.compare_optimizers(runs, summary(runs), "sgd", "adam", noisy={"bowl"})
        assert found["measure"].tolist() == ["gap"]
        assert found["effect"].iloc[0] == pytest.approx(-1) and found["wins"].iloc[0] == 6
        assert (
            statistics.compare_optimizers(runs, summary(runs), "sgd", "adam")["ties"].iloc[0] == 6
        )

    def test_two_misses_are_compared_by_their_gap(self):
        """Of six instances: cost, gap, a gap within 1 %, solved beats missed, diverged loses, both diverged."""
        one = cell({1: [5.0, *[MISS] * 3, 700.0, MISS]}, gaps={1: [1e-5, 0.1, 0.1, 0.1, 1e-5, 9.0]})
        other = cell(
            {1: [4.0, *[MISS] * 5]}, gaps={1: [1e-5, 0.2, 0.1005, 0.3, 1e-3, 9.0]}, optimizer="adam"
        )
        for frame, lost in ((one, [1005]), (other, [1003, 1005])):
            frame.loc[frame["seed"].isin(lost), ["status", "gap_final"]] = ["diverged", math.nan]
        runs = pooled(one, other)
        found = statistics.compare_optimizers(runs, summary(runs), "sgd", "adam").iloc[0]
        assert (found["wins"], found["losses"], found["ties"]) == (1, 3, 2)
        back = statistics.compare_optimizers(runs, summary(runs), "adam", "sgd").iloc[0]
        assert (back["wins"], back["losses"], back["ties"]) == (3, 1, 2)

    @pytest.mark.parametrize(("factor", "ties"), [(1.009, 6), (1.011, 0)])
    def test_gaps_within_one_per_cent_are_a_tie(self, factor, ties):
        never = {1: [MISS] * 6}
        further = cell(never, gaps={1: [0.1 * factor] * 6}, optimizer="adam")
        runs = pooled(cell(never, gaps={1: [0.1] * 6}), further)
        found = statistics.compare_optimizers(runs, summary(runs), "sgd", "adam").iloc[0]
        assert (found["ties"], found["losses"]) == (ties, 6 - ties)

    def test_the_effect_is_of_the_gap_where_that_on_the_cost_is_unknown(self):
        gaps = ({1: [0.1] * 6}, {1: [1.0] * 6})
        for solved, measure, effect in (
            (0, "gap", 1.0),
            (2, "gap", 1.0),
            (4, "cost", math.log10(2)),
        ):
            costs = [{1: [each] * solved + [MISS] * (6 - solved)} for each in (5.0, 10.0)]
            sides = zip(costs, gaps, ("sgd", "adam"), strict=True)
            runs = pooled(*(cell(c, gaps=g, optimizer=name) for c, g, name in sides))
            found = statistics.compare_optimizers(runs, summary(runs), "sgd", "adam").iloc[0]
            assert found["measure"] == measure and found["losses"] == 6
            assert found["effect"] == pytest.approx(effect)

    def test_of_a_skipped_rung_the_gap_is_unknown(self):
        """It counts as misses, and a miss that was run is no better for its gap."""
        easy = [cell({1: [5.0] * 6}, optimizer=name) for name in ("sgd", "adam")]
        hard = cell({1: [MISS] * 6}, dial=2.0)
        skipped = hard.iloc[:1].assign(status="skipped", optimizer="adam", cell="bowl 2.0 adam")
        runs = pooled(*easy, hard, skipped.assign(trial=math.nan, seed=math.nan, role=None))
        for noisy in ((), ("bowl",)):
            found = statistics.compare_optimizers(
                runs, summary(pooled(*easy, hard)), "sgd", "adam", noisy
            )
            assert found["dial"].tolist() == [1.0, 2.0] and found["ties"].tolist() == [6, 6]

    def test_who_solves_a_rung_that_another_skipped_is_better_with_noise_too(self):
        easy = [cell({1: [5.0] * 6}, optimizer=name) for name in ("sgd", "adam")]
        hard = cell({1: [50.0] * 6}, dial=2.0)
        skipped = hard.iloc[:1].assign(status="skipped", optimizer="adam", cell="bowl 2.0 adam")
        runs = pooled(*easy, hard, skipped.assign(trial=math.nan, seed=math.nan, role=None))
        for noisy in ((), ("bowl",)):
            found = statistics.compare_optimizers(
                runs, summary(pooled(*easy, hard)), "sgd", "adam", noisy
            )
            assert found["losses"].tolist() == [0, 6]

    def test_two_searches_under_one_name_are_refused(self):
        runs = pooled(cell({1: [1.0]}), cell({1: [2.0]}).assign(cell="another"))
        with pytest.raises(Refused, match="two searches of the same, bowl"):
            statistics.compare_optimizers(runs, summary(runs), "sgd", "sgd")

    def test_nothing_moves_when_another_joins(self):
        """Every statistic of one optimizer, and of a pair, with a third in the pool and without."""
        generator = np.random.default_rng(9)
        family = {"a": "one", "b": "two"}
        names = [("a", 1.0), ("a", 2.0), ("b", 1.0)]

        def runs_of(*optimizers):
            generator = np.random.default_rng(9)
            return pooled(*(
                random_cell(generator, seeds=8, problem=p, dial=d, optimizer=o)
                for o in optimizers for p, d in names
            ))  # fmt: skip

        two, three = runs_of("adam", "sgd"), runs_of("adam", "sgd", "momentum")
        traces = [
            TestAttainment.traces(generator, "a", each) for each in ("adam", "sgd", "momentum")
        ]

        def of_two(frame):
            named = [name for name in ("optimizer", "first", "second") if name in frame]
            kept = frame[(frame[named] != "momentum").all(axis=1)]
            return kept.reset_index(drop=True)

        for statistic in (
            lambda runs: statistics.best_of(runs),
            lambda runs: statistics.transfer(runs, family),
            lambda runs: statistics.sensitivity(runs),
            lambda runs: statistics.success(statistics.chosen(runs, summary(runs))),
            lambda runs: statistics.told_apart(runs, summary(runs)),
            lambda runs: statistics.compare_optimizers(runs, summary(runs), "adam", "sgd"),
        ):
            assert len(of_two(statistic(three))) < len(statistic(three)) or (
                "optimizer" not in statistic(three) and "first" not in statistic(three)
            )
            pandas.testing.assert_frame_equal(of_two(statistic(three)), statistic(two))
        curves = [statistics.attainment(pooled(*traces[:n]), {"a": 1e-3}) for n in (2, 3)]
        pandas.testing.assert_frame_equal(of_two(curves[1]), curves[0])


class TestHolm:
    def test_with_many_pairs_it_is_holm_s(self):
        """Of p that all tests can attain alike, the golden step-down: p (m − j), cumulated."""
        splits = [(0, 10), (1, 9), (1, 9), (2, 8), (5, 5)]
        p = [statistics.sign_test(*each) for each in splits]
        expected = np.minimum(np.maximum.accumulate(np.array(p) * [5, 4, 3, 2, 1]), 1)
        shuffled = np.random.default_rng(0).permutation(5)
        found = statistics.holm(np.array(p)[shuffled], np.full(5, 10))
        assert found == pytest.approx(expected[shuffled])

    def test_it_is_never_more_than_holm_s_and_never_less_than_p(self):
        generator = np.random.default_rng(10)
        for _ in range(100):
            pairs = generator.integers(0, 12, 8)
            wins = generator.binomial(pairs, 0.2)
            p = np.array([statistics.sign_test(w, n - w) for w, n in zip(wins, pairs, strict=True)])
            found = statistics.holm(p, pairs)
            order = np.argsort(p)
            plain = np.minimum(np.maximum.accumulate(p[order] * np.arange(8, 0, -1)), 1)
            assert (found[order] <= plain + 1e-12).all() and (found >= p - 1e-12).all()
            assert (np.diff(found[order]) >= 0).all()

    def test_the_first_is_the_bonferroni_sum_of_chances(self):
        """By brute force: the chance of each test to report that or less, over all its outcomes."""
        pairs, wins = np.array([6, 9, 11, 3]), np.array([0, 1, 1, 0])
        p = np.array([stats.binomtest(w, n).pvalue for w, n in zip(wins, pairs, strict=True)])
        least = p.min()
        chance = sum(
            sum(
                stats.binom.pmf(k, n, 0.5)
                for k in range(n + 1)
                if stats.binomtest(k, n).pvalue <= least + 1e-12
            )
            for n in map(int, pairs)
        )
        assert statistics.holm(p, pairs)[p.argmin()] == pytest.approx(chance)

    def test_nothing_to_test(self):
        assert statistics.holm([], []).tolist() == []


class TestFamilies:
    def test_families_are_the_units(self):
        """Family one: two problems, +1 and mean of −1 and 0; family two: −1; three: all ties."""
        rows = [("a", 8, 0), ("a2", 0, 8), ("a2", 4, 4), ("b", 1, 7), ("b", 0, 8), ("c", 0, 0)]
        found = pandas.DataFrame(rows, columns=["problem", "wins", "losses"]).assign(
            pairs=8, choice="tuned"
        )
        table = statistics.over_families(found, TestTransfer.FAMILY).iloc[0]
        assert (table["families"], table["better"], table["worse"], table["equal"]) == (3, 1, 1, 1)
        assert table["net"] == 0 and table["p"] == 1
        assert (table["net_low"], table["net_high"]) == (-0.875, 0.25)

    def test_many_problems_of_one_family_are_one(self):
        found = pandas.DataFrame({"problem": [f"p{k}" for k in range(20)]}).assign(
            wins=10, losses=0, pairs=10, choice="tuned"
        )
        assert statistics.over_families(found, dict.fromkeys(found["problem"], "one"))["p"][0] == 1
        alone = statistics.over_families(found, {})
        assert alone["p"][0] == pytest.approx(2 / 2**20) and alone["families"][0] == 20

    def test_rows_that_are_not_named_are_left_out(self):
        found = pandas.DataFrame({"problem": ["a", "b", "c"], "choice": ["tuned", None, "tuned"]})
        found = found.assign(wins=8, losses=0, pairs=8)
        table = statistics.over_families(found, {})
        assert table["choice"].tolist() == ["tuned"] and table["families"].tolist() == [2]


class TestInstances:
    def test_an_instance_is_worse_where_more_of_its_rungs_are(self):
        """On seven instances: two rungs worse and one better on six of them, one of each on the last."""
        signs = [[1, 1, 1, 1, 1, 1, -1], [1, 1, 1, 1, 1, 1, 1], [-1, -1, -1, -1, -1, -1, 0]]
        given = [
            Pairing(("bowl", dial), np.arange(7), "cost", np.array(sign), np.array(sign, float))
            for dial, sign in enumerate(signs)
        ]
        found = over_instances(given, on=["problem", "dial"], by=["problem"]).iloc[0]
        assert (found["rungs"], found["instances"]) == (3, 7)
        assert (found["better"], found["worse"]) == (0, 6)
        assert found["p"] == found["p_holm"] == 2 / 2**6


class TestDiscrimination:
    RUNS = (
        cell({1: [1.0] * 6}, dial=1.0),
        cell({1: [1.0] * 6}, dial=1.0, optimizer="adam"),
        cell({1: [1.0] * 6}, dial=1.0, optimizer="newton"),
        cell({1: [MISS] * 6}, dial=2.0),
        cell({1: [5.0] * 5 + [MISS]}, dial=2.0, optimizer="adam"),
        cell({1: [2.0] * 6}, dial=2.0, optimizer="newton"),
    )

    def test_which_rung_separates_whom(self):
        runs = pooled(*self.RUNS)
        pairs = statistics.told_apart(runs, summary(runs))
        apart = pairs[pairs["apart"]]
        assert apart[["dial", "first", "second"]].to_numpy().tolist() == [
            [2.0, "adam", "newton"],
            [2.0, "newton", "sgd"],
        ]
        against = pairs[(pairs["dial"] == 2) & (pairs["first"] == "adam") & ~pairs["apart"]].iloc[0]
        assert (against["second"], against["wins"], against["losses"]) == ("sgd", 0, 5)
        assert against["p"] == pytest.approx(1 / 16)

    @pytest.mark.parametrize(
        ("noisy", "alike", "dearer"),
        [((), sum([1 / 3] * 6), 2 + 1e-6), (["bowl"], 2 * 1.009, 2 * 1.011)],
        ids=["costs", "gaps"],
    )
    def test_what_is_a_tie_elsewhere_tells_none_apart(self, noisy, alike, dearer):
        """Costs are equal up to rounding, as the sum of six thirds and 2 are; gaps up to 1 %."""
        for paid, losses in ((alike, 0), (dearer, 6)):
            runs = pooled(cell({1: [paid] * 6}), cell({1: [2.0] * 6}, optimizer="adam"))
            runs["gap_final"] = runs["cost_to_target"]
            found = statistics.told_apart(runs, summary(runs), noisy=noisy).iloc[0]
            assert (found["second"], found["wins"], found["losses"]) == ("sgd", 0, losses)
            assert found["apart"] == (losses == 6)

    def test_half_of_the_instances_is_enough_to_solve_a_rung(self):
        half, fewer = cell({1: [1.0] * 3 + [MISS] * 3}), cell({1: [1.0] * 2 + [MISS] * 4})
        runs = pooled(half, fewer.assign(optimizer="adam", cell="bowl 1.0 adam"))
        assert statistics.discrimination(runs, summary(runs))["solving"].tolist() == [1]

    def test_seeds_are_paired_in_whatever_order_the_rows_are(self):
        """Each instance costs adam a little more; one more instance has only one of the two."""
        ours, theirs = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
        adam = cell({1: theirs}, optimizer="adam")
        for rows in (adam, adam.iloc[::-1], adam.sample(frac=1, random_state=2)):
            runs = pooled(cell({1: ours}), rows)
            found = statistics.told_apart(runs, summary(runs)).iloc[0]
            assert (found["first"], found["wins"], found["losses"]) == ("adam", 6, 0)
            assert found["apart"]

    def test_rungs_that_separate_nobody_are_counted(self):
        runs = pooled(*self.RUNS)
        table = statistics.discrimination(runs, summary(runs))
        columns = ["dial", "optimizers", "solving", "pairs", "apart", "separates"]
        assert table[columns].to_numpy().tolist() == [[1, 3, 3, 3, 0, False], [2, 3, 2, 3, 2, True]]
        assert 1 - table["separates"].mean() == 0.5


def rungs(problem, solving, optimizers: Any = 10, variant: Any = "", dials=None):
    """Rows of `discrimination`, one for each number of optimizers that solve a rung."""
    dials = range(1, len(solving) + 1) if dials is None else dials
    return pandas.DataFrame(
        {
            "problem": problem,
            "dial": dials,
            "variant": variant,
            "optimizers": optimizers,
            "solving": solving,
        }
    ).astype({"dial": float})


class TestJudged:
    """Which rungs say nothing, and which of these are wanted."""

    @pytest.mark.parametrize(("dials", "expected"), [
        ((1, 2, 3, 4, 5), ["all", "some", "some", "none", "none"]),
        ((9, 8, 7, 6, 5), ["all", "some", "some", "none", "none"]),  # the dial falls
    ])  # fmt: skip
    def test_the_rung_above_the_last_solved_one_bounds_it(self, dials, expected):
        found = statistics.judged(rungs("p", [10, 8, 1, 0, 0], dials=dials))
        assert list(found["won"]) == expected
        assert list(found["wanted"]) == ["", "", "", "bracket", ""]

    def test_nothing_bounds_the_break_of_nobody(self):
        assert set(statistics.judged(rungs("p", [0, 0]))["wanted"]) == {""}

    def test_a_gap_between_solved_rungs_bounds_no_last_break(self):
        assert set(statistics.judged(rungs("p", [3, 0, 1]))["wanted"]) == {""}

    def test_only_rungs_that_half_of_the_optimizers_ran_count(self):
        found = statistics.judged(rungs("p", [10, 5, 2, 0], optimizers=[10, 5, 4, 10]))
        assert list(found["dial"]) == [1, 2, 4] and list(found["won"]) == ["all", "all", "none"]

    def test_a_control_that_all_win_is_wanted(self):
        """The control of `quadratic` is the condition number 1."""
        table = rungs(
            "quadratic", [10, 10], variant=["dim 100, condition 1", "dim 100, condition 10"]
        )
        assert list(statistics.judged(table)["wanted"]) == ["control", ""]
        lost = table.assign(solving=[9, 9])
        assert set(statistics.judged(lost)["wanted"]) == {""}

    def test_each_problem_has_its_own(self):
        table = pandas.concat([rungs("p", [1, 0]), rungs("q", [1, 1, 1, 0])])
        found = statistics.judged(table)
        assert list(found["wanted"]) == ["", "bracket", "", "", "", "bracket"]
        assert statistics.judged(table[:0]).empty


def simulated(generator, cells, effect=0.0, changed=0, seeds=10, budget=1e3):
    """Two sweeps of one optimizer: log costs with a common part per instance, and own noise.

    Beyond the budget a run is missed. In the first `changed` cells the second costs 10^effect more.
    """
    sides = []
    common = generator.normal(2.3, 0.4, (cells, seeds))
    for side in range(2):
        log_cost = common + generator.normal(0, 0.15, (cells, seeds))
        log_cost[:changed] += effect * side
        solved = (log_cost <= np.log10(budget)).ravel()
        sides.append(pandas.DataFrame({
            "problem": np.repeat([f"p{k}" for k in range(cells)], seeds),
            "seed": np.tile(np.arange(seeds), cells),
            "status": np.where(solved, "solved", "missed"),
            "cost": 10 ** log_cost.ravel(),
            "cost_to_target": np.where(solved, 10 ** log_cost.ravel(), math.nan),
            "gap_final": 0.5,
        }))  # fmt: skip
    return sides


def verdicts(found):
    significant = found["p_holm"] <= statistics.LEVEL
    return significant & (found["losses"] > found["wins"]), significant


def test_one_column_may_name_the_comparisons():
    pair = simulated(np.random.default_rng(0), 2, effect=1.0, changed=1, budget=math.inf)
    found = statistics.differences(*pair, on=["problem"])
    assert found["problem"].tolist() == ["p0", "p1"] and found["losses"].iloc[0] == 10


def test_a_comparison_is_the_same_alone_and_among_others():
    """Of three, the first has the most instances and the second solves none."""
    whole = simulated(np.random.default_rng(1), 3, effect=0.2, changed=2, budget=math.inf)
    pair = [side[(side["problem"] == "p0") | (side["seed"] < 7)].copy() for side in whole]
    for side in pair:
        side.loc[side["problem"] == "p1", ["status", "cost_to_target"]] = ["missed", math.nan]
    found = statistics.differences(*pair, on=["problem"])
    assert found["measure"].tolist() == ["cost", "gap", "cost"]
    assert found["pairs"].tolist() == [10, 7, 7]
    for k, name in enumerate(found["problem"]):
        own = statistics.differences(
            *(side[side["problem"] == name] for side in pair), on=["problem"]
        )
        pandas.testing.assert_series_equal(
            found.iloc[k].drop("p_holm"), own.iloc[0].drop("p_holm"), check_names=False
        )


@pytest.mark.slow
def test_a_null_effect_is_found_at_no_more_than_five_per_cent():
    """In any cell of a sweep: one of ten instances, and four of fifteen."""
    generator = np.random.default_rng(11)
    for cells, seeds in ((1, 10), (4, 15)):
        false = 0
        for _ in range(100):
            found = statistics.differences(
                *simulated(generator, cells, seeds=seeds), on=["problem"]
            )
            false += verdicts(found)[1].any()
        # 5 % and two standard errors of the simulation
        assert false / 100 <= 0.05 + 2 * math.sqrt(0.05 * 0.95 / 100)


@pytest.mark.slow
def test_a_known_effect_is_found_at_its_rate():
    """2.5 times the cost in one of four cells, of ten instances each.

    The log ratio of a pair is normal with mean log10(2.5) and deviation .15 √2. Of four tests, ten of
    ten pairs have an adjusted p of 4 · 2 / 2¹⁰, nine of ten one of .086: found is .735 of them.
    """
    generator = np.random.default_rng(12)
    effect, repeats = math.log10(2.5), 100
    sides = (simulated(generator, 4, effect, 1, budget=math.inf) for _ in range(repeats))
    found = [verdicts(statistics.differences(*pair, on=["problem"]))[0] for pair in sides]
    rate = stats.norm.cdf(effect / (0.15 * math.sqrt(2))) ** 10
    assert rate == pytest.approx(0.735, abs=1e-3)
    # three standard errors of the simulation
    error = math.sqrt(rate * (1 - rate) / repeats)
    assert np.mean([each.iloc[0] for each in found]) == pytest.approx(rate, abs=3 * error)
    assert np.mean([each.iloc[1:].any() for each in found]) <= 0.05
