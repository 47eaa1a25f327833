"""The parts of the published reference: what is kept of the sweep of an optimizer, and the tables of all parts.

A part is a folder with a manifest and the tables of a sweep, small: of the runs it keeps those of the chosen trials on
the reporting instances, which is all that paired comparisons need. `compare` reads it like the folder of a sweep.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.columns import OF_PROBLEMS, SOLVING, VERDICT, WITHOUT_NUMBERS
from benchmarks.analysis.consistency import CHOSEN_ROWS, KEPT
from benchmarks.analysis.folder import Results, finished, read_results, read_table
from benchmarks.analysis.saved_sweep import stated_points
from benchmarks.store.cell_info import SKIPPED, CellInfo, by_job, ordered
from ravine import Refused

POINTS = "breaking_points"
ROUNDED = (
    "cost_to_target", "cost_to_target_low", "cost_to_target_high", "gap_final", *SOLVING,
    "seconds", "u",
)  # fmt: skip
OF_ONE_MACHINE = ("argv", "commands")  # entries of a manifest
SAME_START = (
    1e-3  # relative: other versions and machines change the gradient of the same instance by less
)


class NoNumbers(Refused):
    """No run of a sweep has a number."""


def compact(folder: Path, out: Path, jobs: Container[str] | None = None) -> None:
    """Write the part of a sweep's folder: its tables, the chosen runs, its manifest.

    Commands and tracebacks are left out, as they have paths of one machine.

    Args:
        folder: The folder of the sweep.
        out: The folder of the part.
        jobs: Which of its jobs are published; by default all.

    Raises:
        NoNumbers: If none of their runs has a number.
    """
    manifest, cells = finished(folder)
    cells = {
        key: dataclasses.replace(info, traceback="")
        for key, info in cells.items()
        if jobs is None or info.job in jobs
    }
    summary, runs = (_of(cells, read_table(folder, name)) for name in ("summary", "runs"))
    without = runs[runs["status"].isin(WITHOUT_NUMBERS)]
    if len(without) == len(runs):
        reason = without["error"].iloc[0] if len(without) else "none was run"
        raise NoNumbers(f"No run has a number, so there is no part: {reason}")
    tables = {
        "summary": summary.drop(columns="traceback", errors="ignore").assign(
            **{name: summary[name].map(_nine_digits) for name in ROUNDED if name in summary}
        ),
        "runs": _chosen_runs(runs, summary),
    }
    if any(folder.glob(f"{POINTS}.*")):
        points = read_table(folder, POINTS)
        known = {info.job for info in cells.values()}
        tables[POINTS] = points[points["job"].isin(known)]
    kept = {name: value for name, value in manifest.items() if name not in OF_ONE_MACHINE}
    config = {name: value for name, value in manifest["config"].items() if name != "jobs"}
    jobs_kept = {"config": config, "jobs": by_job(cells), "rows": CHOSEN_ROWS}
    _write(out, {**kept, **jobs_kept}, tables)


def _of(cells: Mapping[str, CellInfo], table: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows of these cells."""
    return table[table["cell"].isin(list(cells))].reset_index(drop=True)


def combine(parts: Sequence[Path], out: Path) -> None:
    """Write the tables of several parts as those of one sweep; its manifest lists where each part comes from.

    Raises:
        Refused: If a part is no whole sweep or was edited, or two of them have the same optimizer, another protocol on
            the same problem, or other instances.
    """
    every = [read_results(each) for each in parts]
    if not every:
        raise Refused("there are no parts to make tables of")
    _check_names(every)
    check_alike(every)
    cells = ordered({key: info for each in every for key, info in each.cells.items()})
    place = {key: k for k, key in enumerate(cells)}

    def joined(frames: Sequence[pandas.DataFrame]) -> pandas.DataFrame:
        frame = pandas.concat(frames, ignore_index=True)
        in_order = "cell" in frame
        by = frame["cell"].map(place) if in_order else frame["problem"] + " " + frame["optimizer"]
        return frame.loc[by.argsort(kind="stable")].reset_index(drop=True)

    summary = joined([each.summary for each in every])
    counts = [name for name in map(str, summary) if name.startswith(VERDICT)]
    tables = {
        "summary": summary.assign(
            **{name: summary[name].fillna(0).astype("Int64") for name in counts}
        ),
        "runs": joined([each.runs for each in every]),
    }
    points = [read_table(each.folder, POINTS) for each in every if len(stated_points(each))]
    if points:
        tables[POINTS] = joined(points)
    _write(out, _manifest(every, cells), tables)


def _check_names(every: Sequence[Results]) -> None:
    """Refuse two parts with the same optimizer."""
    owners: dict[str, Path] = {}
    for part in every:
        for name in sorted({info.optimizer for info in part.cells.values()}):
            if name in owners:
                raise Refused(f"{name} is in {owners[name]} and in {part.folder}: keep one")
            owners[name] = part.folder


def check_alike(every: Sequence[Results]) -> None:
    """Refuse parts, or folders of sweeps, of which two have not the same problem, ladder, protocol or instances.

    Between the ends of a ladder rungs may differ, as bisection goes where an optimizer breaks.
    """
    stated: dict[tuple[Any, ...], tuple[Any, Path]] = {}
    starts: dict[str, tuple[pandas.Series, Path]] = {}

    def agree(what: str, problem: str, at: float | str, value: Any, folder: Path) -> None:
        first, there = stated.setdefault((what, problem, at), (value, folder))
        if first != value:
            raise Refused(
                f"{there} and {folder} ran {problem} with other {what}: run one of them again"
            )

    for part in every:
        for info in part.cells.values():
            of_problem = info.dial_column, info.scale, info.falling, info.settings
            agree("fields, transforms or noise", info.problem, "", of_problem, part.folder)
            # A budget may grow with the dial.
            agree(
                "trials, instances or budgets", info.problem, info.dial, info.protocol, part.folder
            )
        for problem, ends in _ends(part.cells):
            agree("rungs", problem, "", ends, part.folder)
        for name, runs in part.runs.dropna(subset=["seed", "grad_sq_initial"]).groupby("problem"):
            start = runs.groupby(["dial", "seed"])["grad_sq_initial"].first().astype(float)
            known, there = starts.setdefault(str(name), (start, part.folder))
            both = pandas.concat([known, start], axis=1, join="inner").to_numpy()
            if not np.allclose(both[:, 0], both[:, 1], rtol=SAME_START, equal_nan=True):
                raise Refused(
                    f"{there} and {part.folder} ran other instances of {name}: run the older one again"
                )


def _ends(infos: Mapping[str, CellInfo]) -> Iterator[tuple[str, tuple[float, float]]]:
    """Yield the problem, and the least and the largest dial, of each ladder; one that an error ended is none."""
    ladders: dict[str, list[CellInfo]] = {}
    broken = set()
    for key, info in infos.items():
        ladders.setdefault(info.job, []).append(info)
        if info.error and not key.endswith(SKIPPED):
            broken.add(info.job)
    for job, rungs in ladders.items():
        if job not in broken:
            dials = [info.dial for info in rungs]
            yield rungs[0].problem, (min(dials), max(dials))


def _manifest(every: Sequence[Results], cells: Mapping[str, CellInfo]) -> dict[str, Any]:
    """Return the manifest of all: versions that differ are joined by commas."""

    def joined(values: Sequence[Any]) -> str | None:
        return ", ".join(sorted({str(each) for each in values if each})) or None

    manifests = [each.manifest for each in every]
    packages = {name for each in manifests for name in each["packages"]}
    return {
        "schema": manifests[0]["schema"],
        "config": manifests[0]["config"],
        "git": {
            "commit": joined([each["git"]["commit"] for each in manifests]),
            "dirty": any(each["git"]["dirty"] for each in manifests),
        },
        "packages": {
            name: joined([each["packages"].get(name) for each in manifests])
            for name in sorted(packages)
        },
        **{name: joined([each[name] for each in manifests]) or "" for name in ("python", "cpu")},
        "threads": manifests[0]["threads"],
        "seconds": sum(each["seconds"] for each in manifests),
        "jobs": by_job(cells),
        "rows": CHOSEN_ROWS,
        "parts": {
            each.folder.name: {name: each.manifest[name] for name in ("git", "cpu", "seconds")}
            for each in every
        },
    }


def _write(out: Path, manifest: Mapping[str, Any], tables: Mapping[str, pandas.DataFrame]) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "manifest.json").write_text(json.dumps(manifest, separators=(",", ":")) + "\n")
    for name, table in tables.items():
        # Of a hundred columns in a small file, the schema and the statistics would be half of the file.
        table.to_parquet(
            out / f"{name}.parquet", index=False, compression="zstd", compression_level=19,
            store_schema=False, write_statistics=False,
        )  # fmt: skip


def _nine_digits(value: float) -> float:
    return float(f"{value:.9g}")


def _chosen_runs(runs: pandas.DataFrame, summary: pandas.DataFrame) -> pandas.DataFrame:
    """Return the reporting runs of the chosen trials and the rows without numbers, with the size of each search."""
    by_cell = runs.groupby("cell")
    tuning = runs[runs["role"] == "tuning"].groupby("cell")["seed"].nunique()
    sizes = {"trials": by_cell["trial"].nunique(), "tuning_seeds": tuning}
    chosen = pandas.MultiIndex.from_frame(
        summary[["cell", "trial"]].dropna().astype({"trial": "int64"})
    )
    numbered = ~runs["status"].isin(WITHOUT_NUMBERS)
    pairs = pandas.MultiIndex.from_arrays([runs["cell"], runs["trial"].fillna(-1).astype("int64")])
    kept = runs[~numbered | (pairs.isin(chosen) & (runs["role"] == "reporting"))]
    names = [name for name in runs if name in KEPT or str(name).startswith(OF_PROBLEMS)]
    small = dict.fromkeys(("gap_final", "grad_sq_initial"), "float32")
    with np.errstate(over="ignore"):  # a gap above 3e38 is infinite as well
        short = kept[names].astype(small)
    return short.assign(
        **{name: kept["cell"].map(size).astype("Int64") for name, size in sizes.items()}
    )
