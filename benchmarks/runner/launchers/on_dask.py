"""Run jobs on a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from distributed import Client, KilledWorker, LocalCluster

from benchmarks.runner.launchers.launcher import POLLED, AtAddress, ProcessLost, limit, raised
from benchmarks.runner.worker import Task


@dataclass(frozen=True)
class Dask(AtAddress):
    """Workers of a Dask scheduler, as at tcp://host:8786; it runs the job of a worker that dies elsewhere."""

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> list[Exception]:
        """Run all jobs; see `Launcher`."""
        if self.address is None:
            number = min(limit(self.n_jobs), count)
            with (
                LocalCluster(number, threads_per_worker=1, dashboard_address=None) as cluster,  # type: ignore[arg-type]
                Client(cluster) as client,
            ):
                return _run(client, task, count, watch, say)
        try:
            client = Client(self.address)
        except (OSError, ValueError) as error:
            raise self.refused(error) from error
        with client:
            return _run(client, task, count, watch, say)


def _run(
    client: Client, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
) -> list[Exception]:
    futures = [client.submit(task.attempt, number, pure=False) for number in range(count)]
    while not all(each.done() for each in futures):
        time.sleep(POLLED)
        watch()
    failed: list[Exception | None] = []
    for number, future in enumerate(futures):
        error = future.exception()
        if isinstance(error, KilledWorker):
            failed.append(ProcessLost(task.name(number), "its workers died"))
            say(str(failed[-1]))
        else:
            answer: Any = error or future.result()
            failed.append(answer)
    return raised(failed)
