"""--json: one document that json.loads reads, with the keys that docs/manual/json.md names."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import numpy as np
import pandas
import pytest

from benchmarks.cli import doctor
from benchmarks.cli.subcommands import SUBCOMMANDS, parser
from benchmarks.display.as_json import as_json
from optimizers import OPTIMIZERS
from problems import PROBLEMS

DOCS = (Path(__file__).parents[2] / "docs" / "manual" / "json.md").read_text()
SMALL = "+problem=quadratic problem.dim=2 trials=3 tuning_seeds=1 seeds=6 budget=20"
RATED = """import torch


class Rated(torch.optim.Optimizer):
    def __init__(self, params, lr: float):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p -= group["lr"] * p.grad
"""
LOG = "step,loss,lr\n" + "".join(f"{t},{1 / (1 + t)},0.1\n" for t in range(40)) + "40,nan,0.1\n"
MINE = """
import torch
class Mine(torch.optim.Adam): pass
class Closure(torch.optim.Optimizer):
    def __init__(self, params, lr: float = 0.1, total_steps: int = 5):
        super().__init__(params, {"lr": lr})
    def step(self, closure):
        loss = closure()
        for group in self.param_groups:
            for each in group["params"]:
                each.data -= group["lr"] * each.grad
        return loss
"""


@pytest.fixture
def told(ravine):
    """Run a subcommand with --json, and return its document."""

    def told(words):
        code, out, _ = ravine(f"{words} --json")
        assert code == 0
        return json.loads(out, parse_constant=pytest.fail)  # neither NaN nor Infinity

    return told


@pytest.fixture
def swept(ravine, files):
    assert ravine(f"{SMALL} optimizer=sgd,momentum rungs=2 out=results/first").code == 0
    return files


def documented(name):
    """The keys that the page names behind the heading of a subcommand."""
    section = DOCS.partition(f"**`ravine {name} ")[2].partition("**`ravine ")[0]
    return set(re.findall(r"`([a-z_]+)`", section))


def test_numbers_are_numbers_and_what_is_not_finite_is_said():
    frame = pandas.DataFrame({"x": [1, 2], "y": [math.nan, math.inf], "z": ["a", None]})
    frame["w"] = pandas.array([1, None], dtype="Int64")
    given = {"a": np.float64(-math.inf), "b": np.int64(3), "c": (True, Path("x")), "d": frame}
    assert json.loads(as_json(given)) == {
        "a": "-inf", "b": 3, "c": [True, "x"],
        "d": [{"x": 1, "y": None, "z": "a", "w": 1}, {"x": 2, "y": "inf", "z": None, "w": None}],
    }  # fmt: skip


def test_what_is_shown(told, files):
    (files / "mine.py").write_text(MINE)
    names = "cliff adam gaussian rotate clip mine.py:Mine mine.py:Closure"
    cliff, adam, noise, turned, clip, mine, closure = told(f"show {names}")["shown"]
    assert cliff["ladder"] == [1, 6, 32] and cliff["fields"]["units"] == 6 and cliff["dim"] == 12
    assert adam["searched"]["lr"]["high"] == 10 and adam["hyperparameters"]["beta1"] == 0.9
    assert noise["kind"] == "noise" and turned["kind"] == "transform" and clip["kind"] == "wrapper"
    assert mine["stepping"] == "as one batch"
    assert closure["stepping"] == "run by run, which is slower: its step needs a closure"
    assert {*cliff, *adam, *noise, *turned, *clip} <= documented("show")
    assert [each["name"] for each in told("show")["shown"]] == [*PROBLEMS]


def test_each_optimizer_can_be_shown(told):
    shown = told(f"show {' '.join(OPTIMIZERS)}")["shown"]
    assert [each["name"] for each in shown] == [*OPTIMIZERS]


def test_sweeps_comparisons_and_causes(told, swept):
    (sweep,) = told("list")["sweeps"]
    assert (sweep["folder"], sweep["cells"], sweep["state"]) == ("results/first", 4, "finished")
    assert {*sweep} <= documented("list")
    found = told("compare results/first results/first")
    assert {row["judgement"] for row in found["differences"]} == {"not told apart"}
    assert all(isinstance(row["p"], float) for row in found["differences"])
    assert {*found, *found["differences"][0]} <= documented("compare")
    explained = told("explain results/first")
    assert explained["folder"] == "results/first"
    assert explained["explained"]
    assert all(isinstance(row["instances"], int) for row in explained["explained"])


def test_logs(told, files):
    (files / "log.csv").write_text(LOG)
    found = told("read log.csv")
    assert found["series"]["loss"]["value"][:2] == [1.0, 0.5] and found["readings"]
    assert (
        found["series"]["loss"]["value"][-1] is None and found["series"]["grad_norm"]["step"] == []
    )
    assert {*found, *found["series"]} <= documented("read")


def test_networks(told, monkeypatch):
    short = doctor.DEMOS["rate_too_large"].__class__(
        **{**vars(doctor.DEMOS["rate_too_large"]), "steps": 20}
    )
    monkeypatch.setitem(doctor.DEMOS, "rate_too_large", short)
    (network,) = told("doctor rate_too_large")["networks"]
    assert network["verdict"] and network["evidence"] and network["layers"]
    assert {*network, *network["evidence"][0]} <= documented("doctor")
    assert [each["name"] for each in told("doctor")["networks"]] == [*doctor.DEMOS]


def test_the_page_is_about_each_command_that_has_the_flag():
    for name in SUBCOMMANDS:
        assert ("--json" in parser(name).format_help()) == (f"**`ravine {name} " in DOCS)


def test_bad_input_is_no_json(ravine):
    code, out, err = ravine("show clif --json")
    assert (code, out) == (2, "") and "did you mean cliff?" in err


def test_a_card_says_how_a_class_of_the_user_was_read(ravine, files):
    (files / "mine.py").write_text(MINE)
    _, out, _ = ravine("show mine.py:Closure")
    assert re.search(r"  class +Closure of .*mine.py, *unchanged", " ".join(out.split("\n")))
    assert re.search(r"  searched +lr\n", out) and re.search(
        r"  told the budget +total_steps\n", out
    )
    assert re.search(r"  stepped +run by run, which is slower: its step needs a closure", out)
    _, out, _ = ravine("show mine.py:Mine+clip")
    assert re.search(r"  searched +lr, threshold|  searched +threshold, lr", out)
    (files / "rated.py").write_text(RATED)
    _, rated, _ = ravine("show rated.py:Rated")
    assert re.search(r"  searched +lr\n", rated) and re.search(r"  stepped +as one batch", rated)
    assert re.search(r"  stepped +as one batch", out) and "Mine+clip.eps=[0.01,0.1]" in out
