"""Launch the jobs of a plan, and return the exit code."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path

from benchmarks.analysis.tables import collect
from benchmarks.catalog.contenders import unsearched
from benchmarks.cli.after_a_sweep import Ended
from benchmarks.cli.compose import Plan
from benchmarks.cli.hydra_adapter import LAUNCHER, Option, launcher
from benchmarks.cli.options import FAILED
from benchmarks.runner.forecast import Forecast, forecast
from benchmarks.runner.job import planned_cells
from benchmarks.runner.progress import Progress, watched
from benchmarks.runner.worker import Task
from benchmarks.store.sweep_folder import Lost, Notes, SweepFolder

WORKERS = "hydra_plugins.hydra_joblib_launcher"  # the extra `joblib`
WORTH_WORKERS = 20.0  # seconds of computing; for less, starting workers costs more than it saves


def run(plan: Plan) -> int:
    """Run the sweep, write and print its tables, and return the exit code."""
    first, began = plan.jobs[0], time.perf_counter()
    now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
    folder = SweepFolder(Path(first.config["out"] or f"results/{now}"), first.setup.store)
    folder.check(first.setup.protocol)
    _lost(plan, folder)  # refuses before anything is made
    of_hydra, expected = _expected(plan)
    for line in unsearched(each.setup.job.contender for each in plan.jobs):
        _say(line)
    if first.config["dry_run"]:
        print(expected.text())
        return 0
    progress = Progress(expected.ahead, expected.processes, Notes(folder))
    task = Task(folder, [each.config for each in plan.jobs], progress)
    launch = launcher(of_hydra, folder.path, task)
    with folder.alone(_say):
        folder.check(first.setup.protocol)  # again: another sweep may have written it meanwhile
        lost = _lost(plan, folder)
        if lost.cells:
            _say(f"out={folder.path} holds {lost.text()}: replaced (keep=true keeps them)")
        folder.begin(plan.words, plan.resolved(), lost.cells)
        try:
            progress.start()
            launch(len(plan.jobs))
        finally:
            progress.close()
            found = collect(folder, time.perf_counter() - began, _say)
            ended = None if found is None else Ended(plan, *found, folder.path)
            if ended is not None:
                ended.print_tables()
    if ended is None:
        return 0
    ended.print_what_is_next()
    return FAILED if (ended.tables.runs["status"] == "error").any() else 0


def _lost(plan: Plan, folder: SweepFolder) -> Lost:
    """Return what the folder holds and the sweep would not keep."""
    setups, first = [each.setup for each in plan.jobs], plan.jobs[0]
    planned = (
        cell
        for each in watched(setups, f"comparing jobs with out={folder.path}")
        for cell in planned_cells(each.job, each.protocol)
    )
    return folder.lost(first.setup.protocol, planned, first.config["keep"])


def _say(line: str) -> None:
    print(f"ravine: {line}", file=sys.stderr)


def _expected(plan: Plan) -> tuple[Sequence[Option], Forecast]:
    """Return Hydra's options for the launch, and the forecast.

    A long suite uses all cores, if the launcher is installed and no other option is given.
    """
    expected = forecast([each.setup for each in plan.jobs], _processes(plan.of_hydra))
    cores = os.cpu_count() or 1
    several = cores > 1 and expected.seconds > WORTH_WORKERS and find_spec(WORKERS) is not None
    if plan.suite is None or plan.of_hydra or not several:
        return plan.of_hydra, expected
    return [Option(f"{LAUNCHER}=joblib")], dataclasses.replace(expected, processes=cores)


def _processes(of_hydra: Sequence[Option]) -> int:
    """Return how many cells run at a time; 1 for any launcher but joblib, which decides that itself."""
    given = {each.key: value for each in of_hydra for value, _ in each.values()}
    if given.get(LAUNCHER) != "joblib":
        return 1
    asked = given.get("hydra.launcher.n_jobs")
    return asked if isinstance(asked, int) and asked > 0 else os.cpu_count() or 1
