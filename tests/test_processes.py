"""Processes beside the main one end with it."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest


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
