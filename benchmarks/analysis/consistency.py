"""Check that the tables of a folder agree with each other and with its manifest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.breaking_points import crossing, isotonic
from benchmarks.analysis.columns import ADDED, RUNS, WITHOUT_NUMBERS
from benchmarks.analysis.dial_axis import Axis
from benchmarks.engine.protocol import FRONTIER
from benchmarks.engine.trial_choice import choose, costs
from benchmarks.store.cell_info import CellInfo

SUMMARIZED = ("runs", "solved", "diverged", "cost_to_target", "gap_final")
IN_SUMMARY = (
    "problem", "dial", "optimizer", "cell", "choice", "trial", "status", *SUMMARIZED,
    "cost_to_target_low", "cost_to_target_high", "verdict",
)  # fmt: skip
JUDGED = ("cell", "trial", "seed", "role", "status", "cost", "cost_to_target", "gap_final")
CHOICE = ("cell", "choice", "trial")
CHOSEN_ROWS = (
    "chosen"  # `rows` in the manifest if only the reporting runs of the chosen trials were kept
)
KEPT = (
    "problem", "dial", "optimizer", "trial", "search", "seed", "role", "status", "gap_final",
    "grad_sq_initial", "steps", "cost", "cost_to_target", "budget", "error", "cell",
)  # fmt: skip


def contradictions(
    manifest: Mapping[str, Any],
    cells: Iterable[str],
    runs: pandas.DataFrame,
    summary: pandas.DataFrame,
) -> Iterator[str]:
    """Yield each way in which the tables of a folder contradict each other or their manifest."""
    whole = manifest.get("rows") != CHOSEN_ROWS
    always = (name for name in RUNS if name not in ADDED)
    of_runs = (*always, "search", "budget", "cell") if whole else (*KEPT, "trials", "tuning_seeds")
    required = {"runs": (runs, of_runs), "summary": (summary, ["cell"])}
    numbered = set(runs["status"].unique()) - set(WITHOUT_NUMBERS) if "status" in runs else set()
    if numbered:  # else the summary has reasons only
        required["summary"] = (summary, IN_SUMMARY)
    for table, (frame, names) in required.items():
        for name in names:
            if name not in frame:
                yield f"{table} has no column {name}"
    for table, frame in (("runs", runs), ("summary", summary)):
        if set(frame["cell"].unique()) != set(cells):
            yield f"{table} and manifest.json have different cells"
    if runs.duplicated(["cell", "trial", "seed"]).any():
        yield "runs has a run twice"
    if not numbered:
        return
    choices = summary.loc[summary["choice"].notna(), [*IN_SUMMARY]]
    sound = runs.loc[~runs["status"].isin(WITHOUT_NUMBERS), [*JUDGED]]
    without = sound.loc[~sound["cell"].isin(choices["cell"].unique()), "cell"]
    if len(without):
        yield f"summary has no choices for cell {without.iloc[0]}"
        return
    choices = choices[choices["cell"].isin(sound["cell"].unique())].reset_index(drop=True)
    if whole:
        yield from _other_choices(sound, choices)
    recomputed = _recomputed(sound, choices)
    for name in SUMMARIZED:
        stated, value = choices[name].to_numpy(dtype=float), recomputed[name].to_numpy(dtype=float)
        # Writing a float32 cell to a file rounds once more.
        differs = ~np.isclose(stated, value, rtol=1e-6, equal_nan=True)
        for row in differs.nonzero()[0][:1]:
            cell, choice = choices.loc[row, ["cell", "choice"]]
            yield f"{name} of cell {cell} ({choice}) is {stated[row]} in summary, {value[row]} in runs"


def _other_choices(sound: pandas.DataFrame, choices: pandas.DataFrame) -> Iterator[str]:
    """Yield each choice of the summary that is not the one that the runs give."""
    expected = {str(cell): choose(group) for cell, group in sound.groupby("cell", sort=False)}
    for cell, choice, trial in zip(*(choices[each] for each in CHOICE), strict=True):
        if expected[cell].get(choice, trial) != trial:
            yield f"trial {trial:g} of cell {cell} is not what runs give as {choice}"


def _recomputed(sound: pandas.DataFrame, choices: pandas.DataFrame) -> pandas.DataFrame:
    """Return the columns SUMMARIZED, computed from the runs: one row for each of `choices`."""
    is_diverged = sound["status"] == "diverged"
    measured = pandas.DataFrame({
        "cell": sound["cell"], "trial": sound["trial"], "runs": 1,
        "solved": sound["status"] == "solved", "diverged": is_diverged,
        "cost_to_target": costs(sound),
        "gap_final": sound["gap_final"].astype(float).where(~is_diverged, math.inf),
    })[sound["role"] == "reporting"]  # fmt: skip
    how: dict[Any, Any] = dict.fromkeys(("runs", "solved", "diverged"), "sum")
    how |= dict.fromkeys(("cost_to_target", "gap_final"), "median")
    by_trial = measured.groupby(["cell", "trial"]).agg(how).reset_index()
    found = choices[["cell", "trial"]].merge(by_trial, how="left", on=["cell", "trial"])
    return found.fillna({"runs": 0, "solved": 0, "diverged": 0})


def misplaced(
    infos: Mapping[str, CellInfo], summary: pandas.DataFrame, points: pandas.DataFrame
) -> Iterator[str]:
    """Yield a breaking point that is missing, or not where the solved shares of the summary cross ½.

    infos: by job, the description of its cells.
    """
    ladders = {str(job): rows for job, rows in summary.groupby("job", sort=False)}
    whole = points[points["budget"] == 1] if len(points) else points
    budgets: dict[Any, int] = {}  # by job and choice, at how many shares of the budget
    if len(points):
        budgets = points.groupby(["job", "choice"])["budget"].nunique().to_dict()
    for job, rows in ladders.items():
        skipped = set(rows.loc[rows["status"] == "skipped", "dial"])
        for choice, dials in rows.groupby("choice")["dial"] if "choice" in rows else ():
            always = choice in ("default", "tuned")  # others are not chosen on every ladder
            several = len(skipped | set(dials)) > 1
            if always and several and budgets.get((job, choice), 0) < len(FRONTIER):
                info = infos[job]
                yield f"breaking_points lacks rows of {info.optimizer} on {info.problem} ({choice})"
                return
    for row in whole.to_dict("records"):
        if row["job"] not in ladders:
            yield f"breaking_points has {row['optimizer']} on {row['problem']}, which is not in runs"
            return
        ladder, info = ladders[row["job"]], infos[row["job"]]
        rungs = ladder[(ladder["choice"] == row["choice"]) | (ladder["status"] == "skipped")]
        shares = (rungs["solved"].fillna(0) / rungs["runs"].fillna(1)).set_axis(rungs["dial"])
        axis = Axis.of(shares.index.to_numpy(), info.scale, info.falling)
        place = float(crossing(axis.x, isotonic(shares.loc[axis.dials].to_numpy(dtype=float))))
        here = axis.breaking_point(place, place, place)
        if here.censored != row["censored"] or not np.isclose(
            here.value, row["breaking_point"], rtol=1e-6
        ):
            yield (
                f"{row['optimizer']} breaks on {row['problem']} at {row['text']} in breaking_points, "
                "and elsewhere by summary"
            )
            return
