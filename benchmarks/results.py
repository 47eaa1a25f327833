"""The folder of a finished sweep, read and checked: what `compare` and `report` begin with.

Whatever is wrong with a folder, half-written, of another schema, or edited by hand, is one line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from benchmarks.engine.trial_choice import choose, costs
from benchmarks.store.sweep_folder import MARKERS, SCHEMA
from benchmarks.tables import RUNS, WITHOUT_NUMBERS
from ravine import Refused, nearest

SUMMARIZED = ("runs", "solved", "diverged", "cost_to_target", "gap_final")
IN_SUMMARY = ("problem", "dial", "optimizer", "cell", "choice", "trial", "status", *SUMMARIZED)
NUMBERS = ("dial", "trial", "seed", "gap_final", "cost", "cost_to_target", "grad_sq_initial")
JUDGED = ("cell", "trial", "seed", "role", "status", "cost", "cost_to_target", "gap_final")
CHOSEN = "chosen"  # what a manifest says where only the reporting runs of chosen trials were kept
KEPT = (
    "problem", "dial", "optimizer", "trial", "search", "seed", "role", "status", "gap_final",
    "grad_sq_initial", "steps", "cost", "cost_to_target", "budget", "error", "cell",
)  # fmt: skip
STATUSES = {"solved", "missed", "diverged", *WITHOUT_NUMBERS}


@dataclass(frozen=True)
class Results:
    """What a folder says: its manifest, and the tables that agree with it."""

    folder: Path
    manifest: Mapping[str, Any]
    runs: pandas.DataFrame
    summary: pandas.DataFrame


def read_results(folder: Path) -> Results:
    """The folder of a sweep. Raises Refused for one that is not whole, or was edited."""
    manifest = _manifest(folder)
    runs, summary = (read_table(folder, name) for name in ("runs", "summary"))
    wrong = next(_contradictions(manifest, runs, summary), None)
    if wrong:
        raise contradicted(folder, wrong)
    return Results(folder, manifest, runs, summary)


def _manifest(folder: Path) -> dict[str, Any]:
    """What the folder says about itself; refuses what is no finished sweep of this schema."""
    file = folder / "manifest.json"
    if not folder.is_dir():
        why = "is a file" if folder.exists() else "does not exist"
        raise Refused(f"{folder} {why}, but must be the folder of a sweep")
    if not file.is_file():
        raise Refused(f"{folder} is not the folder of a sweep: it has no manifest.json")
    try:
        manifest = json.loads(file.read_text())
        schema, _, cells = manifest["schema"], manifest["config"]["protocol"], manifest["cells"]
    except (ValueError, TypeError) as error:
        raise Refused(f"{file} cannot be read: {error}") from error
    except KeyError as error:
        raise Refused(f"{file} is not a sweep's: it has no {error}") from error
    if schema != SCHEMA:
        raise Refused(
            f"{folder} has tables of schema {schema}, and this Ravine reads {SCHEMA}: "
            "use the version that wrote it, or run the sweep again"
        )
    if (folder / MARKERS).exists() or not cells:
        raise Refused(
            f"{folder} is half-written: its sweep is still running, or was killed; "
            "giving the same command again finishes it"
        )
    return manifest


def read_table(folder: str | Path, name: str) -> pandas.DataFrame:
    """A table of a sweep's folder, "runs", "summary", "breaking_points" or "traces", whichever file it is in.

    Raises Refused where there is none, and for one that cannot be read.
    """
    files = [Path(folder) / f"{name}.{kind}" for kind in ("csv", "parquet")]
    file = next((each for each in files if each.is_file()), None)
    if file is None:
        wanted = files[name == "traces"].name
        raise Refused(
            f"{folder} is half-written: it has no {wanted}; "
            "giving the command of its sweep again writes it"
        )
    try:
        if file.suffix == ".parquet":
            return pandas.read_parquet(file).replace("", math.nan)  # as it comes from a CSV
        return pandas.read_csv(file, low_memory=False).copy()  # in one piece, for it is wide
    except (ValueError, OSError) as error:
        raise Refused(f"{file} cannot be read: {error}") from error


def contradicted(folder: Path, wrong: str) -> Refused:
    """What is said of tables that do not agree with each other, or with the list of cells."""
    return Refused(
        f"{folder} contradicts itself, as if edited by hand: {wrong}; "
        "giving the command of its sweep again writes it anew"
    )


def _contradictions(
    manifest: Mapping[str, Any], runs: pandas.DataFrame, summary: pandas.DataFrame
) -> Iterator[str]:
    whole = manifest.get("rows") != CHOSEN
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
            yield f"{name} in runs has something that is no number"
    for name, allowed in (("status", STATUSES), ("role", {"tuning", "reporting"})):
        for odd in set(runs[name].dropna()) - allowed:
            yield f"{name} in runs is {odd!r}: {nearest(str(odd), allowed)}"
    for table, frame in (("runs", runs), ("summary", summary)):
        if set(frame["cell"]) != set(manifest["cells"]):
            yield f"{table} and manifest.json have different cells"
    if runs.duplicated(["cell", "trial", "seed"]).any():
        yield "runs has a run twice"
    if not numbered:
        return
    choices = summary.loc[summary["choice"].notna(), [*IN_SUMMARY]].groupby("cell")
    sound = runs.loc[~runs["status"].isin(WITHOUT_NUMBERS), [*JUDGED]]
    for cell, group in sound.groupby("cell", sort=False):
        if cell not in choices.groups:
            yield f"summary has no choice of cell {cell}"
            return
        stated = choices.get_group(cell).set_index("choice")
        expected = choose(group) if whole else {}
        reporting = group[group["role"] == "reporting"]
        for choice, row in stated.iterrows():
            trial = row["trial"]
            if expected.get(str(choice), trial) != trial:
                yield f"trial {trial:g} of cell {cell} is not the one that runs make its {choice}"
            numbers = _summarized(reporting[reporting["trial"] == trial])
            for name, value in zip(SUMMARIZED, numbers, strict=True):
                # A cell in float32 is rounded once more on its way through a file.
                if not np.isclose(float(row[name]), value, rtol=1e-6, equal_nan=True):
                    yield (
                        f"{name} of cell {cell} ({choice}) is {row[name]} in summary, {value} in runs"
                    )


def _summarized(runs: pandas.DataFrame) -> tuple[float, ...]:
    """What the summary says of these runs, by SUMMARIZED."""
    counts = [float((runs["status"] == each).sum()) for each in ("solved", "diverged")]
    gap = runs["gap_final"].astype(float).where(runs["status"] != "diverged", math.inf).median()
    cost = costs(runs)
    return (
        float(len(runs)),
        *counts,
        float(np.median(cost)) if len(cost) else math.nan,
        float(gap),
    )
