"""Processes beside the main one end with it."""

from __future__ import annotations

import multiprocessing
import signal
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool

import pytest

from ravine.processes import one_per_core


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_processes_end_with_the_command(number):
    code = (
        "import time\n"
        "from ravine.processes import one_per_core\n"
        "with one_per_core() as processes:\n"
        "    print(processes.submit(abs, -1).result(), flush=True)\n"
        "    time.sleep(100)\n"
    )
    script = [sys.executable, "-c", code]
    with subprocess.Popen(script, stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None and command.stdout.readline() == "1\n"
        command.send_signal(number)
        assert command.communicate(timeout=60)[0] == ""  # closed by all who can write to it


def test_an_error_ends_the_pool_and_no_other_process():
    def fails(begun):
        with one_per_core() as processes:
            begun.append(processes.submit(time.sleep, 600))
            raise ValueError("no way")

    begun: list[Future] = []
    spawn = multiprocessing.get_context("spawn")
    other = spawn.Process(target=time.sleep, args=(600,))
    other.start()
    try:
        with pytest.raises(ValueError, match="no way"):
            fails(begun)
        assert isinstance(begun[0].exception(), BrokenProcessPool)
        other.join(1)
        assert other.is_alive()
    finally:
        other.kill()
        other.join()
