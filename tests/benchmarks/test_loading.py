"""Anyone's classes get a name: by file, by dotted path, by entry point."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import torch

from benchmarks import sweep
from benchmarks.catalog import loading
from benchmarks.cli import explain
from optimizers import OPTIMIZERS
from optimizers.clip import Clip
from problems import PROBLEMS
from ravine import Refused

ROOT = Path(__file__).parents[2]
SIGN = """
import torch
class Sign(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, {"lr": lr})
    def step(self, closure=None):
        for group in self.param_groups:
            for each in group["params"]:
                each.data -= group["lr"] * each.grad.sign()
"""
BOWL = """
from dataclasses import dataclass
import torch
from problems import PROBLEMS, Problem, dial
@dataclass(frozen=True)
class Bowl(Problem):
    steepness: float = dial(10.0)
    card = PROBLEMS["quadratic"].card
    def instance(self, generator):
        return {"start": torch.randn(2, generator=generator)}
    def loss(self, x, data):
        return 0.5 * self.steepness * x.square().sum(-1)
    def floor(self, data):
        return torch.zeros(())
"""
STEP = """
from dataclasses import dataclass
from optimizers import Optimizer, hyper, log, register
@register("my_step")
@dataclass(frozen=True)
class Step(Optimizer):
    lr: float = hyper(0.01, search=log(1e-5, 1e1, "length"), low=0)
    def update(self, oracle, state):
        return -self.lr * oracle.gradient.sign(), state
@dataclass(frozen=True)
class Unregistered(Step):
    pass
class NoDataclass(Step):
    pass
"""
SMALL = "trials=3 tuning_seeds=1 seeds=2 budget=10"
REGISTERED = BOWL.replace(
    "@dataclass", "from problems import register\n@register('its_own_name')\n@dataclass"
)


def test_a_torch_optimizer_by_file(files):
    (files / "mine.py").write_text(SIGN)
    name, where = loading.load("mine.py:Sign", "optimizer")
    assert (name, where) == ("Sign", f"{files / 'mine.py'}:Sign")
    assert OPTIMIZERS["Sign"].hyperparameters == {"lr": 0.01}
    assert loading.load(where, "optimizer") == (name, where)


def test_a_torch_optimizer_by_dotted_path(files):
    assert loading.load("torch.optim.Adagrad", "optimizer") == ("Adagrad", "torch.optim.Adagrad")
    assert loading.class_of(OPTIMIZERS["Adagrad"]) is torch.optim.Adagrad


def test_a_registered_class_keeps_its_name(files):
    assert loading.load("optimizers.sgd.SGD", "optimizer")[0] == "sgd"


def test_a_problem_gets_its_class_name(files):
    (files / "mine.py").write_text(BOWL)
    assert loading.load("mine.py:Bowl", "problem")[0] == "Bowl"
    assert PROBLEMS["Bowl"].dial == 10.0


def test_a_problem_that_registers_itself_keeps_that_name(files):
    (files / "mine.py").write_text(REGISTERED)
    assert loading.load("mine.py:Bowl", "problem")[0] == "its_own_name"
    assert "Bowl" not in PROBLEMS


def test_files_of_one_name_are_two_modules(files):
    for folder, name in (("a", "Sign"), ("b", "Other")):
        (files / folder).mkdir()
        (files / folder / "mine.py").write_text(SIGN.replace("Sign", name))
    assert loading.load("a/mine.py:Sign", "optimizer")[0] == "Sign"
    assert loading.load("b/mine.py:Other", "optimizer")[0] == "Other"


def test_a_file_imports_its_neighbours(files):
    (files / "far").mkdir()
    (files / "far" / "its_neighbour.py").write_text(SIGN)
    (files / "far" / "mine.py").write_text("from its_neighbour import Sign\nclass Mine(Sign): pass")
    assert loading.load("far/mine.py:Mine", "optimizer")[0] == "Mine"


def test_an_edited_file_is_read_again(files):
    file = files / "mine.py"
    file.write_text(SIGN)
    loading.load("mine.py:Sign", "optimizer")
    file.write_text(SIGN.replace("0.01", "0.5"))
    os.utime(file, ns=(0, 0))  # another time than before, however coarse the clock
    loading.load("mine.py:Sign", "optimizer")
    assert OPTIMIZERS["Sign"].hyperparameters == {"lr": 0.5}


def test_a_second_class_of_one_name_has_its_file_or_package_before_it(files):
    names = []
    for where in ("a.py", "b.py", "b-2/b.py", "b-2/b.py", "a.py"):
        (files / where).parent.mkdir(exist_ok=True)
        (files / where).write_text(SIGN)
        names.append(loading.load(f"{where}:Sign", "optimizer")[0])
    assert names == ["Sign", "b.Sign", "b_2.b.Sign", "b_2.b.Sign", "Sign"]
    assert loading.find("b.Sign+clip", "optimizer") == ("b.Sign+clip", None)


def test_both_of_one_name_can_be_set(files, ravine):
    for name in ("a", "b"):
        (files / f"{name}.py").write_text(SIGN)
    given = f"+problem=quadratic optimizer=a.py:Sign,b.py:Sign+decay {SMALL} out=swept"
    code, _, err = ravine(f"{given} optimizers.Sign.lr=0.3 optimizers.b.Sign+decay.lr=0.2")
    assert code == 0, err
    runs = pandas.read_csv(files / "swept/runs.csv")
    found = runs.groupby("optimizer")["hp.lr"].unique().map(list).to_dict()
    assert found == {"Sign(lr=0.3)": [0.3], "b.Sign+decay(lr=0.2)": [0.2]}


def install(folder, module):
    """What pip leaves of a package whose entry point is this module."""
    info = folder / "theirs-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[{loading.PLUGINS}]\ntheirs = {module}\n")


def test_an_entry_point_is_imported(files, monkeypatch):
    install(files / "installed", "their_package")
    (files / "installed" / "their_package.py").write_text(REGISTERED)
    monkeypatch.syspath_prepend(files / "installed")
    loading.load_plugins()
    assert "its_own_name" in PROBLEMS


def test_an_entry_point_that_fails_is_named(files, monkeypatch):
    install(files / "installed", "their_missing_package")
    monkeypatch.syspath_prepend(files / "installed")
    with pytest.raises(
        Refused, match=r"^plugin theirs \(their_missing_package\) cannot be imported: Mod"
    ):
        loading.load_plugins()


@pytest.mark.parametrize("first", ["", "."])
def test_what_lies_in_the_working_directory_is_not_installed(files, monkeypatch, first):
    install(files, "their_code")
    (files / "their_code.py").write_text("raise SystemExit('it ran')")
    monkeypatch.syspath_prepend(first)
    loading.load_plugins()
    assert "their_code" not in sys.modules


LEAVES_A_TRACE = "import pathlib\npathlib.Path(__file__).with_suffix('.ran').touch()\n"


def in_a_process(folder, *words, safe=True):
    """Run a command as the installed script does; `python -m` looks into the working directory first."""
    flags = ["-P"] * safe
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *flags, "-m", "benchmarks", *words],
        cwd=folder, env=environment, capture_output=True, text=True,
    )  # fmt: skip


@pytest.mark.parametrize("safe", [True, False])
def test_a_folder_that_somebody_shares_runs_no_code(ravine, files, safe):
    """Pandas imports numexpr and bottleneck, and torch opt_einsum, if they are anywhere on the path."""
    assert ravine(f"+problem=quadratic optimizer=sgd {SMALL} rungs=2 out=swept").code == 0
    for name in ("numexpr", "bottleneck", "opt_einsum"):
        (files / f"{name}.py").write_text(LEAVES_A_TRACE)
    ended = in_a_process(files, "report", "swept", safe=safe)
    assert ended.returncode == 0 and not list(files.glob("*.ran"))


def test_explain_runs_the_code_that_a_folder_names_only_if_told_so(ravine, files):
    (files / "mine.py").write_text(SIGN)
    (files / "own_package").mkdir()
    (files / "own_package" / "inner.py").write_text(SIGN)
    given = f"+problem=quadratic optimizer=mine.py:Sign,own_package.inner.Sign,torch.optim.Adagrad {SMALL}"
    assert ravine(f"{given} hydra/launcher=basic rungs=2 out=swept").code == 0
    for file in ("mine.py", "own_package/inner.py"):
        (files / file).write_text(LEAVES_A_TRACE + SIGN)
    ended = in_a_process(files, "explain", "swept")
    assert ended.returncode == 2 and not list(files.rglob("*.ran"))
    assert ended.stderr.splitlines()[-1] == (
        "ravine: swept was made with mine.py:Sign, own_package.inner.Sign, whose code would be run: "
        "add --trust if it is yours, or if you have read it"
    )
    ended = in_a_process(files, "explain", "swept", "--trust")
    assert ended.returncode == 0 and len(list(files.rglob("*.ran"))) == 2


@pytest.mark.parametrize("trust", [[], ["--trust"]])
@pytest.mark.parametrize(
    ("words", "named", "otherwise"),
    [
        ("quadratic optimizer=mine.py:Sign,mine.py:Sign+clip", "mine.py", ""),
        ("quadratic optimizer=of_mine.inner.Sign+clip", "of_mine", ", or install the package"),
        ("quadratic+mine.Bowl optimizer=sgd", "quadratic+mine", ", or install the package"),
    ],
)
def test_explain_says_from_where_it_finds_the_code(ravine, files, trust, words, named, otherwise):
    (files / "mine.py").write_text(SIGN)
    (files / "of_mine").mkdir()
    (files / "of_mine" / "inner.py").write_text(SIGN)
    (files / "quadratic+mine.py").write_text(BOWL)
    assert ravine(f"+problem={words} {SMALL} rungs=2 out=swept").code == 0
    (files / "elsewhere").mkdir()
    (files / "elsewhere" / "other.py").write_text("")
    ended = in_a_process(files / "elsewhere", "explain", "../swept", *trust)
    assert ended.returncode == 2
    assert ended.stderr.splitlines()[-1] == (
        f"ravine: ../swept was made with {named}, which cannot be found from this folder: "
        f"run `ravine explain` in the folder in which the sweep was run{otherwise}"
    )


def test_a_missing_file_or_package_is_named(files):
    (files / "a+b").mkdir()
    (files / "a+b" / "mine.py").write_text(SIGN)
    for word, missing in {
        "a+b/mine.py:Sign": "",
        "my+opts/mine.py:Sign": "my+opts/mine.py",
        "my+opts/mine.py:Sign+clip+decay": "my+opts/mine.py",
        "mine.py+clip": "mine.py",
        "nowhere.inner.Sign+clip": "nowhere",
        "torch.optim.SGD+clip": "",
        "adam+clip": "",
    }.items():
        assert loading.missing(word, "optimizer") == missing


def test_a_folder_may_have_py_in_its_name(ravine, files):
    (files / "my.python").mkdir()
    (files / "my.python" / "mine.py").write_text(SIGN)
    assert ravine(f"+problem=quadratic optimizer=my.python/mine.py:Sign {SMALL} rungs=2").code == 0


def test_what_a_folder_says_about_launchers_is_not_heeded(files):
    words = [
        "+problem=cliff",
        "hydra/launcher=joblib",
        "+hydra.launcher._target_=os.system",
        "out=a",
    ]
    assert explain._again(words, Path("b")) == ["+problem=cliff", "out=b"]


def test_a_module_in_the_working_directory_imports_its_neighbours_also_later(files):
    (files / "lazy_package").mkdir()
    (files / "lazy_package" / "inner.py").write_text(
        f"{SIGN}\n    def later(self):\n        from lazy_package.late import word\n        return word\n"
    )
    (files / "lazy_package" / "late.py").write_text("word = 'found'\n")
    name, _ = loading.load("lazy_package.inner.Sign", "optimizer")
    assert OPTIMIZERS[name].method.later(None) == "found"


def test_a_file_below_the_working_directory_imports_from_there(files):
    (files / "own_project").mkdir()
    (files / "own_project" / "neighbour.py").write_text(SIGN)
    (files / "own_project" / "file.py").write_text("from own_project.neighbour import Sign\n")
    assert loading.load("own_project/file.py:Sign", "optimizer")[0] == "Sign"


def test_the_working_directory_is_not_on_the_path_before_a_class_in_it_is_named(files):
    loading.load_plugins()
    loading.load("torch.optim.Adagrad", "optimizer")
    assert str(files) not in sys.path


def test_what_travels_to_other_processes_can_be_pickled(files):
    """A file's classes do not: no other process can import them, but each loads the file again."""
    (files / "mine.py").write_text(SIGN)
    loading.load("mine.py:Sign", "optimizer")
    names = {name for _, name, _ in pickle.loads(pickle.dumps(loading.portable_entries()))}
    assert names == {*PROBLEMS, *OPTIMIZERS} - {"Sign"}


def test_a_wrapper_around_a_file_class_does_not_travel(files):
    (files / "mine.py").write_text(SIGN)
    loading.load("mine.py:Sign", "optimizer")
    OPTIMIZERS.register("clipped_sign", Clip(OPTIMIZERS["Sign"]))
    assert "clipped_sign" not in {name for _, name, _ in loading.portable_entries()}


def test_an_optimizer_of_ones_own_is_registered_by_file(files):
    (files / "mine.py").write_text(STEP)
    assert loading.load("mine.py:Step", "optimizer")[0] == "my_step"
    assert loading.load("mine.py:Unregistered", "optimizer")[0] == "Unregistered"
    assert OPTIMIZERS["Unregistered"].hyperparameters == {"lr": 0.01}
    assert "Step" not in OPTIMIZERS


def test_wrappers_stand_behind_a_name_of_ones_own_and_a_plus_in_its_path_is_none(files):
    folder = files / "c++"
    folder.mkdir()
    (folder / "mine.py").write_text(SIGN)
    name, where = loading.find("c++/mine.py:Sign+clip+decay", "optimizer")
    assert (name, where) == ("Sign+clip+decay", f"{folder / 'mine.py'}:Sign")
    assert OPTIMIZERS[name].hyperparameters == {"lr": 0.01, "threshold": 1.0, "by": "norm"}
    assert loading.find("sgd+clip", "optimizer") == ("sgd+clip", None)
    for word, answer in {
        "c++/mine.py:Sign+clp": "unknown wrapper 'clp' in 'Sign+clp': did you mean clip?",
        "sdg+clip": "unknown optimizer 'sdg': did you mean sgd?",
    }.items():
        with pytest.raises(Refused) as refusal:
            loading.find(word, "optimizer")
        assert str(refusal.value).startswith(answer)


def summary(folder):
    return pandas.read_csv(folder / "summary.csv")


def test_several_of_ones_own_in_one_sweep_and_an_edit_runs_its_own_cells_alone(files, ravine):
    (files / "a.py").write_text(SIGN)
    (files / "b.py").write_text(STEP)
    words = "a.py:Sign,a.py:Sign+clip,b.py:Step,b.py:Unregistered+decay,sgd"
    given = f"+problem=quadratic problem.dim=2 optimizer={words} {SMALL} out=swept"
    names = ["Sign", "Sign+clip", "my_step", "Unregistered+decay", "sgd"]
    code, _, err = ravine(given)
    assert (code, "had been run before" in err) == (0, False)
    assert set(summary(files / "swept").optimizer) == set(names)
    (files / "b.py").write_text(STEP.replace("0.01", "0.02"))
    os.utime(files / "b.py", ns=(0, 0))  # another time than before, however coarse the clock
    code, _, err = ravine(given)
    assert code == 0
    replaced, *cells = err.splitlines()
    assert replaced.endswith(
        "Unregistered+decay, my_step on quadratic: replaced (keep=true keeps them)"
    )
    ran = ["had been run before" not in line for line in cells]
    assert dict(zip(names, ran, strict=True)) == {
        "Sign": False, "Sign+clip": False, "my_step": True, "Unregistered+decay": True, "sgd": False,
    }  # fmt: skip


def test_the_old_form_is_told_in_a_line_how_it_is_written_now(files, ravine):
    old = STEP.replace("hyper, log, register", "log_uniform, register").replace(
        'hyper(0.01, search=log(1e-5, 1e1, "length"), low=0)',
        '0.01\n    space = {"lr": log_uniform(1e-5, 1e1, "length")}',
    )
    (files / "old.py").write_text(old)
    code, _, err = ravine(
        f"+problem=quadratic problem.dim=2 optimizer=old.py:Step {SMALL} out=swept"
    )
    assert code == 0
    assert err.splitlines()[0] == (
        "ravine: Step is written in a form that the next release does not read: "
        'write lr: float = hyper(0.01, search=log(1e-05, 10, unit="length"), low=0), not space'
    )
    assert err.count("Step is written") == 1


def test_the_words_of_a_command_are_known_in_python_too(files):
    (files / "mine.py").write_text(SIGN)
    found = sweep("quadratic", ["mine.py:Sign+clip"], trials=2, tuning_seeds=1, seeds=2, budget=5)
    assert found.summary["optimizer"].unique().tolist() == ["Sign+clip"]


def test_a_rate_without_a_default_is_searched_and_has_no_default_row(files):
    (files / "mine.py").write_text(SIGN.replace("lr: float = 0.01", "lr: float"))
    found = sweep("quadratic", ["mine.py:Sign", "sgd"], trials=3, tuning_seeds=1, seeds=2, budget=5)
    choices = found.summary.groupby("optimizer")["choice"].agg(set).to_dict()
    assert choices == {
        "Sign": {"tuned", "one_setting"},
        "sgd": {"default", "tuned", "one_setting"},
    }
    assert set(found.runs.query("optimizer == 'Sign'")["trial"]) == {1, 2}


NEEDS_MATRICES = """
import torch
class Matrices(torch.optim.SGD):
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                assert p.ndim == 2
        super().step()
"""


def test_a_class_that_cannot_take_a_problems_shapes_is_a_row(files, ravine):
    """A problem in other coordinates has no shapes any more."""
    (files / "mine.py").write_text(NEEDS_MATRICES)
    given = (
        f"+problem=linear_autoencoder transform=none,rotate optimizer=mine.py:Matrices,sgd {SMALL}"
    )
    code, out, err = ravine(f"{given} out=swept")
    assert code == 0, err
    assert "These optimizers are not applicable" in out and "assert p.ndim == 2" in out
    assert "traceback" not in out
    found = summary(files / "swept").query("optimizer == 'Matrices'")
    assert (found["status"] == "not_applicable").sum() == 1
    assert found.query("choice == 'tuned'")["transform"].isna().tolist() == [True]


def test_a_class_that_fails_is_a_row_and_the_others_go_on(files, ravine):
    (files / "mine.py").write_text(SIGN.replace("each.grad.sign()", "gradient.sign()"))
    code, out, err = ravine(f"+problem=quadratic optimizer=mine.py:Sign,sgd {SMALL} out=swept")
    assert code == 3, err
    said = "NameError: name 'gradient' is not defined (mine.py:"
    assert "These cells ended in an error" in out and said in out
    found = summary(files / "swept")
    assert set(found.query("optimizer == 'Sign'")["status"]) == {"error"}
    assert found.query("optimizer == 'sgd'")["error"].isna().all()


# Presets.


def test_presets_are_listed_and_named(ravine):
    _, out, _ = ravine("--help")
    for word in loading.preset_words():
        assert word in out
    (muon,) = (each for each in loading.presets() if "muon" in each)
    assert muon == "zoo_muon"


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("zoo/mun", "unknown preset 'zoo/mun': did you mean zoo/muon? (allowed: zoo/adafactor, "),
        ("zoo/muon+clp", "unknown wrapper 'clp' in 'zoo_muon+clp': did you mean clip?"),
    ],
)
def test_an_unknown_preset(word, answer, ravine):
    if "+" in word:
        pytest.importorskip("pytorch_optimizer")
    code, out, err = ravine(f"+problem=quadratic optimizer={word}")
    assert (code, out) == (2, "")
    assert err.startswith(f"ravine: {answer}")


def test_a_preset_without_its_package_says_how_to_get_it(ravine, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_optimizer", None)  # as if it were not installed
    monkeypatch.delitem(sys.modules, "optimizers._zoo", raising=False)
    for word in ("zoo/muon", "zoo/soap", "zoo_soap+decay"):
        code, out, err = ravine(f"+problem=quadratic optimizer={word}")
        needs = f"{word.partition('+')[0]} needs pytorch_optimizer"
        said = f"ravine: {needs}: pip install -c constraints.txt -e '.[zoo]'\n"
        assert (code, out, err) == (2, "", said)


def test_an_environment_in_the_working_directory_is_installed_and_a_folder_is_not(
    files, monkeypatch
):
    installed = files / ".venv" / "site"
    for folder in (installed / "of_the_environment", files / "of_the_user"):
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text(SIGN)
    (files / "without_init").mkdir()
    (files / "without_init" / "inner.py").write_text(SIGN)
    monkeypatch.setattr(sys, "prefix", str(files / ".venv"))
    monkeypatch.setattr(sys, "path", [str(files), str(installed), *sys.path])
    assert not loading.is_foreign("of_the_environment.Sign", "optimizer")
    assert loading.is_foreign("of_the_user.Sign", "optimizer")
    assert loading.is_foreign("without_init.inner.Sign+clip", "optimizer")


def test_a_problem_in_a_module_with_a_plus_in_its_name_is_no_wrapped_optimizer(
    files, monkeypatch, registries
):
    (files / "quadratic+mine.py").write_text(BOWL)
    monkeypatch.setattr(sys, "path", [str(files), *sys.path])
    kind, name = loading.of_either_kind("quadratic+mine.Bowl")
    assert kind == "problem" and name in PROBLEMS


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("mine.py:Sign+clip", "optimizer"),
        ("torch.py+clip", "optimizer"),
        ("a+b/mine.py", "problem"),
        ("quadratic+mine.Slope", "problem"),
    ],
)
def test_what_is_loaded_from_the_working_directory_is_foreign_whatever_it_is_called(
    files, monkeypatch, word, kind
):
    (files / "quadratic+mine.py").write_text("")
    monkeypatch.setattr(sys, "path", [str(files), *sys.path])
    assert loading.is_foreign(word, kind)
