"""Sweeps that are killed at random moments, and then given again."""

from __future__ import annotations

import os
import random
import signal
import time

import pandas
import pytest

from benchmarks.store import cells as store_of_cells
from tests.benchmarks.forked import ended, run, start

SWEEP = (
    "+problem=quadratic,matrix_power optimizer=sgd,adam trials=2 seeds=2 tuning_seeds=1 budget=60"
)
WORDS = [*SWEEP.split(), "out=out", "cells=cells"]
SIGNALS = {signal.SIGKILL: -9, signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


def tables(folder):
    found = {
        **{each.name: pandas.read_csv(each) for each in (folder / "out").glob("*.csv")},
        **{each.name: pandas.read_parquet(each) for each in (folder / "out").glob("*.parquet")},
    }
    return {name: each.drop(columns="seconds", errors="ignore") for name, each in found.items()}


def names(folder):
    return {each.name for each in folder.iterdir()} if folder.exists() else set()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of a sweep that was not killed, and the seconds that it took."""
    folder = tmp_path_factory.mktemp("undisturbed")
    began = time.monotonic()
    assert run(WORDS, folder, folder / "said").code == 0
    return folder, time.monotonic() - began


@pytest.mark.parametrize(("kills", "seed"), [(5, 1), pytest.param(30, 2, marks=pytest.mark.slow)])
def test_a_killed_sweep_ends_as_an_undisturbed_one(undisturbed, tmp_path, monkeypatch, kills, seed):
    monkeypatch.setattr(store_of_cells, "PATIENCE", 0.0)  # whatever has no owner is a leftover
    whole, seconds = undisturbed
    draw, expected = random.Random(seed), tables(whole)
    for k in range(kills):
        folder, said = tmp_path / str(k), tmp_path / f"said{k}"
        folder.mkdir()
        number = [*SIGNALS][k % len(SIGNALS)]
        process = start(WORDS, folder, said)
        time.sleep(0.1 + draw.uniform(0, seconds))  # the handlers are there by then
        os.kill(process, number)
        killed = ended(process, said)
        assert killed.code in (0, SIGNALS[number]) and "Traceback" not in killed.err
        finished = [each for each in names(folder / "cells") if not each.startswith(".")]
        again = run(WORDS, folder, said)
        assert again.code == 0 and again.err.count("had been run before") == len(finished)
        assert names(folder) == {"out", "cells"}
        assert names(folder / "out") == names(whole / "out")
        assert names(folder / "cells") == names(whole / "cells")
        for name, table in tables(folder).items():
            pandas.testing.assert_frame_equal(table, expected[name], check_exact=True)
