"""Tab completion: what is offered, that it is fast, and that the shells take it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import pytest

from benchmarks.cli import completion
from benchmarks.cli.completion import sweep
from benchmarks.cli.options import Config
from benchmarks.cli.subcommands import SUBCOMMANDS
from benchmarks.doctor.demos import DEMOS
from optimizers import OPTIMIZERS
from optimizers.registry import WRAPPERS
from problems import PROBLEMS

ROOT = Path(__file__).parents[2]
MINE = "class MyOpt:\n    pass\nclass Other(MyOpt):\n    pass\n"


def offered(prefix, *words):
    """What of the words of a sweep completes a prefix."""
    found = sweep(prefix, Namespace(words=[*words]))
    return {each for each in found if each.startswith(prefix)}


def test_problems_optimizers_and_options_are_offered():
    assert offered("+problem=cl") == {"+problem=cliff", "+problem=class_imbalance"}
    assert offered("problem=cliff,qua") == {"problem=cliff,quadratic"}
    assert {f"optimizer={name}" for name in OPTIMIZERS} <= offered("optimizer=")
    assert "optimizer=zoo/muon" in offered("optimizer=zoo")
    assert offered("optimizer=sgd,adam+clip+") == {
        f"optimizer=sgd,adam+clip+{name}" for name in WRAPPERS
    }
    assert {"trials=", "transform="} <= offered("tr") and "trials=" in offered("")
    assert {"+problem=", "+suite="} <= offered("+")
    assert set(Config.__annotations__) - {"optimizers", "adopted"} <= {
        each.rstrip("=") for each in offered("")
    }


def test_fields_are_those_of_what_is_given():
    assert offered("problem.", "+problem=cliff") == {"problem.units=", "problem.steps="}
    assert {"problem.units=", "problem.condition="} <= offered("problem.")
    assert offered("optimizer.b", "optimizer=adam,sgd") == {"optimizer.beta1=", "optimizer.beta2="}
    assert offered("optimizers.ada") == {
        f"optimizers.{each}." for each in OPTIMIZERS if each.startswith("ada")
    }
    assert offered("optimizers.sgd.") == {"optimizers.sgd.lr="}
    rungs = {f"problem.units={rung:g}" for rung in PROBLEMS["cliff"].card.ladder}
    assert offered("problem.units=", "+problem=cliff") == rungs
    assert offered("problem.rotated=", "problem=quadratic") == {
        "problem.rotated=true",
        "problem.rotated=false",
    }


def test_files_classes_and_folders_are_offered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("results/first").mkdir(parents=True)
    Path("results/first/manifest.json").touch()
    Path("my_opt.py").write_text(MINE)
    Path("broken.py").write_text("class")
    assert offered("optimizer=my") == {"optimizer=my_opt.py:"}
    assert offered("optimizer=sgd,my_opt.py:") == {
        "optimizer=sgd,my_opt.py:MyOpt",
        "optimizer=sgd,my_opt.py:Other",
    }
    assert not offered("optimizer=broken.py:") and not offered("optimizer=nowhere/")
    assert completion.sweeps("")[0] == "results/first" and completion.sweeps("res") == [
        "results/first",
        "results/",
    ]
    assert completion.demos("") == [*DEMOS]


def test_no_torch_is_imported_and_all_subcommands_have_completers():
    code = """
import sys
from argparse import Namespace
from benchmarks.cli import completion
from benchmarks.cli.subcommands import SUBCOMMANDS, parser
for word in ("", "+problem=", "optimizer=", "problem.", "optimizers.adam.", "suite=", "hydra/launcher="):
    assert completion.sweep(word, Namespace(words=[])), word
for name in SUBCOMMANDS:
    for action in parser(name)._actions:
        completer = getattr(action, "completer", None)
        assert completer is None or completer("", parsed_args=Namespace(words=["sgd"])), (name, action)
print({"torch._C", "pandas._libs", "hydra"} & {*sys.modules})
"""
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout == "set()\n"


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("ravine sh", {"show"}),
        ("ravine +problem=cli", {"problem=cliff", "cliff"}),
        ("ravine compare --fail", {"--fail-on-regression"}),
        ("ravine explain results --optimizer mome", {"momentum"}),
    ],
)
def test_a_shell_is_answered(line, expected):
    """As the functions of argcomplete ask; in bash a word begins behind an equals sign."""
    asked = {
        "_ARGCOMPLETE": "1", "_ARGCOMPLETE_SHELL": "bash", "_ARGCOMPLETE_IFS": "\n", "COMP_TYPE": "",
        "_ARGCOMPLETE_COMP_WORDBREAKS": " \t\n\"'><=;|&(:", "COMP_LINE": line, "COMP_POINT": str(len(line)),
    }  # fmt: skip
    told = subprocess.run(
        ["bash", "-c", 'exec "$0" -m benchmarks 8>&1 >/dev/null', sys.executable],
        cwd=ROOT, env={**os.environ, **asked}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() in expected


@pytest.mark.parametrize("shell", completion.SHELLS)
def test_a_shell_completes_after_install(shell, tmp_path, monkeypatch, ravine):
    """In a shell of its own, with a new home."""
    pexpect = pytest.importorskip("pexpect")
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} here")
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    for _ in range(2):
        code, out, _ = ravine(f"--install-completion {shell}")
        assert code == 0 and f"each new {shell} completes ravine" in out
    for start in home.glob(".*rc"):
        assert start.read_text().count("source") == 1
    program = home / "bin" / "ravine"
    program.write_text(f'#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -m benchmarks "$@"\n')
    program.chmod(0o755)
    env = {
        **os.environ,
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "TERM": "dumb",
        "PS1": "$ ",
    }
    child = pexpect.spawn(
        shell, ["-i"], env=env, encoding="utf-8", timeout=120, dimensions=(24, 200)
    )
    child.send("ravine +problem=clif\t")
    child.expect(r"clif.*f")
    child.send(" optimizer=rmspr\t")
    child.expect("rmspr.*op")
    child.close(force=True)


@pytest.mark.parametrize("before", ["", "export EDITOR=vim\n", "export EDITOR=vim"])
def test_the_line_for_a_shell_is_a_line_of_its_own(before, tmp_path, monkeypatch):
    for name in ("XDG_DATA_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    start = tmp_path / ".bashrc"
    start.write_text(before)
    completion.install("bash")
    completion.install("bash")
    script = tmp_path / ".local" / "share" / "ravine" / "completion.bash"
    assert start.read_text().splitlines() == [*before.splitlines(), f'source "{script}"']
    assert start.read_text().endswith("\n")


def test_another_shell_is_refused(ravine, monkeypatch):
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    assert ravine("--install-completion").err == (
        "ravine: --install-completion is for one shell, not 'tcsh': (allowed: bash, fish, zsh)\n"
    )
    assert ravine("--install-completion zhs").code == 2


# Help of each subcommand.


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_each_subcommand_explains_its_arguments(name, ravine):
    code, out, err = ravine(f"{name} --help")
    assert (code, err) == (0, "")
    subcommand = SUBCOMMANDS[name]
    said = " ".join(out.split())
    assert out.startswith("usage: ") and said.lower().count(subcommand.summary.lower()) == 1
    assert f"{name} {subcommand.example}" in said
    assert max(map(len, out.splitlines())) <= 110
