"""Run jobs on a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import ray  # pyright: ignore[reportMissingImports] - an extra of its own
from ray.exceptions import (  # pyright: ignore[reportMissingImports]
    NodeDiedError,
    WorkerCrashedError,
)

from benchmarks.runner.launchers.launcher import POLLED, AtAddress, ProcessLost, limit, raised
from benchmarks.runner.worker import Task


@dataclass(frozen=True)
class Ray(AtAddress):
    """Workers of a Ray cluster, at an address or "auto"; it runs the job of a worker that dies once more."""

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> list[Exception]:
        """Run all jobs; see `Launcher`."""
        here = {} if self.address else {"num_cpus": limit(self.n_jobs), "include_dashboard": False}
        try:
            ray.init(self.address, logging_level=logging.ERROR, log_to_driver=False, **here)
        except (ConnectionError, ValueError) as error:
            raise self.refused(error) from error
        try:
            remote = ray.remote(max_retries=1, num_cpus=1)(_run)
            shared = ray.put(task)
            jobs = {remote.remote(shared, number): number for number in range(count)}
            failed: list[Exception | None] = []
            left = list(jobs)
            while left:
                ended, left = ray.wait(left, num_returns=len(left), timeout=POLLED)
                watch()
                for each in ended:
                    try:
                        failed.append(ray.get(each))
                    except (WorkerCrashedError, NodeDiedError):
                        name = task.name(jobs[each])
                        failed.append(ProcessLost(name, "its process died twice"))
                        say(str(failed[-1]))
            return raised(failed)
        finally:
            ray.shutdown()


def _run(task: Task, number: int) -> Exception | None:
    return task.attempt(number)
