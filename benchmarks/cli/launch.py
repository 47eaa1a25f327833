"""A planned sweep: launch its jobs, print its tables, say what to do next."""

from __future__ import annotations

import dataclasses
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode
from omegaconf import OmegaConf

from benchmarks.analysis.tables import Tables, collect
from benchmarks.catalog.loading import is_own
from benchmarks.catalog.suites import fields_of, suites
from benchmarks.cli import help
from benchmarks.cli.hydra_errors import explaining, quoted
from benchmarks.cli.options import FAILED
from benchmarks.display.breaking_table import Entry, Matrix, separation
from benchmarks.display.sweep_views import failures, views
from benchmarks.runner.forecast import Forecast, forecast
from benchmarks.runner.setup import Setup
from benchmarks.runner.worker import Task
from benchmarks.store.sweep_folder import SweepFolder

WORKERS = "hydra_plugins.hydra_joblib_launcher"  # the extra `joblib`
WORTH_WORKERS = 20.0  # seconds of computing: starting a worker takes some


@dataclass(frozen=True)
class Planned:
    """A job: what it overrides, the configuration that this gives, and what that says."""

    overrides: list[str]
    config: dict[str, Any]
    setup: Setup


@dataclass(frozen=True)
class Plan:
    """The jobs of a sweep, all checked, and what was said about launching them."""

    words: Sequence[str]
    jobs: Sequence[Planned]
    of_hydra: Sequence[str]
    loader: ConfigLoader

    def text(self) -> str:
        """The configuration of each job, as YAML, without what is not given."""
        shown = ({**each.config, "optimizer": each.setup.settings} for each in self.jobs)
        return "---\n".join(
            OmegaConf.to_yaml({name: value for name, value in each.items() if name != "optimizers"})
            for each in shown
        )

    def run(self) -> int:
        """Run the sweep, write and print its tables, and return the exit code."""
        first, began = self.jobs[0], time.perf_counter()
        now = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")
        folder = SweepFolder(Path(first.config["out"] or f"results/{now}"), first.setup.store)
        folder.check(first.setup.protocol)
        of_hydra, expected = self._expected()
        if first.config["dry_run"]:
            print(expected.text())
            return 0
        task = Task(folder, expected)
        launcher = self._launcher(task, folder.path, of_hydra)
        folder.begin(self.words, self._resolved())
        returned: Sequence[JobReturn] = ()
        try:
            task.progress.start()
            returned = launcher.launch([each.overrides for each in self.jobs], initial_job_idx=0)
        finally:
            task.progress.close()
            found = collect(folder, time.perf_counter() - began)
            if found is not None:
                self._print(*found, folder.path)
        for each in returned:
            if each.status is JobStatus.FAILED:
                raise each._return_value
        if self.suite is None:
            self._hint()
        elif found is not None:
            self._next(self.matrix(found[0]).weakest())
            self._report(folder.path)
        return FAILED if found and (found[0].runs["status"] == "error").any() else 0

    def _expected(self) -> tuple[Sequence[str], Forecast]:
        """How the sweep is launched, and how long it takes: a suite that takes long uses all cores, if it can."""
        expected = forecast([each.setup for each in self.jobs], self._processes())
        cores = os.cpu_count() or 1
        several = cores > 1 and expected.seconds > WORTH_WORKERS and find_spec(WORKERS) is not None
        if self.suite is None or self.of_hydra or not several:
            return self.of_hydra, expected
        return ["hydra/launcher=joblib"], dataclasses.replace(expected, processes=cores)

    def _launcher(self, task: Task, folder: Path, of_hydra: Sequence[str]) -> Launcher:
        with explaining():
            config = self.loader.load_configuration(
                "config", [*of_hydra, f"hydra.sweep.dir={quoted(folder)}"], RunMode.MULTIRUN
            )
            return Plugins.instance().instantiate_launcher(
                hydra_context=HydraContext(self.loader, Callbacks()),
                task_function=task,
                config=config,
            )

    def _resolved(self) -> dict[str, Any]:
        """What the jobs share, and what each of them is."""
        first = self.jobs[0]
        jobs = [
            {
                **{name: each.config[name] for name in ("problem", "transform", "noise")},
                "optimizer": each.setup.settings,
            }
            for each in self.jobs
        ]
        return {
            "protocol": dataclasses.asdict(first.setup.protocol),
            "threads": first.setup.threads,
            "suite": self.suite,
            "jobs": jobs,
        }

    def _processes(self) -> int:
        """How many cells run at a time; 1 where a launcher of another kind decides that."""
        said = {
            name: value
            for name, _, value in (word.lstrip("+").partition("=") for word in self.of_hydra)
        }
        if said.get("hydra/launcher") != "joblib":
            return 1
        asked = int(said.get("hydra.launcher.n_jobs", -1))
        return asked if asked > 0 else os.cpu_count() or 1

    def _print(self, tables: Tables, files: Sequence[str], folder: Path) -> None:
        shown = (
            views(tables)
            if self.suite is None
            else [*self.matrix(tables).views(), *failures(tables)]
        )
        for view in shown:
            print(view.text(), end="\n\n")
        if self.suite is not None:
            print("\n".join(separation(tables)), end="\n\n")
        for key, cell in tables.cells.items():
            if cell.info.traceback:
                print(f"{self.jobs[0].setup.store.folder / key}/traceback.txt")
        print(f"{folder}/  {'  '.join(files)}")

    @property
    def suite(self) -> str | None:
        """The name of the suite, where it is one."""
        return self.jobs[0].setup.suite

    def matrix(self, tables: Tables) -> Matrix:
        """The tables of a suite as one, the optimizers that are not ours first."""
        names = {each.setup.job.contender.name for each in self.jobs}
        return Matrix(tables, set(filter(is_own, names)))

    def _next(self, entry: Entry | None) -> None:
        """Say where an optimizer breaks first, and how to look closer at that."""
        if entry is None:
            print("Nothing breaks here.")
            return
        there = next(each for each in self.jobs if each.setup.job.name == entry.problem)
        assert self.suite is not None
        mine = fields_of(suites()[self.suite], {"problem": f"problem={entry.problem}"})
        closer = "preset=careful" if there.setup.protocol.rungs == "auto" else "rungs=auto"
        left_out = ("suite", "out", "rungs", "preset", *(each.partition("=")[0] for each in mine))
        words = [word for word in self.words if word.lstrip("+").partition("=")[0] not in left_out]
        command = [
            f"+problem={entry.problem}",
            *mine,
            *words,
            *dict.fromkeys(["rungs=auto", closer]),
        ]
        print(f"{entry.optimizer} breaks first on {entry.label}: {entry.dial} {entry.text}.")
        print(f"Look closer:  {help.command_line(command)}")

    def _report(self, folder: Path) -> None:
        """Write the page of a suite, and name it."""
        from benchmarks import report

        report.report([folder])
        print(f"All of it:  {folder / report.FILE}")

    def _hint(self) -> None:
        """Say how to go on from one rung to the ladder."""
        given = [word.lstrip("+").partition("=")[0] for word in self.words]
        if self.jobs[0].setup.protocol.rungs == 1 and not any(
            name.startswith("problem.") for name in given
        ):
            words = [
                word
                for word, name in zip(self.words, given, strict=True)
                if name not in ("rungs", "out")
            ]
            print(f"Where does each break?  {help.command_line([*words, 'rungs=auto'])}")
