"""Sweeps in other processes: the same tables wherever jobs run, and what is lost when a process dies."""

from __future__ import annotations

import importlib
import pickle
import re
import shlex
import signal
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from unittest import mock

import pandas
import pytest

from benchmarks.runner import worker
from benchmarks.runner.launchers import launcher
from benchmarks.store.cells import Store
from benchmarks.store.sweep_folder import BEATS, MARKERS, SweepFolder
from ravine import Refused

WORDS = (
    "+problem=quadratic,cliff optimizer=sgd,adam trials=2 tuning_seeds=1 seeds=2 budget=20 rungs=3"
)
DIES = """
import json, os, pathlib, signal
import torch
class Dies(torch.optim.SGD):
    # On the second rung, notes whether the first had been run before, and ends its process, as often as the file says.
    def step(self, closure=None):
        swept = self.param_groups[0]["params"][0].numel() == 7  # it is tried on others where it is loaded
        marks = [each.read_text() for each in pathlib.Path("out/.cells").glob("[!.]*") if each.is_file()]
        before = [json.loads(each)["cell"]["cached"] for each in marks if '"Dies"' in each]
        if swept and len(before) == 1:
            with open("noted", "a") as file:
                print(*before, file=file)
            left = pathlib.Path("left")
            if left.read_text():
                left.write_text(left.read_text()[1:])
                os.kill(os.getpid(), signal.SIGKILL)
        return super().step(closure)
"""
DYING = (
    "+problem=quadratic problem.dim=7 rungs=3 optimizer=sgd,mine.py:Dies,adam "
    "trials=2 tuning_seeds=1 seeds=2 budget=10"
)
slow = pytest.mark.slow


def tables(folder):
    found = {
        "runs": pandas.read_csv(folder / "runs.csv"),
        "summary": pandas.read_csv(folder / "summary.csv"),
    }
    without = {name: each.drop(columns="seconds", errors="ignore") for name, each in found.items()}
    return without, (folder / "traces.parquet").read_bytes()


@pytest.mark.parametrize(
    "launcher",
    [
        "processes hydra.launcher.n_jobs=2",
        pytest.param("slurm hydra.launcher.cluster=local", marks=slow),
        pytest.param("dask hydra.launcher.n_jobs=2", marks=slow),
        pytest.param("joblib", marks=slow),
    ],
)
def test_the_same_tables_wherever_jobs_run(launcher, ravine, files):
    plain = ravine(f"{WORDS} out=plain cells=a hydra/launcher=basic")
    there = ravine(f"{WORDS} out=there cells=b hydra/launcher={launcher}")
    assert plain.code == there.code == 0 and "Traceback" not in there.err
    assert plain.out.replace("plain/", "there/").splitlines()[:-1] == there.out.splitlines()[:-1]
    (first, traces), (second, same) = tables(files / "plain"), tables(files / "there")
    for name, table in first.items():
        pandas.testing.assert_frame_equal(table, second[name], check_exact=True)
    assert traces == same
    names = [{each.name for each in (files / name).iterdir()} for name in ("plain", "there")]
    assert names[0] == names[1]
    lines = [line for line in there.err.splitlines() if " runs in " in line]
    assert [line.split("/")[0] for line in lines] == [str(k) for k in range(1, 13)]


@pytest.mark.parametrize(
    ("launcher", "deaths"),
    [("processes", 2), ("processes", 1), pytest.param("slurm hydra.launcher.cluster=local", 1, marks=slow),
     pytest.param("slurm hydra.launcher.cluster=local", 2, marks=slow),
     pytest.param("dask hydra.launcher.n_jobs=2", 1, marks=slow)],
)  # fmt: skip
def test_a_process_that_dies(launcher, deaths, ravine, files):
    """It costs the rung that it was at; the job is given again, and left out if that one dies as well."""
    (files / "mine.py").write_text(DIES)
    (files / "left").write_text("x" * deaths)
    found = ravine(f"{DYING} out=out cells=cells hydra/launcher={launcher}")
    rungs = pandas.read_csv(files / "out" / "summary.csv").groupby("optimizer")["dial"].nunique()
    assert "Traceback" not in found.err
    if deaths == 1:
        assert re.search(
            r"quadratic · Dies: (its|it was) .*, it is run again$", found.err, re.MULTILINE
        )
        assert found.code == 0 and dict(rungs) == {"sgd": 3, "Dies": 3, "adam": 3}
    else:
        assert found.code == 3 and dict(rungs) == {"sgd": 3, "Dies": 1, "adam": 3}
        assert "quadratic · Dies: " in found.err
        assert "and it is left out; the same command runs it" in found.err
        again = ravine(f"{DYING} out=out cells=cells hydra/launcher=basic")
        assert again.code == 0 and again.err.count("had been run before") == 7
    first, *later = (files / "noted").read_text().split()
    assert first == "False" and {*later} == {"True"}


def test_several_jobs_use_the_cores_by_default(ravine, files, monkeypatch):
    """Unless they take no time to speak of."""
    from benchmarks.cli import launch

    monkeypatch.setattr(launch, "cores", lambda: 2)
    used = []
    call = launch.Processes.__call__
    monkeypatch.setattr(launch.Processes, "__call__", lambda *given: used.append(1) or call(*given))
    assert ravine(f"{WORDS} out=short cells=a").code == 0 and not used
    monkeypatch.setattr(launch, "WORTH_PROCESSES", 0.0)
    assert ravine(f"{WORDS} out=long cells=b").code == 0 and used
    assert ravine(f"{WORDS} out=long cells=b").err.count("had been run before") == 12


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("processes hydra.launcher.n_job=3", "unknown option hydra.launcher.n_job: did you mean n_jobs?"),
        ("processes hydra.launcher.n_jobs=-4", "hydra.launcher.n_jobs is -4, but must be a whole number above 0"),
        ("proceses", "unknown hydra/launcher 'proceses': did you mean processes?"),
        ("slurm hydra.launcher.cluster=slrum", "unknown hydra.launcher.cluster 'slrum': did you mean slurm?"),
        ("slurm hydra.launcher.cluster=local 'hydra.launcher.parameters={tim: 1}'", "hydra/launcher=slurm: "),
    ],
)  # fmt: skip
def test_a_launcher_that_is_not_there_is_refused_in_a_line(words, said, ravine, files):
    given = f"+problem=quadratic optimizer=sgd trials=2 seeds=2 budget=10 out=out hydra/launcher={words}"
    code, out, err = ravine(*shlex.split(given))
    assert code == 2 and not out
    assert err.splitlines()[-1].startswith(f"ravine: {said}") and "Traceback" not in err
    assert not (files / "out").exists()


@pytest.mark.slow
def test_a_job_that_cannot_import_what_it_needs_is_not_called_killed(ravine, files, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(files))
    (files / "benchmarks.py").write_text("raise ImportError('of another project')")
    found = ravine("+problem=quadratic optimizer=sgd trials=2 seeds=2 budget=10 out=out "
                   "hydra/launcher=slurm hydra.launcher.cluster=local")  # fmt: skip
    assert found.code == 3
    assert "quadratic · sgd: it could not begin (see " in found.err


def test_a_job_that_never_begins_is_given_up_once_slurm_does_not_know_it(monkeypatch):
    """A pending one is waited for, and named."""
    slurm = pytest.importorskip("benchmarks.runner.launchers.slurm")
    monkeypatch.setattr(slurm, "SILENT", 0.0)
    monkeypatch.setattr(slurm, "_states", lambda: {"7_0": "PENDING (Resources)"})
    folder = SimpleNamespace(last_beat=lambda number: None)
    jobs = {
        k: SimpleNamespace(job_id=f"7_{k}", state="UNKNOWN", done=lambda: False) for k in range(2)
    }
    queue, lines = slurm._Queue(SimpleNamespace(folder=folder)), []
    assert queue.gone(jobs, lines.append) == set() and queue.gone(jobs, lines.append) == {1}
    (line,) = lines
    assert line.endswith("squeue says of them: 1 PENDING (Resources), 1 unknown")


def test_a_job_that_runs_without_a_sign_of_life_is_named_once(monkeypatch):
    """It is neither given up nor counted among those that have not begun; the next attempt is named anew."""
    slurm = pytest.importorskip("benchmarks.runner.launchers.slurm")
    monkeypatch.setattr(slurm, "SILENT", 0.0)
    monkeypatch.setattr(
        slurm, "_states", lambda: dict.fromkeys(["7_0", "7_1", "8"], "RUNNING (None)")
    )
    folder = SimpleNamespace(
        path=Path("out"), last_beat=lambda number: None if number == 0 else 1.0
    )
    task = SimpleNamespace(folder=folder, name=lambda number: f"job {number}")
    paths = SimpleNamespace(stderr="its_log.err")
    jobs = {k: SimpleNamespace(job_id=f"7_{k}", paths=paths) for k in range(2)}
    queue, lines = slurm._Queue(task), []
    assert queue.gone(jobs, lines.append) == set() and lines == []
    assert [queue.gone(jobs, lines.append) for _ in range(3)] == [set()] * 3
    (line,) = lines
    assert line.startswith(
        "1 of 2 jobs give no sign of life, though squeue calls them RUNNING for 0 s: job 0; "
    )
    assert f"is {Path.cwd() / 'out'} shared" in line and line.endswith("(see its_log.err)")
    jobs[0].job_id = "8"
    queue.gone(jobs, lines.append)
    assert len(lines) == 1
    queue.gone(jobs, lines.append)
    assert len(lines) == 2


def test_a_job_that_is_given_up_is_cancelled(files, monkeypatch):
    """Slurm queues the jobs of a node that is lost again, and would run them after the command's end."""
    slurm = pytest.importorskip("benchmarks.runner.launchers.slurm")
    for name in ("SILENT", "ENDING", "POLLED"):
        monkeypatch.setattr(slurm, name, 0.0)
    monkeypatch.setattr(slurm, "_states", lambda: None)
    folder = SweepFolder(files, Store(files / "cells"))
    (files / MARKERS / BEATS).mkdir(parents=True)
    submitted, cancelled, lines = [], [], []

    def submit(attempt, number):
        folder.begin_job(number)
        job = SimpleNamespace(done=lambda: False, paths=SimpleNamespace(stderr="its_log.err"))
        job.cancel = lambda check: cancelled.append(job)
        submitted.append(job)
        return job

    executor = SimpleNamespace(
        update_parameters=lambda **_: None,
        map_array=lambda attempt, numbers: [submit(attempt, number) for number in numbers],
        submit=submit,
    )
    monkeypatch.setattr(slurm.submitit, "AutoExecutor", lambda *_, **__: executor)
    task = SimpleNamespace(folder=folder, attempt=None, name=lambda number: f"job {number}")
    failed = slurm.Slurm()(task, 1, lambda: None, lines.append)
    assert [type(each) for each in failed] == [launcher.ProcessLost]
    assert len(submitted) == 2 and cancelled == submitted
    assert lines[0].endswith("it is run again") and "it is left out" in lines[1]


def read(task):
    """Return a task as another process reads it, of which nothing is registered twice."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "end_with_parent", lambda parent: None)
        patch.setattr(worker.loading, "portable_entries", list)
        before = signal.getsignal(signal.SIGINT)
        try:
            return pickle.loads(pickle.dumps(task))
        finally:
            signal.signal(signal.SIGINT, before)


def test_a_worker_in_another_directory_writes_where_the_command_reads(files, monkeypatch):
    folder = SweepFolder(Path("out"), Store(Path("cells")))
    task = worker.Task(folder, [{"cells": "cells", "out": "out"}], {})
    there = read(task)
    assert there.folder == SweepFolder(files / "out", Store(files / "cells"))
    assert there.configs[0]["cells"] == str(files / "cells")


def test_a_job_that_begins_again_is_told_once(files):
    folder = SweepFolder(files, Store(files / "cells"))
    (files / MARKERS / BEATS).mkdir(parents=True)
    task = SimpleNamespace(folder=folder, name=lambda number: f"job {number}")
    lines = []
    retries = launcher.Retries(task, lines.append)
    for number in (0, 1, 1):
        folder.begin_job(number)
    retries()
    retries()
    assert lines == ["job 1: its worker died, it is run again"]
    folder.begin_job(1)
    retries()
    assert len(lines) == 2


def test_a_cluster_without_workers_is_told_once(files, monkeypatch):
    monkeypatch.setattr(launcher, "NO_WORKERS", 0.0)
    folder = SweepFolder(files, Store(files / "cells"))
    (files / MARKERS / BEATS).mkdir(parents=True)
    lines = []
    for begun in (False, True):
        if begun:
            folder.begin_job(0)
        look = launcher.NoWorkers(SimpleNamespace(folder=folder), lines.append)
        look()
        look()
    assert lines == [
        "no job has begun for 0 s: the cluster may have no free worker; this command waits for one"
    ]


class Client:
    """A Dask client whose jobs end at once."""

    def __init__(self, status):
        self.status, self.running, self.most = status, set(), 0

    def submit(self, attempt, number, pure):
        job = Submitted()
        job.status = self.status
        job.done = lambda: True
        job.exception = job.result = lambda: self.running.discard(job)
        self.running.add(job)
        self.most = max(self.most, len(self.running))
        return job


class Submitted:
    """A future."""


def on_dask(n_jobs, status, folder):
    """Return the client that ran five jobs, what they raised, and the lines."""
    dask = pytest.importorskip("benchmarks.runner.launchers.on_dask")
    client, lines = Client(status), []
    task = SimpleNamespace(
        folder=SweepFolder(folder, Store(folder)), attempt=None, name=lambda number: f"job {number}"
    )
    at_most = dask.Dask("tcp://host:8786", n_jobs).at_most(5)
    failed = dask._run(client, task, 5, at_most, lambda: None, lines.append)
    return client, failed, lines


@pytest.mark.parametrize(("n_jobs", "in_flight"), [(-1, 5), (2, 2)])
def test_jobs_at_an_address_are_limited(n_jobs, in_flight, files):
    client, failed, lines = on_dask(n_jobs, "finished", files)
    assert (client.most, failed, lines) == (in_flight, [], [])


def test_a_scheduler_that_is_gone_loses_all_jobs_in_one_line(files):
    _, failed, lines = on_dask(2, "cancelled", files)
    assert len(failed) == 5 and {type(each) for each in failed} == {launcher.ProcessLost}
    assert lines == [
        "the Dask scheduler is gone: what has not ended is left out; the same command runs it"
    ]


class OnlyThere(Exception):
    """What a worker raises and the command cannot read."""

    def __reduce__(self):
        return importlib.import_module, ("only_there",)


class ARay(ModuleType):
    """Ray without a cluster: a job ends at once, and an answer that cannot be read is an error of the system."""

    class RaySystemError(Exception):
        """An error of the system."""

    def __init__(self):
        super().__init__("ray")
        self.exceptions = ModuleType("ray.exceptions")
        for name in ("NodeDiedError", "WorkerCrashedError"):
            setattr(self.exceptions, name, type(name, (Exception,), {}))
        self.exceptions.RaySystemError = self.RaySystemError
        self.init = lambda *given, **named: None
        self.shutdown = lambda: None
        self.put = lambda value: value
        self.wait = lambda jobs, num_returns, timeout: (jobs, [])

    def remote(self, **options):
        def run(function):
            def submit(*given):
                job = Submitted()
                job.answer = pickle.dumps(function(*given))
                return job

            return SimpleNamespace(remote=submit)

        return run

    def get(self, job):
        try:
            return pickle.loads(job.answer)
        except Exception as error:
            raise self.RaySystemError(str(error)) from error


def on_ray(ray):
    """Return the launcher's module with this stand-in."""
    with mock.patch.dict(sys.modules, {"ray": ray, "ray.exceptions": ray.exceptions}):
        sys.modules.pop("benchmarks.runner.launchers.on_ray", None)
        return importlib.import_module("benchmarks.runner.launchers.on_ray")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (None, "Ray does not start on this machine (timed out)"),
        ("h:6379", "hydra.launcher.address is h:6379, but no cluster answers there (timed out)"),
    ],
)
def test_a_ray_that_does_not_start_and_one_that_does_not_answer(address, said):
    ray = ARay()
    ray.init = mock.Mock(side_effect=Exception("timed out"))
    with pytest.raises(Refused) as refusal:
        on_ray(ray).Ray(address, n_jobs=1)(SimpleNamespace(), 1, lambda: None, print)
    assert str(refusal.value) == said


def test_an_error_that_cannot_be_read_here_costs_only_its_job_on_ray(files):
    ray, lines = ARay(), []
    task = SimpleNamespace(
        folder=SweepFolder(files, Store(files)),
        name=lambda number: f"job {number}",
        attempt=[OnlyThere("no such layer"), None, OSError("full"), None].__getitem__,
    )
    failed = on_ray(ray).Ray(n_jobs=1)(task, 4, lambda: None, lines.append)
    assert list(map(repr, failed)) == [
        "RuntimeError('job 0: OnlyThere: no such layer')",
        "OSError('full')",
    ]
    assert lines == []
