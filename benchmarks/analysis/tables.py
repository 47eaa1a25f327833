"""Make pandas tables from cells: runs, summary, breaking points, traces; and write them as files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas

from benchmarks.analysis.breaking_points import breaking_points, one_setting
from benchmarks.analysis.columns import (
    AT_END,
    CELL,
    INTEGERS,
    OF_PROBLEMS,
    RUNS,
    SETTINGS,
    SOLVING,
    VERDICT,
    WITHOUT_NUMBERS,
)
from benchmarks.analysis.intervals import median_interval, wilson
from benchmarks.catalog.subsections import families
from benchmarks.diagnosis import Verdict, diagnose
from benchmarks.diagnosis.from_trace import Known, traced_records
from benchmarks.engine.protocol import FRONTIER, ROUNDING
from benchmarks.engine.status import NO_STEP, TOO_FEW_STEPS, UNJUDGED
from benchmarks.engine.trial_choice import choose, costs
from benchmarks.store.cell_info import CellInfo
from benchmarks.store.cells import Cells, Stored
from benchmarks.store.sweep_folder import SweepFolder
from problems.noisy_runs import FEWEST
from ravine import left_out

if TYPE_CHECKING:
    from problems import Problem

LARGE = 100_000  # rows of runs, 33 MB as CSV: more are written as parquet
GROUP = 100_000  # rows of a parquet table that are written at a time


@dataclass(frozen=True)
class Tables:
    """The results of a sweep as pandas frames, made from its cells.

    problems: by cell, the problem that was swept, at any dial; figures evaluate its loss.
    """

    cells: Mapping[str, Stored]
    problems: Mapping[str, Problem] = field(default_factory=dict)

    @cached_property
    def verdicts(self) -> dict[tuple[str, int, int], Verdict]:
        """The diagnosis of each traced run, by cell, trial and seed; without those that fail."""
        found = {}
        for key, cell in self.cells.items():
            what = f"a verdict of {_named(cell.info)} (cell {key})"
            with left_out(what):
                for row, record in traced_records(cell.runs, cell.traces, _known(cell.info)):
                    run = key, int(cell.runs["trial"][row]), int(cell.runs["seed"][row])
                    with left_out(what):
                        found[run] = diagnose(record)
        return found

    @cached_property
    def runs(self) -> pandas.DataFrame:
        """One row per run."""
        frames = [
            pandas.DataFrame({**cell.runs, **self._judged(key)}, copy=False).assign(
                problem=cell.info.problem, dial=cell.info.dial, optimizer=cell.info.optimizer,
                budget=cell.info.protocol.budget, error=cell.info.error,
                traceback=cell.info.traceback, cell=key,
            )
            for key, cell in self.cells.items()
        ]  # fmt: skip
        runs = pandas.concat(frames, ignore_index=True).reindex(
            columns=list(dict.fromkeys([*RUNS, *(name for frame in frames for name in frame)]))
        )
        whole = dict.fromkeys(INTEGERS, "Int64")
        return runs.astype(whole)

    @cached_property
    def traces(self) -> pandas.DataFrame:
        """One row per recorded step of the reporting runs of the chosen trials."""
        frames = [
            pandas.DataFrame(dict(cell.traces)).assign(
                problem=cell.info.problem,
                dial=cell.info.dial,
                optimizer=cell.info.optimizer,
                cell=key,
            )
            for key, cell in self.cells.items()
            if cell.traces
        ]
        first = [*CELL, "trial", "seed", "step", "cost"]
        if not frames:
            return pandas.DataFrame(columns=first)
        traces = pandas.concat(frames, ignore_index=True)
        return traces[[*first, *(name for name in traces if name not in first)]]

    @cached_property
    def _transfer(self) -> dict[str, int]:
        """By cell, the trial that did best on the problems of all other families; empty without other families."""
        from benchmarks.analysis.tuning import transfer

        family = families()
        if len({family.get(name, name) for name in self.runs["problem"].unique()}) < 2:
            return {}
        found = transfer(self.runs, family)
        return dict(zip(found["cell"], found["trial"].astype(int), strict=True))

    @cached_property
    def summary(self) -> pandas.DataFrame:
        """One row per cell × choice: the results of the chosen trial on the reporting instances."""
        rows: list[dict[str, Any]] = []
        for _, ladder in self._ladders(self.runs):
            sound = filled(ladder, self._info(ladder).falling)
            robust = {}
            if len(sound):
                info = self._info(sound)
                robust["one_setting"] = one_setting(
                    sound, info.scale, falling=info.falling, sobol=_sobol(sound)
                )
            for _, runs in ladder.groupby("cell", sort=False):
                if runs["status"].isin(WITHOUT_NUMBERS).any():
                    rows.append(_of(runs, (*CELL, "status", "error", "traceback")))
                    continue
                key = str(runs["cell"].iloc[0])
                elsewhere = {"transfer": self._transfer[key]} if key in self._transfer else {}
                rows.extend(_summarized(runs, choose(runs) | robust | elsewhere, self._info(runs)))
        summary = pandas.DataFrame(rows)
        for name in (each for each in map(str, summary) if each.startswith(VERDICT)):
            summary[name] = summary[name].fillna(0).astype("Int64")
        return summary

    @cached_property
    def breaking_points(self) -> pandas.DataFrame:
        """The breaking point of each optimizer on each problem; empty if nothing was run at two rungs."""
        found = []
        for _, all_runs in self._ladders(self.runs):
            info = self._info(all_runs)
            ladder = filled(all_runs, info.falling)
            if ladder["dial"].nunique() > 1:
                name = info.problem
                cells = [key for key in all_runs["cell"].unique() if key in self._transfer]
                trials = {self._transfer[key] for key in cells}
                points = breaking_points(
                    ladder,
                    {name: info.scale},
                    falling=[name] if info.falling else [],
                    sobol=_sobol(ladder),
                    fractions=FRONTIER,
                    transfer={(name, info.optimizer): trials.pop()} if len(trials) == 1 else None,
                )
                words = points["budget"].map(
                    {share: _unjudged(ladder, info, share) for share in FRONTIER}
                )
                theory = points["budget"].map(
                    {share: info.theory.get(f"{share:.3g}") for share in FRONTIER}
                )
                settings = {name: ladder[name].iloc[0] for name in _of_problem(ladder, info)}
                found.append(points.assign(
                    text=points["text"].where(words == "", words.str.replace("_", " ")), unjudged=words,
                    theory=theory.where(words == ""), job=info.job, **settings,
                ))  # fmt: skip
        return pandas.concat(found, ignore_index=True) if found else pandas.DataFrame()

    def _judged(self, key: str) -> dict[str, list[str]]:
        """Return by column what is read off each run of a cell; empty for an untraced run."""
        runs = self.cells[key].runs
        if "trial" not in runs:
            return {"verdict": [""], "also": [""], "ruled_out": [""]}
        pairs = zip(runs["trial"].tolist(), runs["seed"].tolist(), strict=True)
        found = [self.verdicts.get((key, trial, seed)) for trial, seed in pairs]
        return {
            "verdict": ["" if each is None else each.cause for each in found],
            "also": ["" if each is None else ",".join(each.also) for each in found],
            "ruled_out": ["" if each is None else ",".join(each.ruled_out) for each in found],
        }

    def _ladders(self, runs: pandas.DataFrame) -> Iterable[tuple[Any, pandas.DataFrame]]:
        """Return the runs of each job: one optimizer on one problem, at all its rungs."""
        jobs = {key: cell.info.job for key, cell in self.cells.items()}
        return runs.groupby(runs["cell"].map(jobs), sort=False)

    def _info(self, runs: pandas.DataFrame) -> CellInfo:
        return self.cells[str(runs["cell"].iloc[0])].info

    def write(self, folder: Path) -> list[str]:
        """Write all tables, and return the names of the files."""
        large = len(self.runs) > LARGE
        files = {"summary.csv": self.summary, f"runs.{'parquet' if large else 'csv'}": self.runs}
        if len(self.breaking_points):
            files["breaking_points.csv"] = self.breaking_points
        for name, frame in {**files, "traces.parquet": self.traces}.items():
            if name.endswith(".csv"):
                frame.to_csv(folder / name, index=False)
            else:
                _write_parquet(_of_one_kind(frame), folder / name)
        return [*files, "traces.parquet"]


def _write_parquet(frame: pandas.DataFrame, file: Path) -> None:
    """Write a frame in groups of rows, each of which is in memory a second time only while it is written."""
    import pyarrow as pa  # slow to import, and a dry run needs none of it
    import pyarrow.parquet as pq

    schema = pa.Schema.from_pandas(frame, preserve_index=False)
    with pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for first in range(0, max(len(frame), 1), GROUP):
            rows = frame.iloc[first : first + GROUP]
            writer.write_table(pa.Table.from_pandas(rows, schema=schema, preserve_index=False))


def _of_one_kind(frame: pandas.DataFrame) -> pandas.DataFrame:
    """Return the frame with columns of several types as text, because a parquet column has one type.

    Two optimizers' hyperparameters of one name may differ in type.
    """
    mixed = [
        name
        for name in map(str, frame)
        if frame[name].dtype == object and frame[name].dropna().map(type).nunique() > 1
    ]
    return frame.assign(**{name: frame[name].map(str, na_action="ignore") for name in mixed})


def read(
    store: Cells, keys: Iterable[str], problems: Mapping[str, Problem] | None = None
) -> Tables:
    """Return the tables of these cells."""
    return Tables({key: store.read(key) for key in keys}, problems or {})


def _summarized(
    runs: pandas.DataFrame, choices: Mapping[str, int], info: CellInfo
) -> Iterator[dict[str, Any]]:
    """Yield one row for each choice among the trials of one cell."""
    reporting = runs[runs["role"] == "reporting"]
    sobol = reporting[reporting["search"] == "sobol"].groupby("trial")["status"]
    solving = sobol.apply(lambda status: (status == "solved").mean() >= 0.5).astype(bool)
    share = (solving.mean(), *wilson(solving.sum(), len(solving)))
    widths = [each for each in info.searched.values() if each is not None]
    known = len(solving) and widths and len(widths) == len(info.searched)
    box = math.prod(widths) if known else None
    for choice, trial in choices.items():
        chosen = reporting[reporting["trial"] == trial]
        solved, diverged = (
            int((chosen["status"] == each).sum()) for each in ("solved", "diverged")
        )
        cost = costs(chosen)
        cost_low, cost_high = median_interval(cost)
        half = len(chosen) / 2
        judged = chosen.loc[chosen["verdict"] != "", "verdict"].value_counts()
        # A suite's runs have two hundred columns: reading one row is faster than reading each column.
        first = dict(zip(map(str, chosen), chosen.iloc[0], strict=True))
        ends = [name for name in first if name.startswith(AT_END)]
        yield {
            **{name: first[name] for name in CELL},
            "choice": choice,
            "trial": trial,
            "runs": len(chosen),
            "solved": solved,
            "diverged": diverged,
            "cost_to_target": float(np.median(cost)),
            "cost_to_target_low": cost_low,
            "cost_to_target_high": cost_high,
            "gap_final": chosen["gap_final"]
            .where(chosen["status"] != "diverged", math.inf)
            .median(),
            "searched": ",".join(info.searched),
            **{
                name: None if box is None else box * part
                for name, part in zip(SOLVING, share, strict=True)
            },
            "edge": bool(first["edge"]),
            "predicted_share": info.predicted_share,
            "seconds": first["seconds"],
            "status": next(
                (
                    each
                    for each in ("solved", "diverged", *UNJUDGED)
                    if (chosen["status"] == each).sum() >= half
                ),
                "missed",
            ),
            "verdict": judged.index[0] if len(judged) else "",
            **{f"{VERDICT}{name}": count for name, count in judged.items()},
            **{
                name: value
                for name, value in first.items()
                if name == "u" or name.startswith(SETTINGS)
            },
            **dict(zip(ends, chosen[ends].median(), strict=True)),
        }


def filled(ladder: pandas.DataFrame, falling: bool) -> pandas.DataFrame:
    """Return the runs of a job that have numbers; a skipped rung gets those of the hardest rung that was run.

    No trial solves an instance at that rung, and only that counts here.
    """
    sound = ladder[~ladder["status"].isin(WITHOUT_NUMBERS)]
    skipped = ladder[ladder["status"] == "skipped"]
    if sound.empty or skipped.empty:
        return sound
    hopeless = sound[sound["dial"] == (sound["dial"].min() if falling else sound["dial"].max())]
    instead = [
        hopeless.assign(
            dial=dial, budget=budget, status="missed", cost_to_target=math.nan, cell=cell
        )
        for dial, budget, cell in zip(
            skipped["dial"], skipped["budget"], skipped["cell"], strict=True
        )
    ]
    return pandas.concat([sound, *instead], ignore_index=True)


def _unjudged(ladder: pandas.DataFrame, info: CellInfo, share: float) -> str:
    """Return why no run of a ladder can be judged at this share of the budget; empty if one can.

    How many steps the share affords is told from what the steps of the whole run cost on average.
    """
    allowed, cost, steps = (
        ladder[name].to_numpy(dtype=float) for name in ("budget", "cost", "steps")
    )
    allowed = share * allowed
    diverged = np.where(ladder["status"] == "diverged", cost, np.inf)
    if (np.minimum(costs(ladder), diverged) <= allowed).any():
        return ""
    affords = (steps * np.minimum(1, allowed / np.where(cost > 0, cost, np.inf)) + ROUNDING).max()
    if affords < 1:
        return NO_STEP
    return TOO_FEW_STEPS if info.noisy and affords < FEWEST else ""


def _known(info: CellInfo) -> Known:
    return Known(info.noisy, info.target, info.floor_attained)


def _named(info: CellInfo) -> str:
    return f"{info.problem} at {info.dial:g} · {info.optimizer}"


def _of_problem(runs: pandas.DataFrame, info: CellInfo) -> list[str]:
    """Return the columns with the problem's settings, without the dial."""
    names = [name for name in map(str, runs) if name.startswith(OF_PROBLEMS)]
    return [name for name in names if name != info.dial_column]


def _sobol(runs: pandas.DataFrame) -> int:
    """Return the last of the trials with the same setting at every rung."""
    return (
        int(runs.loc[runs["search"] == "sobol", "trial"].max())
        if "sobol" in set(runs["search"])
        else 0
    )


def _of(runs: pandas.DataFrame, names: Iterable[str]) -> dict[str, Any]:
    return {name: runs[name].iloc[0] for name in names}


def collect(
    folder: SweepFolder, seconds: float, say: Callable[[str], None], interrupted: bool = False
) -> tuple[Tables, list[str]] | None:
    """End a sweep: write the tables of all cells, and return them with the names of the files; None without cells."""
    cells = folder.finish(seconds, say, interrupted)
    if not cells:
        return None
    tables = Tables(cells)
    return tables, folder.replace_tables(tables.write)
