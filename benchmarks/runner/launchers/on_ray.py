"""Run jobs on a Ray cluster."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import ray
from ray.exceptions import NodeDiedError, RayTaskError, WorkerCrashedError

from benchmarks.runner.launchers.launcher import POLLED, limit
from benchmarks.runner.worker import Task
from ravine import Refused


@dataclass(frozen=True)
class Ray:
    """Workers of a Ray cluster; Ray itself runs the job of a worker that dies once more.

    address: that of the cluster, or "auto"; without one, workers are started on this machine.
    n_jobs: how many are started here, -1 for one per core.
    """

    address: str | None = None
    n_jobs: int = -1

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> int:
        """Run all jobs; see `Launcher`."""
        here = {} if self.address else {"num_cpus": limit(self.n_jobs), "include_dashboard": False}
        try:
            ray.init(self.address, logging_level=logging.ERROR, log_to_driver=False, **here)
        except (ConnectionError, ValueError) as error:
            raise Refused(
                f"hydra.launcher.address is {self.address}, but no Ray cluster answers there ({error})"
            ) from error
        try:
            remote = ray.remote(max_retries=1, num_cpus=1)(_run)
            shared = ray.put(task)
            jobs = {remote.remote(shared, number): number for number in range(count)}
            lost, failed, left = 0, [], list(jobs)
            while left:
                ended, left = ray.wait(left, num_returns=len(left), timeout=POLLED)
                watch()
                for each in ended:
                    try:
                        ray.get(each)
                    except (WorkerCrashedError, NodeDiedError):
                        say(f"{task.name(jobs[each])}: its process died twice, and it is left out")
                        lost += 1
                    except RayTaskError as error:
                        failed.append(error.cause)
            if failed:
                raise failed[0]
            return lost
        finally:
            ray.shutdown()


def _run(task: Task, number: int) -> None:
    task(number)
