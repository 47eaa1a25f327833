"""Commands in forked children of this process: each is a process of its own, without the seconds of importing."""

from __future__ import annotations

import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

# What a sweep imports when it begins.
import pandas
import pyarrow.parquet
import torch

import benchmarks.cli.launch
import benchmarks.report
from benchmarks.cli.main import main
from tests.benchmarks.default_signals import heed_signals

LOADED = (pandas.DataFrame, pyarrow.parquet.read_table, torch.Tensor, benchmarks.report.report)


class Ended(NamedTuple):
    code: int
    out: str
    err: str


def start(words: Sequence[str], folder: Path, output: Path) -> int:
    """Start a command in `folder`, with its output in `output`.out and `output`.err; return its process."""
    sys.stdout.flush()
    sys.stderr.flush()
    gc.freeze()
    process = os.fork()
    gc.unfreeze()
    if process:
        return process
    code = 1
    try:
        heed_signals()
        for number, ending in enumerate(("out", "err"), 1):
            handle = os.open(f"{output}.{ending}", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
            os.dup2(handle, number)
        sys.stdout, sys.stderr = (open(k, "w", closefd=False, buffering=1) for k in (1, 2))  # noqa: SIM115
        os.chdir(folder)
        code = main(words)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(process: int, output: Path, within: float = 60.0) -> Ended:
    """Return how a command ended; end it if it takes longer than `within` seconds, with code -9."""
    limit = time.monotonic() + within
    while True:
        found, status = os.waitpid(process, os.WNOHANG)
        if found:
            break
        if time.monotonic() > limit:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.005)
    texts = (Path(f"{output}.{each}").read_text(errors="replace") for each in ("out", "err"))
    return Ended(os.waitstatus_to_exitcode(status), *texts)


def run(words: Sequence[str], folder: Path, output: Path) -> Ended:
    """Run a command to its end."""
    return ended(start(words, folder, output), output)


def is_running(process: int) -> bool:
    """True if a command has not ended; `ended` still tells how it does."""
    return os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None


def is_read_or_half_written(folder: Path, output: Path, out: str = "out") -> bool:
    """True if `compare` reads the sweep, or refuses it as running or killed; never as edited by hand."""
    read = run(["compare", out, out], folder, output)
    not_begun = (
        f"{out} does not exist",
        "it has no manifest.json",
        f"{out} is half-written: its sweep",
    )
    return read.code == 0 or (read.code == 2 and any(each in read.err for each in not_begun))
