"""What a process does for one job: build what its configuration says, run the cells, mark each that ends."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.catalog import loading
from benchmarks.runner.job import CellDone, run_job
from benchmarks.runner.progress import Progress
from benchmarks.runner.setup import Setup
from benchmarks.store.key import is_followed, module_of
from benchmarks.store.sweep_folder import Notes, SweepFolder

if TYPE_CHECKING:
    from benchmarks.runner.forecast import Forecast


class Task:
    """The jobs of a sweep, each run by its number; it may be pickled to other processes."""

    def __init__(
        self, folder: SweepFolder, expected: Forecast, configs: Sequence[Mapping[str, Any]]
    ):
        self.folder = folder
        self.configs = configs
        self.progress = Progress(expected.ahead, expected.processes, Notes(folder))

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
        if setup.protocol.rungs != 1:  # else other jobs are of the same identity
            self.folder.end(job, self.progress.of_job(job, dials))

    def __getstate__(self) -> dict[str, Any]:
        main = sys.modules["__main__"]
        used = {module_of(value) for value in vars(main).values()}
        return {
            **vars(self),
            "pid": os.getpid(),
            "entries": loading.portable_entries(),
            "script": getattr(main, "__file__", None),
            "used": sorted(
                each.__name__ for each in used if each not in (None, main) and is_followed(each)
            ),
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Know in a worker what the running script has registered, and what the keys of its cells depend on."""
        if state.pop("pid") != os.getpid():  # Ctrl-C ends the parent, which ends its workers
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        loading.load_plugins()
        for kind, name, prototype in state.pop("entries"):
            loading.REGISTRIES[kind].register(name, prototype)
        main = sys.modules["__main__"]
        main.__file__ = state.pop("script")
        for k, module in enumerate(state.pop("used")):
            setattr(main, f"used_{k}", importlib.import_module(module))
        vars(self).update(state)
