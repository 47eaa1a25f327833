"""Launch the jobs of a plan, and return the exit code."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from benchmarks.catalog.contenders import unsearched
from benchmarks.cli.compose import Plan, Planned
from benchmarks.cli.hydra_adapter import LAUNCHER, Option, launcher
from benchmarks.cli.options import FAILED, OUT
from benchmarks.runner.forecast import Forecast, forecast
from benchmarks.runner.job import planned_cells
from benchmarks.runner.launchers.launcher import Launcher, ProcessLost, cores, one_by_one
from benchmarks.runner.launchers.processes import Processes
from benchmarks.runner.progress import Progress, watched
from benchmarks.runner.worker import Task
from benchmarks.store.sweep_folder import Lost, Notes, SweepFolder
from ravine import printable
from ravine.terminal import phase

WORTH_PROCESSES = 2.0  # seconds of computing; for less, nothing is gained


def run(
    plan: Plan,
    explained: Callable[[Planned], bool] | None = None,
    report: bool = True,
    typed: Sequence[str] | None = None,
) -> int:
    """Run the sweep, write and print its tables, and return the exit code.

    Args:
        plan: The sweep.
        explained: Which of its jobs are explained where they break; by default all if the command asks for it.
        report: Whether the report of a suite is written, which takes a minute for the standard suite.
        typed: The words of the command, if they are not those of the sweep.
    """
    first, began = plan.jobs[0], time.perf_counter()
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    folder = SweepFolder(Path(first.config["out"] or OUT.format(time=now)), first.setup.store)
    folder.check(first.setup.protocol)
    _lost(plan, folder)  # refuses before anything is made
    launch, expected = _expected(plan)
    for line in unsearched(each.setup.job.contender for each in plan.jobs):
        _say(line)
    if first.config["dry_run"]:
        print(expected.text())
        if first.config["explain"]:
            print(
                "Explaining comes on top: some 2 to 6 times as long, by how many optimizers break."
            )
        return 0

    from benchmarks.analysis.tables import collect  # a dry run makes no tables
    from benchmarks.cli.after_a_sweep import Ended

    with phase("importing pandas"):  # with pyarrow; otherwise each worker does, with its first cell
        import pyarrow.dataset  # noqa: F401

    then = "explaining" if explained or first.config["explain"] else ""
    launch = launch or launcher(plan.of_hydra, folder.path)
    here = launch is one_by_one
    progress = Progress(expected.ahead, expected.processes, Notes(folder), then, here)
    task = Task(folder, [each.config for each in plan.jobs], expected.ahead, progress)
    failed: list[Exception] = []
    with folder.alone(_say):
        folder.check(first.setup.protocol)  # again: another sweep may have written it meanwhile
        lost = _lost(plan, folder)
        if lost.cells:
            _say(f"out={folder.path} holds {lost.text()}: replaced (keep=true keeps them)")
        folder.begin(plan.words, plan.resolved(), lost.cells)
        whole = interrupted = False
        try:
            progress.start()
            failed = launch(task, len(plan.jobs), progress.watch, progress.say)
            for error in failed:
                if not isinstance(error, ProcessLost):
                    raise error
            whole = not failed
        except KeyboardInterrupt:
            interrupted = True
            raise
        finally:
            progress.close()
            with phase("making the tables"):
                found = collect(folder, time.perf_counter() - began, _say, not whole)
            ended = (
                None
                if found is None
                else Ended(plan, *found, folder.path, asked=explained, typed=typed)
            )
            if ended is not None:
                if explained is None:  # otherwise they were printed when the sweep was run
                    ended.print_tables()
                if interrupted:
                    ended.print_what_is_missing()
        if ended is not None and (explained or first.config["explain"]):
            from benchmarks.cli.explaining import explain

            ended.explained, lost = explain(plan, ended.tables, folder, explained, _say)
            failed += lost
    if ended is None:  # no cell could be run or read
        return FAILED
    ended.print_explained()
    ended.print_what_is_next(report)
    return FAILED if failed or (ended.tables.runs["status"] == "error").any() else 0


def _lost(plan: Plan, folder: SweepFolder) -> Lost:
    """Return what the folder holds and the sweep would not keep."""
    setups, first = [each.setup for each in plan.jobs], plan.jobs[0]
    planned = (
        cell
        for each in watched(setups, f"looking for results of other code in out={folder.path}")
        for cell in planned_cells(each.job, each.protocol)
    )
    return folder.lost(first.setup.protocol, planned, first.config["keep"])


def _say(line: str) -> None:
    print(f"ravine: {printable(line)}", file=sys.stderr)


def _expected(plan: Plan) -> tuple[Launcher | None, Forecast]:
    """Return the launcher, None if the command names one, and the forecast.

    By default several jobs run in as many processes as there are cores, unless they take no time to speak of.
    """
    count = len(plan.jobs)
    asked = min(_processes(plan.of_hydra), count)
    expected = forecast([each.setup for each in plan.jobs], asked)
    if plan.of_hydra:
        return None, expected
    processes = min(cores(), count)
    if processes == 1 or expected.seconds < WORTH_PROCESSES or plan.jobs[0].setup.threads > 1:
        return one_by_one, expected
    return Processes(processes), dataclasses.replace(expected, processes=processes)


def _processes(of_hydra: Sequence[Option]) -> int:
    """Return how many cells run at a time with Hydra's options, as far as they say so."""
    given = {each.key: value for each in of_hydra for value, _ in each.values()}
    if given.get(LAUNCHER, "basic") == "basic":
        return 1
    asked = given.get("hydra.launcher.n_jobs")
    return asked if isinstance(asked, int) and asked > 0 else cores()
