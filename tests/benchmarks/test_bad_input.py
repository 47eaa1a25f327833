"""Bad input is answered in one line that says what was given, what is allowed, and the nearest name."""

# ruff: noqa: E501 - an answer is written as it reads, in one line
from __future__ import annotations

import dataclasses
import os

import pytest
import torch

from benchmarks.cli.options import Config
from optimizers import OPTIMIZERS
from optimizers.registry import WRAPPERS
from problems import PROBLEMS
from problems.modifiers import NOISES, TRANSFORMS

OPTIONS = {each.name for each in dataclasses.fields(Config)} - {"adopted"}
HYPERPARAMETER = "must be a number, or a pair [low, high]"
VARYING = "problem, optimizer, their fields, transform, noise, noise.strength"
SAME = f"cannot vary within a sweep (allowed to vary: {VARYING})"
LAUNCHING = "only some of Hydra's options can be given (allowed: hydra/launcher, hydra.launcher.*)"
UNREADABLE = "cannot be read (allowed: name=value, name=value,value, 'name=[low,high]'; quotes around odd characters)"
OPTIMIZER = "is no class derived from torch.optim.Optimizer or optimizers.Optimizer"
WHERE = "(allowed: file.py:Class, package.module.Class, a registered name)"

# What is typed, and the answer; in the answer {problems}, {optimizers} and {options} stand for all names.
PROBLEM = {
    "optimizer=sgd": "no problem is given: add +problem=NAME (allowed: {problems})",
    "+problem=": "+problem= names nothing: (allowed: {problems})",
    "+problem=quadratc": "unknown problem 'quadratc': did you mean quadratic? (allowed: {problems})",
    "problem=quadratic,quadratc": "unknown problem 'quadratc': did you mean quadratic? (allowed: {problems})",
    "+problem=glob(zz*)": "+problem=glob(zz*) names nothing: (allowed: {problems})",
    "+problem=[quadratic]": "+problem=[quadratic]: several names are written problem=a,b or 'problem=glob(*)'",
    "+problem=quadratic problem.conditoin=3":
        "unknown option quadratic.conditoin: did you mean condition? (allowed: condition, dim, rotated, spectrum)",
    "+problem=quadratic +problem.conditoin=3":
        "unknown option quadratic.conditoin: did you mean condition? (allowed: condition, dim, rotated, spectrum)",
    "+problem=quadratic problem.dim=abc": "quadratic.dim is 'abc', but must be a whole number (default: 100)",
    "+problem=quadratic problem.dim=1.5": "quadratic.dim is 1.5, but must be a whole number (default: 100)",
    "+problem=quadratic problem.dim=null": "quadratic.dim is None, but must be a whole number (default: 100)",
    "+problem=quadratic problem.rotated=maybe": "quadratic.rotated is 'maybe', but must be true or false (default: True)",
    "+problem=quadratic problem.rotated=[1,2]": "quadratic.rotated is [1, 2], but must be true or false (default: True)",
    "+problem=quadratic problem.spectrum=liner":
        "quadratic.spectrum is 'liner': did you mean linear? (allowed: linear, loguniform, outliers, power_law, two_cluster)",
    "+problem=quadratic problem.dim=0": "quadratic.dim is 0, but must be a whole number, at least 1",
    "+problem=quadratic problem.condition=-1": "quadratic.condition is -1.0, but must be a number, at least 1, at most 1e+12",
    "+problem=quadratic problem.condition=10,.5": "quadratic.condition is 0.5, but must be a number, at least 1, at most 1e+12",
    "+problem=quadratic problem.condition=nan": "quadratic.condition is nan, but must be a number, at least 1, at most 1e+12",
    "+problem=quadratic problem.condition=inf": "quadratic.condition is inf, but must be a number, at least 1, at most 1e+12",
    "+problem=quadratic problem.condition=interval(1,10)":
        "problem.condition=interval(1,10): a range to be searched is written 'problem.condition=[low,high]'",
}  # fmt: skip
OF_OPTIMIZER = {
    "optimizer=sdg": "unknown optimizer 'sdg': did you mean sgd? (allowed: {optimizers})",
    "optimizer=": "optimizer= names nothing: (allowed: {optimizers})",
    "optimizer=glob(zz*)": "optimizer=glob(zz*) names nothing: (allowed: {optimizers})",
    "optimizer=[sgd,adam]": "optimizer=[sgd,adam]: several names are written optimizer=a,b or 'optimizer=glob(*)'",
    "optimizers.sdg.lr=1": "unknown option optimizers.sdg: did you mean sgd? (allowed: {optimizers})",
    "optimizers.sgd.rl=1": "unknown option optimizers.sgd.rl: (allowed: lr)",
    "optimizer=sgd optimizer.rl=1": "unknown option sgd.rl: (allowed: lr)",
    "optimizer=sgd,idle optimizer.lr=1": "unknown option idle.lr: (allowed: none)",
    "optimizer=sgd optimizers.sgd=1": "optimizers.sgd is 1, but must have a hyperparameter's name behind it",
    "optimizer=sgd optimizers.sgd.lr=abc": "sgd.lr is 'abc', but must be a number (default: 0.001)",
    "optimizer=sgd optimizers.sgd.lr=true": "sgd.lr is True, but must be a number (default: 0.001)",
    "optimizer=sgd optimizers.sgd.lr=-1": "SGD.lr is -1.0, but must be a number, at least 0",
    "optimizer=sgd optimizers.sgd.lr=[1]": f"sgd.lr is [1], but {HYPERPARAMETER}",
    "optimizer=sgd optimizers.sgd.lr=[1,x]": f"sgd.lr is [1, 'x'], but {HYPERPARAMETER}",
    "optimizer=sgd optimizers.sgd.lr=[2,1]": "sgd.lr is [2, 1], but low must be below high",
    "optimizer=torch.optm.Adam": "no module torch.optm for torch.optm.Adam " + WHERE,
    "optimizer=nowhere.MyOpt": "no module nowhere for nowhere.MyOpt " + WHERE,
    "optimizer=torch.nn.Linear": f"torch.nn.Linear {OPTIMIZER}: (allowed: none)",
    "optimizer=mime.py:Mine": "no file mime.py for mime.py:Mine: did you mean mine.py? (.py files there: fails.py, mine.py, other.py)",
    "optimizer=notes.txt:Mine": "notes.txt is not a .py file: (.py files there: fails.py, mine.py, other.py)",
    "optimizer=nowhere/mine.py:Mine": "no file mine.py for nowhere/mine.py:Mine: there is no folder {here}/nowhere",
    "optimizer=mine.py:Mime": "mine.py:Mime names no class of that file or module: did you mean Mine? (allowed: Demanding, Mine, adam)",
    "optimizer=mine.py": "mine.py names no class of that file or module: (allowed: Demanding, Mine, adam)",
    "optimizer=mine.py:function": f"mine.py:function {OPTIMIZER}: (allowed: Demanding, Mine, adam)",
    "optimizer=mine.py:Bare": f"mine.py:Bare {OPTIMIZER}: (allowed: Demanding, Mine, adam)",
    "optimizer=fails.py:Mine": "fails.py:Mine cannot be imported: NameError: name 'undefined' is not defined (fails.py:2)",
    "optimizer=mine.py:Demanding":
        "Demanding.warmup has no default: give it a value, as in optimizers.Demanding.warmup=0.1",
    "optimizer=torch.optim.Adam optimizers.Adam.betas=[0.9]":
        "Adam.betas is [0.9], but must be a list of numbers (default: (0.9, 0.999))",
    "optimizer=torch.optim.Adam optimizers.Adam.betas.2=0.9":
        "unknown option optimizers.Adam.betas.2: did you mean betas.1? (allowed: amsgrad, betas, betas.0, betas.1, "
        "decoupled_weight_decay, eps, lr, maximize, weight_decay)",
    "optimizer=torch.optim.Adam optimizers.Adam.betas.0=[0.8,0.99] optimizers.Adam.betas.1=[0.9,0.999]":
        "Adam: lr, betas.0, betas.1 would be searched, which takes trials=125 or more (trials is 25): pin one with a "
        "number, as in optimizers.Adam.lr=0.1, or run several with commas, as in 0.01,0.1",
    "optimizer=torch.optim.LBFGS optimizers.LBFGS.line_search_fn=3":
        "LBFGS.line_search_fn is 3, but must be a word (default: None)",
}  # fmt: skip
OPTION = {
    "trails=3": "unknown option trails: did you mean trials? (allowed: {options})",
    "+trails=3": "unknown option trails: did you mean trials? (allowed: {options})",
    "++trails=3": "unknown option trails: did you mean trials? (allowed: {options})",
    "trials=0": "trials is 0, but must be a whole number, at least 1, at most 1e+06",
    "trials=2.5": "trials is 2.5, but must be a whole number",
    "trials=many": "trials is many, but must be a whole number",
    "tuning_seeds=1001": "tuning_seeds is 1001, but must be a whole number, at least 1, at most 1000",
    "tuning_seeds=0": "tuning_seeds is 0, but must be a whole number, at least 1, at most 1000",
    "seeds=-1": "seeds is -1, but must be a whole number, at least 1, at most 1e+06",
    "budget=0": "budget is 0.0, but must be a number, at least 1",
    "budget=nan": "budget is nan, but must be a number, at least 1",
    "budget=much": "budget is much, but must be a number",
    "rungs=0": "rungs is 0, but must be a whole number, at least 1, at most 1000",
    "rungs=1.5": "rungs is 1.5, but must be a whole number, at least 1, at most 1000",
    "rungs=atuo": "rungs is 'atuo', but must be a whole number, at least 1, at most 1000, or auto",
    "rungs=1001": "rungs is 1001, but must be a whole number, at least 1, at most 1000",
    "out=${oc.env:HOME}/x": "out is ${oc.env:HOME}/x, but must be a folder without ${…}; a shell knows $HOME",
    "cells=${oc.env:HOME}/x": "cells is ${oc.env:HOME}/x, but must be a folder without ${…}; a shell knows $HOME",
    "threads=0": "threads is 0, but must be a whole number, at least 1, at most {threads}",
    "dtype=float46": "unknown dtype 'float46': did you mean float64? (allowed: float32, float64)",
    "device=meta": "device 'meta' is not available here (allowed: {devices})",
    "device=cpu:7": "device 'cpu:7' is not available here (allowed: {devices})",
    "threads=100000": "threads is 100000, but must be a whole number, at least 1, at most {threads}",
    "seeds=99999999999999999999":
        "seeds is 99999999999999999999, but must be a whole number, at least 1, at most 1e+06",
    "device=gpu": "device 'gpu' is not available here (allowed: {devices})",
    "trials=3,5": f"trials=3,5: trials {SAME}",
    "trials=3 trials=5": "trials is given twice: trials=3, trials=5",
    "preset=quik": "unknown preset 'quik': did you mean quick? (allowed: careful, quick)",
    "out=a,b": f"out=a,b: out {SAME}",
    "out=[a]": "out is [a], but must be a word",
    "hydra/launcher=jobli": "unknown hydra/launcher 'jobli': did you mean joblib? (allowed: basic, dask, joblib, processes, ray, slurm)",
    "hydra.launcher.n_jobs=2":
        "unknown option hydra.launcher.n_jobs: (allowed: none)",
    "hydra/launcher=joblib hydra.launcher.n_jobs=many":
        "hydra.launcher.n_jobs is many, but must be a whole number other than 0 (-1: all cores)",
    "hydra/launcher=joblib hydra.launcher.n_jobs=0":
        "hydra.launcher.n_jobs is 0, but must be a whole number other than 0 (-1: all cores)",
    "hydra/launcher=1.5": "unknown hydra/launcher '1.5': (allowed: basic, dask, joblib, processes, ray, slurm)",
    "hydra/launcher=null": "unknown hydra/launcher 'None': (allowed: basic, dask, joblib, processes, ray, slurm)",
    "trials.few=3": "unknown option trials.few: (allowed: none)",
    "hydra=3": "unknown option hydra: (allowed: {options})",
    "hydra.mode=RUN": f"hydra.mode=RUN: {LAUNCHING}",
    "hydra/launcher=basic,joblib": f"hydra/launcher=basic,joblib: {LAUNCHING}",
    "~trials": "'~trials' is not an option: an option is written name=value",
    "trials@seeds=3": "'trials@seeds=3' is not an option: an option is written name=value",
    "sgd": "'sgd' is not an option: an option is written name=value",
    "trials==3": f"'trials==3' {UNREADABLE}",
    "optimizers.sgd.lr=[1,": f"'optimizers.sgd.lr=[1,' {UNREADABLE}",
    "--hlep": "unknown flag --hlep: did you mean --help? (allowed: --cfg, --help, --install-completion, --keep, --version)",
    "--problem=cliff": "unknown flag --problem=cliff: an option is written without dashes, problem=cliff",
    "+problem=cliff optimizer=sgd, adam, lion seeds=3":
        "'adam,' is not an option: an option is written name=value (a list has no blanks: optimizer=sgd,adam,lion)",
    "+problem=cliff optimizer=sgd ,adam":
        "',adam' is not an option: an option is written name=value (a list has no blanks: optimizer=sgd,adam)",
    "--cfg hydra": "--cfg needs what to show: --cfg job",
}  # fmt: skip
OUT = {
    "out=file": "out=file: file is a file, but must be a folder",
    "out=file/deeper": "out=file/deeper: {here}/file is a file, but must be a folder",
    "out=papers": "out=papers holds files that are not a sweep's: give a new folder, or one of a sweep",
    "out=half": "half/manifest.json cannot be read: Expecting value: line 1 column 1 (char 0); "
    "give another folder, or delete half and run its command again",
    "out=": "out is empty, but must be a folder, as in out=results/mine",
    "cells=": "cells is empty, but must be a folder, as in cells=results/cells",
    "cells=papers": "cells=papers holds draft.tex, which is not a cell: give a new folder, or one of cells",
    "out=" + 300 * "x": "out='" + 39 * "x" + "…: File name too long",
    "cells=" + 300 * "x": "cells='" + 39 * "x" + "…: File name too long",
    "cells=file": "cells=file: file is a file, but must be a folder",
}
WORD = {
    "shwo": "unknown subcommand 'shwo': did you mean show? (allowed: check, compare, doctor, explain, explore, list, read, report, same, show, submit); an option is written name=value, as in +problem=cliff",
    "show sdg": "unknown problem, optimizer, wrapper, noise or transform 'sdg': did you mean sgd? (allowed: {all})",
    "show sgd sdg": "unknown problem, optimizer, wrapper, noise or transform 'sdg': did you mean sgd? (allowed: {all})",
    f"report {300 * 'x'}": f"{300 * 'x'} does not exist, but must be the folder of a sweep",
    "show nobody.py:Mine": "no file nobody.py for nobody.py:Mine: (.py files there: fails.py, mine.py, other.py)",
    "+problem=rastrigin problem.amplitude=0,1 optimizer=sgd": "rastrigin.amplitude is 0 at one of several rungs, but its "
    "scale is log: each must be above 0",
    "+problem=rastrigin rungs=3 ladder=[0,1,2] optimizer=sgd": "rastrigin.amplitude is 0 at one of several rungs, but its "
    "scale is log: each must be above 0",
    "check": "check a problem or an optimizer: check NAME, or check file.py:Class (allowed: {problems})",
    "check clif": "unknown problem or optimizer 'clif': did you mean cliff? (allowed: {both})",
    "check cliff --fast": "unknown flag --fast: (allowed: --help, --slow)",
    "--hlep": "unknown flag --hlep: did you mean --help? (allowed: --cfg, --help, --install-completion, --keep, --version)",
}  # fmt: skip
MODIFIER = {
    "noise=gausian": "unknown noise 'gausian': did you mean gaussian? (allowed: {noises})",
    "noise.strength=1": "noise.strength is given, but no noise: (allowed: {noises})",
    "noise=gaussian noise.strenght=1": "unknown option noise.strenght: did you mean strength? (allowed: strength)",
    "noise=gaussian noise.strength=much": "noise.strength is 'much', but must be a number (default: 0.0)",
    "noise=gaussian noise.strength=-1": "noise.strength is -1.0, but must be a number, at least 0",
    "noise=delayed noise.strength=0.5": "noise.strength is 0.5, but must be a whole number of steps",
    "noise=sign_compressed noise.strength=2": "noise.strength is 2.0, but must be a number, at least 0, at most 1",
    "noise=gaussian noise.strength=2 rungs=3": "noise.strength is 2, but rungs=3 sets it: give one of the two",
    "noise=[gaussian,delayed]": "noise=[gaussian,delayed]: several names are written noise=a,b or 'noise=glob(*)'",
    "transform=rotat": "unknown transform 'rotat': did you mean rotate? (allowed: {transforms})",
    "transform=[rotate,shft]": "unknown transform 'shft': did you mean shift? (allowed: {transforms})",
    "transform={rotate:1}": "transform is {'rotate': 1}, but must be a name, or a list as in [rotate,shift]",
    "transform=3": "transform is 3, but must be a name, or a list as in [rotate,shift]",
    "transform=nan": "transform is nan, but must be a name, or a list as in [rotate,shift]",
    "dial=strength": "unknown dial 'strength': (allowed: condition)",
    "noise=gaussian dial=strength": "unknown dial 'strength': did you mean noise.strength? (allowed: condition, noise.strength)",
}  # fmt: skip
SMALL = "+problem=quadratic problem.dim=2 "
CASES = {
    **PROBLEM,
    **WORD,
    **{SMALL + given: answer for given, answer in OF_OPTIMIZER.items()},
    **{
        SMALL + "optimizer=sgd " + given: answer
        for given, answer in {**OPTION, **MODIFIER, **OUT}.items()
    },
}


@pytest.fixture
def folder(files):
    """A folder with files of the user's own, and the names of all that is in it."""
    (files / "file").touch()
    for name in ("papers/draft.tex", "half/manifest.json"):
        (files / name).parent.mkdir()
        (files / name).touch()
    mine = """
        import torch
        def function(): pass
        class Bare: pass
        class Mine(torch.optim.SGD): pass
        class adam(torch.optim.Adam): pass
        class Demanding(torch.optim.Optimizer):
            def __init__(self, params, warmup: float):
                super().__init__(params, {"warmup": warmup})
    """
    for name, text in {
        "mine.py": mine,
        "other.py": mine,
        "fails.py": "\nundefined\n",
        "notes.txt": "",
    }.items():
        (files / name).write_text(text.replace("\n        ", "\n"))
    return files


def contents(folder):
    return {each for each in folder.rglob("*") if "__pycache__" not in each.parts}


@pytest.mark.parametrize(("given", "answer"), CASES.items(), ids=CASES)
def test_the_answer_is_one_line(given, answer, folder, ravine):
    before = contents(folder)
    names = {
        "problems": PROBLEMS, "optimizers": OPTIMIZERS, "options": OPTIONS, "noises": [*NOISES, "none"], "transforms": TRANSFORMS,
        "both": [*PROBLEMS, *OPTIMIZERS],
        "all": [*PROBLEMS, *OPTIMIZERS, *WRAPPERS, *NOISES, *TRANSFORMS],
        "devices": ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"],
    }  # fmt: skip
    expected = answer
    for name, each in names.items():
        expected = expected.replace(f"{{{name}}}", ", ".join(sorted(each)))
    expected = expected.replace("{here}", str(folder))
    expected = expected.replace("{threads}", str(4 * (os.cpu_count() or 1)))
    assert ravine(given) == (2, "", f"ravine: {expected}\n")
    assert contents(folder) == before


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA here")
def test_cuda_where_there_is_none(folder, ravine):
    answer = ravine(SMALL + "device=cuda")
    assert answer == (2, "", "ravine: device 'cuda' is not available here (allowed: cpu)\n")


def test_a_folder_that_is_not_writable(folder, ravine, monkeypatch):
    """Root may write everywhere, so the answer of the system is replaced."""
    before = contents(folder)
    monkeypatch.setattr(os, "access", lambda path, mode: path != folder)
    answer = ravine(SMALL + "optimizer=sgd out=sweep")
    assert answer == (2, "", f"ravine: out=sweep: {folder} is not writable\n")
    assert contents(folder) == before


def test_a_folder_that_cannot_be_made(folder, ravine):
    answer = ravine(SMALL + "optimizer=sgd out=/proc/sweep")
    assert answer == (2, "", "ravine: out=/proc/sweep cannot be made: No such file or directory\n")


LOSSES = {
    "x.square().sum()": "has shape",
    "x.square().sum(-1, keepdim=True)": "has shape",
    "x.square().sum(-1) + x.mean()": "mixes runs",
    "x.square().sum(-1) / 0": "must be finite",
    "x @ torch.ones(5)": "fails",
}


@pytest.mark.parametrize(("loss", "reason"), LOSSES.items())
def test_a_loss_that_cannot_be_swept(loss, reason, files, ravine):
    (files / "mine.py").write_text(f"""
from dataclasses import dataclass
import torch
from problems import PROBLEMS, Problem, dial
@dataclass(frozen=True)
class Mine(Problem):
    condition: float = dial(10.0)
    card = PROBLEMS["quadratic"].card
    def instance(self, generator):
        return {{"start": torch.randn(2, generator=generator)}}
    def loss(self, x, data):
        return {loss}
    def floor(self, data):
        return torch.zeros(())
""")
    code, out, err = ravine("+problem=quadratic,mine.py:Mine problem.condition=10 optimizer=sgd")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("ravine: problem Mine: ")
    assert reason in err
    assert contents(files) == {files / "mine.py"}


def test_a_dial_and_rungs_that_set_it(files, ravine):
    code, out, err = ravine("+problem=quadratic problem.condition=50 rungs=3 optimizer=sgd")
    said = "quadratic.condition is 50, but rungs=3 sets it: give one of the two"
    assert (code, out, err) == (2, "", f"ravine: {said}\n")
    assert contents(files) == set()


def test_a_problem_that_does_not_fit_is_refused_before_it_is_drawn(folder, ravine):
    answer = ravine("+problem=quadratic problem.dim=1000000000000 optimizer=sgd")
    assert answer.code == 2 and answer.err.count("\n") == 1
    assert "of dimension 1000000000000 needs at least 288,000,000,000,000 bytes" in answer.err


def test_a_folder_that_cannot_be_made_leaves_nothing_behind(folder, ravine):
    before = contents(folder)
    for given in ("out=/proc/x", "cells=/proc/x"):
        answer = ravine(f"{SMALL} optimizer=sgd trials=1 seeds=1 tuning_seeds=1 budget=2 {given}")
        assert answer.code == 2 and answer.err.startswith(f"ravine: {given} ")
        assert answer.err.count("\n") == 1 and contents(folder) == before
