"""Sweeps from Python: names, classes and objects; frames that agree with each other; no files unasked."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas
import pytest
import torch

from benchmarks import statistics, sweep
from benchmarks.catalog.subsections import families
from optimizers.clip import Clip
from optimizers.sgd import SGD
from problems.ill_conditioning.quadratic import Quadratic
from problems.modifiers import noisy
from ravine import Refused
from tests.benchmarks.problems_for_tests import Bowl, NoisyBowl

SMALL = {"trials": 5, "tuning_seeds": 2, "seeds": 3, "budget": 200}


@pytest.fixture(scope="module")
def found():
    """A small sweep of everything that may be given as an optimizer."""
    clipped = Clip(SGD(lr=0.01), threshold=1.0)
    return sweep(
        Quadratic(dim=5, condition=10.0), ["sgd", "newton", torch.optim.RAdam, clipped], **SMALL
    )


def test_names_classes_and_objects_are_taken(found):
    names = list(found.summary["optimizer"].unique())
    assert names == ["sgd", "newton", "RAdam", "Clip(inner=SGD(lr=0.01), threshold=1.0, by='norm')"]
    trials = found.runs.groupby("optimizer", sort=False)["trial"].nunique().tolist()
    assert trials == [5, 5, 5, 1]  # an object is one setting


def test_the_summary_is_what_the_runs_say(found):
    for row in found.summary.itertuples():
        runs = found.runs.query(
            "optimizer == @row.optimizer and trial == @row.trial and role == 'reporting'"
        )
        assert row.runs == len(runs) == 3
        assert row.solved == (runs["status"] == "solved").sum()
        cost = runs["cost_to_target"].astype(float).fillna(math.inf)
        assert row.cost_to_target == np.median(cost)
    runs = found.runs
    assert runs.loc[runs["status"] != "solved", "cost_to_target"].isna().all()
    assert (runs["cost"] <= 200 * (1 + 1e-6)).all()


def test_traces_are_those_of_the_chosen_trials(found):
    chosen = found.summary.groupby("optimizer")["trial"].agg(set)
    traced = found.traces.groupby("optimizer")["trial"].agg(set)
    assert chosen.to_dict() == traced.to_dict()
    assert set(found.traces["seed"]) == {1000, 1001, 1002}
    first = found.traces[found.traces["step"] == 0]
    assert np.allclose(first["lambda_max"], 1.0, atol=1e-6)
    assert np.allclose(first["lambda_min"], 0.1, atol=1e-6)
    assert (first["negative_fraction"] == 0).all()


def test_it_shows_itself(found):
    text, page = repr(found), found._repr_html_()
    assert text.startswith("quadratic · condition 10")
    assert "newton" in text and "3 of 3" in text
    assert "<table" in page and "RAdam" in page


def test_nothing_is_written_unless_asked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sweep(Bowl(), "sgd", **SMALL)
    assert not any(tmp_path.iterdir())
    kept = sweep(Bowl(), "sgd", out="here", **SMALL)
    read = pandas.read_csv(tmp_path / "here" / "summary.csv")
    assert read["solved"].tolist() == kept.summary["solved"].tolist()
    runs = pandas.read_csv(tmp_path / "here" / "runs.csv")
    assert len(runs) == len(kept.runs) and runs["cost_to_target"].dtype == float
    traces = pandas.read_parquet(tmp_path / "here" / "traces.parquet")
    assert len(traces) == len(kept.traces)


def test_an_adopted_class_equals_the_built_in_one_row_by_row():
    for name, adopted in (("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)):
        runs = sweep(Quadratic(dim=10, condition=30.0), [name, adopted], **SMALL).runs
        ours, theirs = (
            runs[runs["optimizer"] == each].reset_index() for each in (name, adopted.__name__)
        )
        assert len(ours) == len(theirs) == 5 * 5
        for column in ("status", "steps", "seed", "trial", "diverged_at"):
            assert ours[column].equals(theirs[column]), column
        for column in ("hp.lr", "u", "cost", "cost_to_target"):
            assert np.allclose(ours[column], theirs[column], rtol=1e-12, equal_nan=True), column
        # the last digits differ: x + (y − x) is not y
        assert np.allclose(ours["gap_final"], theirs["gap_final"], rtol=1e-6, atol=1e-14)


def test_a_ladder_gives_breaking_points_beside_the_theory():
    found = sweep(Quadratic(dim=10), ["sgd", "newton"], rungs=3, tuning_seeds=3, seeds=6)
    points = found.breaking_points.query("choice == 'tuned' and budget == 1").set_index("optimizer")
    assert points.loc["newton", "censored"] == ">"
    assert points.loc["sgd", "low"] <= points.loc["sgd", "theory"] <= points.loc["sgd", "high"]
    assert "breaks at condition" in repr(found)


def test_noise_is_swept_too():
    summary = sweep(
        NoisyBowl(noise=1e-3), "sgd", trials=9, tuning_seeds=3, seeds=3, budget=200
    ).summary
    assert summary.query("choice == 'tuned'")["solved"].item() == 3


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("quadratik", "sgd"), "unknown problem 'quadratik': did you mean quadratic?"),
        (("quadratic", "sdg"), "unknown optimizer 'sdg': did you mean sgd?"),
        (("quadratic", ["sgd", "sgd"]), "given twice"),
        (("quadratic", 3), "3 is no optimizer"),
        ((3, "sgd"), "3 is not a problem"),
        (("quadratic", Clip), "Clip needs arguments"),
    ],
)
def test_bad_input_is_refused_in_one_line(given, said):
    with pytest.raises(Refused) as refusal:
        sweep(*given)
    assert said in str(refusal.value) and "\n" not in str(refusal.value)


def test_settings_for_an_optimizer_that_is_not_there_are_refused():
    with pytest.raises(Refused, match="did you mean sgd"):
        sweep(Bowl(), "sgd", settings={"sdg": {"lr": 0.1}})


def test_one_rung_has_no_breaking_point():
    size: dict[str, Any] = {"trials": 2, "tuning_seeds": 1, "seeds": 1, "budget": 3}
    assert sweep(Bowl(), "sgd", **size).breaking_points.empty
    assert len(sweep([Bowl(steepness=1.0), Bowl(steepness=2.0)], "sgd", **size).breaking_points)


def test_where_there_are_several_families_there_is_the_trial_that_did_best_elsewhere():
    """In both tables, at all rungs; of one family alone there is none."""
    size: dict[str, Any] = {"trials": 4, "tuning_seeds": 2, "seeds": 3, "budget": 40, "rungs": 3}
    found = sweep([Bowl(dim=2), Bowl(dim=3), Quadratic(dim=2)], ["sgd", "newton"], **size)
    expected = statistics.transfer(found.runs, families()).set_index("cell")["trial"]
    rows = found.summary[found.summary["choice"] == "transfer"].set_index("cell")
    assert (rows["trial"] == expected[rows.index]).all() and len(rows) == len(expected) == 18
    for (_, optimizer), of_pair in rows.groupby(["problem", "optimizer"]):
        assert of_pair["trial"].nunique() == 1, optimizer
    points = found.breaking_points[found.breaking_points["choice"] == "transfer"]
    assert len(points) == 3 * 2 * 3
    solved = rows[(rows["problem"] == "quadratic") & (rows["optimizer"] == "newton")]["solved"]
    point = points[(points["problem"] == "quadratic") & (points["optimizer"] == "newton")].iloc[0]
    assert (point["censored"] == ">") == (solved.iloc[-1] > 1.5)
    alone = sweep([Bowl(dim=2), Bowl(dim=3)], "sgd", **size)
    assert "transfer" not in set(alone.summary["choice"]) | set(alone.breaking_points["choice"])


def test_a_single_rung_of_a_log_scale_may_be_zero():
    """As where noise has the strength 0: there is nothing to interpolate."""
    found = sweep(noisy(Bowl(), "gaussian", 0.0), "sgd", **SMALL)
    assert set(found.runs["dial"]) == {0.0}
    assert "tuned" in set(found.summary["choice"])
