"""What the rows of a summary say, and what stands for a rung that was skipped."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pandas
import pytest

from benchmarks.analysis.tables import _sobol, _summarized, filled

WITHOUT_RANGES: Any = SimpleNamespace(predicted_share=None, searched={})


def runs(outcomes, *, dial=1.0, role="reporting", trial=1, search="sobol"):
    """Runs by outcome: a cost to the target, "missed" or "diverged"; the last gap is 1e-9 in each."""
    rows = [
        {
            "problem": "bowl", "dial": dial, "optimizer": "sgd", "cell": f"cell {dial}", "trial": trial,
            "search": search, "role": role, "seed": seed, "budget": 100.0 * dial, "gap_final": 1e-9,
            "status": each if isinstance(each, str) else "solved", "cost": 90.0,
            "cost_to_target": math.nan if isinstance(each, str) else each,
            "verdict": "", "edge": False, "seconds": 1.0,
        }
        for seed, each in enumerate(outcomes)
    ]  # fmt: skip
    return pandas.DataFrame(rows)


def test_a_summary_is_of_the_reporting_runs_and_a_miss_is_infinitely_dear():
    tuning = runs([1.0, 1.0, 1.0, 1.0], role="tuning")
    reporting = runs([5.0, 7.0, 9.0, "missed", "diverged", "diverged", "diverged"])
    both = pandas.concat([tuning, reporting], ignore_index=True)
    (row,) = _summarized(both, {"tuned": 1}, WITHOUT_RANGES)
    assert (row["runs"], row["solved"], row["diverged"], row["status"]) == (7, 3, 3, "missed")
    assert row["cost_to_target"] == row["cost_to_target_high"] == math.inf
    assert row["gap_final"] == 1e-9  # of four runs, and infinite of three
    worse = pandas.concat([tuning, runs([5.0, 7.0, *["diverged"] * 3])], ignore_index=True)
    (row,) = _summarized(worse, {"tuned": 1}, WITHOUT_RANGES)
    assert row["gap_final"] == math.inf and row["status"] == "diverged"


@pytest.mark.parametrize("falling", [False, True])
def test_a_skipped_rung_has_the_trials_of_the_hardest_one_that_was_run_and_solves_nothing(falling):
    easy, hard, hardest = (3.0, 2.0, 1.0) if falling else (1.0, 2.0, 3.0)
    skipped = runs([1.0], dial=hardest).assign(status="skipped", trial=math.nan)
    ladder = pandas.concat(
        [runs([4.0, 4.0], dial=easy), runs([8.0, "missed"], dial=hard, trial=2), skipped],
        ignore_index=True,
    )
    rung = filled(ladder, falling).query("dial == @hardest")
    assert rung["trial"].tolist() == [2, 2] and set(rung["status"]) == {"missed"}
    assert rung["cost_to_target"].isna().all()
    assert set(rung["budget"]) == {100 * hardest} and set(rung["cell"]) == {f"cell {hardest}"}


def test_the_settings_that_all_rungs_share_are_those_up_to_the_last_sobol_trial():
    kinds = {0: "default", 1: "sobol", 2: "sobol", 3: "refined"}
    found = pandas.concat([runs([1.0], trial=trial, search=kinds[trial]) for trial in kinds])
    assert _sobol(found) == 2 and _sobol(found.query("trial == 0")) == 0
