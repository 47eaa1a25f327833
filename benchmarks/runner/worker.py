"""Run one job in a process: build it from its configuration, run the cells, mark each that ends."""

from __future__ import annotations

import functools
import os
import signal
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from benchmarks.catalog import loading
from benchmarks.runner.job import CellDone, run_job
from benchmarks.runner.progress import Progress
from benchmarks.runner.setup import Setup
from benchmarks.store.sweep_folder import SweepFolder

WATCHED = 1.0  # seconds between two looks at the parent


@dataclass(frozen=True)
class Task:
    """The jobs of a sweep, each run by its number; it can be pickled for other processes."""

    folder: SweepFolder
    configs: Sequence[Mapping[str, Any]]
    progress: Progress

    def __call__(self, number: int) -> None:
        """Run the cells of one job."""
        config = self.configs[number]
        for each in config["adopted"]:
            kind, _, where = each.partition("=")
            loading.load(where, kind)
        setup = Setup.of(config)
        torch.set_num_threads(setup.threads)
        job, dials = setup.job.identity(setup.protocol), []

        def report(done: CellDone) -> None:
            dials.append(done.dial)
            self.folder.mark(done.key, self.progress.of_cell(job, done))
            self.progress.cell(done)

        skips = setup.suite is not None
        for _ in run_job(setup.job, setup.protocol, setup.store, report, skips):
            pass
        if setup.protocol.rungs != 1:  # otherwise several jobs share an identity
            self.folder.end(job, self.progress.of_job(job, dials))

    def __reduce__(self) -> tuple[Any, ...]:
        script = getattr(sys.modules["__main__"], "__file__", None)
        state = (self.folder, self.configs, self.progress)
        return _in_worker, (*state, loading.portable_entries(), script)


@functools.cache  # once in a process
def _end_with_parent() -> None:
    """End this process within seconds of its parent's death; an idle one would wait for jobs that never come."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCHED)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _in_worker(
    folder: SweepFolder,
    configs: Sequence[Mapping[str, Any]],
    progress: Progress,
    entries: Sequence[tuple[str, str, Any]],
    script: str | None,
) -> Task:
    """Return the task in a worker, after registering the entries of the running script.

    The keys of that script's cells depend on its file.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends its workers
    _end_with_parent()
    loading.load_plugins()
    for kind, name, prototype in entries:
        loading.REGISTRIES[kind].register(name, prototype)
    sys.modules["__main__"].__file__ = script  # where the keys find its source
    return Task(folder, configs, progress)
