"""Tuning instances choose and reporting instances report: neither has a say in the other's part."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pandas
import pytest

from benchmarks import sweep
from benchmarks.analysis.breaking_points import Draws, Results
from benchmarks.analysis.dial_axis import Axis
from benchmarks.analysis.tables import Tables
from benchmarks.analysis.tuning import best_of
from benchmarks.engine.trial_choice import choose
from benchmarks.runner.job import solved_share
from problems.ill_conditioning.quadratic import Quadratic
from problems.local_minima.rastrigin import Rastrigin

SIZE = {"trials": 8, "tuning_seeds": 3, "seeds": 4, "budget": 100, "rungs": 3}
MEASURED = ("status", "cost", "cost_to_target", "gap_final")
CHOICE = ["cell", "choice", "trial"]


@pytest.fixture(scope="module")
def tables():
    """Problems of two families, most runs of which are missed: then the final gap chooses."""
    return sweep([Quadratic(dim=3), Rastrigin()], ["sgd"], **SIZE).tables


def exchanged(tables: Tables, role: str) -> Tables:
    """Return the tables with the outcomes of one role's runs exchanged between the trials of each cell."""
    generator = np.random.default_rng(0)

    def again(cell):
        rows = np.flatnonzero(cell.runs["role"] == role)
        order = generator.permutation(rows)
        runs = {name: np.array(values) for name, values in cell.runs.items()}
        for name in MEASURED:
            runs[name][rows] = runs[name][order]
        return dataclasses.replace(cell, runs=runs, traces={})

    return Tables({key: again(cell) for key, cell in tables.cells.items()}, tables.problems)


def results_of(tables: Tables, problem: str) -> Results:
    """Return the outcomes of a problem's only optimizer."""
    cells = [cell for cell in tables.cells.values() if cell.info.problem == problem]
    frames = [
        pandas.DataFrame(dict(cell.runs)).assign(
            dial=cell.info.dial, budget=cell.info.protocol.budget
        )
        for cell in cells
    ]
    dials = [cell.info.dial for cell in cells]
    return Results.of(pandas.concat(frames), Axis.of(dials, "linear", False), 5)


def choices_of(tables: Tables) -> pandas.DataFrame:
    return tables.summary.sort_values(CHOICE)[CHOICE].reset_index(drop=True)


def test_reporting_runs_choose_nothing(tables):
    other = exchanged(tables, "reporting")
    assert not other.summary["gap_final"].equals(tables.summary["gap_final"])
    assert {"tuned", "one_setting", "transfer"} <= set(tables.summary["choice"])
    pandas.testing.assert_frame_equal(choices_of(other), choices_of(tables))


def test_tuning_runs_report_nothing(tables):
    """Where both choose the same trial, every number of a summary is that of the reporting runs."""
    other = exchanged(tables, "tuning")
    assert not choices_of(other).equals(choices_of(tables))
    same = tables.summary.merge(other.summary, on=CHOICE, suffixes=("", " again"))
    assert len(same) >= 3
    for name in ("solved", "diverged", "cost_to_target", "gap_final", "solving_decades"):
        pandas.testing.assert_series_equal(same[f"{name} again"], same[name], check_names=False)


@pytest.mark.parametrize("problem", ["quadratic", "rastrigin"])
def test_breaking_points_choose_by_tuning_runs(tables, problem):
    before, reporting, tuning = (
        results_of(each, problem)
        for each in (tables, exchanged(tables, "reporting"), exchanged(tables, "tuning"))
    )
    again = Draws.of(reporting, 20).choices(reporting)
    for choice, chosen in Draws.of(before, 20).choices(before).items():
        np.testing.assert_array_equal(again[choice], chosen)
    for name in ("tuning_cost", "tuning_gap", "parents"):
        np.testing.assert_array_equal(getattr(reporting, name), getattr(before, name))
    assert not np.array_equal(tuning.tuning_gap, before.tuning_gap)
    assert 0 < np.isfinite(before.cost).mean() < 1
    np.testing.assert_array_equal(tuning.cost, before.cost)


def of_two_trials() -> Iterator[dict[str, object]]:
    """Yield runs of two trials: all miss in tuning, the first by less; the second alone solves in reporting."""
    for trial in (1, 2):
        for seed in (0, 1, 1000, 1001):
            solved = trial == 2 and seed >= 1000
            yield {
                "problem": "p", "dial": 1.0, "optimizer": "o", "cell": "c", "search": "sobol", "trial": trial,
                "seed": seed, "role": "reporting" if seed >= 1000 else "tuning", "cost": 9.0,
                "status": "solved" if solved else "missed", "cost_to_target": 5.0 if solved else np.nan,
                "gap_final": 0.0 if solved else float(trial),
            }  # fmt: skip


def test_the_best_of_several_trials_is_chosen_by_tuning_runs():
    runs = pandas.DataFrame(of_two_trials())
    assert choose(runs)["tuned"] == 1
    assert best_of(runs, ks=(2,))["solved"].tolist() == [0]
    runs["gap_final"] = 3 - runs["gap_final"]  # now the second is chosen
    assert best_of(runs, ks=(2,))["solved"].tolist() == [1]


def test_the_share_that_steers_the_bisection_is_of_the_chosen_trials_reporting_runs():
    runs = pandas.DataFrame(of_two_trials())
    assert solved_share({name: runs[name].to_numpy() for name in runs}) == 0
    runs["gap_final"] = 3 - runs["gap_final"]
    assert solved_share({name: runs[name].to_numpy() for name in runs}) == 1
