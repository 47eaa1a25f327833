"""Run jobs in processes of this machine, forked once, after the imports."""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from benchmarks.runner.launchers.launcher import POLLED, TRIES, ProcessLost, limit, raised
from benchmarks.runner.worker import Task
from ravine.processes import end_with_parent


@dataclass(frozen=True)
class Processes:
    """Processes of this machine.

    A process that dies costs the cell that it was running: the job is given to another one.

    n_jobs: how many, -1 for one per core.
    """

    n_jobs: int = -1

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> list[Exception]:
        """Run all jobs; see `Launcher`."""
        waiting, tries = deque(range(count)), Counter[int]()
        at_most = min(limit(self.n_jobs), count)
        workers: dict[Connection, _Worker] = {}
        failed: list[Exception | None] = []
        try:
            while waiting or workers:
                while waiting and len(workers) < at_most:
                    worker = _Worker(task)
                    workers[worker.connection] = worker
                    worker.give(waiting.popleft())
                ready = wait(list(workers), POLLED)
                watch()
                for connection in ready:
                    worker = workers[connection]  # type: ignore[index]
                    try:
                        failed.append(worker.answer())
                    except (EOFError, OSError):
                        del workers[worker.connection]
                        name, died = (
                            task.name(worker.job),
                            f"its process died ({worker.exit_code()})",
                        )
                        tries[worker.job] += 1
                        if tries[worker.job] < TRIES:
                            say(f"{name}: {died}, it is run again")
                            waiting.appendleft(worker.job)
                        else:
                            failed.append(ProcessLost(name, f"{died} for the second time"))
                            say(str(failed[-1]))
                        continue
                    if waiting:
                        worker.give(waiting.popleft())
                    else:
                        del workers[worker.connection]
                        worker.end()
        finally:
            for worker in workers.values():
                worker.kill()
        return raised(failed)


class _Worker:
    """A process that runs one job after the other."""

    def __init__(self, task: Task):
        context: Any = multiprocessing.get_context("fork" if _may_fork() else "spawn")
        self.connection, theirs = context.Pipe()
        self.job = -1
        sys.stdout.flush()  # what is left in a buffer would be written by both
        sys.stderr.flush()
        pid = multiprocessing.current_process().pid
        self._process: BaseProcess = context.Process(
            target=_work, args=(dataclasses.replace(task, shown=None), theirs, pid), daemon=True
        )
        self._process.start()
        theirs.close()

    def give(self, job: int) -> None:
        self.job = job
        with suppress(OSError):  # it is dead, as its missing answer will tell
            self.connection.send(job)

    def answer(self) -> Exception | None:
        """Return what the job raised that has ended. Raises EOFError or OSError if the process is dead."""
        return self.connection.recv()

    def exit_code(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
        with suppress(OSError):
            self.connection.send(None)
        self._process.join()

    def kill(self) -> None:
        self._process.terminate()
        self._process.join()


def _may_fork() -> bool:
    """True on Linux, unless CUDA has begun: elsewhere, forked processes of torch may hang."""
    return sys.platform == "linux" and not torch.cuda.is_initialized()


def _work(task: Task, connection: Connection, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the parent, which ends this process
    for each in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(each, signal.SIG_DFL)
    end_with_parent(parent)
    while (number := connection.recv()) is not None:
        connection.send(task.attempt(number))
