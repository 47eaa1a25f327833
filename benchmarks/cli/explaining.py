"""Explain the jobs of a sweep that has ended, and write `explained.csv`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas

from benchmarks.analysis.causes import EXPLAINED, NAMED
from benchmarks.analysis.folder import read_table
from benchmarks.analysis.tables import Tables
from benchmarks.cli.compose import Plan, Planned
from benchmarks.runner.explain import Explaining, RunningAhead
from benchmarks.runner.launchers.launcher import ProcessLost, cores, one_by_one
from benchmarks.runner.launchers.processes import Processes
from benchmarks.runner.progress import JobsProgress
from benchmarks.store.sweep_folder import SweepFolder
from ravine.whole_file import write_whole


def jobs_to_explain(
    jobs: Iterable[Planned], asked: Callable[[Planned], bool] | None
) -> list[Planned]:
    """Return the jobs that are asked about: by default those of ranked optimizers."""
    return [
        each
        for each in jobs
        if (each.setup.job.contender.optimizer.role == "ranked" if asked is None else asked(each))
    ]


def explain(
    plan: Plan,
    tables: Tables,
    folder: SweepFolder,
    asked: Callable[[Planned], bool] | None,
    say: Callable[[str], None],
) -> tuple[pandas.DataFrame | None, list[Exception]]:
    """Explain the jobs of a sweep that has ended where they break, and write `explained.csv`, however this ends.

    Args:
        plan: The sweep.
        tables: Its tables.
        folder: Its folder.
        asked: Which jobs are explained; by default all ranked ones.
        say: Called with a line for each job that could not be explained.

    Returns:
        The table, with the rows of earlier commands for jobs that this one has not explained, or None if it is empty
        because jobs are missing; and `ProcessLost` for each job whose process was lost.

    Raises:
        Exception: What a job raised, after the other jobs have ended.
    """
    keys: dict[str, list[str]] = {}
    for key, cell in tables.cells.items():
        keys.setdefault(cell.info.job, []).append(key)
    jobs = []
    for each in jobs_to_explain(plan.jobs, asked):
        identity = each.setup.job.identity(each.setup.protocol)
        if identity in keys:
            jobs.append((each, identity))
    configs, cells = [each.config for each, _ in jobs], [keys[name] for _, name in jobs]
    processes = cores() if plan.jobs[0].setup.threads == 1 else 1
    shares = math.ceil(processes / len(jobs)) if jobs else 1  # of the removals of each job
    launch = one_by_one if processes == 1 else Processes(processes)
    before = _before(folder, {cell.info.job for cell in tables.cells.values()})
    with TemporaryDirectory() as scratch:
        task = Explaining(folder, configs, {}, None, cells, Path(scratch))
        progress = JobsProgress("explained", len(jobs), task.ended, task.running)
        try:
            progress.watch()
            if shares > 1:
                ahead = RunningAhead(folder, configs, {}, None, cells, Path(scratch), shares)
                # What goes wrong is met again by the explanations, which say so.
                Processes(processes)(ahead, len(jobs) * shares, progress.watch, lambda line: None)
            shown = dataclasses.replace(task, shown=progress)
            failed = launch(shown, len(jobs), progress.watch, say)
            progress.watch()
        finally:
            progress.close()
            new = []
            for number, (each, identity) in enumerate(jobs):
                rows, job = task.rows(number), each.setup.job
                if rows is not None:
                    named = [job.name, job.problem.card.dial, job.contender.name, identity]
                    new.append((identity, rows.assign(**dict(zip(NAMED, named, strict=True)))))
            table = _written(folder, before, new)
    for error in failed:
        if not isinstance(error, ProcessLost):
            raise error
    return (None if table.empty and len(new) < len(jobs) else table), failed


def _before(folder: SweepFolder, jobs: Iterable[str]) -> pandas.DataFrame:
    """Return the rows of earlier commands for these jobs."""
    if not (folder.path / "explained.csv").exists():
        return pandas.DataFrame(columns=EXPLAINED)
    old = read_table(folder.path, "explained")
    return old[old["job"].isin(set(jobs))]


def _written(
    folder: SweepFolder, before: pandas.DataFrame, new: Sequence[tuple[str, pandas.DataFrame]]
) -> pandas.DataFrame:
    """Write and return the table: the new rows, each with their job, and for other jobs those of before."""
    kept = before[~before["job"].isin({job for job, _ in new})]
    parts = [pandas.DataFrame(columns=EXPLAINED), kept, *(rows for _, rows in new)]
    table = pandas.concat(parts, ignore_index=True)[EXPLAINED]
    write_whole(table.to_csv(index=False), folder.path / "explained.csv")
    return table
