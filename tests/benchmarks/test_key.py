"""A cell's key changes with what decides its numbers and with nothing else, a picture's digest with what it shows."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import linecache
import shutil
import subprocess
import sys
import types
from pathlib import Path

import pytest

from benchmarks.catalog.contenders import contender
from benchmarks.engine.cell import run_cell
from benchmarks.engine.protocol import Protocol
from benchmarks.store.code import code_of
from benchmarks.store.key import cell_key
from benchmarks.store.source import Source, is_followed
from problems import PROBLEMS
from problems.modifiers import transformed
from ravine import Refused

ROOT = Path(__file__).parents[2]
OWN = """
import torch

from helper import shortened


class Own(torch.optim.Optimizer):
    '''Downhill.'''

    def __init__(self, params, lr: float = 0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.dim() > 9:
                    raise ValueError(f"cannot step on {parameter}")
                parameter -= group["lr"] * shortened(parameter.grad)
"""
HELPER = """
MOST = 3.0


def shortened(gradient):
    '''At most MOST long.'''
    return gradient.clamp(-MOST, MOST)  # by coordinate
"""
MINE = """
from dataclasses import dataclass

import torch

from problems import Card, Problem, claim, dial


@dataclass(frozen=True)
class Mine(Problem):
    '''A bowl.'''

    width: float = dial(2.0, above=0)

    card = Card(
        scale="log", ladder=(1.0, 10.0, 100.0), target=1e-4, budget=100, reference=("newton", {}),
        control={"width": 1.0}, signature="none", threshold=0.0, truth="0 at 0", source="none",
        exceptions={"reference": "it is too wide"},
    )

    def instance(self, generator):
        return {"start": torch.randn(3, generator=generator)}

    def loss(self, x, data):
        return (x / self.width).square().sum(-1)

    def floor(self, data):
        return torch.zeros(())


@claim(Mine, "how wide it is", stated=2.0, within=(1.9, 2.1), source="measured")
def wideness(problem):
    return problem.width
"""

# What is edited: the name, a pattern, what takes its place, and the files in which it is looked for.
PROSE = [
    ("a comment", r"^import torch\n", r"import torch  # fast\n", "**/quadratic.py"),
    ("a problem's docstring", r'(class Quadratic\(.*\n    """)', r"\1Other words. ", "**/quadratic.py"),
    ("an optimizer's docstring", r'(class SGD\(.*\n    """)', r"\1Other words. ", "**/sgd.py"),
    ("a method's docstring", r'(def update\(.*\n        """)', r"\1Other words. ", "**/adam.py"),
    ("the engine's docstrings", r'\A"""', r'"""Other words. ', "**/loop.py"),
    ("what a claim says",
     "how far heavy ball overshoots", "by how much heavy ball overshoots", "problems/**/*.py"),
    ("what a claim states", r"stated=8\.25", "stated=8.26", "problems/**/*.py"),
    ("how a claim is measured", r"3000, 2 / \(1 \+ 1 /", "3001, 2 / (1 + 1 /", "problems/**/*.py"),
    ("how claims are kept", r"low <= measured <= high", "low < measured < high", "**/claims.py"),
    ("a card's truth", r'truth="One minimum', 'truth="A single minimum', "**/quadratic.py"),
    ("a card's source", r'source="Goodfellow', 'source="Ian Goodfellow', "**/quadratic.py"),
    ("a card's signature", r'signature="largest over', 'signature="the largest over', "**/quadratic.py"),
    ("a card's threshold", r"threshold=10\.0", "threshold=11.0", "**/quadratic.py"),
    ("a card's theory", r"for each in range\(1201\)", "for each in range(1202)", "**/quadratic.py"),
    ("what a card removes",
     r'"exploding_gradient": \{"steps": 5\}', '"exploding_gradient": {"steps": 6}', "**/cliff.py"),
    ("a portrait's words",
     "The loss of a recurrent unit along", "A recurrent unit's loss along", "problems/**/*.py"),
    ("a portrait", r"edge \+ 0\.55", "edge + 0.56", "problems/**/*.py"),
    ("a problem's message",
     r'"one direction has one curvature"', '"a direction has a curvature"', "**/quadratic.py"),
    ("a noise's message", r"must be a whole number of steps", "must be so many steps", "**/noises.py"),
    ("a message of the loader", r"names no class of that file", "names nothing in that file", "**/loading.py"),
    ("a refusal", r"but must be", "and must be", "ravine/refusal.py"),
    ("a bound that is only checked",
     r'("units", self\.units, low=1|units: int = dial\(6, low=1)', r"\1, high=10**6", "**/cliff.py"),
    ("an annotation of an argument",
     r"def update\(self, oracle: Oracle", "def update(self, oracle: object", "**/sgd.py"),
    ("an annotation of an answer", r"^def cost\((.*)\) -> .*:$", r"def cost(\1):", "**/oracle.py"),
    ("an annotation in a function", r"spent: Count = 0\.0", "spent: object = 0.0", "**/loop.py"),
    ("help", r'"""The options of a sweep', '"""All options of a sweep', "**/options.py"),
    ("an analysis", r"LEVEL = 0\.05", "LEVEL = 0.06", "**/pairs.py"),
    ("a method that no cell calls",
     r"def control\(self\) -> Self:", "def control(self, more=None) -> Self:", "**/problem.py"),
    ("another optimizer", r"return -self\.lr", "return -2 * self.lr", "**/sign_sgd.py"),
    ("where a removal is run", r"^UNEVEN = 5\.0", "UNEVEN = 6.0", "**/removals.py"),
    ("another removal", r"^KICK = 0\.1", "KICK = 0.2", "**/steps.py"),
    ("the user's docstring", "'''Downhill.'''", "'''Downhill, in short steps.'''", "mine/optimizer.py"),
    ("the user's message", "cannot step on", "does not step on", "mine/optimizer.py"),
    ("a comment in a helper file", "# by coordinate", "# each coordinate", "mine/helper.py"),
    ("the user's card", 'truth="0 at 0"', 'truth="0 at the origin"', "mine/problem.py"),
    ("the user's exceptions", "it is too wide", "nothing is as wide", "mine/problem.py"),
    ("the user's claim", r"return problem\.width$", "return 1.0 * problem.width", "mine/problem.py"),
]  # fmt: skip

ALL = {
    "quadratic sgd", "cliff adam", "cliff adam+clip", "hardest cliff adam", "cliff RAdam", "noisy rosenbrock momentum",
    "quadratic Own", "Mine sgd", "quadratic sgd conditioned",
}  # fmt: skip
PICTURE = "picture of cliff"
CLIFF = {"cliff adam", "cliff adam+clip", "hardest cliff adam", "cliff RAdam"}
CONDITIONED = {"quadratic sgd conditioned"}
QUADRATIC = {"quadratic sgd", "quadratic Own"} | CONDITIONED
ADOPTED = {"cliff RAdam", "quadratic Own"}
NOISY = {"noisy rosenbrock momentum"}

NUMBERS = [
    ("a constant of a loss", r"^WANTED = 0\.7", "WANTED = 0.71", "**/cliff.py", CLIFF | {PICTURE}),
    ("a loss", r"return 0\.5 \*", "return 0.51 *", "**/quadratic_form.py", QUADRATIC),
    ("a draw", r"w = 5 \+ 2 \* w", "w = 5 + 2.1 * w", "**/cliff.py", CLIFF | {PICTURE}),
    ("a draw that problems share",
     r"triangle\.diagonal\(\)\.sign", "triangle.diagonal().neg().sign", "**/geometry.py", QUADRATIC | NOISY),
    ("a spectrum",
     r"low \*\* spread\(1, 0, self\.dim\)", "low ** spread(1, 0.1, self.dim)", "**/quadratic.py", QUADRATIC),
    ("a gradient by default",
     r"return value\.detach\(\), gradient", "return value.detach(), 2 * gradient", "**/problem.py", ALL | {PICTURE}),
    ("an update",
     r"return -self\.lr \* oracle", "return -2 * self.lr * oracle", "**/sgd.py",
     {"quadratic sgd", "Mine sgd"} | CONDITIONED),
    ("another update", r"self\.beta1 \* mean", "2 * self.beta1 * mean", "**/adam.py", CLIFF - ADOPTED),
    ("a wrapper", r"norm \+ 1e-6", "norm + 1e-5", "**/clip.py", {"cliff adam+clip"}),
    ("what adopts a class", r"steps \+ 1\)", "steps + 2)", "**/adopted.py", ADOPTED),
    ("a price", r"HVP = 1 / 3, ", "HVP = 1 / 2, ", "**/oracle.py", ALL),
    ("a transform",
     r'j->\.\.\.i", data\["rotation"\], vector\)', 'j->...i", data["rotation"], 2*vector)', "**/transforms.py", NOISY),
    ("a noise",
     r"yield self\.strength \* torch\.randn", "yield 2 * self.strength * torch.randn", "**/noises.py", NOISY),
    ("when a run ends", r"^HOLD = 10", "HOLD = 11", "**/loop.py", ALL),
    ("what is recorded", r"^PER_DECADE = 20", "PER_DECADE = 21", "**/recorder.py", ALL),
    ("what is measured", r"^DRAWS = 32", "DRAWS = 33", "**/measurements.py", ALL),
    ("where trials lie", r"^REFINED = 0\.1", "REFINED = 0.11", "**/search_space.py", ALL),
    ("which trial is chosen", r"^SMALLEST = 1e-300", "SMALLEST = 1e-200", "**/trial_choice.py", ALL),
    ("the seeds", r"range\(self\.tuning_seeds\)", "range(0, self.tuning_seeds)", "**/protocol.py", ALL),
    ("the release", r'"ravine 0\.1"', '"ravine 0.2"', "**/protocol.py", ALL),
    ("a field's type", r"^    dim: int", "    dim: float", "**/quadratic.py", QUADRATIC),
    ("a removal", r"^EVERY = 5", "EVERY = 6", "**/steps.py", CONDITIONED),
    ("what a removal measures", r"hessian\.abs\(\) < 1e100", "hessian.abs() < 1e99", "**/curvature.py", CONDITIONED),
    ("the user's step", r'group\["lr"\] \* ', 'group["lr"] / 2 * ', "mine/optimizer.py", {"quadratic Own"}),
    ("a helper file", r"^MOST = 3\.0", "MOST = 4.0", "mine/helper.py", {"quadratic Own"}),
    ("the user's loss", r"\.square\(\)\.sum\(-1\)", ".abs().sum(-1)", "mine/problem.py", {"Mine sgd"}),
]  # fmt: skip
# What is a value and not code, so that it is read when the packages are imported.
VALUES = [
    ("a card's target", r"target=1e-4", "target=1e-5", "**/quadratic.py", QUADRATIC),
    ("a card's budget", r"budget=1000", "budget=1001", "**/cliff.py", CLIFF),
    ("a card's ladder", r"ladder=\(1, 6, 32\)", "ladder=(1, 6, 33)", "**/cliff.py", {"hardest cliff adam"}),
    ("a default", r"(momentum: \w+ = (?:hyper\()?)0\.9", r"\g<1>0.91", "**/momentum.py", NOISY),
    ("the user's target", r"target=1e-4", "target=1e-5", "mine/problem.py", {"Mine sgd"}),
]  # fmt: skip


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    """By edit, the keys of the cells after it."""
    copy = tmp_path_factory.mktemp("copy")
    for folder in ("benchmarks", "conf", "optimizers", "problems", "ravine"):
        shutil.copytree(ROOT / folder, copy / folder, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).with_name("keys_after_edits.py"), copy)
    (copy / "mine").mkdir()
    for name, text in (("optimizer", OWN), ("helper", HELPER), ("problem", MINE)):
        (copy / "mine" / f"{name}.py").write_text(text)
    edits = [
        {"name": name, "edit": edit, "anew": rows is VALUES, "together": rows is PROSE}
        for rows in (PROSE, NUMBERS, VALUES)
        for name, *edit in (row[:4] for row in rows)
    ]
    done = subprocess.run(
        [sys.executable, "keys_after_edits.py"],
        input=json.dumps(edits), capture_output=True, text=True, cwd=copy,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def changed(keys, edit):
    return {name for name, key in keys["as it is"].items() if keys[edit][name] != key}


@pytest.mark.parametrize("edit", [name for name, *_ in PROSE])
def test_words_and_evidence_leave_the_keys_as_they_are(keys, edit):
    assert changed(keys, edit) == ({PICTURE} if edit.startswith("a portrait") else set())


def test_nor_do_they_change_any_together_in_another_process(keys):
    assert changed(keys, "all prose together") == {PICTURE}


@pytest.mark.parametrize(
    ("edit", "cells"), [(name, cells) for name, *_, cells in (*NUMBERS, *VALUES)]
)
def test_what_decides_numbers_changes_the_keys_of_its_cells_and_no_others(keys, edit, cells):
    assert changed(keys, edit) == cells


NAMED = """
class Named:
    def step(self, kind):
        return {call}

    def _long(self):
        return {length}


def used(thing):
    return thing.step("long")
"""


@pytest.mark.parametrize(
    ("call", "counts"),
    [("self._long()", True), ("getattr(self, '_' + kind)()", True), ("getattr(self, '_long')()", True), ("0", False)],
)  # fmt: skip
def test_a_method_counts_where_it_is_named_or_the_name_is_computed(
    call, counts, tmp_path, monkeypatch
):
    monkeypatch.syspath_prepend(tmp_path)
    file, found = tmp_path / "ravine_test_named.py", []
    for length in ("1", "22"):
        file.write_text(NAMED.format(call=call, length=length))
        module = importlib.import_module(file.stem)
        found.append(code_of(module.Named, module.used))
    del sys.modules[file.stem]
    assert (found[0] != found[1]) == counts


CELL = """
from dataclasses import dataclass

from optimizers.sgd import SGD

SHARE = {share}


def taken(step):
    return SHARE * step


@dataclass(frozen=True)
class Typed(SGD):
    rate: float = 1.0

    @property
    def half(self):
        return {half}

    def update(self, oracle, state):
        '''{words}'''
        step, state = super().update(oracle, state)
        return taken(self.half * step), state
"""


@pytest.fixture
def typed(monkeypatch):
    """A class as IPython has it: its lines in a cache, its module without a file."""

    def typed(**values):
        text = CELL.format(**({"share": 1.0, "half": "self.rate / 2", "words": ""} | values))
        module = types.ModuleType("notebook_for_tests")
        monkeypatch.setitem(sys.modules, module.__name__, module)
        lines = len(text), None, text.splitlines(keepends=True), "<cell>"
        monkeypatch.setitem(linecache.cache, "<cell>", lines)
        exec(compile(text, "<cell>", "exec"), vars(module))
        return module.Typed

    return typed


def test_a_class_that_is_typed_in_a_notebook_counts_with_all_that_it_names(typed):
    before = code_of(run_cell, typed())
    assert code_of(run_cell, typed(words="Half of a step.")) == before
    assert code_of(run_cell, typed(share=2.0)) != before
    assert code_of(run_cell, typed(half="self.rate / 3")) != before


def test_what_has_no_source_at_all_is_refused(typed):
    kind = typed()
    del linecache.cache["<cell>"]
    with pytest.raises(Refused, match=r"^the source of \w+ cannot be read: put it into a file$"):
        code_of(kind)


# What reads fields, whose values are in the key, asks for a method that its caller names, or runs in no cell.
COMPUTE_NAMES = {
    "benchmarks.engine.protocol.__post_init__", "benchmarks.engine.protocol.torch_dtype",
    "optimizers._old_form.announce", "optimizers.adopted.__post_init__", "optimizers.adopted_runs._step_of",
    "optimizers.in_a_file.derived",
    "optimizers.optimizer._changed", "optimizers.optimizer.hyperparameters", "optimizers.wrapper.own",
    "problems.claims.take_methods", "problems.problem.__init_subclass__", "problems.problem._dials",
    "problems.problem.dial", "problems.problem.has_own", "problems.problem.settings",
}  # fmt: skip


def test_ravine_s_own_code_computes_no_name_of_a_method():
    """Else it would have to count whole, as a user's does."""
    found = set()
    for folder in ("optimizers", "problems", "benchmarks/engine", "benchmarks/explain"):
        for file in (ROOT / folder).rglob("*.py"):
            source = Source(".".join(file.relative_to(ROOT).with_suffix("").parts), file)
            for statement in source.all_statements():
                methods = (
                    source.methods(statement, True) if isinstance(statement, ast.ClassDef) else []
                )
                for each in (statement, *methods):
                    if source.definition(each).computed:
                        found.add(f"{source.name}.{getattr(each, 'name', '')}")
    assert found <= COMPUTE_NAMES


def test_a_package_of_the_environment_below_is_not_followed(tmp_path, monkeypatch):
    installed = tmp_path / "lib" / "python3" / "site-packages"
    for folder, name in ((installed, "their_package_below"), (tmp_path, "their_own_module")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text("")
        monkeypatch.syspath_prepend(folder)
    assert not is_followed("their_package_below")
    assert is_followed("their_own_module")


PLUGIN = """
from dataclasses import dataclass

from benchmarks.engine.contender import Removal
from optimizers.sgd import SGD
from problems.ill_conditioning.quadratic import Quadratic


@dataclass(frozen=True)
class TheirBowl(Quadratic):
    pass


@dataclass(frozen=True)
class TheirSGD(SGD):
    pass


@dataclass(frozen=True)
class TheirRemoval(Removal):
    pass
"""


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """A plugin package that is installed, and a function that installs another version of it."""
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "their_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(installed)

    def install(version):
        for old in installed.glob("*.dist-info"):
            shutil.rmtree(old)
        info = installed / f"their_plugin-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: their-plugin\nVersion: {version}\n"
        )
        (info / "top_level.txt").write_text("their_plugin\n")

    install("1.0")
    yield importlib.import_module("their_plugin"), install
    del sys.modules["their_plugin"]


def test_another_version_of_an_installed_package_changes_the_keys_of_all_that_comes_from_it(plugin):
    theirs, install = plugin
    quadratic, sgd = PROBLEMS["quadratic"], contender("sgd")
    bowl = theirs.TheirBowl()
    cells = {
        "none": (quadratic, sgd),
        "a problem": (bowl, sgd),
        "a problem in another": (transformed(bowl, ["rotate"]), sgd),
        "an optimizer": (quadratic, contender(theirs.TheirSGD())),
        "a removal": (quadratic, dataclasses.replace(sgd, removal=theirs.TheirRemoval())),
    }

    def keys():
        return {
            name: cell_key("problem", at, what, Protocol().settled(at))
            for name, (at, what) in cells.items()
        }

    before = keys()
    assert keys() == before
    install("1.1")
    assert {name for name, key in keys().items() if key != before[name]} == {*cells} - {"none"}
