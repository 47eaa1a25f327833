"""What all launchers have in common, and their names."""

from __future__ import annotations

import importlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from benchmarks.runner.worker import Task
from ravine import Refused

POLLED = 0.2  # seconds between two looks at what runs elsewhere
TRIES = 2  # a job whose process dies as often as this is given up
NO_WORKERS = 10.0  # seconds without a job that begins after which a line says so
NAMES = {  # each a class, and the extra that it needs
    "processes": ("benchmarks.runner.launchers.processes.Processes", ""),
    "slurm": ("benchmarks.runner.launchers.slurm.Slurm", "slurm"),
    "dask": ("benchmarks.runner.launchers.on_dask.Dask", "dask"),
    "ray": ("benchmarks.runner.launchers.on_ray.Ray", "ray"),
}


class Launcher(Protocol):
    """Runs the jobs of a sweep. Ours are frozen dataclasses, whose fields are the options `hydra.launcher.NAME`."""

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> list[Exception]:
        """Run jobs 0 to count − 1, all of them also if one fails.

        Args:
            task: Runs the job of a number; it can be pickled.
            count: The number of jobs.
            watch: To be called every `POLLED` seconds; it shows which cells have ended.
            say: Shows a line.

        Returns:
            What the jobs raised; `ProcessLost` for a job whose process was lost, after `say` has told so.
        """
        ...


class ProcessLost(Exception):
    """A job did not end, because its process was lost: `why`."""

    def __init__(self, job: str, why: str):
        super().__init__(f"{job}: {why}, and it is left out; the same command runs it")


@dataclass(frozen=True)
class AtAddress:
    """Workers of a cluster, or of this machine.

    address: that of the cluster; without one, workers are started on this machine.
    n_jobs: how many jobs run at a time; -1 for one per core of this machine, and for no limit at an address.
    """

    address: str | None = None
    n_jobs: int = -1

    def at_most(self, count: int) -> int:
        """Return how many of so many jobs are given to the workers at a time."""
        return count if self.address and self.n_jobs == -1 else min(limit(self.n_jobs), count)

    def refused(self, error: Exception) -> Refused:
        """Return the refusal of an address where no cluster answers."""
        return Refused(
            f"hydra.launcher.address is {self.address}, but no cluster answers there ({error})"
        )


class Retries:
    """A function that says which jobs have begun again, because their worker died."""

    def __init__(self, task: Task, say: Callable[[str], None]):
        self._task, self._say = task, say
        self._said = Counter[int]()

    def __call__(self) -> None:
        """Say it of each job, once for each time."""
        again = self._task.folder.begun_again()
        for number in (again - self._said).elements():
            self._say(f"{self._task.name(number)}: its worker died, it is run again")
        self._said = again


class NoWorkers:
    """A function that says once that no job has begun for a while."""

    def __init__(self, task: Task, say: Callable[[str], None]):
        self._task, self._say = task, say
        self._since, self._over = time.monotonic(), False

    def __call__(self) -> None:
        """Say it, if no job has begun."""
        if self._over or time.monotonic() - self._since < NO_WORKERS:
            return
        self._over = True
        if not self._task.folder.has_begun():
            self._say(
                f"no job has begun for {NO_WORKERS:.0f} s: the cluster may have no free worker; "
                "this command waits for one"
            )


def one_by_one(
    task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
) -> list[Exception]:
    """Run all jobs in this process; see `Launcher`."""
    with watching(watch):
        return raised(map(task.attempt, range(count)))


@contextmanager
def watching(watch: Callable[[], None]) -> Iterator[None]:
    """Call `watch` every `POLLED` seconds from a thread, for a launcher that waits until all jobs have ended."""
    over = threading.Event()

    def poll() -> None:
        while not over.wait(POLLED):
            watch()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def lost_with_the_cluster(
    task: Task, numbers: Iterable[int], say: Callable[[str], None], cluster: str
) -> list[Exception | None]:
    """Return the jobs that are lost because their cluster is gone, after a line."""
    lost: list[Exception | None] = [
        ProcessLost(task.name(number), f"the {cluster} is gone") for number in numbers
    ]
    say(f"the {cluster} is gone: what has not ended is left out; the same command runs it")
    return lost


def raised(ended: Iterable[Exception | None]) -> list[Exception]:
    """Return what the jobs raised, from the answers of `Task.attempt`."""
    return [each for each in ended if each is not None]


def found(name: str) -> type:
    """Return the class of a launcher. Raises Refused, with the extra to install, if its package is missing."""
    path, extra = NAMES[name]
    module, _, kind = path.rpartition(".")
    try:
        return getattr(importlib.import_module(module), kind)
    except ModuleNotFoundError as error:
        raise Refused(
            f"hydra/launcher={name} needs the package {error.name}, which the extra {extra!r} installs: "
            f"pip install -c constraints.txt -e '.[{extra}]'"
        ) from error


def cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def limit(n_jobs: int) -> int:
    """Return how many jobs run at a time: `n_jobs`, or one per core for -1."""
    if n_jobs == 0 or n_jobs < -1:
        raise Refused(
            f"hydra.launcher.n_jobs is {n_jobs}, but must be a whole number above 0 (or -1: all cores)"
        )
    return cores() if n_jobs == -1 else n_jobs
