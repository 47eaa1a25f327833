"""No sweep ends because of one run, one signal, or one full disk."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import ClassVar

import pandas
import pytest

from benchmarks import sweep
from benchmarks.analysis import tables
from benchmarks.diagnosis import diagnose
from problems import Card
from ravine import LeftOut
from tests.benchmarks.problems_for_tests import Bowl, card

SIZE = "trials=2 tuning_seeds=1 seeds=2 budget=20"


# One run.


@dataclass(frozen=True)
class Huge(Bowl):
    """A bowl whose losses are infinite in a float32 trace."""

    size: float = 1e40

    def loss(self, x, data):
        return self.size * super().loss(x, data)


@pytest.mark.parametrize("size", [1e40, 1e300])
def test_losses_beyond_single_precision_have_tables(size, tmp_path):
    found = sweep(
        [Huge(size=size), "quadratic"], ["sgd", "adam", "newton"], trials=2, tuning_seeds=1, seeds=2, budget=40,
        out=tmp_path / "out",
    )  # fmt: skip
    assert len(found.verdicts) and "wrong_direction" not in set(found.runs["verdict"])
    assert set(pandas.read_csv(tmp_path / "out" / "summary.csv").problem) == {"Huge", "quadratic"}


def test_a_verdict_that_fails_is_left_out_and_nothing_else(ravine, files, monkeypatch):
    calls = itertools.count()

    def fails(record):
        if "beta1" not in record.settings and next(calls) % 2:  # every other run of sgd
            raise ZeroDivisionError("one\nrun")
        return diagnose(record)

    monkeypatch.setattr(tables, "diagnose", fails)
    code, out, err = ravine(f"+problem=quadratic optimizer=sgd,adam {SIZE} rungs=3 out=swept")
    assert code == 0 and out
    said = [line for line in err.splitlines() if "left out" in line]
    assert len(said) == len(set(said)) == 3  # one a cell
    assert said[0].startswith("ravine: a verdict of quadratic at 1 · sgd (cell ")
    assert said[0].endswith("is left out: ZeroDivisionError: one run")
    runs = pandas.read_csv(files / "swept" / "runs.csv")
    traced = runs[(runs.role == "reporting") & (runs.status != "solved")]
    without = traced[traced.verdict.isna()]
    assert set(without.optimizer) == {"sgd"} and len(without) < (traced.optimizer == "sgd").sum()
    assert ravine("report swept").code == 0


@dataclass(frozen=True)
class Hopeful(Bowl):
    """A bowl whose theory fails at any rung, and whose predicted share is no number."""

    card: ClassVar[Card] = replace(card(), theory={"sgd": lambda problem, budget: 1 / 0})

    def predicted_share(self):
        return "none"


def test_a_theory_that_fails_is_left_out_and_nothing_else(tmp_path):
    with pytest.warns(LeftOut) as shown:
        found = sweep(
            Hopeful(), ["sgd", "newton"], trials=2, tuning_seeds=1, seeds=2, budget=20, rungs=3, out=tmp_path / "out",
        )  # fmt: skip
    said = [str(each.message) for each in shown if each.category is LeftOut]
    assert len(said) == len(set(said)) == 4
    assert "the theory of Hopeful · sgd is left out: ZeroDivisionError: division by zero" in said
    assert any(each.startswith("the predicted share of Hopeful at 100 is left out") for each in said)
    assert found.breaking_points["theory"].isna().all() and len(found.breaking_points) > 1
