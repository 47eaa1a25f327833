"""Sweeps that are killed at random moments, and then given again."""

from __future__ import annotations

import dataclasses
import itertools
import os
import platform
import random
import signal
import time
from pathlib import Path

import pandas
import pytest

from benchmarks.store import cells as store_of_cells
from benchmarks.store.cells import Store
from benchmarks.store.sweep_folder import SweepFolder
from ravine.whole_file import write_whole
from tests.benchmarks.forked import ended, is_read_or_half_written, run, start
from tests.benchmarks.test_shared_store import ran

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
        assert is_read_or_half_written(folder, said)
        finished = [each for each in names(folder / "cells") if not each.startswith(".")]
        again = run(WORDS, folder, said)
        assert again.code == 0 and again.err.count("had been run before") == len(finished)
        assert names(folder) == {"out", "cells"}
        assert names(folder / "out") == names(whole / "out")
        assert names(folder / "cells") == names(whole / "cells")
        for name, table in tables(folder).items():
            pandas.testing.assert_frame_equal(table, expected[name], check_exact=True)


def killed_at(patch, owner, name, at):
    """Let this process be killed instead of calling a function or method for the `at`-th time."""
    call, calls = getattr(owner, name), itertools.count(1)

    def kill(*given, **named):
        if next(calls) == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*given, **named)

    patch.setattr(owner, name, kill)


HALF = (
    "out is half-written: its sweep is still running, or was killed; giving the same command again"
)
OLD = "out is half-written, as its sweep is still running, or was killed: these are its results from before"


@pytest.mark.parametrize(
    ("owner", "name", "at", "old"),
    [
        (Store, "write", 1, True),
        (pandas.DataFrame, "to_csv", 2, True),
        (Path, "replace", 4, False),  # the first two are of the manifest
        (SweepFolder, "_end", 1, False),
    ],
)
def test_a_sweep_that_is_added_is_killed(tmp_path, monkeypatch, owner, name, at, old):
    """Until the tables are replaced, those of before are read, with a line; a mixture never is."""
    first = [word.replace("sgd,adam", "sgd") for word in WORDS]
    assert run([*first, "hydra/launcher=basic"], tmp_path, tmp_path / "said").code == 0
    before = tables(tmp_path)
    with monkeypatch.context() as patch:
        killed_at(patch, owner, name, at)
        assert run([*WORDS, "hydra/launcher=basic"], tmp_path, tmp_path / "said").code == -9
    for words in ("compare out out", "report out"):
        read = run(words.split(), tmp_path, tmp_path / "said")
        assert read.code == (0 if old else 2)
        (line,) = {*read.err.splitlines()}
        assert line.startswith(f"ravine: {OLD if old else HALF}")
    if old:
        for table, there in tables(tmp_path).items():
            pandas.testing.assert_frame_equal(there, before[table], check_exact=True)
    assert run(WORDS, tmp_path, tmp_path / "said").code == 0
    read = run(["compare", "out", "out"], tmp_path, tmp_path / "said")
    assert (read.code, read.err) == (0, "")
    assert not any(each.startswith(".") for each in names(tmp_path / "out"))


def test_a_description_that_was_cut_is_cleaned_away(tmp_path, monkeypatch):
    monkeypatch.setattr(store_of_cells, "PATIENCE", 0.0)
    store = Store(tmp_path)
    key, _ = ran(store)
    info = store.read(key).info
    process = os.fork()
    if process == 0:
        killed_at(monkeypatch, Path, "rename", 1)
        store.describe(key, dataclasses.replace(info, unranked="odd"))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -9
    (half,) = (each for each in names(store.folder) if each.startswith("."))
    assert {*names(store.folder / key)} == {"cell.json", "runs.parquet", "traces.parquet"}
    store.clean()
    assert half not in names(store.folder) and store.info(key) == info


def test_a_page_that_was_cut_is_removed_by_the_next(tmp_path, monkeypatch):
    page = tmp_path / "report.html"
    process = os.fork()
    if process == 0:
        killed_at(monkeypatch, Path, "replace", 1)
        write_whole("half", page)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == -9
    assert names(tmp_path) == {f".report.html.{platform.node()}.{process}"}
    other = (
        tmp_path / f".report.html.{platform.node()}.{os.getppid()}"
    )  # of a process that writes now
    other.touch()
    write_whole("whole", page)
    assert names(tmp_path) == {"report.html", other.name} and page.read_text() == "whole"


def test_an_interrupted_page_leaves_nothing(tmp_path, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_whole("half", tmp_path / "report.html")
    assert not names(tmp_path)
