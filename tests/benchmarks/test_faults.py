"""No sweep ends because of one run, one signal, or one full disk."""

from __future__ import annotations

import errno
import itertools
import os
import pty
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pandas
import pytest

from benchmarks import sweep
from benchmarks.analysis import tables
from benchmarks.cli.main import KEPT, main
from benchmarks.diagnosis import diagnose
from benchmarks.runner import worker
from benchmarks.store.cells import Store
from problems import Card
from ravine import LeftOut
from tests.benchmarks.default_signals import heed_signals
from tests.benchmarks.problems_for_tests import Bowl, card
from tests.benchmarks.test_command import MINE, start, wait_until_one_cell_is_done_and_one_is_asleep

SIZE = "trials=2 tuning_seeds=1 seeds=2 budget=20"


# One run.


@dataclass(frozen=True)
class Huge(Bowl):
    """A bowl whose losses are infinite in a float32 trace."""

    size: float = 1e40

    def loss(self, x, data):
        return self.size * super().loss(x, data)


@pytest.mark.parametrize("size", [1e40, 1e300])
def test_losses_beyond_single_precision_have_tables(size, tmp_path):
    found = sweep(
        [Huge(size=size), "quadratic"], ["sgd", "adam", "newton"], trials=2, tuning_seeds=1, seeds=2, budget=40,
        out=tmp_path / "out",
    )  # fmt: skip
    assert len(found.verdicts) and "wrong_direction" not in set(found.runs["verdict"])
    assert set(pandas.read_csv(tmp_path / "out" / "summary.csv").problem) == {"Huge", "quadratic"}


def test_a_verdict_that_fails_is_left_out_and_nothing_else(ravine, files, monkeypatch):
    calls = itertools.count()

    def fails(record):
        if "beta1" not in record.settings and next(calls) % 2:  # every other run of sgd
            raise ZeroDivisionError("one\nrun")
        return diagnose(record)

    monkeypatch.setattr(tables, "diagnose", fails)
    code, out, err = ravine(f"+problem=quadratic optimizer=sgd,adam {SIZE} rungs=3 out=swept")
    assert code == 0 and out
    said = [line for line in err.splitlines() if "left out" in line]
    assert len(said) == len(set(said)) == 3  # one a cell
    assert said[0].startswith("ravine: a verdict of quadratic at 1 · sgd (cell ")
    assert said[0].endswith("is left out: ZeroDivisionError: one run")
    runs = pandas.read_csv(files / "swept" / "runs.csv")
    traced = runs[(runs.role == "reporting") & (runs.status != "solved")]
    without = traced[traced.verdict.isna()]
    assert set(without.optimizer) == {"sgd"} and len(without) < (traced.optimizer == "sgd").sum()
    assert ravine("report swept").code == 0


@dataclass(frozen=True)
class Hopeful(Bowl):
    """A bowl whose theory fails at any rung, and whose predicted share is no number."""

    card: ClassVar[Card] = replace(card(), theory={"sgd": lambda problem, budget: 1 / 0})

    def predicted_share(self):
        return "none"


def test_a_theory_that_fails_is_left_out_and_nothing_else(tmp_path):
    with pytest.warns(LeftOut) as shown:
        found = sweep(
            Hopeful(), ["sgd", "newton"], trials=2, tuning_seeds=1, seeds=2, budget=20, rungs=3, out=tmp_path / "out",
        )  # fmt: skip
    said = [str(each.message) for each in shown if each.category is LeftOut]
    assert len(said) == len(set(said)) == 4
    assert "the theory of Hopeful · sgd is left out: ZeroDivisionError: division by zero" in said
    assert any(
        each.startswith("the predicted share of Hopeful at 100 is left out") for each in said
    )
    assert found.breaking_points["theory"].isna().all() and len(found.breaking_points) > 1


# One signal.

THREE = f"+problem=quadratic optimizer=sgd,adam,newton {SIZE} out=swept"


def summarized(folder):
    return set(pandas.read_csv(folder / "summary.csv").optimizer)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_sweep_as_ctrl_c_does(number, ravine, files, monkeypatch):
    run_job, jobs = worker.run_job, itertools.count(1)

    def terminated(*arguments):
        if next(jobs) == 3:
            os.kill(os.getpid(), number)
        return run_job(*arguments)

    monkeypatch.setattr(worker, "run_job", terminated)
    code, out, err = ravine(THREE)
    assert code == 128 + number and out.startswith("quadratic · ")
    said = "ravine: terminated: finished cells are kept; the same command runs the rest"
    assert err.splitlines()[-1] == said
    assert summarized(files / "swept") == {"sgd", "adam"}
    assert signal.getsignal(number) == signal.SIG_DFL
    assert ravine(THREE).code == 0 and len(summarized(files / "swept")) == 3


def test_tables_are_written_after_the_terminal_was_closed(files):
    """Its hang-up comes with a signal, and whatever is written to it afterwards fails."""
    (files / "mine.py").write_text(MINE)
    given = f"+problem=quadratic problem.dim=2 optimizer=sgd,mine.py:Sleeps {SIZE} out=swept"
    process, terminal = pty.fork()
    if process == 0:
        code = 1
        try:
            heed_signals()
            sys.stdout, sys.stderr = (open(k, "w", closefd=False) for k in (1, 2))  # noqa: SIM115
            code = main(given.split())
        finally:
            os._exit(code)
    wait_until_one_cell_is_done_and_one_is_asleep(files)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 128 + signal.SIGHUP
    assert summarized(files / "swept") == {"sgd"}


def of_group(group):
    """True if any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(
    ("words", "kept"),
    [
        (["report", "swept"], False),
        (["show"], False),
        (["+problem=cliff"], True),
        (["explain", "swept"], True),
        (["submit", "adam"], True),
        (["submit", "adam", "--verify", "part"], False),
        (["submit", "adam", "--verify=part"], False),
    ],
)
def test_only_a_command_that_runs_cells_says_that_they_are_kept(words, kept, monkeypatch, capsys):
    def interrupted(words):
        raise KeyboardInterrupt

    monkeypatch.setattr("benchmarks.cli.main._run", interrupted)
    assert main(words) == 130
    assert capsys.readouterr().err == f"ravine: interrupted{KEPT if kept else ''}\n"


@pytest.mark.usefixtures("heeded")
def test_ctrl_c_after_a_signal_does_not_cut_the_writing_of_tables(monkeypatch):
    written = []

    def writes(words):
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGINT)
            written.append(True)

    monkeypatch.setattr("benchmarks.cli.main._run", writes)
    assert main([]) == 143 and written
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


class Interrupts:
    """What a class has as an attribute while it is made, when a signal comes."""

    def __init__(self, number):
        self.number = number

    def __set_name__(self, owner, name):
        signal.raise_signal(self.number)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_while_a_class_is_made_ends_as_any_other(number, code, monkeypatch, capsys):
    monkeypatch.setattr(
        "benchmarks.cli.main._run", lambda words: type("Made", (), {"field": Interrupts(number)})
    )
    assert main([]) == code
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("whom", [os.kill, os.killpg])
def test_workers_end_with_their_parent(files, number, whom):
    (files / "mine.py").write_text(MINE)
    given = f"+problem=quadratic problem.dim=2 optimizer=sgd,mine.py:Sleeps {SIZE} out=swept hydra/launcher=processes"
    sweeping = start("-m", "benchmarks", *given.split(), folder=files)
    wait_until_one_cell_is_done_and_one_is_asleep(files)
    whom(sweeping.pid, number)
    out, err = sweeping.communicate(
        timeout=60
    )  # the workers have the same output, and so have ended
    assert "Traceback" not in err
    if number == signal.SIGTERM:
        assert sweeping.returncode == 143 and "ravine: terminated" in err
        assert out.startswith("quadratic · ") and summarized(files / "swept") == {"sgd"}
    for _ in range(100):
        if not of_group(sweeping.pid):
            break
        time.sleep(0.1)
    assert not of_group(sweeping.pid)


SLEEPS = """
import os, pathlib, time, torch
class Sleeps(torch.optim.SGD):
    def step(self, closure=None):
        if self.param_groups[0]["params"][0].numel() == 7:
            half = pathlib.Path(HERE) / "half"
            half.write_text(str(os.getpid()))
            half.rename(half.with_name("worker"))
            time.sleep(600)
        return super().step(closure)
"""


def runs(process):
    """True if a process is there, and no zombie."""
    found = subprocess.run(["ps", "-o", "stat=", "-p", process], capture_output=True, text=True)
    return found.stdout.strip()[:1] not in ("", "Z")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "dask", "slurm hydra.launcher.cluster=local"])
def test_workers_of_other_packages_end_with_the_command(files, launcher):
    """Those of submitit have a parent between them and the command."""
    if "slurm" in launcher:
        pytest.importorskip("submitit")
    (files / "mine.py").write_text(SLEEPS.replace("HERE", repr(str(files))))
    given = f"+problem=quadratic problem.dim=7 optimizer=sgd,mine.py:Sleeps {SIZE} out=swept hydra/launcher={launcher}"
    sweeping = start("-m", "benchmarks", *given.split(), folder=files)
    while not (files / "worker").exists() and sweeping.poll() is None:
        time.sleep(0.1)
    worker = (files / "worker").read_text()
    assert runs(worker)
    sweeping.kill()
    sweeping.wait()
    limit = time.monotonic() + 60
    while runs(worker) and time.monotonic() < limit:
        time.sleep(0.1)
    assert not runs(worker)


# One full disk.


def full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("cells", [1, 3])
def test_a_full_disk_among_the_cells_is_one_line(cells, ravine, files, monkeypatch):
    write, count = Store.write, itertools.count(1)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "write", lambda *all: (full if next(count) >= cells else write)(*all))
        code, _, err = ravine(THREE)
    assert code == 2 and err.splitlines()[-1] == (
        "ravine: the disk is full: finished cells are kept; the same command runs the rest, once there is room"
    )
    assert "Traceback" not in err
    assert (files / "swept").exists() == (cells > 1)
    code, _, err = ravine(THREE)
    assert code == 0 and err.count("had been run before") == cells - 1
    assert len(summarized(files / "swept")) == 3


def test_another_error_of_the_system_is_one_line(ravine, files, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, "Input/output error", "cells")

    monkeypatch.setattr(Store, "write", fails)
    code, _, err = ravine(THREE)
    assert code == 2 and "Traceback" not in err
    assert err.splitlines()[-1] == "ravine: Input/output error (cells)"


@pytest.mark.parametrize("writer", [(pandas.DataFrame, "to_csv"), (tables, "_write_parquet")])
def test_a_full_disk_among_the_tables_is_one_line(writer, ravine, files, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(*writer, full)
        code, _, err = ravine(THREE)
    assert code == 2 and "ravine: the disk is full: " in err.splitlines()[-1]
    code, _, err = ravine(THREE)
    assert code == 0 and err.count("had been run before") == 3


@pytest.mark.parametrize("file", [".manifest.json", ".report.html"])
def test_a_file_that_does_not_fit_is_not_left_half_written(file, ravine, files, monkeypatch):
    write = Path.write_text

    def until_full(path, text, **options):
        if not path.name.startswith(file):
            return write(path, text, **options)
        write(path, text[:10], **options)
        return full()

    assert ravine(THREE.replace("swept", "before")).code == 0
    command = THREE if file == ".manifest.json" else "report before"
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", until_full)
        code, _, err = ravine(command)
    assert code == 2 and len(err.splitlines()) == 1
    assert not list(files.glob(f"*/{file}*"))
    assert ravine(command).code == 0
