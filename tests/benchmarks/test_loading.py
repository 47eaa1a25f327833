"""Anyone's classes get a name: by file, by dotted path, by entry point."""

from __future__ import annotations

import importlib.metadata
import os
import pickle

import pytest
import torch

from benchmarks import loading
from optimizers import OPTIMIZERS
from optimizers.clip import Clip
from problems import PROBLEMS
from ravine import Refused

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
from dataclasses import dataclass, replace
import torch
from problems import PROBLEMS, Card, Problem
@dataclass(frozen=True)
class Bowl(Problem):
    steepness: float = 10.0
    card = replace(PROBLEMS["quadratic"].card, dial="steepness")
    def instance(self, generator):
        return {"start": torch.randn(2, generator=generator)}
    def loss(self, x, data):
        return 0.5 * self.steepness * x.square().sum(-1)
    def floor(self, data):
        return torch.zeros(())
"""
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


def test_two_classes_of_one_name_are_refused(files):
    for name in ("a", "b"):
        (files / f"{name}.py").write_text(SIGN)
    loading.load("a.py:Sign", "optimizer")
    with pytest.raises(Refused, match=r"optimizer Sign is in .*/a.py already"):
        loading.load("b.py:Sign", "optimizer")


def test_an_entry_point_is_imported(files, monkeypatch):
    (files / "their_package.py").write_text(REGISTERED)
    monkeypatch.syspath_prepend(files)
    point = importlib.metadata.EntryPoint("theirs", "their_package", loading.PLUGINS)
    monkeypatch.setattr(
        loading, "entry_points", lambda group: [point] if group == loading.PLUGINS else []
    )
    loading.load_plugins()
    assert "its_own_name" in PROBLEMS


def test_an_entry_point_that_fails_is_named(files, monkeypatch):
    point = importlib.metadata.EntryPoint("theirs", "their_missing_package", loading.PLUGINS)
    monkeypatch.setattr(loading, "entry_points", lambda group: [point])
    with pytest.raises(
        Refused, match=r"^plugin theirs \(their_missing_package\) cannot be imported: Mod"
    ):
        loading.load_plugins()


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
