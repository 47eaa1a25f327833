"""Sweeps in other processes: the same tables wherever jobs run, and what is lost when a process dies."""

from __future__ import annotations

import shlex
from types import SimpleNamespace

import pandas
import pytest

WORDS = (
    "+problem=quadratic,cliff optimizer=sgd,adam trials=2 tuning_seeds=1 seeds=2 budget=20 rungs=3"
)
DIES = """
import os, pathlib, signal
import torch
class Dies(torch.optim.SGD):
    # Ends its own process; later ones only as often as the file says.
    def step(self, closure=None):
        left = pathlib.Path("left")
        if self.param_groups[0]["params"][0].numel() == 7 and left.read_text():
            left.write_text(left.read_text()[1:])
            os.kill(os.getpid(), signal.SIGKILL)
        return super().step(closure)
class Raises(torch.optim.SGD):
    def step(self, closure=None):
        raise OSError(28, "No space left on device")
"""
DYING = "+problem=quadratic problem.dim=7 optimizer=sgd,mine.py:Dies,adam trials=2 tuning_seeds=1 seeds=2 budget=10"
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
     pytest.param("dask hydra.launcher.n_jobs=2", 1, marks=slow)],
)  # fmt: skip
def test_a_process_that_dies(launcher, deaths, ravine, files):
    """It costs the cell that it was at; the job is given again, and left out if that one dies as well."""
    (files / "mine.py").write_text(DIES)
    (files / "left").write_text("x" * deaths)
    found = ravine(f"{DYING} out=out cells=cells hydra/launcher={launcher}")
    optimizers = set(pandas.read_csv(files / "out" / "summary.csv").optimizer)
    assert "Traceback" not in found.err
    if (launcher, deaths) == ("processes", 1):
        assert "quadratic · Dies: its process died (signal 9), it is run again" in found.err
    if launcher.startswith("dask") or (launcher, deaths) == ("processes", 1):
        assert found.code == 0 and optimizers == {"sgd", "Dies", "adam"}
    else:
        assert found.code == 3 and optimizers == {"sgd", "adam"}
        assert "quadratic · Dies: " in found.err
        assert "and it is left out; the same command runs it" in found.err
        assert ravine(f"{DYING} out=out cells=cells hydra/launcher=basic").code == 0


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
