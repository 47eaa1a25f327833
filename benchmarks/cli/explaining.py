"""Explain the jobs of a sweep that has ended, and write `explained.csv`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas

from benchmarks.analysis.causes import EXPLAINED, NAMED
from benchmarks.analysis.folder import read_table
from benchmarks.analysis.tables import Tables
from benchmarks.cli.compose import Plan, Planned
from benchmarks.runner.explain import Explaining, RunningAhead
from benchmarks.runner.launchers.launcher import cores, one_by_one
from benchmarks.runner.launchers.processes import Processes
from benchmarks.runner.progress import JobsProgress
from benchmarks.store.sweep_folder import SweepFolder


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
) -> pandas.DataFrame:
    """Explain the jobs of a sweep that has ended where they break, and write `explained.csv`.

    Args:
        plan: The sweep.
        tables: Its tables.
        folder: Its folder.
        asked: Which jobs are explained; by default all ranked ones.
        say: Called with a line for each job that could not be explained.

    Returns:
        The table, with the rows of earlier commands for other jobs.
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
    launch = one_by_one if min(processes, len(jobs)) <= 1 else Processes(min(processes, len(jobs)))
    rows = []
    with TemporaryDirectory() as scratch:
        task = Explaining(folder, configs, {}, None, cells, Path(scratch))
        progress = JobsProgress("explained", len(jobs), task.ended, task.running)
        try:
            progress.watch()
            if shares > 1:
                ahead = RunningAhead(folder, configs, {}, None, cells, Path(scratch), shares)
                Processes(processes)(ahead, len(jobs) * shares, progress.watch, say)
            launch(dataclasses.replace(task, shown=progress), len(jobs), progress.watch, say)
            progress.watch()
        finally:
            progress.close()
        for number, (each, identity) in enumerate(jobs):
            job = each.setup.job
            named = [job.name, job.problem.card.dial, job.contender.name, identity]
            rows.append(task.rows(number).assign(**dict(zip(NAMED, named, strict=True))))
    new = pandas.concat([pandas.DataFrame(columns=EXPLAINED), *rows], ignore_index=True)
    file = folder.path / "explained.csv"
    if file.exists():
        old = read_table(folder.path, "explained")
        there = {cell.info.job for cell in tables.cells.values()}
        done = {identity for _, identity in jobs}
        kept = old[old["job"].isin(there - done)]
        new = pandas.concat([kept, new], ignore_index=True)
    new = new[EXPLAINED]
    aside = file.with_name(f".{file.name}")
    new.to_csv(aside, index=False)
    aside.replace(file)
    return new
