"""The command from its words to its tables, in this process and in others."""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pandas
import pytest
import torch
import yaml

from benchmarks import sweep
from benchmarks.catalog.defaults import CLASSICS, TWINS
from benchmarks.cli import help, launch
from benchmarks.cli.options import DESCRIPTIONS, Config
from benchmarks.runner import progress, worker
from benchmarks.runner.forecast import forecast
from benchmarks.runner.job import CellDone
from benchmarks.runner.launchers.launcher import one_by_one
from benchmarks.runner.setup import Setup
from benchmarks.store.cell_info import cells_of
from benchmarks.store.cells import Store
from benchmarks.store.sweep_folder import MARKERS, Notes, SweepFolder
from optimizers import OPTIMIZERS
from problems import PROBLEMS
from ravine import Refused
from ravine.terminal import phase
from tests.benchmarks.default_signals import heed_signals
from tests.benchmarks.terminal import Terminal

ROOT = Path(__file__).parents[2]
SIZE = "trials=2 tuning_seeds=1 seeds=2 budget=10"
SMALL = f"problem.dim=2 {SIZE}"
MINE = """
import time
import torch
class Mine(torch.optim.SGD):
    rate = 1.0
class Sleeps(torch.optim.SGD):
    def step(self, closure=None):
        if self.param_groups[0]["params"][0].numel() == 2:
            open("asleep", "w").close()
            time.sleep(60)
class Raises(torch.optim.SGD):
    calls = 0
    def step(self, closure=None):
        self.calls += 1
        if self.calls == 2 and self.param_groups[0]["params"][0].numel() == 3:
            raise RuntimeError("not in three dimensions")
        return super().step(closure)
"""
RULE = """
from dataclasses import dataclass
from optimizers import Optimizer, hyper, log
@dataclass(frozen=True)
class Rule(Optimizer):
    lr: float = hyper({lr}, search=log(1e-5, 1e1, unit="length/gradient"), low=0)
    def init(self, x):
        return ()
    def update(self, oracle, state):
        return -self.lr * oracle.gradient, ()
"""
BOWL = """
from dataclasses import dataclass, replace
import torch
from problems import PROBLEMS, Problem, dial, register
import its_neighbour
@register("bowl")
@dataclass(frozen=True)
class Bowl(Problem):
    steepness: float = dial(10.0)
    dim: int = 2
    card = replace(PROBLEMS["quadratic"].card, theory={})
    def instance(self, generator):
        return {"start": torch.randn(self.dim, generator=generator)}
    def loss(self, x, data):
        return 0.5 * self.steepness * x.square().sum(-1)
    def floor(self, data):
        return torch.zeros(())
"""
SCRIPT = f"""
from benchmarks.cli.main import main
{BOWL}
if __name__ == "__main__":
    raise SystemExit(main())
"""


def summary(folder):
    return pandas.read_csv(folder / "summary.csv")


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def jobs(ravine, given):
    """Problem, its fields and optimizer of each job that a command would run."""
    code, out, err = ravine(f"--cfg job {given}")
    assert (code, err) == (0, "")
    return list(yaml.safe_load_all(out))


def start(*words, folder):
    """The command in a process of its own, which leads a group, as one started by a shell does.

    What is started in the background ignores Ctrl-C, and so would whatever it starts itself.
    """
    return subprocess.Popen(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        start_new_session=True,
        preexec_fn=heed_signals,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until_one_cell_is_done_and_one_is_asleep(files):
    deadline = time.monotonic() + 90
    while not (
        any(each.is_file() for each in files.glob("swept/.cells/*")) and (files / "asleep").exists()
    ):
        assert time.monotonic() < deadline
        time.sleep(0.02)


# What it says about itself.


def printed(code: str, folder: Path) -> str:
    """Return what some code prints in a process of its own, in a folder."""
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


def test_help_comes_without_what_is_slow_to_import():
    """With torch and pandas it would take more than 2 s on a laptop."""
    code = """
import sys
from benchmarks.cli.main import main
main(["--help"])
print({"torch._C", "pandas._libs", "hydra"} & {*sys.modules})
"""
    assert printed(code, ROOT).endswith("set()\n")


def test_a_card_a_list_and_a_dry_run_import_no_more_than_they_use(files):
    code = """
import gc, sys
from benchmarks.cli.main import main
main(["show"])
main(["show", "cliff"])
main(["+problem=cliff", "dry_run=true"])
ours = [each for each in sys.modules if each.startswith(("benchmarks.", "hydra.", "omegaconf."))]
assert len(ours) < 150, ours
assert gc.isenabled()
print({"pandas._libs", "scipy", "sklearn", "pyarrow", "matplotlib", "torch._dynamo"} & {*sys.modules})
"""
    assert printed(code, files).endswith("set()\n")


def test_a_comparison_imports_neither_torch_nor_what_draws(ravine, files):
    ravine(f"+problem=quadratic optimizer=sgd out=out {SMALL}")
    code = """
import sys
from benchmarks.cli.main import main
assert main(["compare", "out", "out"]) == 0
print({"torch._C", "scipy", "sklearn", "matplotlib", "hydra", "omegaconf"} & {*sys.modules})
"""
    assert printed(code, files).endswith("set()\n")


def test_what_takes_long_before_a_sweep_is_said_with_an_estimate(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENT", 0.05)
    for _ in progress.watched(range(4), "checking"):
        time.sleep(0.04)
    assert (
        capsys.readouterr().err
        == "ravine: checking: 1/4 · about 1 s left\nravine: checking: done\n"
    )
    for _ in progress.watched(range(2), "checking"):
        time.sleep(0.1)
    assert (
        capsys.readouterr().err
        == "ravine: checking: 0/2 · the first takes long\nravine: checking: done\n"
    )


def test_an_optimizer_given_several_times_is_composed_once(ravine, monkeypatch):
    composed, of = [], Setup.of
    monkeypatch.setattr(Setup, "of", lambda config: composed.append(config) or of(config))
    given = ",".join(["sgd"] * 300)
    code, out, _ = ravine(f"+problem=quadratic optimizer={given} dry_run=true {SMALL}")
    assert code == 0 and out.startswith("1 cells") and len(composed) == 1


def test_help_lists_everything(ravine):
    code, out, err = ravine("--help")
    assert (code, err) == (0, "")
    for name, prototype in {**PROBLEMS, **OPTIMIZERS}.items():
        first_words = (type(prototype).__doc__ or "").split()[:4]
        assert f"  {name}  " in out
        assert " ".join(first_words) in out
    assert out.index("8.2.1 Ill-conditioning") < out.index("  quadratic  ")


def test_a_reader_who_has_had_enough_is_no_error():
    """As in `--help | head -1`."""
    asked = f"{shlex.quote(sys.executable)} -m benchmarks --help"
    for bare in (asked, asked.removesuffix(" --help")):
        done = subprocess.run(
            ["bash", "-c", f"{bare} 2>&1 | true; exit ${{PIPESTATUS[0]}}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        assert done.returncode in (0, 2)


def test_every_option_is_described():
    described = {name.removesuffix("=") for name in DESCRIPTIONS}
    assert {each.name for each in dataclasses.fields(Config)} - {
        "optimizers",
        "adopted",
    } <= described


def test_a_bare_command_is_answered_with_help(ravine):
    _, usage, _ = ravine("--help")
    assert ravine() == (2, "", usage)


def test_version(ravine):
    code, out, _ = ravine("--version")
    assert (code, out.split()[0]) == (0, "ravine")


@pytest.mark.parametrize("name", [*PROBLEMS])
def test_a_problem_is_shown(name, ravine):
    code, out, _ = ravine(f"show {name}")
    card = PROBLEMS[name].card
    assert code == 0
    assert (type(PROBLEMS[name]).__doc__ or "").splitlines()[0] in out
    assert card.truth.split()[0] in out
    assert f"problem.{card.dial} " in out


@pytest.mark.parametrize("name", [*OPTIMIZERS])
def test_an_optimizer_is_shown(name, ravine):
    code, out, _ = ravine(f"show {name}")
    assert code == 0
    for field in OPTIMIZERS[name].hyperparameters:
        assert f"optimizers.{name}.{field} " in out
    assert out.count("searched: ") == len(OPTIMIZERS[name].space)


def test_what_a_shell_would_eat_is_quoted(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/ravine"])
    assert help.command_line(["+problem=quadratic", "optimizers.sgd.lr=[1e-5,1]"]) == (
        "ravine +problem=quadratic 'optimizers.sgd.lr=[1e-5,1]'"
    )
    monkeypatch.setattr(sys, "argv", ["/home/me/benchmarks/__main__.py"])
    assert help.command_line(["show"]) == "python -m benchmarks show"


# Which jobs it makes of its words.


def test_the_classics_unless_some_are_named_and_their_twins_where_there_is_noise(ravine):
    def names(words):
        return [(job["problem"]["name"], job["optimizer"]["name"]) for job in jobs(ravine, words)]

    classics = [("quadratic", name) for name in CLASSICS]
    assert names("problem=quadratic") == classics
    both = names("problem=quadratic,noisy_quadratic")
    noisy = [("noisy_quadratic", name) for name in (*CLASSICS, *TWINS)]
    assert both == classics + noisy
    assert names("problem=quadratic noise=gaussian") == [
        ("quadratic", name) for name in (*CLASSICS, *TWINS)
    ]
    assert names("problem=quadratic noise=gaussian optimizer=sgd") == [("quadratic", "sgd")]


def test_the_classics_are_registered_and_ranked():
    for name in (*CLASSICS, *TWINS):
        assert OPTIMIZERS[name].role == "ranked"


def test_a_plus_is_neither_needed_nor_in_the_way(ravine):
    assert jobs(ravine, "problem=quadratic optimizer=sgd trials=3") == jobs(
        ravine, "+problem=quadratic +optimizer=sgd ++trials=3 --multirun"
    )


def test_several_of_everything(ravine):
    swept = "problem.condition=1e2,1e4 optimizers.newton.lr=0.5,1"
    found = jobs(ravine, f"+problem=quadratic optimizer=glob([damped*,newton],exclude=*cg) {swept}")
    assert {(job["problem"]["condition"], *job["optimizer"].values()) for job in found} == {
        (condition, *optimizer)
        for condition in (1e2, 1e4)
        for optimizer in [("damped_newton",), ("newton", 0.5), ("newton", 1)]
    }


def test_a_job_is_run_once(ravine):
    assert (
        len(
            jobs(ravine, "+problem=quadratic,quadratic optimizer=sgd,sgd problem.condition=1e2,100")
        )
        == 1
    )


def test_hyperparameters_of_one_optimizer_and_of_all(ravine):
    (sgd, adam) = jobs(
        ravine,
        "+problem=quadratic optimizer=sgd,adam optimizer.lr=[1e-5,1] optimizers.adam.beta1=0.5",
    )
    assert sgd["optimizer"] == {"name": "sgd", "lr": [1e-5, 1]}
    assert adam["optimizer"] == {"name": "adam", "lr": [1e-5, 1], "beta1": 0.5}


def test_a_preset_and_what_overrides_it(ravine):
    (job,) = jobs(ravine, "+problem=quadratic optimizer=sgd preset=quick seeds=7")
    assert (job["trials"], job["seeds"]) == (9, 7)


# What it leaves.


def test_a_sweep(ravine, files):
    given = f"+problem=quadratic optimizer=sgd,newton 'optimizers.sgd.lr=[1e-5,1]' {SIZE}"
    code, out, err = ravine(*shlex.split(given), "out=swept")
    assert code == 0
    assert out.startswith("quadratic · ")
    written, hint, _ = out.splitlines()[-3:]
    assert written.split() == ["swept/", "summary.csv", "runs.csv", "traces.parquet"]
    assert hint.endswith(f" {given} rungs=auto out=swept-breaking-points")
    assert err.splitlines()[1].startswith("2/2 quadratic at 1000 · newton: 6 runs in ")
    assert {each.name for each in files.iterdir()} == {"swept", "results"}
    assert {each.name for each in (files / "results").iterdir()} == {"cells"}
    assert {each.name for each in (files / "swept").iterdir()} == {
        "manifest.json", "runs.csv", "summary.csv", "traces.parquet",
    }  # fmt: skip
    assert set(summary(files / "swept").optimizer) == {"newton", "sgd(lr=[1e-05, 1])"}


def test_a_manifest(ravine, files):
    ravine(f"+problem=quadratic optimizer=sgd optimizers.sgd.lr=0.1 {SMALL} out=swept")
    found = manifest(files / "swept")
    assert found["schema"] == 2
    assert found["argv"][-1] == "out=swept"
    assert found["config"]["protocol"]["budget"] == 10
    assert found["config"]["jobs"] == [
        {
            "problem": {
                "name": "quadratic",
                "dim": 2,
                "condition": 1000.0,
                "spectrum": "loguniform",
                "rotated": True,
            },
            "transform": None,
            "noise": None,
            "optimizer": {"name": "sgd", "lr": 0.1},
        }
    ]
    (job,) = found["jobs"]
    assert [*job["cells"]] == [each.name for each in (files / "results" / "cells").iterdir()]
    assert found["packages"]["torch"] == torch.__version__
    assert {"commit", "dirty"} == found["git"].keys()
    assert found["cpu"]
    assert found["threads"] == 1
    assert found["seconds"] > 0


def test_without_out_each_sweep_has_a_folder_and_cells_are_shared(ravine, files):
    for _ in range(2):
        assert ravine(f"+problem=quadratic optimizer=sgd {SMALL}").code == 0
    first, second, cells = sorted((files / "results").iterdir())
    assert cells.name == "cells"
    assert (first / "runs.csv").read_text() == (second / "runs.csv").read_text()


def test_one_torch_thread_a_job(ravine, monkeypatch):
    asked = []
    monkeypatch.setattr(worker.torch, "set_num_threads", asked.append)
    ravine(f"+problem=quadratic optimizer=sgd {SMALL}")
    assert asked == [1]


def test_a_folder_grows_and_does_only_what_is_missing(ravine, files):
    ravine(f"+problem=quadratic optimizer=sgd {SMALL} out=grown")
    code, _, err = ravine(f"+problem=quadratic optimizer=newton,sgd {SMALL} out=grown")
    assert code == 0
    assert [line.rpartition(": ")[2] for line in err.splitlines()][1] == "had been run before"
    ravine(f"+problem=quadratic optimizer=momentum {SMALL} out=grown")
    assert [*summary(files / "grown").optimizer.unique()] == ["momentum", "newton", "sgd"]
    assert len(manifest(files / "grown")["config"]["jobs"]) == 3


def test_another_protocol_in_the_same_folder_is_refused(ravine, files):
    ravine(f"+problem=quadratic optimizer=sgd {SMALL} out=grown")
    before = manifest(files / "grown")
    other = "problem.dim=2 trials=3 tuning_seeds=1 seeds=2"
    code, out, err = ravine(f"+problem=quadratic optimizer=sgd {other} out=grown")
    assert (code, out) == (2, "")
    assert err == (
        "ravine: out=grown holds a sweep with trials=2, not 3, budget=10.0, not null: give another folder, "
        "as in out=grown-2\n"
    )
    assert manifest(files / "grown") == before


def test_an_edited_optimizer_takes_the_place_of_what_it_was(ravine, files):
    for rate in ("1.0", "2.0"):
        (files / "mine.py").write_text(MINE.replace("1.0", rate))
        os.utime(files / "mine.py", ns=(0, int(float(rate))))
        assert ravine(f"+problem=quadratic optimizer=mine.py:Mine,sgd {SMALL} out=swept").code == 0
    assert len(cells_of(manifest(files / "swept")["jobs"])) == 2
    assert len(list((files / "results" / "cells").iterdir())) == 3


def edited(files, text):
    """Write mine.py anew, as an editor does some time later."""
    (files / "mine.py").write_text(text)
    edited.clock += 1
    os.utime(files / "mine.py", ns=(0, edited.clock))


edited.clock = 0
OTHER_CODE = "out=swept holds results of other code (or another version), Mine on quadratic: "


def test_what_other_code_has_left_is_replaced_in_a_line_or_kept(ravine, files):
    given = f"+problem=quadratic optimizer=mine.py:Mine,sgd {SMALL} out=swept"
    edited(files, MINE)
    assert "holds" not in ravine(given).err
    assert "holds" not in ravine(given).err  # the same code
    before = summary(files / "swept")
    edited(files, MINE.replace("1.0", "2.0"))
    for keep in ("keep=true", "--keep"):
        code, out, err = ravine(f"{given} {keep}")
        assert (code, out) == (2, "")
        assert err == f"ravine: {OTHER_CODE}they are kept (keep=true), so give another folder\n"
    assert ravine(f"{given} dry_run=true").code == 0
    pandas.testing.assert_frame_equal(summary(files / "swept"), before)
    code, _, err = ravine(given)
    assert code == 0
    assert err.splitlines()[0] == f"ravine: {OTHER_CODE}replaced (keep=true keeps them)"
    assert "holds" not in ravine(given).err
    assert ravine(f"{given.replace('swept', 'new')} keep=true").code == 0


def test_a_default_that_was_edited_is_other_code_too(ravine, files):
    """The job has another identity then, and one optimizer would have two searches under its name."""
    given = f"+problem=quadratic optimizer=mine.py:Rule {SMALL} out=swept"
    for lr in (0.1, 0.2):
        edited(files, RULE.format(lr=lr))
        _, _, err = ravine(given)
    assert err.startswith(f"ravine: {OTHER_CODE.replace('Mine', 'Rule')}replaced")
    (job,) = manifest(files / "swept")["jobs"]
    assert len(job["cells"]) == 1


def test_no_ladder_mixes_the_code_of_two_days(ravine, files):
    """What other code found between the rungs goes with them."""
    given = f"+problem=quadratic optimizer=mine.py:Mine {SMALL} out=swept rungs=auto"
    edited(files, MINE)
    ravine(given)
    folder = files / "swept"
    (old,) = manifest(folder)["jobs"]
    edited(files, MINE.replace("1.0", "2.0"))
    ravine(given)
    (new,) = manifest(folder)["jobs"]
    assert old["job"] == new["job"] and not old["cells"].keys() & new["cells"].keys()


def test_results_whose_cells_are_gone_are_not_lost_without_a_word(ravine, files):
    """As those of a folder that was copied, or is published: its tables could not be written again."""
    ravine(f"+problem=quadratic optimizer=sgd {SMALL} out=swept cells=first")
    given = f"+problem=quadratic optimizer=momentum {SMALL} out=swept cells=second"
    said = "ravine: out=swept holds results whose cells are gone, sgd on quadratic: "
    assert ravine(f"{given} keep=true") == (
        2, "", f"{said}they are kept (keep=true), so give another folder\n",
    )  # fmt: skip
    assert ravine(given).err.splitlines()[0] == f"{said}replaced (keep=true keeps them)"
    assert set(summary(files / "swept").optimizer) == {"momentum"}


def test_in_python_it_is_a_warning(tmp_path, recwarn):
    folder = tmp_path / "swept"
    given = {"out": folder, "trials": 2, "tuning_seeds": 1, "seeds": 2, "budget": 10}
    sweep("quadratic", "sgd", **given)
    sweep("quadratic", "sgd", keep=True, **given)
    assert not [each for each in recwarn if "holds" in str(each.message)]
    found = manifest(folder)
    for job in found["jobs"]:  # as if other code had run it
        job["cells"] = {f"0{key}": cell for key, cell in job["cells"].items()}
    (folder / "manifest.json").write_text(json.dumps(found))
    with pytest.raises(Refused, match=r"holds results of other code .* sgd on quadratic: they"):
        sweep("quadratic", "sgd", keep=True, **given)
    with pytest.warns(UserWarning, match=r"holds results of other code .*: replaced"):
        sweep("quadratic", "sgd", **given)


def test_a_cell_that_raises_is_a_row(ravine, files):
    (files / "mine.py").write_text(MINE)
    given = f"+problem=quadratic optimizer=mine.py:Raises,sgd problem.dim=3 {SIZE} out=swept"
    code, out, err = ravine(given)
    assert code == 3
    found = summary(files / "swept")
    (failed,) = found[found["optimizer"] == "Raises"].to_dict("records")
    assert failed["status"] == "error"
    assert "not in three dimensions" in failed["error"]
    (traceback,) = [line for line in out.splitlines() if line.endswith("traceback.txt")]
    assert "RuntimeError: not in three dimensions" in Path(traceback).read_text()
    assert "2/2 quadratic at 1000 · sgd: 6 runs" in err


# Where it is stopped.


def test_an_interrupted_sweep_keeps_what_is_finished(ravine, files, monkeypatch):
    given = f"+problem=quadratic optimizer=sgd,momentum,newton {SMALL}"
    calm = ravine(f"{given} out=calm cells=other")
    run_job, count = worker.run_job, 0

    def interrupted(*arguments):
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt
        return run_job(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "run_job", interrupted)
        code, _, err = ravine(f"{given} out=swept")
    assert code == 130
    assert (
        err.splitlines()[-1]
        == "ravine: interrupted: finished cells are kept; the same command runs the rest"
    )
    assert set(summary(files / "swept").optimizer) == {"sgd", "momentum"}
    assert ravine(f"{given} out=swept").out.replace("swept", "calm") == calm.out
    assert_same_tables(files / "swept", files / "calm")


def assert_same_tables(one, other):
    for name in ("runs.csv", "summary.csv"):
        found, expected = (
            pandas.read_csv(folder / name).drop(columns="seconds") for folder in (one, other)
        )
        pandas.testing.assert_frame_equal(found, expected, check_exact=True)


def test_nothing_is_left_where_nothing_was_finished(ravine, files, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(worker, "run_job", interrupted)
    assert ravine(f"+problem=quadratic optimizer=sgd {SMALL} out=swept").code == 130
    assert not (files / "swept").exists()


def test_a_killed_sweep_is_collected_by_the_next_command(ravine, files):
    (files / "mine.py").write_text(MINE)
    given = f"+problem=quadratic {SMALL} out=swept".split()
    killed = start("-m", "benchmarks", *given, "optimizer=sgd,mine.py:Sleeps", folder=files)
    wait_until_one_cell_is_done_and_one_is_asleep(files)
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate()
    assert not (files / "swept" / "summary.csv").exists()
    assert ravine(*given, "optimizer=newton").code == 0
    assert set(summary(files / "swept").optimizer) == {"sgd", "newton"}
    assert not (files / "swept" / ".cells").exists()


def test_ctrl_c_among_worker_processes(files):
    """And in a folder whose own packages are called as ours are."""
    (files / "mine.py").write_text(MINE)
    for name in ("problems", "optimizers"):
        (files / name).mkdir()
        (files / name / "__init__.py").write_text("raise ImportError('not this one')")
    given = f"+problem=quadratic optimizer=sgd,mine.py:Sleeps {SMALL} out=swept hydra/launcher=processes".split()
    stopped = start("-m", "benchmarks", *given, folder=files)
    wait_until_one_cell_is_done_and_one_is_asleep(files)
    os.killpg(stopped.pid, signal.SIGINT)
    out, err = stopped.communicate(timeout=60)
    assert stopped.returncode == 130, err
    assert "Traceback" not in err
    assert out.startswith("quadratic · ")
    assert set(summary(files / "swept").optimizer) == {"sgd"}


# Other processes.


def test_a_script_of_ones_own_and_worker_processes(files):
    """What the script registered is known there, and its cells have the same keys in both."""
    (files / "script.py").write_text(SCRIPT)
    (files / "its_neighbour.py").touch()
    (files / "mine.py").write_text(MINE)
    given = f"+problem=bowl optimizer=mine.py:Mine,sgd {SMALL} out=swept".split()
    for extra in (["hydra/launcher=processes"], []):
        done = start("script.py", *given, *extra, folder=files)
        _, err = done.communicate(timeout=120)
        assert done.returncode == 0, err
    assert err.count("had been run before") == 2
    assert set(summary(files / "swept").optimizer) == {"Mine", "sgd"}


# How far it is.


def cell(**changed):
    done = CellDone("p", 1.0, "o", "k", runs=6, seconds=1.0, share=1.0, cached=False, error="")
    return dataclasses.replace(done, **changed)


def noted(ahead, *cells, processes=1):
    """A progress to which these cells of one job come one by one, as from other processes."""
    left = iter(cells)
    (of_job,) = ahead.values()

    def notes():
        return [progress.cell_note(of_job, each) for each in itertools.islice(left, 1)]

    return progress.Progress(ahead, processes, notes)


def test_progress_in_a_log(capsys):
    cells = cell(), cell(dial=2.0, error="ValueError: no")
    shown = noted({"job": progress.Ahead({1.0: 0.0, 2.0: 0.0})}, *cells)
    shown.start()
    shown.watch()
    shown.close()
    assert (
        capsys.readouterr().err
        == "1/2 p at 1 · o: 6 runs in 1.0 s · about 1 s left\n2/2 p at 2 · o: ValueError: no\n"
    )


def terminal_of(monkeypatch, columns=80):
    """Make stderr a terminal, and return it."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")  # the part of the bar that is not full is blank
    return sys.stderr


def frames(terminal):
    """What the live line showed, one after the other: how much of the bar is full, and the text."""
    lines = re.split(r"[\r\n]", re.sub(r"\x1b\[\??\d*\w", "", terminal.getvalue()))
    shown = (
        (line[: progress.BAR].count("━"), line[progress.BAR :].strip())
        for line in lines
        if re.match(rf"[━╸╺ ]{{{progress.BAR}}} ", line)
    )
    return [*dict.fromkeys(shown)]


def test_progress_on_a_terminal(monkeypatch):
    """Four cells of 5 s by the forecast, two at a time, of which the first took 10 s in fact.

    The forecast counts as 10 % of the work, 2 s: (10 + 2) / (5 + 2) · 15 s / 2 is 12.9 s.
    """
    terminal = terminal_of(monkeypatch)
    ahead = {"job": progress.Ahead(dict.fromkeys((1.0, 2.0, 3.0, 4.0), 5.0))}
    shown = noted(ahead, cell(seconds=10.0), cell(cached=True, error="ValueError: no"), processes=2)
    shown.start()
    shown.watch()
    shown.close()
    texts = [text for _, text in frames(terminal)]
    assert texts[0] == "0/4 cells · about 10 s left"
    assert texts[1] == "1/4 cells · 6 runs · about 13 s left · p at 1 · o"
    assert texts[-1] == "2/4 cells · 12 runs · about 6 s left · p at 1 · o"
    assert "p at 1 · o: ValueError: no" in terminal.getvalue()
    assert terminal.getvalue().rstrip("\r").endswith("\x1b[2K")  # the line is gone


def test_the_time_left_goes_on_while_a_cell_runs(monkeypatch):
    terminal = terminal_of(monkeypatch)
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = progress.Progress({"job": progress.Ahead({1.0: 60.0})}, 1, list, here=True)
    shown.start()
    for now in (10.0, 59.0, 61.0):  # noqa: B007 (the clock)
        shown.watch()
    assert [text for _, text in frames(terminal)] == [
        "0/1 cells · about 60 s left", "0/1 cells · about 50 s left", "0/1 cells · about 1 s left",
        "0/1 cells · longer than the forecast",
    ]  # fmt: skip


def test_the_time_left_waits_for_processes_that_may_not_have_begun(monkeypatch):
    terminal = terminal_of(monkeypatch)
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    shown = progress.Progress({"job": progress.Ahead({1.0: 60.0})}, 1, list)
    shown.start()
    now = 3600.0
    shown.watch()
    assert [text for _, text in frames(terminal)] == ["0/1 cells · about 60 s left"]


def test_nothing_is_left_at_the_end_although_sums_are_rounded():
    seconds = 0.1, 0.2, 0.3  # 0.6 or 0.6 + 1e-16, by their order
    ahead = progress.Ahead(dict(zip((1.0, 2.0, 3.0), seconds, strict=True)))
    for dials in itertools.permutations(ahead.cells):
        cells = [progress.cell_note(ahead, cell(dial=each)) for each in dials]
        shown = progress.Progress({"job": ahead}, 1, lambda cells=cells: cells, here=True)
        shown.watch()
        assert shown._left() == ""


def test_the_live_line_fits_and_its_counts_never_go_back(monkeypatch):
    """Cells of two processes, and a search of which more and more turns out to be needed."""
    terminal = terminal_of(monkeypatch)
    ahead = {name: progress.Ahead({1.0: 1.0, 2.0: 1.0}, 1.0, 6) for name in "ab"}
    notes = [
        progress.cell_note(ahead["a"], cell(dial=dial, problem="long" * 30, runs=9))
        for dial in (1.0, 2.0, 1.5, 1.2, 1.3, 1.4, 1.6, 1.7)
    ]
    notes.insert(3, progress.job_note(ahead["b"], [1.0]))
    left = iter(notes)
    shown = progress.Progress(ahead, 2, lambda: [*itertools.islice(left, 2)])
    shown.start()
    for _ in notes:
        shown.watch()
    full, texts = zip(*frames(terminal), strict=True)
    counts = [int(text.partition("/")[0]) for text in texts]
    runs = [int(each) for each in re.findall(r"· (\d+) runs", terminal.getvalue())]
    assert list(full) == sorted(full) and full[-1] > full[0]
    assert counts == sorted(counts) and counts[-1] == 8 and runs == sorted(runs)
    assert all(each <= 80 - progress.BAR for each in map(len, texts))


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize("stored_at", [range(90), range(10, 100), range(0, 180, 2)])
def test_the_time_left_of_a_rerun_is_right_within_a_factor_of_two(
    monkeypatch, processes, stored_at
):
    """Ninety stored cells, which are read in 0.15 s each, and others that take 1.5 times their forecast of 1 s.

    The workers are ready after a minute; a cell ends at the times of the clock of its worker.
    """
    monkeypatch.setattr(progress, "duration", str)  # not rounded
    count = max(100, max(stored_at) + 1)
    ahead = progress.Ahead({float(k): 0.0 if k in stored_at else 1.0 for k in range(count)})
    clocks, ends = [60.0] * processes, []
    for dial, seconds in ahead.cells.items():
        done = cell(dial=dial, cached=not seconds, seconds=1.5 * seconds or 0.15)
        clocks.sort()
        clocks[0] += done.seconds
        ends.append((clocks[0], progress.cell_note(ahead, done)))
    notes = []
    shown = progress.Progress({"job": ahead}, processes, lambda: [notes.pop()])
    for now, note in sorted(ends, key=lambda each: each[0])[:-processes]:
        notes.append(note)
        shown.watch()
        (told,) = re.findall(r"about (.*) left", shown._left())
        assert 0.5 <= float(told) / (max(clocks) - now) <= 2


def test_the_time_left_names_what_it_leaves_out():
    ahead = {"job": progress.Ahead({1.0: 2.0})}
    left = [progress.Progress(ahead, 1, list, *then)._left() for then in ((), ("explaining",))]
    assert left == [" · about 2 s left", " · about 2 s left, then explaining"]


def test_a_cell_that_ended_in_an_error_is_expected_to_do_so_again(ravine, monkeypatch):
    """The forecast for it is the time that it took to fail, and nothing for the rest of its job."""
    told = []
    monkeypatch.setattr(
        launch, "forecast", lambda *given: told.append(forecast(*given)) or told[-1]
    )
    for _ in range(2):
        ravine("+problem=rastrigin optimizer=gauss_newton rungs=auto budget=1000000 out=swept")
    (first,), (again,) = (each.ahead.values() for each in told)
    failing, *others = again.cells.values()
    assert 0 < failing < 300 < min(first.more, *first.cells.values()) and again.more == 0
    assert not any(others)


def test_a_first_cell_that_takes_long_is_said_in_a_log(capsys, monkeypatch):
    monkeypatch.setattr(progress, "SILENT", 0.05)
    shown = noted({"job": progress.Ahead({1.0: 0.0, 2.0: 0.0})}, cell(), processes=2)
    monkeypatch.setattr(threading, "Thread", None)  # it would be forked with the workers
    shown.notes, later = list, shown.notes
    shown.start()
    for _ in range(3):
        time.sleep(0.05)
        shown.watch()
    shown.notes = later
    shown.close()
    said = "ravine: running 2 cells, 2 at a time · about 1 s left\n"
    assert capsys.readouterr().err == f"{said}1/2 p at 1 · o: 6 runs in 1.0 s · about 1 s left\n"


def test_one_cell_is_no_cells():
    shown = noted({"job": progress.Ahead({1.0: 0.0})})
    shown.start()
    assert shown.unsaid.startswith("running 1 cell") and "cells" not in shown.unsaid


def test_a_long_first_job_of_this_process_is_watched():
    seen = threading.Event()
    task = SimpleNamespace(attempt=lambda number: None if seen.wait(60) else TimeoutError())
    assert one_by_one(task, 1, seen.set, print) == []


def test_a_step_that_takes_long_says_what_it_does(capsys, monkeypatch):
    monkeypatch.setattr("ravine.terminal.SILENT", 0.05)
    with phase("writing the report"):
        time.sleep(0.5)
    with phase("too short to say"):
        pass
    assert capsys.readouterr().err == "ravine: writing the report …\n"


def test_nothing_is_expected_to_be_left_where_all_is_stored(ravine, monkeypatch):
    """Neither of the search behind a ladder, nor of rungs that a suite skips."""
    told = []
    monkeypatch.setattr(
        launch, "forecast", lambda *given: told.append(forecast(*given)) or told[-1]
    )
    for asked in ("+problem=quadratic problem.dim=2", "+suite=limits"):
        for _ in range(2):
            assert ravine(f"{asked} optimizer=sgd rungs=auto out={asked[:4]} {SIZE}").code == 0
        first, again = told.pop(0).ahead, told.pop(0).ahead
        assert any(each.more for each in first.values())
        assert not any(each.more or any(each.cells.values()) for each in again.values())


def test_what_a_search_adds_is_guessed_from_those_that_have_ended(capsys):
    """Ten jobs of three rungs that may add three each; the first adds none, for it breaks nowhere."""
    ahead = {str(k): progress.Ahead({1.0: 1.0, 2.0: 1.0, 3.0: 1.0}, 1.0, 3) for k in range(10)}
    cells = [progress.cell_note(ahead["0"], cell(dial=dial)) for dial in (1.0, 2.0, 3.0)]
    ended = progress.job_note(ahead["0"], [1.0, 2.0, 3.0])
    shown = progress.Progress(ahead, 1, lambda: [ended, *cells])
    assert shown._of() == "/~45"  # half of 30
    shown.watch()
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("3/~37 ")  # a quarter of the 27 that are left
    # 27 s are ahead and a quarter of 27, and the cells so far took as long as forecast
    assert progress.duration(33.75) == "34 s" and shown._left() == " · about 34 s left"
    of_job = progress.Ahead({1.0: 1.0, 2.0: 9.0}, 1.0, 3)
    assert progress.job_note(of_job, [1.0, 1.5])["dropped"] == 1
    assert progress.job_note(of_job, [1.0])["work"] == 9


def test_each_process_sees_what_the_others_noted(tmp_path):
    folder = SweepFolder(tmp_path, Store(tmp_path / "cells"))
    folder.begin([], {"jobs": [], "threads": 1})
    here, there = Notes(folder), Notes(folder)
    folder.mark("b", {"time": 1.0})
    assert here() == [{"time": 1.0}] and here() == []
    (tmp_path / MARKERS / "half").touch()
    folder.beat(0)
    folder.mark("a", {"time": 2.0})
    folder.end("job", {"time": 3.0})
    assert here() == [{"time": 2.0}, {"time": 3.0}] and len(there()) == 3
    assert folder.last_beat(0) and folder.last_beat(1) is None
    assert folder._marked() == {"a": "", "b": "", "half": ""}
