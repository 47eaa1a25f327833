"""Run one job in a process: build it from its configuration, run the cells, mark each that ends."""

from __future__ import annotations

import dataclasses
import os
import pickle
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.catalog import loading
from benchmarks.runner.job import CellDone, run_job
from benchmarks.runner.progress import Ahead, JobsProgress, Progress, cell_note, job_note
from benchmarks.runner.setup import Setup
from benchmarks.store.sweep_folder import SweepFolder
from ravine.processes import end_with_parent

BEAT = 5.0  # seconds between two signs of life of a job on another machine


@dataclass(frozen=True)
class Task:
    """The jobs of a sweep, each run by its number; it can be pickled for other processes.

    ahead: the work ahead, by job. shown: the progress to be shown after each cell; only one process shows it.
    """

    folder: SweepFolder
    configs: Sequence[Mapping[str, Any]]
    ahead: Mapping[str, Ahead]
    shown: Progress | JobsProgress | None = None

    def name(self, number: int) -> str:
        """Return a job's problem and optimizer."""
        config = self.configs[number]
        return f"{config['problem']['name']} · {config['optimizer']['name']}"

    def setup(self, number: int) -> Setup:
        """Build a job in this process."""
        config = self.configs[number]
        for each in config["adopted"]:
            kind, _, where = each.partition("=")
            loading.load(where, kind)
        setup = Setup.of(config)
        torch.set_num_threads(setup.threads)
        return setup

    def __call__(self, number: int) -> None:
        """Run the cells of one job."""
        setup = self.setup(number)
        job, dials = setup.job.identity(setup.protocol), []
        ahead = self.ahead[job]

        def report(done: CellDone) -> None:
            dials.append(done.dial)
            self.folder.mark(done.key, {"job": job, **cell_note(ahead, done)})
            if self.shown is not None:
                self.shown.watch()

        skips = setup.suite is not None
        for _ in run_job(setup.job, setup.protocol, setup.store, report, skips):
            pass
        if setup.protocol.rungs != 1:  # otherwise several jobs share an identity
            self.folder.end(job, job_note(ahead, dials))

    def attempt(self, number: int) -> Exception | None:
        """Run the cells of one job; return what it raised, as the other jobs are run nevertheless.

        What cannot be pickled becomes a RuntimeError that says the same.
        """
        try:
            self(number)
        except Exception as error:
            try:
                pickle.loads(pickle.dumps(error))
            except Exception:
                return RuntimeError(f"{type(error).__name__}: {error}")
            return error
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        script = getattr(sys.modules["__main__"], "__file__", None)
        kind = _Remote if type(self) is Task else type(self)
        fields = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        # The worker may have been started in another directory.
        folder = self.folder.absolute()
        fields["folder"] = folder
        fields["configs"] = [{**each, "cells": str(folder.store.folder)} for each in self.configs]
        return _in_worker, (kind, {**fields, "shown": None}, loading.portable_entries(), script)


class _Remote(Task):
    """A task in another process, perhaps on another machine: it gives signs of life while a job runs."""

    def __call__(self, number: int) -> None:
        over = threading.Event()
        self.folder.begin_job(number)

        def beat() -> None:
            while not over.wait(BEAT):
                self.folder.beat(number)

        threading.Thread(target=beat, daemon=True).start()
        try:
            super().__call__(number)
        finally:
            over.set()


def _in_worker(
    task: type[Task],
    fields: Mapping[str, Any],
    entries: Sequence[tuple[str, str, Any]],
    script: str | None,
) -> Task:
    """Return the task in a worker, after registering the entries of the running script.

    The keys of that script's cells depend on its file.
    """
    if threading.current_thread() is threading.main_thread():
        # Ctrl-C ends the parent, which ends its workers.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent(os.getppid())
    loading.load_plugins()
    for kind, name, prototype in entries:
        loading.REGISTRIES[kind].register(name, prototype)
    sys.modules["__main__"].__file__ = script  # where the keys find its source
    return task(**fields)
