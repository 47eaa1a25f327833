"""A sweep as its folder has it, with what its tables do not say: from the registry, where the problem is there.

The cells themselves may be gone. What they knew besides their numbers, such as the name of the dial, is found
again from the columns `problem.<field>`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.breaking_points import crossing, isotonic
from benchmarks.analysis.columns import OF_PROBLEMS, WITHOUT_NUMBERS
from benchmarks.analysis.consistency import CHOSEN
from benchmarks.analysis.dial_axis import Axis
from benchmarks.analysis.folder import Results, contradicted, read_results, read_table
from benchmarks.analysis.tables import Tables
from benchmarks.catalog.loading import is_own
from benchmarks.store.cells import Stored
from optimizers import OPTIMIZERS
from problems import PROBLEMS, Problem
from problems.modifiers import noisy, transformed
from ravine import Refused

POINTS = ("problem", "optimizer", "choice", "budget", "breaking_point", "censored", "text")
WIDE = 20  # how many times the least of positive dials the largest is, where their scale is a logarithm


@dataclass(frozen=True)
class Saved(Tables):
    """The tables of one or several folders.

    frames: by name, those of the folders one below the other; `job` is in each of them.
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
    def own(self) -> set[str]:
        """The optimizers that are neither ours nor of the collections of other people's."""
        return {name for name in self.runs["optimizer"].unique() if is_own(str(name))}


def read_saved(folders: Sequence[Path]) -> tuple[Saved, list[Results]]:
    """The tables of these folders as one sweep. Raises Refused for a folder that is not a whole sweep's.

    A cell that several have counts once. Where two have run the same optimizer on the same problem with other
    cells, its name says which folder it is from.
    """
    found = [_read(folder) for folder in folders]
    if len(found) > 1:
        _tell_apart(found)
    frames = {
        name: pandas.concat([each[name] for each, _ in found], ignore_index=True)
        for name in found[0][0]
    }
    frames["runs"] = frames["runs"].drop_duplicates(["cell", "trial", "seed"])
    frames["summary"] = frames["summary"].drop_duplicates(["cell", "choice"])
    frames["traces"] = frames["traces"].drop_duplicates(["cell", "trial", "seed", "step"])
    if len(frames["breaking_points"]):
        frames["breaking_points"] = frames["breaking_points"].drop_duplicates(
            ["job", "choice", "budget"]
        )
    cells, problems = {}, {}
    for key, of_cell in frames["runs"].groupby("cell", sort=False):
        row = of_cell.iloc[0]
        problem = rebuilt(row)
        cells[str(key)] = Stored(_info(row, problem), {}, {})
        if isinstance(problem, Problem):
            problems[str(key)] = problem
    return Saved(cells, problems, frames), [results for _, results in found]


def _read(folder: Path) -> tuple[dict[str, pandas.DataFrame], Results]:
    results = read_results(folder)
    if results.manifest.get("rows") == CHOSEN:
        raise Refused(
            f"{folder} has the runs of chosen trials alone, which is enough for compare and not for a report: "
            f"compare {folder} with a sweep of yours"
        )
    runs = results.runs.assign(dial_column=_dial_columns(results.runs))
    several = (runs.groupby(["problem", "optimizer"])["dial"].nunique() > 1).any()
    sound = ~runs["status"].isin(WITHOUT_NUMBERS)
    points = pandas.DataFrame()
    if several and sound.any():
        points = read_table(folder, "breaking_points")
        for name in POINTS:
            if name not in points:
                raise contradicted(folder, f"breaking_points has no column {name}")
        points["censored"] = points["censored"].fillna("").astype(str)
        columns = dict(zip(_kinds(runs), runs["dial_column"], strict=True))
        points = points.assign(dial_column=[columns.get(kind, "") for kind in _kinds(points)])
        points = points.assign(job=_jobs(points))
    cells = runs.drop_duplicates("cell")
    job = pandas.Series(_jobs(cells), index=cells["cell"])
    runs = runs.assign(job=runs["cell"].map(job))
    summary = results.summary.assign(job=results.summary["cell"].map(job))
    traces = read_table(folder, "traces")
    for name in ("cell", "trial", "seed", "step", "cost", "gap"):
        if len(traces) and name not in traces:
            raise contradicted(folder, f"traces has no column {name}")
    if not set(traces["cell"]) <= set(runs["cell"]):
        raise contradicted(folder, "traces has cells that are not in runs")
    traces = traces.assign(job=traces["cell"].map(job))
    wrong = next(_contradictions(runs, summary, points), None)
    if wrong:
        raise contradicted(folder, wrong)
    frames = {"runs": runs, "summary": summary, "breaking_points": points, "traces": traces}
    return frames, results


def _contradictions(
    runs: pandas.DataFrame, summary: pandas.DataFrame, points: pandas.DataFrame
) -> Iterator[str]:
    """Whether breaking points are where the solved shares of the summary cross a half."""
    if points.empty:
        return
    ladders = {str(job): rows for job, rows in summary.groupby("job", sort=False)}
    firsts = {row["job"]: row for _, row in runs.drop_duplicates("job").iterrows()}
    for row in points[points["budget"] == 1].to_dict("records"):
        if row["job"] not in ladders:
            yield f"breaking_points has {row['optimizer']} on {row['problem']}, which runs have not"
            return
        if row["problem"] not in PROBLEMS:
            continue
        ladder = ladders[row["job"]]
        rungs = ladder[(ladder["choice"] == row["choice"]) | (ladder["status"] == "skipped")]
        shares = (rungs["solved"].fillna(0) / rungs["runs"].fillna(1)).set_axis(rungs["dial"])
        scale, falling = scale_of(firsts[row["job"]], ladder["dial"])
        axis = Axis.of(shares.index.to_numpy(), scale, falling)
        place = float(crossing(axis.x, isotonic(shares.loc[axis.dials].to_numpy(dtype=float))))
        here = axis.read(place, place, place)
        if here["censored"] != row["censored"] or not np.isclose(
            here["breaking_point"], row["breaking_point"], rtol=1e-6
        ):
            yield (
                f"{row['optimizer']} breaks on {row['problem']} at {row['text']} in breaking_points, "
                "and elsewhere in summary"
            )
            return


def scale_of(row: Any, dials: Any) -> tuple[str, bool]:
    """The dial's scale, and whether the problem gets harder as it falls; guessed where it is not registered."""
    problem = rebuilt(row)
    if isinstance(problem, Problem):
        ladder = problem.card.ladder
        return problem.card.scale, ladder[0] > ladder[-1]
    low, high = min(dials), max(dials)
    return ("log" if low > 0 and high > WIDE * low else "linear"), False


def rebuilt(row: Any) -> Problem | str:
    """The problem of a row of runs, from its name and fields; or why there is none."""
    if row["problem"] not in PROBLEMS:
        return f"{row['problem']} is not registered here"
    prototype = PROBLEMS[row["problem"]]
    try:
        values = {
            each.name: _as_declared(row[f"problem.{each.name}"], getattr(prototype, each.name))
            for each in dataclasses.fields(prototype)  # type: ignore[arg-type]
            if f"problem.{each.name}" in row and not pandas.isna(row[f"problem.{each.name}"])
        }
        problem = dataclasses.replace(prototype, **values)  # type: ignore[type-var]
        if not pandas.isna(row.get("transform")):
            problem = transformed(problem, str(row["transform"]).split("+"))
        if not pandas.isna(row.get("noise")):
            problem = noisy(problem, str(row["noise"]), float(row["noise.strength"]))
            if row["dial_column"] != problem.dial_column:
                problem = dataclasses.replace(problem, walks="problem")
    except (
        Refused,
        TypeError,
        ValueError,
    ) as error:  # another version of it, perhaps of someone else
        return f"{row['problem']} is not as it was: {' '.join(str(error).split())}"
    return problem


def _as_declared(value: Any, usual: Any) -> Any:
    """A value as it was before it went through a file: a whole number with gaps is a float there."""
    if isinstance(usual, bool):
        return str(value) == "True"
    if isinstance(usual, (int, float)) and not isinstance(value, str):
        return type(usual)(value)
    return str(value) if isinstance(usual, str) else value


def _dial_columns(runs: pandas.DataFrame) -> pandas.Series:
    """By row, the column that has the dial: the one that the problem names, if it is equal to `dial`."""
    columns = pandas.Series("", index=runs.index)
    numeric = [
        name
        for name in map(str, runs)
        if name.startswith(OF_PROBLEMS) and pandas.api.types.is_numeric_dtype(runs[name])
    ]
    for _, group in runs.groupby(_kinds(runs), sort=False):
        equal = [name for name in numeric if (group[name] == group["dial"]).all()]
        name = group["problem"].iloc[0]
        stated = [
            "noise.strength"
        ]  # where there is noise, its strength unless that is not what varies
        stated += [PROBLEMS[name].dial_column] if name in PROBLEMS else []
        columns[group.index] = next(
            (each for each in stated if each in equal), next(iter(equal), "")
        )
    return columns


def _kinds(rows: pandas.DataFrame) -> list[str]:
    """By row, what decides which of its columns has the dial."""
    noise = rows["noise"].fillna("").astype(str) if "noise" in rows else ""
    return list(rows["problem"].astype(str) + "+" + noise)


def _jobs(rows: pandas.DataFrame) -> list[str]:
    """What is the same for all rungs of a job, and different for any two jobs of a sweep."""
    fields = sorted(name for name in map(str, rows) if name.startswith(OF_PROBLEMS))
    names = list(zip(rows["problem"], rows["optimizer"], rows["dial_column"], strict=True))
    known: dict[tuple[Any, ...], str] = {}
    jobs = []
    for name, values in zip(
        names, rows[fields].astype(object).itertuples(index=False, name=None), strict=True
    ):
        at = (*name, *map(str, values))
        if at not in known:
            said = [
                f"{field} {_plain(value)}"
                for field, value in zip(fields, values, strict=True)
                if field != name[2] and not pandas.isna(value)
            ]
            known[at] = " · ".join([*map(str, name[:2]), *said])
        jobs.append(known[at])
    return jobs


def _plain(value: Any) -> str:
    """The same whether a frame had gaps, where whole numbers and truths are floats in a file, or none."""
    truth = {"True": 1.0, "False": 0.0}.get(str(value))
    number = value if truth is None else truth
    return f"{number:.12g}" if isinstance(number, (int, float)) else str(number)


def _tell_apart(found: list[tuple[dict[str, pandas.DataFrame], Results]]) -> None:
    """Name the folder behind an optimizer of which several have other cells of the same job."""
    cells: dict[str, set[frozenset[str]]] = {}
    optimizers: dict[str, str] = {}
    for frames, _ in found:
        for job, of_job in frames["runs"].groupby("job"):
            cells.setdefault(str(job), set()).add(frozenset(of_job["cell"]))
            optimizers[str(job)] = str(of_job["optimizer"].iloc[0])
    names = {optimizers[job] for job, sets in cells.items() if len(sets) > 1}
    jobs = {job for job, optimizer in optimizers.items() if optimizer in names}
    for frames, results in found:
        for frame in frames.values():
            for name in ("optimizer", "cell", "job") if len(frame) else ():
                if name in frame:
                    clash = frame["job"].isin(jobs)
                    frame[name] = frame[name].where(
                        ~clash, frame[name] + f" ({results.folder.name})"
                    )


def _info(row: Any, problem: Problem | str) -> dict[str, Any]:
    """What a cell says of itself, as far as its first row and the registry tell."""
    known = problem if isinstance(problem, Problem) else None
    scale, falling = scale_of(row, [row["dial"]])
    name = str(row["optimizer"])
    return {
        "job": row["job"],
        "problem": row["problem"],
        "dial": row["dial"],
        "optimizer": name,
        "role": OPTIMIZERS[name].role if name in OPTIMIZERS else "ranked",
        "dial_name": known.card.dial if known else row["dial_column"].removeprefix("problem."),
        "dial_column": row["dial_column"],
        "scale": scale,
        "falling": falling,
        "unranked": known.card.exceptions.get("ranked", "") if known else "",
    }
