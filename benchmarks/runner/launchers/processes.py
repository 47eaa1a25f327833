"""Run jobs in processes of this machine, forked once, after the imports."""

from __future__ import annotations

import dataclasses
import multiprocessing
import pickle
import signal
import sys
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch

from benchmarks.runner.launchers.launcher import POLLED, limit
from benchmarks.runner.worker import Task, end_with_parent

TRIES = 2  # a job whose process dies as often as this is given up


@dataclass(frozen=True)
class Processes:
    """Processes of this machine.

    A process that dies costs the cell that it was running: the job is given to another one.

    n_jobs: how many, -1 for one per core.
    """

    n_jobs: int = -1

    def __call__(
        self, task: Task, count: int, watch: Callable[[], None], say: Callable[[str], None]
    ) -> int:
        """Run all jobs; see `Launcher`."""
        waiting, tries = deque(range(count)), Counter[int]()
        at_most = min(limit(self.n_jobs), count)
        workers: dict[Connection, _Worker] = {}
        failed: list[Exception] = []
        lost = 0
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
                        error = worker.answer()
                    except (EOFError, OSError):
                        del workers[worker.connection]
                        number = worker.job
                        tries[number] += 1
                        again = tries[number] < TRIES
                        say(
                            f"{task.name(number)}: its process died ({worker.exit_code()}), "
                            + (
                                "it is run again"
                                if again
                                else "for the second time: it is left out"
                            )
                        )
                        if again:
                            waiting.appendleft(number)
                        lost += not again
                        continue
                    if error is not None:
                        failed.append(error)
                    if waiting:
                        worker.give(waiting.popleft())
                    else:
                        del workers[worker.connection]
                        worker.end()
        finally:
            for worker in workers.values():
                worker.kill()
        if failed:
            raise failed[0]
        return lost


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
        self.connection.send(job)

    def answer(self) -> Exception | None:
        """Return the exception of the job that has ended, if any. Raises EOFError or OSError if the process is dead."""
        return pickle.loads(self.connection.recv_bytes())

    def exit_code(self) -> str:
        self._process.join()
        code = self._process.exitcode or 0
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    def end(self) -> None:
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
    while True:
        number = connection.recv()
        if number is None:
            return
        error = None
        try:
            task(number)
        except Exception as raised:
            error = raised
        connection.send_bytes(_pickled(error))


def _pickled(error: Exception | None) -> bytes:
    """Return an exception as bytes, or what it says if it cannot be pickled."""
    try:
        whole = pickle.dumps(error)
        pickle.loads(whole)
        return whole
    except Exception:
        return pickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
