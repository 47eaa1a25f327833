"""The published outcomes: ranked a second time from the raw rows, and one family run again."""

from __future__ import annotations

import csv
from statistics import median

import pandas
import pytest
from scipy.stats import kendalltau

from benchmarks.study.conclusions import outcome
from benchmarks.study.outcomes import rows_of
from benchmarks.study.plan import ROOT, Plan
from benchmarks.study.results import OUTCOMES, read

PLAN = Plan.read()


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
    first, second = outcome(pandas.concat(tables), PLAN), medians(published(PLAN.tasks))
    assert first.shape == (16, 20)
    for task, places in first.iterrows():
        again = [second[str(task), name] for name in first.columns]
        assert kendalltau(places, again).statistic > 0.95


@pytest.mark.slow
def test_a_family_that_is_run_again_has_the_same_ranks():
    pytest.importorskip("pytorch_optimizer")
    before = medians(published(["convex"]))
    for task in PLAN.tasks["convex"]:
        again = medians([row for word in PLAN.kind for row in rows_of(task, word, PLAN)])
        pairs = [(before[pair], each) for pair, each in again.items()]
        assert kendalltau(*zip(*pairs, strict=True)).statistic > 0.95
