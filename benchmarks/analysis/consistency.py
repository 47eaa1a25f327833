"""Check that the tables of a folder agree with each other and with its manifest."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.breaking_points import crossing, isotonic
from benchmarks.analysis.columns import RUNS, WITHOUT_NUMBERS
from benchmarks.analysis.dial_axis import Axis
from benchmarks.engine.trial_choice import choose, costs
from benchmarks.store.cell_info import CellInfo
from ravine import nearest

SUMMARIZED = ("runs", "solved", "diverged", "cost_to_target", "gap_final")
IN_SUMMARY = ("problem", "dial", "optimizer", "cell", "choice", "trial", "status", *SUMMARIZED)
NUMBERS = ("dial", "trial", "seed", "gap_final", "cost", "cost_to_target", "grad_sq_initial")
JUDGED = ("cell", "trial", "seed", "role", "status", "cost", "cost_to_target", "gap_final")
CHOSEN_ROWS = (
    "chosen"  # `rows` in the manifest if only the reporting runs of the chosen trials were kept
)
KEPT = (
    "problem", "dial", "optimizer", "trial", "search", "seed", "role", "status", "gap_final",
    "grad_sq_initial", "steps", "cost", "cost_to_target", "budget", "error", "cell",
)  # fmt: skip
STATUSES = {"solved", "missed", "diverged", *WITHOUT_NUMBERS}


def contradictions(
    manifest: Mapping[str, Any],
    cells: Iterable[str],
    runs: pandas.DataFrame,
    summary: pandas.DataFrame,
) -> Iterator[str]:
    """Yield each way in which the tables of a folder contradict each other or their manifest."""
    whole = manifest.get("rows") != CHOSEN_ROWS
    of_runs = (*RUNS, "search", "budget", "cell") if whole else (*KEPT, "trials", "tuning_seeds")
    required = {"runs": (runs, of_runs), "summary": (summary, ["cell"])}
    numbered = set(runs["status"]) - set(WITHOUT_NUMBERS) if "status" in runs else set()
    if numbered:  # else the summary has reasons only
        required["summary"] = (summary, IN_SUMMARY)
    for table, (frame, names) in required.items():
        for name in names:
            if name not in frame:
                yield f"{table} has no column {name}"
    for name in NUMBERS:
        if not pandas.api.types.is_numeric_dtype(runs[name]):
            yield f"{name} in runs has values that are not numbers"
    for name, allowed in (("status", STATUSES), ("role", {"tuning", "reporting"})):
        for odd in set(runs[name].dropna()) - allowed:
            yield f"{name} in runs is {odd!r}: {nearest(str(odd), allowed)}"
    for table, frame in (("runs", runs), ("summary", summary)):
        if set(frame["cell"]) != set(cells):
            yield f"{table} and manifest.json have different cells"
    if runs.duplicated(["cell", "trial", "seed"]).any():
        yield "runs has a run twice"
    if not numbered:
        return
    choices = summary.loc[summary["choice"].notna(), [*IN_SUMMARY]].groupby("cell")
    sound = runs.loc[~runs["status"].isin(WITHOUT_NUMBERS), [*JUDGED]]
    for cell, group in sound.groupby("cell", sort=False):
        if cell not in choices.groups:
            yield f"summary has no choices for cell {cell}"
            return
        stated = choices.get_group(cell).set_index("choice")
        expected = choose(group) if whole else {}
        reporting = group[group["role"] == "reporting"]
        for choice, row in stated.iterrows():
            trial = row["trial"]
            if expected.get(str(choice), trial) != trial:
                yield f"trial {trial:g} of cell {cell} is not what runs give as {choice}"
            numbers = _recomputed(reporting[reporting["trial"] == trial])
            for name, value in zip(SUMMARIZED, numbers, strict=True):
                # Writing a float32 cell to a file rounds once more.
                if not np.isclose(float(row[name]), value, rtol=1e-6, equal_nan=True):
                    yield (
                        f"{name} of cell {cell} ({choice}) is {row[name]} in summary, {value} in runs"
                    )


def _recomputed(runs: pandas.DataFrame) -> tuple[float, ...]:
    """Return the values of SUMMARIZED for these runs."""
    counts = [float((runs["status"] == each).sum()) for each in ("solved", "diverged")]
    gap = runs["gap_final"].astype(float).where(runs["status"] != "diverged", math.inf).median()
    cost = costs(runs)
    return (
        float(len(runs)),
        *counts,
        float(np.median(cost)) if len(cost) else math.nan,
        float(gap),
    )


def misplaced(
    infos: Mapping[str, CellInfo], summary: pandas.DataFrame, points: pandas.DataFrame
) -> Iterator[str]:
    """Yield a breaking point that is not where the solved shares of the summary cross ½.

    infos: by job, the description of its cells.
    """
    ladders = {str(job): rows for job, rows in summary.groupby("job", sort=False)}
    whole = points[points["budget"] == 1] if len(points) else points
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
