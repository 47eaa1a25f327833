"""A cell runs in the precision that is asked for."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from benchmarks.catalog.contenders import contender
from benchmarks.engine.cell import run_cell
from benchmarks.engine.protocol import Protocol
from optimizers.oracle import CountingOracle
from optimizers.sgd import SGD
from problems import PROBLEMS
from problems.modifiers import noisy, transformed
from tests.benchmarks.problems_for_tests import Bowl, NoisyBowl

pytestmark = pytest.mark.usefixtures(
    "registries"
)  # the classes of torch that are loaded are forgotten

SIZE = Protocol(trials=1, tuning_seeds=1, seeds=1, budget=5)


def ended(problem, what, dtype, monkeypatch):
    """Run a cell; return the losses at the end, and the types of all numbers that a step has to do with."""
    found = set()

    def types(tree):
        for leaf in tree.values():
            if isinstance(leaf, dict):
                types(leaf)
            elif isinstance(leaf, torch.Tensor) and leaf.is_floating_point():
                found.add(leaf.dtype)

    move = CountingOracle.move

    def watched(self, x, draw, *others, **named):
        move(self, x, draw, *others, **named)
        types({"x": x, "draw": draw or {}, "data": self._data, "normal": self.normal()})
        types({"value": self.true_value(), "gradient": self.here.gradient})

    with monkeypatch.context() as patch:
        patch.setattr(CountingOracle, "move", watched)
        size = dataclasses.replace(SIZE, dtype=dtype).settled(problem)
        return run_cell(problem, contender(what), size).runs["loss_final"], found


def check(problem, what, monkeypatch):
    """Compare a cell in both precisions: each number has the asked one, and the losses differ in rounding."""
    single, double = (ended(problem, what, each, monkeypatch) for each in ("float32", "float64"))
    assert (single[1], double[1]) == ({torch.float32}, {torch.float64})
    assert (single[0] != double[0]).any()


@pytest.mark.parametrize("name", PROBLEMS)
def test_of_every_problem(name, monkeypatch):
    check(PROBLEMS[name], "momentum", monkeypatch)


@pytest.mark.parametrize(
    "what",
    ["adam", "newton", "saddle_free_newton", "sign_sgd", "random_search", "clipped_sgd", "torch.optim.Adam"],
)  # fmt: skip
@pytest.mark.parametrize("problem", [Bowl(), NoisyBowl()], ids=["exact", "noisy"])
def test_of_methods_of_all_kinds(problem, what, monkeypatch):
    check(problem, what, monkeypatch)


def test_of_modified_problems(monkeypatch):
    problem = noisy(transformed(Bowl(), ["rotate", "scale"]), "gaussian", 0.1)
    check(problem, "sgd", monkeypatch)


@pytest.mark.parametrize("what", ["lbfgs", "newton_cg", "torch.optim.LBFGS"])
def test_costs_are_sums_of_thirds_in_both_precisions(what):
    """Equal costs must tie up to rounding in float64, even if the runs pay for different evaluations."""
    for dtype in ("float32", "float64"):
        size = Protocol(trials=2, tuning_seeds=1, seeds=2, budget=200, dtype=dtype)
        problem = PROBLEMS["rosenbrock"]
        runs = run_cell(problem, contender(what), size.settled(problem)).runs
        thirds = 3 * runs["cost"]
        assert thirds.max() > 100
        np.testing.assert_allclose(thirds, thirds.round(), rtol=1e-12)


class Fading(SGD):
    """Gradient descent with a falling learning rate, in which some runs pay for an extra loss."""

    def update(self, oracle, state):
        _ = oracle.at(oracle.x + 1, oracle.x[..., :1] > 0).value
        return -0.1 * (1 - oracle.progress) * oracle.gradient, state


def test_the_share_of_the_budget_has_the_precision_of_the_run(monkeypatch):
    check(Bowl(), Fading(), monkeypatch)
