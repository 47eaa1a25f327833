"""A sweep read from its folder: the tables, and the cells as the manifest describes them (the cells may be deleted)."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas

from benchmarks.analysis.columns import NUMBERS, WITHOUT_NUMBERS
from benchmarks.analysis.consistency import misplaced
from benchmarks.analysis.folder import Results, contradicted, read_results, read_table, unchanged
from benchmarks.analysis.tables import Tables
from benchmarks.catalog.loading import is_own
from benchmarks.store.cell_info import CellInfo
from benchmarks.store.cells import Stored
from problems import PROBLEMS, Problem
from problems.modifiers import noisy, transformed

PLACED = (
    "problem", "optimizer", "choice", "budget", "breaking_point", "censored", "text", "job",
)  # fmt: skip
POINTS = (
    *PLACED, "low", "high", "dose_response", "dose_exponent", "rungs", "theory", "first_rung", "last_rung",
)  # fmt: skip


@dataclass(frozen=True)
class Saved(Tables):
    """The tables of one or several folders.

    frames: by name, the folders' tables concatenated, each with the column `job`.
    """

    frames: Mapping[str, pandas.DataFrame] = dataclasses.field(default_factory=dict)

    @cached_property
    def runs(self) -> pandas.DataFrame:
        return self.frames["runs"]

    @cached_property
    def summary(self) -> pandas.DataFrame:
        return self.frames["summary"]

    @cached_property
    def traces(self) -> pandas.DataFrame:
        return self.frames["traces"]

    @cached_property
    def breaking_points(self) -> pandas.DataFrame:
        return self.frames["breaking_points"]

    @cached_property
    def explained(self) -> pandas.DataFrame:
        """What was measured by taking causes away; no rows if nothing was."""
        return self.frames["explained"]

    @cached_property
    def own(self) -> set[str]:
        """The user's optimizers."""
        return {name for name in self.runs["optimizer"].unique() if is_own(str(name))}


def read_saved(folders: Sequence[Path]) -> tuple[Saved, list[Results]]:
    """Return the tables of these folders as one sweep.

    A cell in several folders counts once. If two folders have different cells of one optimizer on one problem, the
    folder's name is appended to the optimizer's.

    Raises:
        Refused: For a folder that is not a complete sweep, or was edited.
    """
    return unchanged(lambda: _read(folders), folders)


def _read(folders: Sequence[Path]) -> tuple[Saved, list[Results]]:
    results = [read_results(folder, whole=True) for folder in folders]
    clashing = _clashing(results)
    parts = [_frames(each, clashing) for each in results]
    frames = {
        name: pandas.concat([each[name] for _, each in parts], ignore_index=True)
        for name in parts[0][1]
    }
    frames["runs"] = frames["runs"].drop_duplicates(["cell", "trial", "seed"])
    frames["summary"] = frames["summary"].drop_duplicates(["cell", "choice"])
    frames["traces"] = frames["traces"].drop_duplicates(["cell", "trial", "seed", "step"])
    frames["explained"] = frames["explained"].drop_duplicates(["job", "removal"])
    if len(frames["breaking_points"]):
        frames["breaking_points"] = frames["breaking_points"].drop_duplicates(
            ["job", "choice", "budget"]
        )
    infos = {key: info for cells, _ in parts for key, info in cells.items()}
    return Saved({key: Stored(info, {}, {}) for key, info in infos.items()}, {}, frames), results


def rebuilt(info: CellInfo) -> Problem | str:
    """Return the problem of a cell, or the reason why it cannot be built."""
    if info.problem not in PROBLEMS:
        return f"{info.problem} is not registered here"
    prototype, of_problem = PROBLEMS[info.problem], "problem."
    try:
        whole = info.dial_column == prototype.dial_column and prototype.has_whole_dial
        settings = {**info.settings, info.dial_column: round(info.dial) if whole else info.dial}
        fields = {
            name.removeprefix(of_problem): value
            for name, value in settings.items()
            if name.startswith(of_problem)
        }
        problem = dataclasses.replace(prototype, **fields)  # type: ignore[type-var]
        if "transform" in settings:
            problem = transformed(problem, settings["transform"].split("+"))
        if "noise" in settings:
            problem = noisy(problem, settings["noise"], settings["noise.strength"])
            if info.dial_column != problem.dial_column:
                problem = dataclasses.replace(problem, walks="problem")
    except Exception as error:  # of another version of the problem, or edited by hand
        return f"{info.problem} has changed since: {' '.join(str(error).split())}"
    return problem


def _frames(
    results: Results, clashing: set[str]
) -> tuple[dict[str, CellInfo], dict[str, pandas.DataFrame]]:
    """Return the cells and the tables of a folder, with its name appended to that of each clashing optimizer."""
    jobs = pandas.Series({key: info.job for key, info in results.cells.items()})
    runs, summary, traces, points = (
        results.runs, results.summary, read_table(results.folder, "traces"), stated_points(results, POINTS),
    )  # fmt: skip
    for name in ("cell", *NUMBERS["traces"]):
        if len(traces) and name not in traces:
            raise contradicted(results.folder, f"traces has no column {name}")
    if not set(traces["cell"]) <= set(runs["cell"]):
        raise contradicted(results.folder, "traces has cells that are not in runs")
    if len(traces) and traces["gap"].isna().all():
        raise contradicted(results.folder, "gap in traces has no number")
    for name in ("problem", "optimizer"):
        stated = {key: getattr(info, name) for key, info in results.cells.items()}
        odd = runs.loc[runs[name] != runs["cell"].map(stated), name]
        if len(odd):
            wrong = f"{name} in runs is {odd.iloc[0]!r}, and another in manifest.json"
            raise contradicted(results.folder, wrong)
    runs, summary, traces = (
        each.assign(job=each["cell"].map(jobs)) for each in (runs, summary, traces)
    )
    frames = {
        "runs": runs, "summary": summary, "breaking_points": points, "traces": traces, "explained": results.explained,
    }  # fmt: skip
    if not clashing:
        return {**results.cells}, frames
    behind = f" ({results.folder.name})"

    def told_apart(frame: pandas.DataFrame) -> pandas.DataFrame:
        names = [name for name in ("optimizer", "cell", "job") if name in frame]
        clash = frame["optimizer"].isin(clashing)
        return frame.assign(
            **{name: frame[name].where(~clash, frame[name] + behind) for name in names}
        )

    cells = {}
    for key, info in results.cells.items():
        if info.optimizer in clashing:
            named = {"optimizer": info.optimizer + behind, "job": info.job + behind}
            cells[key + behind] = dataclasses.replace(info, **named)
        else:
            cells[key] = info
    return cells, {name: told_apart(each) if len(each) else each for name, each in frames.items()}


def stated_points(results: Results, columns: Sequence[str] = PLACED) -> pandas.DataFrame:
    """Return the breaking points of a folder, with these columns at least; empty if nothing was run at two rungs.

    Raises:
        Refused: If one is missing, or not where the summary has it.
    """
    runs = results.runs
    several = (runs.groupby(["problem", "optimizer"])["dial"].nunique() > 1).any()
    if not several or runs["status"].isin(WITHOUT_NUMBERS).all():
        return pandas.DataFrame()
    points = read_table(results.folder, "breaking_points")
    for name in columns:
        if name not in points:
            raise contradicted(results.folder, f"breaking_points has no column {name}")
    points = points.assign(censored=points["censored"].fillna("").astype(str))
    jobs = {key: info.job for key, info in results.cells.items()}
    by_job = {info.job: info for info in results.cells.values()}
    summary = results.summary.assign(job=results.summary["cell"].map(jobs))
    wrong = next(misplaced(by_job, summary, points), None)
    if wrong:
        raise contradicted(results.folder, wrong)
    return points


def _clashing(results: Sequence[Results]) -> set[str]:
    """Return the optimizers of which two folders have different cells on one problem."""
    cells: dict[tuple[str, str], set[frozenset[str]]] = {}
    for each in results:
        of_folder: dict[tuple[str, str], set[str]] = {}
        for key, info in each.cells.items():
            at = info.optimizer, f"{info.problem} {info.dial_column} {info.settings}"
            of_folder.setdefault(at, set()).add(key)
        for at, keys in of_folder.items():
            cells.setdefault(at, set()).add(frozenset(keys))
    return {optimizer for (optimizer, _), found in cells.items() if len(found) > 1}
