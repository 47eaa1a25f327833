"""What a process does for one job: build what its configuration says, run the cells, mark each that ends."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.catalog import loading
from benchmarks.runner.job import CellDone, run_job
from benchmarks.runner.progress import Progress
from benchmarks.runner.setup import Setup
from benchmarks.store.sweep_folder import Notes, SweepFolder

if TYPE_CHECKING:
    from benchmarks.runner.forecast import Forecast


class Task:
    """A sweep's job as a function of its configuration; it may be pickled to other processes."""

    def __init__(self, folder: SweepFolder, expected: Forecast):
        self.folder = folder
        self.progress = Progress(expected.ahead, expected.processes, Notes(folder))

    def __call__(self, config: Mapping[str, Any]) -> None:
        """Run the cells of one job."""
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
        if setup.protocol.rungs != 1:  # else other jobs are of the same identity
            self.folder.end(job, self.progress.of_job(job, dials))

    def __getstate__(self) -> dict[str, Any]:
        return {
            **vars(self),
            "pid": os.getpid(),
            "entries": loading.portable_entries(),
            "script": getattr(sys.modules["__main__"], "__file__", None),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Know in a worker what the running script has registered, and where it lies."""
        if state.pop("pid") != os.getpid():  # Ctrl-C ends the parent, which ends its workers
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        loading.load_plugins()
        for kind, name, prototype in state.pop("entries"):
            loading.REGISTRIES[kind].register(name, prototype)
        sys.modules["__main__"].__file__ = state.pop("script")  # where the keys find its source
        vars(self).update(state)
