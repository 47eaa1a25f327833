"""Run jobs as an array of Slurm, by submitit."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import submitit
from submitit.core.utils import UncompletedJobError

from benchmarks.runner.launchers.launcher import POLLED, ProcessLost, limit, raised
from benchmarks.runner.worker import BEAT, Task
from ravine import Refused, nearest

CLUSTERS = ("slurm", "local")
SILENT = 12 * BEAT  # seconds without a sign of life after which a job that has begun counts as lost


@dataclass(frozen=True)
class Slurm:
    """Jobs of Slurm.

    cluster: "slurm"; "local" runs them on this machine, to try the command.
    n_jobs: how many run at a time; -1 for no limit on Slurm, and one per core with "local".
    timeout_min: minutes that one job may take.
    parameters: any others that submitit knows, as in {slurm_partition: gpu}.
    """

    cluster: str = "slurm"
    n_jobs: int = -1
    timeout_min: int = 60
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.cluster not in CLUSTERS:
            raise Refused(
                f"unknown hydra.launcher.cluster {self.cluster!r}: {nearest(self.cluster, CLUSTERS)}"
            )

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> list[Exception]:
        """Run all jobs; see `Launcher`."""
        logging.getLogger("submitit").setLevel(logging.ERROR)  # it says where accounting is off
        files = task.folder.path / ".slurm"
        try:
            executor = submitit.AutoExecutor(files, cluster=self.cluster)
            executor.update_parameters(timeout_min=self.timeout_min, **self.parameters)
        except (AssertionError, NameError, RuntimeError, TypeError, ValueError) as error:
            shutil.rmtree(files, ignore_errors=True)
            raise Refused(f"hydra/launcher=slurm: {' '.join(str(error).split())}") from error
        local = self.cluster != "slurm"
        at_most = limit(self.n_jobs) if local or self.n_jobs != -1 else count
        waiting, jobs = list(range(count)), {}
        if not local:
            executor.update_parameters(slurm_array_parallelism=at_most)
            jobs = dict(zip(waiting, executor.map_array(task.attempt, waiting), strict=True))
            waiting = []
        failed: list[Exception | None] = []
        alive = _SignsOfLife(task)
        try:
            while jobs or waiting:
                while waiting and len(jobs) < at_most:
                    number = waiting.pop(0)
                    jobs[number] = executor.submit(task.attempt, number)
                time.sleep(POLLED)
                watch()
                for number, job in list(jobs.items()):
                    silent = alive.missing(number)
                    if not (silent or job.done()):
                        continue
                    del jobs[number]
                    error = None if silent else job.exception()
                    if silent or isinstance(error, UncompletedJobError):
                        why = f"no sign of life for {SILENT:.0f} s" if silent else "it was killed"
                        why += f" (see {job.paths.stderr})"
                        failed.append(ProcessLost(task.name(number), why))
                        say(str(failed[-1]))
                    else:
                        failed.append(error or job.result())
        finally:
            for job in jobs.values():
                job.cancel()
        if not any(isinstance(each, ProcessLost) for each in failed):
            shutil.rmtree(files, ignore_errors=True)
        return raised(failed)


class _SignsOfLife:
    """Tell which jobs have begun and are silent since: where Slurm keeps no accounts, it does not know either."""

    def __init__(self, task: Task):
        self._folder = task.folder
        self._seen: dict[int, tuple[float, float]] = {}  # the last beat, and when it was seen

    def missing(self, number: int) -> bool:
        beat = self._folder.last_beat(number)
        if beat is None:
            return False
        if number not in self._seen or self._seen[number][0] != beat:
            self._seen[number] = beat, time.monotonic()
        return time.monotonic() - self._seen[number][1] > SILENT
