"""Run jobs on a Dask cluster."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from distributed import Client, Future, KilledWorker, LocalCluster

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

GONE = ("cancelled", "lost")  # of a future without its scheduler


@dataclass(frozen=True)
class Dask(AtAddress):
    """Workers of a Dask scheduler, as at tcp://host:8786; it runs the job of a worker that dies elsewhere."""

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> list[Exception]:
        """Run all jobs; see `Launcher`."""
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # a line of ours says the same
        at_most = self.at_most(count)
        if self.address is None:
            number = min(limit(self.n_jobs), count)
            with (
                LocalCluster(number, threads_per_worker=1, dashboard_address=None) as cluster,  # type: ignore[arg-type]
                Client(cluster) as client,
            ):
                return _run(client, task, count, at_most, watch, say)
        try:
            client = Client(self.address)
        except (OSError, ValueError) as error:
            raise self.refused(error) from error
        with client:
            return _run(client, task, count, at_most, watch, say)


def _run(
    client: Client,
    task: Task,
    count: int,
    at_most: int,
    watch: Callable[[], None],
    say: Callable[[str], None],
) -> list[Exception]:
    waiting, jobs = deque(range(count)), dict[Future, int]()
    retries, no_workers = Retries(task, say), NoWorkers(task, say)
    failed: list[Exception | None] = []
    while waiting or jobs:
        while waiting and len(jobs) < at_most:
            number = waiting.popleft()
            jobs[client.submit(task.attempt, number, pure=False)] = number
        time.sleep(POLLED)
        watch()
        retries()
        no_workers()
        for future in [each for each in jobs if each.done()]:
            if future.status in GONE:
                left = [*jobs.values(), *waiting]
                return raised([*failed, *lost_with_the_cluster(task, left, say, "Dask scheduler")])
            number = jobs.pop(future)
            error = future.exception()
            if isinstance(error, KilledWorker):
                failed.append(ProcessLost(task.name(number), "its workers died"))
                say(str(failed[-1]))
            else:
                failed.append(error or future.result())  # type: ignore[arg-type]
    return raised(failed)
