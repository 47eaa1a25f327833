"""The conclusions and the page, on simulated outcomes with and without a planted effect."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas
import pytest

from benchmarks.study import conclusions, page, verdicts
from benchmarks.study.afterwards import alike, near, of_verdicts
from benchmarks.study.conclusions import Tables, conclude, outcome
from benchmarks.study.external import SOURCES
from benchmarks.study.not_planned import FOR_ALL, not_planned
from benchmarks.study.plan import PLAN, ROOT, Plan
from benchmarks.study.simulated import HYPOTHESES, Simulation
from benchmarks.study.verdicts import VERDICTS

FEW = {"permutations": 400, "samples": 400}
NOBODY = pandas.DataFrame(columns=["source", "workload", "entry", "optimizer", "rank"])


def simulated(simulation, noise=0.02, seed=0):
    """A plan and tables whose outcomes are those of a simulated study, with noise of the reporting seeds."""
    generator = np.random.default_rng(seed)
    study = simulation.draw(generator)
    plan = replace(
        Plan.read(),
        tasks={
            family: [task for task, of in study.family.items() if of == family]
            for family in dict.fromkeys(study.family.values())
        },
        optimizers={
            kind: [name for name, of in study.label.items() if of == kind]
            for kind in dict.fromkeys(study.label.values())
        },
        critical=dict.fromkeys(HYPOTHESES, 0.03),
    )
    long = study.outcome.rename_axis("task").melt(
        ignore_index=False, var_name="optimizer", value_name="place"
    )
    rows = pandas.concat([long.reset_index().assign(seed=seed) for seed in range(1000, 1010)])
    for name in ("train_loss", "test_loss", "early_loss", "third_loss", "best_of_1", "best_of_4"):
        rows[name] = np.exp(rows["place"] + noise * generator.standard_normal(len(rows)))
    profiles = dict.fromkeys(conclusions.PROFILES, study.profile)
    costs = -np.exp(-study.profile)
    return plan, Tables(study.tasks, study.rungs, profiles, costs, rows)


def written(found, tables, plan):
    exploratory = [*not_planned(tables, plan, samples=10)]
    return "\n".join(
        page.with_outcomes(found, tables, NOBODY, exploratory, pandas.DataFrame(), plan)
    )


def test_a_planted_effect_foretells():
    plan, tables = simulated(Simulation(general=0.4, matched=0.6, reliability=1.0), seed=2)
    found = conclude(tables, plan, **FEW)
    assert found.foretells == "foretells" and found.adds
    assert found.tau["nearest"].mean() > 0.4 > found.tau["farthest"].mean()
    low, high = found.interval["nearest"]
    assert low < found.tau["nearest"].mean() < high
    text = written(found, tables, plan)
    assert "**Yes: an optimizer's profile foretells" in text
    assert "but `nearest` orders better than `farthest`" in text


def test_an_unrelated_profile_does_not():
    plan, tables = simulated(Simulation(general=0.5, seen=False))
    found = conclude(tables, plan, **FEW)
    assert found.foretells != "foretells"
    assert found.adjusted["H1"] > 0.05
    text = written(found, tables, plan)
    assert "**Yes" not in text
    assert "but `nearest` is not shown to differ from `farthest`" in text


def test_a_null_is_equivalence_and_not_a_lack_of_significance():
    plan, _ = simulated(Simulation())
    said = conclusions._said
    assert said(0.1, (-0.1, 0.19), set(), plan) == "does not foretell"
    assert said(0.1, (-0.1, 0.21), set(), plan) == "undecided"
    assert said(0.5, (0.21, 0.7), {"H1", "H3"}, plan) == "foretells"
    assert said(0.5, (0.19, 0.7), {"H1", "H3"}, plan) == "undecided"
    assert said(0.5, (0.21, 0.7), {"H1", "H2"}, plan) == "undecided"
    assert said(0.39, (0.21, 0.7), {"H1", "H3"}, plan) == "undecided"


def test_holm_takes_the_critical_levels():
    critical = {"H1": 0.02, "H2": 0.05, "H3": 0.0, "H4": 0.025}
    found = conclusions._adjusted({"H1": 0.004, "H2": 0.02, "H3": 0.0001, "H4": 0.25}, critical)
    assert found == pytest.approx({"H1": 0.03, "H2": 0.04, "H3": 1, "H4": 0.5})


def test_the_ceiling_falls_with_the_noise_of_the_seeds():
    plan, quiet = simulated(Simulation(), noise=1e-6)
    assert conclusions.ceiling(quiet.rows, plan) == pytest.approx(1)
    _, loud = simulated(Simulation(), noise=3.0)
    assert conclusions.ceiling(loud.rows, plan) < 0.6


def test_what_diverges_is_tied_for_the_last_place():
    plan, tables = simulated(Simulation())
    lost = tables.rows["optimizer"].isin(["optimizer 3", "optimizer 8"])
    rows = tables.rows.assign(train_loss=tables.rows["train_loss"].mask(lost, np.inf))
    found = outcome(rows, plan)
    last = found["optimizer 3"]
    assert (last == found["optimizer 8"]).all()
    assert (found.drop(columns=["optimizer 3", "optimizer 8"]).lt(last, axis=0)).all().all()


def counted_orders(rows):
    """Rank optimizers again, without pandas: by how many others have a larger median of ten losses."""
    runs = {}
    for row in rows.to_dict("records"):
        runs.setdefault(row["task"], {}).setdefault(row["optimizer"], []).append(row["train_loss"])
    orders = {}
    for task, by_optimizer in runs.items():
        middle = {}
        for name, losses in by_optimizer.items():
            ordered = sorted(losses)
            middle[name] = (ordered[4] + ordered[5]) / 2
        orders[task] = {
            name: sum(other > own for other in middle.values()) for name, own in middle.items()
        }
    return orders


def test_a_second_ranking_of_the_raw_rows_agrees():
    plan, tables = simulated(Simulation(), noise=0.3)
    first, second = outcome(tables.rows, plan), counted_orders(tables.rows)
    for task in first.index:
        agree = sum(
            np.sign(first.loc[task, a] - first.loc[task, b])
            == np.sign(second[task][b] - second[task][a])
            for a, b in combinations(first.columns, 2)
        )
        pairs = len(first.columns) * (len(first.columns) - 1) / 2
        assert 2 * agree / pairs - 1 > 0.95


def test_every_analysis_is_there():
    plan, tables = simulated(Simulation())
    found = conclude(tables, plan, permutations=10, samples=10)
    assert len(found.multiverse) == 5 * 3 * 2  # outcomes, numbers of rungs, profiles
    assert found.multiverse.drop(columns="tau").duplicated().sum() == 0


def test_a_difference_is_that_of_two_predictions_with_its_interval():
    plan, tables = simulated(Simulation(general=0.4, matched=0.6, reliability=1.0), seed=2)
    found = conclude(tables, plan, **FEW)
    for (one, other), (mean, low, high) in found.above.items():
        assert mean == pytest.approx(found.tau[one].mean() - found.tau[other].mean())
        assert low <= mean <= high
    assert found.above["nearest", "farthest"][1] > 0


def test_rungs_that_order_nobody_are_left_out_and_counted_by_rule():
    plan, tables = simulated(Simulation())
    profile = tables.profiles["tuned"].copy()
    profile.iloc[:3] = 1.0
    profile.iloc[3:5, plan.least_optimizers - 1 :] = np.nan
    given = replace(tables, profiles=dict.fromkeys(conclusions.PROFILES, profile))
    kept = len(profile) - 5
    text = written(conclude(given, plan, permutations=10, samples=10), given, plan)
    assert f"{16 + len(profile)} signatures: 16 of tasks and {len(profile)} of rungs" in text
    assert f"{kept} of these rungs" in text
    assert "3 at which all optimizers solve the same share, and 2 at which fewer" in text
    whole = tables.profiles["tuned"].iloc[5:]
    without = replace(tables, profiles=dict.fromkeys(conclusions.PROFILES, whole))
    pandas.testing.assert_frame_equal(
        conclude(given, plan, permutations=10, samples=10).tau,
        conclude(without, plan, permutations=10, samples=10).tau,
    )


def test_an_effect_that_hangs_on_one_kind_is_gone_without_it():
    """All optimizers of the first kind solve most and are first on all tasks; the others' profiles say nothing."""
    plan, tables = simulated(Simulation(seen=False))
    first = plan.optimizers["kind 0"]
    profile = tables.profiles["tuned"].copy()
    profile[first] += 100
    rows = tables.rows.copy()
    rows.loc[rows["optimizer"].isin(first), "train_loss"] /= 100
    tables = replace(tables, profiles=dict.fromkeys(conclusions.PROFILES, profile), rows=rows)
    by_name = {each.name: each for each in not_planned(tables, plan, samples=400)}
    without = by_name["left out: kind 0"]
    assert without.optimizers == len(plan.kind) - len(first)
    others = [by_name[f"left out: kind {k}"].tau["nearest"][0] for k in range(1, 6)]
    assert min(others) > without.tau["nearest"][0] + 0.2
    assert abs(without.tau["nearest"][0]) < 0.15


def test_a_kind_is_left_out_as_if_it_had_never_been_there():
    plan, tables = simulated(Simulation(general=0.3, matched=0.3))
    (without,) = (e for e in not_planned(tables, plan, 400) if e.name == "left out: kind 2")
    fewer = {kind: names for kind, names in plan.optimizers.items() if kind != "kind 2"}
    names = [name for each in fewer.values() for name in each]
    kept = replace(
        tables,
        profiles={choice: each[names] for choice, each in tables.profiles.items()},
        rows=tables.rows[tables.rows["optimizer"].isin(names)],
    )
    found = conclude(kept, replace(plan, optimizers=fewer), permutations=10, samples=400)
    for name, (mean, *ends) in without.tau.items():
        assert mean == pytest.approx(found.tau[name].mean())
        assert ends == pytest.approx(found.interval[name])


def test_rungs_for_all_optimizers_are_those_without_a_gap():
    plan, tables = simulated(Simulation(general=0.4, matched=0.6, reliability=1.0))
    profile = tables.profiles["tuned"].copy()
    profile.iloc[::2, 0] = np.nan
    given = replace(tables, profiles=dict.fromkeys(conclusions.PROFILES, profile))
    (found,) = (e for e in not_planned(given, plan, 10) if e.name == FOR_ALL)
    kept = replace(tables, profiles=dict.fromkeys(conclusions.PROFILES, profile.iloc[1::2]))
    alone = conclude(kept, plan, permutations=10, samples=10)
    assert found.tau["nearest"][0] == pytest.approx(alone.tau["nearest"].mean())
    assert found.tau["nearest"][0] != pytest.approx(
        conclude(given, plan, permutations=10, samples=10).tau["nearest"].mean()
    )
    text = written(alone, given, plan)
    assert f"{len(profile) // 2} rungs of" in text


def test_the_smallest_p_of_h2_is_said_if_holm_makes_it_too_large():
    plan = Plan.read()
    assert "times 3, by Holm, 0.075" in page._least_of_h2(plan)
    assert page._least_of_h2(replace(plan, critical=plan.critical | {"H2": 0.02})) == ""


def test_orders_are_alike_by_the_mean_of_all_pairs():
    orders = pandas.DataFrame([[1, 2, 3], [1, 2, 3], [3, 2, 1]], list("abc"))
    assert alike(orders) == pytest.approx((1 - 1 - 1) / 3)


def test_a_task_has_its_nearest_rungs_of_different_problems():
    plan, tables = simulated(Simulation())
    for task, rungs in near(tables, plan).items():
        assert len({problem for problem, _ in rungs}) == plan.nearest
        unit = tables.rungs.std(ddof=0)
        squares = ((tables.rungs - tables.tasks.loc[task]) / unit).pow(2).mean(axis=1)
        assert rungs[0] == squares.idxmin()


def test_each_verdict_has_its_share():
    rows = pandas.DataFrame(
        [
            ["unrelated (0, 0)", 10, 0.0, 0.9, 0.0, 0.2, 0.8, 0.1],
            ["unrelated (0.3, 0)", 10, 0.0, 0.9, 0.0, 0.1, 0.9, 0.1],
            ["weak (0.1, 0.1)", 10, 0.2, 0.5, 0.0, 0.85, 0.15, 0.1],
            ["moderate (0.3, 0.15)", 10, 0.3, 0.6, 0.3, 0.7, 0.0, 0.5],
            ["large (0.3, 0.35)", 10, 0.38, 0.6, 0.4, 0.6, 0.0, 0.5],
        ],
        columns=["profile", "studies", "tau", "contains", *VERDICTS, "adds"],
    )
    text = "\n".join(of_verdicts(rows, Plan.read()))
    assert "the rules say so in 80% to 90%" in text
    assert "it comes out in 85%, 70% and 60% of the studies" in text
    assert "a mean τ of 0.38, and `foretells` asks for 0.4" in text
    assert "| large (0.3, 0.35) | 0.38 | 40% | 60% | 0% | 50% | 60% |" in text
    assert "the mean τ in 50% to 90%" in text


def test_verdicts_are_those_of_the_plans_rules():
    """An unrelated profile does not foretell, and a very large effect does, in nearly all of a few studies."""
    rows = pandas.DataFrame(verdicts.verdicts(Plan.read(), 12)).set_index("profile")
    assert rows[[*VERDICTS]].sum(axis=1).to_numpy() == pytest.approx(1)
    unrelated = rows[rows.index.str.startswith("unrelated")]
    assert abs(unrelated["tau"]).max() < 0.12
    assert unrelated["foretells"].max() == 0 and unrelated["does not foretell"].min() > 0.5
    assert rows.loc["very large (0.5, 0.35)", "foretells"] > 0.4
    assert rows["tau"].iloc[-4:].is_monotonic_increasing


def test_by_cost_the_cheaper_is_better_and_what_is_not_solved_is_last():
    plan, tables = simulated(Simulation(general=0.4, matched=0.4))
    as_planned = conclude(tables, plan, **FEW)
    *_, by_cost = not_planned(tables, plan, samples=400)  # costs that have the order of the shares
    assert by_cost.tau["nearest"][0] == pytest.approx(as_planned.tau["nearest"].mean())
    assert "other tasks" not in by_cost.tau
    last = tables.costs.mask(tables.costs.lt(tables.costs.median(axis=1), axis=0), -np.inf)
    *_, halved = not_planned(replace(tables, costs=last), plan, samples=400)
    assert np.isfinite(halved.tau["mean"]).all()
    assert 0 < halved.tau["nearest"][0] < by_cost.tau["nearest"][0] + 0.1


def test_ranks_from_elsewhere_are_compared_where_there_are_enough():
    _, tables = simulated(Simulation())
    ours = page.by_mean(tables.profiles["tuned"], pandas.Index([0])).loc[0].sort_values()
    ours = ours.drop_duplicates()
    one, two = (source.name for source in SOURCES[:2])
    rows = [[one, "w", name, name, rank] for rank, name in enumerate(ours.index[:5], 1)]
    rows += [[two, "w", name, name, rank] for rank, name in enumerate(ours.index[:2], 1)]
    rows.append([one, "w", "unknown", "", 9])
    first, second = page._external(
        tables.profiles["tuned"], pandas.DataFrame(rows, columns=NOBODY.columns)
    )
    assert first[0] == f"[{one}]({SOURCES[0].link})" and first[1] == SOURCES[0].licence
    assert first[3] == "1.00" and "unknown" not in first[2]
    assert second[2] == ", ".join(sorted(ours.index[:2])) and second[3] == ""


def test_page_without_outcomes_says_so_first(tmp_path):
    for file in (PLAN, page.PREREGISTRATION):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes((ROOT / file).read_bytes())
    plan = Plan.read(tmp_path)
    page.write(plan, tmp_path, ["outcomes of convex: 0 of 40"])
    text = (tmp_path / page.PAGE).read_text()
    assert "**That is not known yet" in text.splitlines()[2]
    assert plan.digest in text and "- outcomes of convex: 0 of 40" in text
    assert text.count(page.DEVIATIONS) == 1
    assert not (tmp_path / "docs" / page.PICTURE).exists()


def test_plan_is_json_with_one_meaning():
    """No name is given twice, of which JSON would keep the last."""

    def once(pairs):
        names = [name for name, _ in pairs]
        assert len(set(names)) == len(names)
        return dict(pairs)

    json.loads((ROOT / PLAN).read_text(), object_pairs_hook=once)
