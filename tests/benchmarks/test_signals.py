"""Signals that come between a cell's storing and its marking."""

from __future__ import annotations

import os
import signal

import pytest

from benchmarks.runner import job as jobs
from benchmarks.store.cells import Store
from benchmarks.store.sweep_folder import SweepFolder

GIVEN = "+problem=quadratic problem.dim=2 optimizer=sgd,adam trials=2 tuning_seeds=1 seeds=2 budget=10 out=out"


pytestmark = pytest.mark.usefixtures("heeded")


def test_a_cell_that_is_stored_is_in_the_tables(ravine, files, monkeypatch):
    """Ctrl-C between the two waits for the second."""
    write, mark = Store.write, SweepFolder.mark
    marked = []

    def interrupted(*given):
        write(*given)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Store, "write", interrupted)
    monkeypatch.setattr(SweepFolder, "mark", lambda *given: marked.append(1) or mark(*given))
    code, out, err = ravine(f"{GIVEN} hydra/launcher=basic")
    assert code == 130 and "interrupted" in err and len(marked) == 1
    assert "sgd" in (files / "out" / "summary.csv").read_text()
    assert "1 of 2 cells is missing: quadratic · adam at " in out
    (command,) = [line for line in out.splitlines() if line.startswith("Go on:  ")]
    assert command.endswith("hydra/launcher=basic out=out")


def test_only_what_is_not_ignored_is_held_back():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt), jobs._uninterrupted():
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
