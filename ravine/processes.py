"""Processes beside this one, which end with it."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress

import torch

WATCHED = 1.0  # seconds between two looks at the parent


@functools.cache  # once in a process
def end_with_parent(parent: int) -> None:
    """End this process within seconds of its parent's death; an idle one would wait for jobs that never come.

    Args:
        parent: The parent's process number.
    """

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCHED)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@functools.cache
def end_with(process: int) -> None:
    """End this process within seconds of the death of another one of this machine, which need not be its parent.

    Args:
        process: The other's process number.
    """

    def watch() -> None:
        with suppress(ProcessLookupError, PermissionError):  # another user's has its number
            while True:
                os.kill(process, 0)
                time.sleep(WATCHED)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def one_per_core() -> Iterator[ProcessPoolExecutor]:
    """One process per core, with one thread each; if anything ends the context early, they end at once."""
    others = set(multiprocessing.active_children())
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), spawn, _begin, (os.getpid(),)) as processes:
        try:
            yield processes
        except BaseException:
            for each in set(multiprocessing.active_children()) - others:
                each.terminate()
            raise


def _begin(parent: int) -> None:
    end_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent
    torch.set_num_threads(1)
