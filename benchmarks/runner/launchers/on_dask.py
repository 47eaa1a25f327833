"""Run jobs on a Dask cluster."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from distributed import Client, KilledWorker, LocalCluster

from benchmarks.runner.launchers.launcher import POLLED, limit
from benchmarks.runner.worker import Task
from ravine import Refused


@dataclass(frozen=True)
class Dask:
    """Workers of a Dask scheduler; Dask itself runs the job of a worker that dies elsewhere.

    address: that of the scheduler, as in tcp://host:8786; without one, workers are started on this machine.
    n_jobs: how many are started here, -1 for one per core.
    """

    address: str | None = None
    n_jobs: int = -1

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> int:
        """Run all jobs; see `Launcher`."""
        if self.address is not None:
            try:
                client = Client(self.address)
            except (OSError, ValueError) as error:
                raise Refused(
                    f"hydra.launcher.address is {self.address}, but no Dask scheduler answers there ({error})"
                ) from error
            with client:
                return _run(client, task, count, watch, say)
        with (
            LocalCluster(
                n_workers=min(limit(self.n_jobs), count),
                threads_per_worker=1,
                dashboard_address=None,  # type: ignore[arg-type]
            ) as cluster,
            Client(cluster) as client,
        ):
            return _run(client, task, count, watch, say)


def _run(
    client: Client, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
) -> int:
    futures = [client.submit(task, number, pure=False) for number in range(count)]
    while not all(each.done() for each in futures):
        time.sleep(POLLED)
        watch()
    lost, failed = 0, []
    for number, future in enumerate(futures):
        error = future.exception()
        if isinstance(error, KilledWorker):
            say(f"{task.name(number)}: its workers died, and it is left out")
            lost += 1
        elif error is not None:
            failed.append(error)
    if failed:
        raise failed[0]
    return lost
