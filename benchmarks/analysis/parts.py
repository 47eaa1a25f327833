"""The parts of the published reference: what is kept of the sweep of an optimizer, and the tables of all parts.

A part is a folder with a manifest and the tables of a sweep, small: of the runs it keeps those of the chosen trials on
the reporting instances, which is all that paired comparisons need. `compare` reads it like the folder of a sweep.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.columns import OF_PROBLEMS, SOLVING, VERDICT, WITHOUT_NUMBERS
from benchmarks.analysis.consistency import CHOSEN_ROWS, KEPT
from benchmarks.analysis.folder import Results, read_results, read_table
from benchmarks.engine.protocol import Settled
from benchmarks.store.cell_info import CellInfo, by_job, ordered
from ravine import Refused

POINTS = "breaking_points"
ROUNDED = (
    "cost_to_target", "cost_to_target_low", "cost_to_target_high", "gap_final", *SOLVING,
    "seconds", "u",
)  # fmt: skip
SAME_START = (
    1e-3  # relative: other versions and machines change the gradient of the same instance by less
)


def compact(folder: Path, out: Path) -> None:
    """Write the part of a sweep's folder: its tables, the chosen runs, its manifest."""
    manifest = json.loads((folder / "manifest.json").read_text())
    config = {name: value for name, value in manifest["config"].items() if name != "jobs"}
    summary = read_table(folder, "summary")
    shorter = {name: summary[name].map(_nine_digits) for name in ROUNDED if name in summary}
    several = any(folder.glob(f"{POINTS}.*"))
    tables = {
        "summary": summary.drop(columns="traceback", errors="ignore").assign(**shorter),
        "runs": _chosen_runs(read_table(folder, "runs"), summary),
        **({POINTS: read_table(folder, POINTS)} if several else {}),
    }
    _write(out, {**manifest, "config": config, "rows": CHOSEN_ROWS}, tables)


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
    with_points = [each.folder for each in every if any(each.folder.glob(f"{POINTS}.*"))]
    if with_points:
        tables[POINTS] = joined([read_table(each, POINTS) for each in with_points])
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
    """Refuse parts, or folders of sweeps, that ran a problem with another protocol or on other instances."""
    sizes: dict[tuple[str, float], tuple[Settled, Path]] = {}
    starts: dict[str, tuple[pandas.Series, Path]] = {}
    for part in every:
        for info in part.cells.values():
            rung = info.problem, info.dial  # a budget may grow with the dial
            size, there = sizes.setdefault(rung, (info.protocol, part.folder))
            if size != info.protocol:
                raise Refused(
                    f"{there} and {part.folder} ran {info.problem} with other trials, instances or budgets: "
                    "run one of them again"
                )
        for name, runs in part.runs.dropna(subset=["seed", "grad_sq_initial"]).groupby("problem"):
            start = runs.groupby(["dial", "seed"])["grad_sq_initial"].first().astype(float)
            known, there = starts.setdefault(str(name), (start, part.folder))
            both = pandas.concat([known, start], axis=1, join="inner").to_numpy()
            if not np.allclose(both[:, 0], both[:, 1], rtol=SAME_START, equal_nan=True):
                raise Refused(
                    f"{there} and {part.folder} ran other instances of {name}: run the older one again"
                )


def _manifest(every: Sequence[Results], cells: Mapping[str, CellInfo]) -> dict[str, Any]:
    """Return the manifest of all: versions that differ are joined by commas."""

    def joined(values: Sequence[Any]) -> str | None:
        return ", ".join(sorted({str(each) for each in values if each})) or None

    manifests = [each.manifest for each in every]
    packages = {name for each in manifests for name in each["packages"]}
    config = manifests[0]["config"]
    return {
        "schema": manifests[0]["schema"],
        "config": {**config, "jobs": []} if "jobs" in config else config,
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
