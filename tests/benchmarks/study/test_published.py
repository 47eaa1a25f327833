"""The published outcomes: ranked a second time from the raw rows, one family run again, and what the page says."""

from __future__ import annotations

import csv
import re
import subprocess
from collections import Counter
from dataclasses import replace
from statistics import median

import numpy as np
import pandas
import pytest
from scipy.stats import kendalltau

from benchmarks.catalog.contenders import contender
from benchmarks.study import page
from benchmarks.study.afterwards import COMMON, alike, near, of_spaces
from benchmarks.study.conclusions import conclude, outcome, read_tables
from benchmarks.study.external import EXTERNAL
from benchmarks.study.not_planned import not_planned
from benchmarks.study.outcomes import rows_of
from benchmarks.study.plan import COMMIT, ROOT, Plan
from benchmarks.study.plan import PLAN as FILE
from benchmarks.study.predictors import by_nearest, distances
from benchmarks.study.profile import ordering, read_costs, read_profile
from benchmarks.study.results import OUTCOMES, SIGNATURES, VERDICTS, read
from benchmarks.study.signatures import FEATURES
from benchmarks.study.verdicts import PROFILES
from tests.benchmarks.study.ranking_again import ranks

PLAN = Plan.read()
# By optimizer and hyperparameter: low, high, scale, unit, discount.
LENGTH = {"lr": (1e-5, 10.0, "log", "length", None)}
BY_GRADIENT = {"lr": (1e-5, 10.0, "log", "length/gradient", None)}
DISCOUNTED = {"lr": (1e-5, 10.0, "log", "length/gradient", "momentum")}
MOMENTUM = {"momentum": (1e-3, 1.0, "complement", "none", None)}
THRESHOLD = {"threshold": (0.01, 10.0, "log", "gradient", None)}
OF_LENGTH = (
    "normalized_sgd", "sign_sgd", "lion", "adam", "adamw", "amsgrad", "zoo/nadam", "zoo/radam", "zoo/ademamix",
    "zoo/adopt", "adagrad", "rmsprop", "zoo/muon",
)  # fmt: skip
SPACES = {
    "sgd+decay": BY_GRADIENT,
    "clipped_sgd+decay": BY_GRADIENT | THRESHOLD,
    "momentum+decay": DISCOUNTED | MOMENTUM,
    "nesterov+decay": DISCOUNTED | MOMENTUM,
    "clipped_momentum+decay": DISCOUNTED | THRESHOLD,
    **{f"{name}+decay": LENGTH for name in OF_LENGTH},
    "zoo/schedule_free_adamw": LENGTH,
    "prodigy": {"factor": (1e-3, 2.0, "log", "none", None)},
}


def medians(rows):
    """By task and optimizer, the median training loss: without pandas."""
    losses: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        losses.setdefault((row["task"], row["optimizer"]), []).append(float(row["train_loss"]))
    assert {len(each) for each in losses.values()} == {PLAN.seeds}
    return {pair: median(each) for pair, each in losses.items()}


def published(families):
    for name in families:
        with (ROOT / OUTCOMES / f"{name}.csv").open() as lines:
            next(lines)  # the plan's hash
            yield from csv.DictReader(lines)


def test_a_second_ranking_of_the_published_rows_agrees():
    tables = [read(ROOT / OUTCOMES / f"{name}.csv", PLAN.digest) for name in PLAN.tasks]
    first, second = outcome(pandas.concat(tables), PLAN), ranks(published(PLAN.tasks))
    assert first.shape == (16, 20)
    assert second == first.rank(axis=1).T.to_dict()


def test_both_rankings_put_those_that_diverge_together_in_the_last_place():
    def row(optimizer, seed, loss, diverged="False"):
        losses = {"train_loss": loss, "diverged": diverged}
        return {"task": "a", "optimizer": optimizer, "seed": seed, **losses}

    rows = [
        row("one", "0", "2"), row("two", "0", "inf", "True"), row("three", "0", "1"), row("four", "0", "inf", "True")
    ]  # fmt: skip
    expected = {"one": 2, "two": 3.5, "three": 1, "four": 3.5}
    assert ranks(rows) == {"a": expected}
    plan = replace(PLAN, tasks={"family": ["a"]}, optimizers={"kind": [*expected]})
    table = pandas.DataFrame(rows).astype({"train_loss": float})
    assert outcome(table, plan).rank(axis=1).loc["a"].to_dict() == expected


@pytest.fixture(scope="module")
def tables():
    return read_tables(PLAN, ROOT)


@pytest.fixture(scope="module")
def text():
    return (ROOT / page.PAGE).read_text()


def test_the_page_is_made_from_the_tables(tables, text):
    external = pandas.read_csv(ROOT / EXTERNAL, keep_default_na=False)
    exploratory, simulated = [*not_planned(tables, PLAN)], read(ROOT / VERDICTS, PLAN.digest)
    found = conclude(tables, PLAN)
    lines = page.with_outcomes(found, tables, external, exploratory, simulated, PLAN)
    assert text.startswith("\n".join(lines))


def test_the_page_has_the_space_of_every_optimizer(text):
    pytest.importorskip("pytorch_optimizer")
    spaces = "\n".join(of_spaces(PLAN))
    assert spaces in text
    assert all(re.search(rf"[ ,]{re.escape(word)}[ ,]", spaces) for word in PLAN.kind)


def test_the_spaces_are_those_of_the_plan():
    """plan.json does not have them; they are those of the code in its commit."""
    pytest.importorskip("pytorch_optimizer")
    assert sorted(SPACES) == sorted(PLAN.kind)
    for word, planned in SPACES.items():
        space = contender(word).space
        assert {name: tuple(vars(each).values()) for name, each in space.items()} == planned, word


def test_the_plan_is_that_of_the_commit_which_the_page_names():
    def git(*words):
        return subprocess.run(["git", "-C", ROOT, *words], capture_output=True)

    if git("cat-file", "-e", COMMIT).returncode:
        pytest.skip("the history is not here")
    assert git("show", f"{COMMIT}:{FILE}").stdout == (ROOT / FILE).read_bytes()
    assert git("show", f"{COMMIT}~:{FILE}").returncode  # it was not there before


def test_the_verdicts_are_those_that_the_page_says():
    """Its words are fixed: an unrelated profile is found out, and less than a very large effect decides nothing."""
    rows = read(ROOT / VERDICTS, PLAN.digest).set_index("profile")
    assert [*rows.index] == [*PROFILES] and rows["studies"].min() >= 100
    unrelated = rows.index.str.startswith("unrelated")
    assert rows.loc[unrelated, "does not foretell"].min() > 0.8
    between = rows.loc[~unrelated].drop("very large (0.5, 0.35)")
    assert between["undecided"].min() > 0.5
    assert rows.loc["large (0.3, 0.35)", "tau"] < PLAN.foretells["tau"]
    assert rows.loc["very large (0.5, 0.35)", "foretells"] > 0.5
    assert rows["contains"].max() < 0.97


def test_few_problems_are_near_most_tasks(tables):
    """The page says what follows where this is so."""
    times = Counter(problem for rungs in near(tables, PLAN).values() for problem, _ in rungs)
    common = [count for _, count in times.most_common(COMMON)]
    assert sum(common) > times.total() / 2
    profile = ordering(tables.profiles["tuned"], PLAN)
    foretold = by_nearest(profile, distances(tables.tasks, tables.rungs), PLAN.nearest)
    assert alike(foretold) > alike(outcome(tables.rows, PLAN)) + 0.1


def test_the_discussion_says_no_more_than_the_numbers(tables):
    """Two of its claims are fixed text: that the order is weak, and that matching is not shown to matter."""
    found = conclude(tables, PLAN, permutations=10)
    for name in ("nearest", "farthest", "mean"):
        assert found.interval[name][1] < PLAN.foretells["tau"]
    _, low, high = found.above["nearest", "farthest"]
    assert low < 0 < high and found.adjusted["H3"] > 0.05
    _, low, high = found.above["race", "nearest"]
    assert low < 0, "although it has the tuned setting"


def test_the_page_names_every_column(text):
    named = set(re.findall(r"`(\w+)`", text[text.index("## The tables") :]))
    outcomes = read(ROOT / OUTCOMES / "convex.csv", PLAN.digest)
    assert set(outcomes.columns) <= named
    simulated = read(ROOT / VERDICTS, PLAN.digest)
    assert {*simulated.columns} - {"foretells", "undecided", "does not foretell"} <= named
    signatures = read(ROOT / SIGNATURES, PLAN.digest)
    assert set(signatures.columns) == {"name", "dial", *FEATURES}


def test_costs_are_there_where_most_runs_solve():
    costs, share = read_costs(ROOT), read_profile(ROOT)
    assert costs.isna().equals(share.isna())
    assert share[np.isfinite(costs)].min(axis=None) >= 0.5
    assert share[np.isneginf(costs)].max(axis=None) <= 0.5
    assert costs.max(axis=None) < 0


@pytest.mark.slow
def test_a_family_that_is_run_again_has_the_same_ranks():
    pytest.importorskip("pytorch_optimizer")
    before = medians(published(["convex"]))
    for task in PLAN.tasks["convex"]:
        again = medians([row for word in PLAN.kind for row in rows_of(task, word, PLAN)])
        pairs = [(before[pair], each) for pair, each in again.items()]
        assert kendalltau(*zip(*pairs, strict=True)).statistic > 0.95
