"""Run jobs on a Ray cluster."""

from __future__ import annotations

import logging
import pickle
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import ray  # pyright: ignore[reportMissingImports] - an extra of its own
from ray.exceptions import (  # pyright: ignore[reportMissingImports]
    NodeDiedError,
    RaySystemError,
    WorkerCrashedError,
)

from benchmarks.runner.launchers.launcher import (
    POLLED,
    AtAddress,
    NoWorkers,
    ProcessLost,
    Retries,
    limit,
    lost_with_the_cluster,
    raised,
)
from benchmarks.runner.worker import Task
from ravine import Refused


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
        except Exception as error:  # Ray has no class of its own for a node that does not start
            if self.address:
                raise self.refused(error) from error
            raise Refused(f"Ray does not start on this machine ({error})") from error
        try:
            remote = ray.remote(max_retries=1, num_cpus=1)(_run)
            shared, at_most = ray.put(task), self.at_most(count)
            waiting, jobs = deque(range(count)), dict[Any, int]()
            retries, no_workers = Retries(task, say), NoWorkers(task, say)
            failed: list[Exception | None] = []
            while waiting or jobs:
                while waiting and len(jobs) < at_most:
                    number = waiting.popleft()
                    jobs[remote.remote(shared, number)] = number
                try:
                    ended, _ = ray.wait([*jobs], num_returns=len(jobs), timeout=POLLED)
                    watch()
                    retries()
                    no_workers()
                    for each in ended:
                        failed.append(_answer(task, jobs[each], each, say))
                        del jobs[each]
                except (ConnectionError, RaySystemError) as error:
                    say(" ".join(str(error).split()))
                    left = [*jobs.values(), *waiting]
                    failed += lost_with_the_cluster(task, left, say, "Ray cluster")
                    break
            return raised(failed)
        finally:
            ray.shutdown()


def _answer(task: Task, number: int, job: Any, say: Callable[[str], None]) -> Exception | None:
    """Return what a job raised that has ended."""
    try:
        pickled, text = ray.get(job)
    except (WorkerCrashedError, NodeDiedError):
        lost = ProcessLost(task.name(number), "its process died twice")
        say(str(lost))
        return lost
    try:
        return pickle.loads(pickled)
    except Exception:
        return RuntimeError(f"{task.name(number)}: {text}")


def _run(task: Task, number: int) -> tuple[bytes, str]:
    """Run a job; return what it raised, pickled, and as a text for a command that cannot read the pickle.

    Ray would call an answer that it cannot read a fault of the cluster.
    """
    error = task.attempt(number)
    return pickle.dumps(error), f"{type(error).__name__}: {error}"
