"""`ravine list`: which sweeps there were, and how each ended."""

from __future__ import annotations

import json
import os

import pytest

from benchmarks.store.cells import LOCK, Store, alone
from benchmarks.store.past_sweeps import past_sweeps
from benchmarks.store.sweep_folder import MARKERS, SweepFolder

SMALL = "+problem=quadratic problem.dim=2 trials=2 tuning_seeds=1 seeds=2 budget=10"


def aged(folder, seconds):
    """Make a sweep look as if it had been written so many seconds ago."""
    file = folder / "manifest.json"
    then = file.stat().st_mtime - seconds
    os.utime(file, (then, then))


@pytest.fixture
def results(ravine, files):
    """Two finished sweeps, one deeper than the other, and cells, which are no sweeps."""
    for name, words in (("first", "optimizer=sgd"), ("deeper/second", "optimizer=sgd,adam")):
        assert ravine(f"{SMALL} {words} out=results/{name}").code == 0
    aged(files / "results/first", 1000)
    return files / "results"


def test_sweeps_are_listed_the_newest_first(results, ravine):
    code, out, err = ravine("list")
    second, first = out.splitlines()
    assert (code, err) == (0, "")
    assert second.split()[0] == "results/deeper/second" and first.split()[0] == "results/first"
    assert "  2 cells  finished  " in second and "  1 cell   finished  " in first
    assert f"{SMALL} optimizer=sgd out=results/first" in first
    assert ravine("list --last").out == "results/deeper/second\n"
    assert ravine("list results/first").out.startswith("results/first")


def test_a_list_of_nothing_is_a_sentence(ravine, files):
    assert ravine("list")[:2] == (0, "No sweep in results.\n")
    code, out, err = ravine("list --last nowhere")  # the folder alone is what a shell goes on with
    assert (code, out, err) == (2, "", "ravine: no sweep in nowhere\n")


def test_how_a_sweep_ended_is_told(results, ravine):
    def state():
        (found,) = past_sweeps(results / "first")
        return found.state

    file = results / "first" / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "interrupted": True}))
    assert state() == "interrupted"
    (results / "first" / MARKERS).mkdir()
    assert state() == "killed"
    with alone(results / "first" / LOCK):
        assert state() == "running"
    file.write_text("{")
    assert state() == "unreadable" and "unreadable" in ravine("list").out
    file.write_text(json.dumps({**manifest, "rows": "chosen"}))
    assert not past_sweeps(results / "first")


def test_what_a_foreign_manifest_says_does_not_reach_the_terminal_raw(results, ravine):
    file = results / "first" / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps({**manifest, "argv": ["+problem=\x1b[31mcliff\n\x9b2J"]}))
    out = ravine("list results/first").out
    assert r"\x1b[31mcliff" in out and "\x1b" not in out and "\x9b" not in out
    file.write_text(json.dumps({**manifest, "argv": [5]}))
    assert "unreadable" in ravine("list results/first").out


def test_an_interrupted_sweep_says_so_until_it_is_finished(results, ravine, files):
    folder = SweepFolder(results / "first", Store(results / "cells"))
    folder.finish(1.0, print, interrupted=True)
    assert "  interrupted  " in ravine("list results/first").out
    assert ravine(f"{SMALL} optimizer=sgd out=results/first").code == 0
    assert "  finished  " in ravine("list results/first").out


def test_cells_that_failed_are_counted(ravine, files):
    (files / "raises.py").write_text(
        "import torch\nclass Raises(torch.optim.SGD):\n    calls = 0\n    def step(self, closure=None):\n"
        "        self.calls += 1\n        if self.calls == 2:\n            raise RuntimeError\n"
    )
    assert ravine(f"{SMALL} optimizer=raises.py:Raises out=results/failed").code == 3
    assert "  1 cell, 1 failed  finished  " in ravine("list").out
