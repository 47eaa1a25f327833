"""Anyone's optimizer in a command and in Python: lists, number of steps, what is not searched, random draws, faults."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import torch

from benchmarks import sweep

ROOT = Path(__file__).parents[2]
SMALL = "+problem=quadratic problem.dim=3 tuning_seeds=1 seeds=2 budget=12"
OWN = """
import torch
class Base(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, {"lr": lr})
    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * self.direction(p))
    def direction(self, p):
        return p.grad

class NoRate(Base):
    def __init__(self, params, strength=0.5):
        super().__init__(params, 0.01 / (1 + strength))

class Lists(Base):
    def __init__(self, params, lr=0.01, betas=[0.9, 0.999], clip=None):
        super().__init__(params, lr)

class Total(Base):
    def __init__(self, params, total_steps: int, lr: float = 0.01):
        super().__init__(params, lr)

class Noisy(Base):
    after = 0
    def direction(self, p):
        self.state[p]["t"] = t = self.state[p].get("t", 0) + 1
        return p.grad + torch.randn_like(p) if t > self.after else p.grad

class NoisyLate(Noisy):
    after = 9

class Single(Base):
    def direction(self, p):
        return torch.ones(p.shape, dtype=torch.float32).lerp_(p.grad, 0.9)

class Late(Base):
    def direction(self, p):
        self.state[p]["t"] = t = self.state[p].get("t", 0) + 1
        return p.grad if t < 9 else p.gradient

class Model(Base):
    def __init__(self, model, lr=0.01):
        super().__init__(model.parameters(), lr)

class Abstract(torch.optim.Optimizer):
    pass

class Inner(Base):
    def __init__(self, params, inner: type[torch.optim.Optimizer], lr=0.01):
        super().__init__(params, lr)
"""


@pytest.fixture
def mine(files, ravine):
    """`mine("Class", "trials=3")`: exit code, stdout, stderr, and the table of runs."""
    (files / "mine.py").write_text(OWN)

    folders = (f"swept{k}" for k in itertools.count())

    def run(names: str, *words: str):
        folder = next(folders)
        given = ",".join(
            f"mine.py:{name}" if name[0].isupper() else name for name in names.split(",")
        )
        code, out, err = ravine(*SMALL.split(), f"optimizer={given}", *words, f"out={folder}")
        return code, out, err, pandas.read_csv(files / folder / "runs.csv")

    return run


def test_a_list_is_set_whole_or_by_element_and_each_element_is_a_column(mine):
    words = ["optimizers.Lists.betas=[0.8,0.99]", "optimizers.Lists.betas.1=0.5,0.6", "trials=3"]
    code, _, err, runs = mine("Lists", *words, "optimizers.Lists.clip=norm")
    assert code == 0, err
    assert set(runs["hp.betas.0"]) == {0.8} and set(runs["hp.betas.1"]) == {0.5, 0.6}
    assert "hp.betas" not in runs and set(runs["hp.clip"]) == {"norm"}
    assert "Lists(betas=[0.8, 0.99], betas.1=0.5, clip=norm)" in set(runs["optimizer"])


def test_an_element_is_searched(mine):
    code, _, err, runs = mine("Lists", "optimizers.Lists.betas.0=[0.8,0.99]", "trials=9")
    assert code == 0, err
    searched = runs[runs["trial"] > 0]["hp.betas.0"]
    assert searched.between(0.8, 0.99).all() and searched.nunique() == 8
    assert set(runs[runs["trial"] == 0]["hp.betas.0"]) == {0.9}


def test_an_element_is_searched_in_python():
    size = {"trials": 5, "tuning_seeds": 1, "seeds": 1, "budget": 5}
    settings = {"Adam": {"betas.0": (0.8, 0.99), "betas.1": 0.9}}
    runs = sweep("quadratic", torch.optim.Adam, settings=settings, **size).runs
    assert runs[runs["trial"] > 0]["hp.betas.0"].between(0.8, 0.99).all()
    assert set(runs["hp.betas.1"]) == {0.9}


def test_the_number_of_steps_is_the_budget_unless_given(mine):
    code, _, err, runs = mine("Total", "trials=3")
    assert code == 0, err
    assert set(runs["hp.total_steps"]) == {12} and set(runs["trial"]) == {0, 1, 2}
    code, _, err, runs = mine("Total", "trials=3", "optimizers.Total.total_steps=30")
    assert code == 0, err
    assert set(runs["hp.total_steps"]) == {30} and set(runs["trial"]) == {0, 1, 2}


def test_what_is_not_searched_is_said_with_a_command_that_searches_it(mine):
    code, _, err, runs = mine("NoRate", "trials=3")
    assert code == 0 and set(runs["trial"]) == {0}
    (said,) = (line for line in err.splitlines() if line.startswith("ravine: NoRate"))
    assert "only its defaults are run, one trial" in said
    command = said.partition("to search one: '")[2].rstrip("'")
    assert command == "optimizers.NoRate.strength=[0.005,1]"
    code, _, err, runs = mine("NoRate", "trials=3", command)
    assert "ravine: NoRate" not in err and set(runs["trial"]) == {0, 1, 2}
    for words in (
        ("Lists", "trials=3"),
        ("Lists", "optimizers.Lists.lr=0.1"),
        ("newton", "trials=3"),
    ):
        assert "only its defaults" not in mine(*words)[2]


def test_a_class_for_float32_runs_there(mine):
    code, out, _, runs = mine("Single,sgd", "trials=3")
    assert code == 0 and "computes in float32 only: give dtype=float32" in " ".join(out.split())
    assert set(runs[runs["optimizer"] == "Single"]["status"]) == {"not_applicable"}
    code, _, err, runs = mine("Single", "trials=3", "dtype=float32")
    assert code == 0, err


@pytest.mark.parametrize("name", ["Noisy", pytest.param("NoisyLate", marks=pytest.mark.slow)])
def test_two_processes_draw_the_same(files, name):
    (files / "mine.py").write_text(OWN)
    gaps = []
    for k in range(2):
        words = [
            *SMALL.split(),
            f"optimizer=mine.py:{name}",
            "trials=3",
            f"out=o{k}",
            f"cells=c{k}",
        ]
        command = [sys.executable, "-m", "benchmarks", *words]
        subprocess.run(command, check=True, capture_output=True, env={"PYTHONPATH": str(ROOT)})
        gaps.append(pandas.read_csv(files / f"o{k}/runs.csv")["gap_final"].tolist())
    assert gaps[0] == gaps[1] and len(set(gaps[0])) == len(gaps[0])


def test_what_fails_is_a_row_and_the_others_go_on(mine):
    code, out, err, runs = mine("Late,Model,Abstract,Inner,sgd", "trials=3")
    assert code == 3, err
    statuses = runs.groupby("optimizer")["status"].first().to_dict()
    assert statuses.pop("sgd") not in ("error", "not_applicable")
    unfit = dict.fromkeys(("Abstract", "Inner", "Model"), "not_applicable")
    assert statuses == {"Late": "error", **unfit}
    assert "(mine.py:" in out and "My" in out


def test_two_classes_of_one_name_in_python():
    def made(scale):
        class Scaled(torch.optim.SGD):
            def __init__(self, params, lr=0.01):
                super().__init__(params, scale * lr)

        Scaled.__qualname__ = f"Scaled{scale}"
        return Scaled

    found = sweep("quadratic", [made(1), made(2)], trials=2, tuning_seeds=1, seeds=2, budget=5)
    assert found.summary["optimizer"].nunique() == 2
