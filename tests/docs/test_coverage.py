"""Which public optimizers run unchanged: the published table, and how it is measured."""

from __future__ import annotations

import math

import pandas
import pytest
import torch

from benchmarks.docgen import coverage
from benchmarks.docgen.coverage import ALONE, BATCHED, NOT, RANDOM, rows, tried
from benchmarks.engine.instances import Instances
from benchmarks.engine.protocol import stream

TEXT = ["package", "class", "vector", "matrices", "message", "tried"]


def published(package):
    table = coverage.read()
    return table[table["package"] == package].reset_index(drop=True)


def assert_measured_as_published(package, among=()):
    found, kept = pandas.DataFrame(rows(package, among)), published(package)
    if among:
        kept = kept[kept["class"].isin(among)].reset_index(drop=True)
    assert found[TEXT].equals(kept[TEXT])
    for one, other in zip(found["plain loop"], kept["plain loop"], strict=True):
        assert (one in ("", RANDOM)) == (other in ("", RANDOM))
        if one not in ("", RANDOM):
            assert float(one) <= coverage.CLOSE


def test_the_page_is_that_of_the_table():
    assert coverage.FILE.with_suffix(".md").read_text() == coverage.text(coverage.read())


def test_nearly_every_public_class_runs_or_says_what_was_tried():
    table = coverage.read()
    assert set(table["package"]) == set(coverage.PACKAGES)
    ran = (table[list(coverage.ON)] != NOT).any(axis=1)
    assert (ran | (table["tried"] != "")).sum() >= 228 and (table.loc[~ran, "message"] != "").all()
    differ = pandas.to_numeric(table.loc[ran, "plain loop"], errors="coerce")
    assert (differ.dropna() <= coverage.CLOSE).all()


def test_classes_are_measured_as_published():
    assert_measured_as_published("torch.optim", ("Adam", "LBFGS", "Muon", "SparseAdam"))


@pytest.mark.slow
@pytest.mark.parametrize("package", coverage.ALWAYS)
def test_all_classes_are_measured_as_published(package):
    pytest.importorskip(package)
    assert_measured_as_published(package)


class Plain(torch.optim.Optimizer):
    def __init__(self, params, lr=0.1):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.sub_(group["lr"] * p.grad)


class Wants(Plain):
    def __init__(self, model, lr=0.1):
        super().__init__(model.parameters(), lr)


class WantsMore(Plain):
    def __init__(self, model, lr=0.1):
        super().__init__(model.layers, lr)


def test_a_difference_from_the_plain_loop_is_seen(monkeypatch):
    assert tried(Plain, "vector").difference == 0
    right = coverage.plain_loop

    def other(method, values, *rest):
        return right(method, {"lr": (1 + 1e-4) * values["lr"]}, *rest)

    monkeypatch.setattr(coverage, "plain_loop", other)
    assert tried(Plain, "vector").difference > coverage.CLOSE


def test_the_plain_loop_is_that_of_gradient_descent():
    problem = coverage.ON["vector"]
    instances = Instances(problem, tuple(map(stream, range(coverage.INSTANCES))))
    x, data = instances.data["start"], instances.data
    for _ in range(3):
        x = x - 0.01 * problem.value_and_gradient(x, data)[1]
    expected = float(problem.loss(x, data)[0, 0])
    assert coverage.plain_loop(Plain, {"lr": 0.01}, instances, 3) == pytest.approx(
        expected, rel=1e-12
    )
    assert math.isfinite(expected)


def test_a_remedy_is_carried_out():
    found, done = coverage.with_remedy(Wants, "matrices")
    assert (found.how, done) == (NOT, "that class")
    found, done = coverage.with_remedy(WantsMore, "matrices")
    assert (found.how, done) == (NOT, "")
    assert found.message.endswith(
        "it wants a model, and fails with one made of the parameters alone"
    )
    assert coverage.with_remedy(Plain, "vector") == (tried(Plain, "vector"), "")


def test_how_a_class_runs():
    assert tried(torch.optim.SGD, "vector").how == BATCHED
    assert tried(torch.optim.LBFGS, "vector").how == ALONE
    assert tried(torch.optim.Muon, "vector").how == NOT


def test_an_unknown_package_is_refused(capsys):
    assert coverage.main(["torch_optim"]) == 2
    assert "unknown package torch_optim: torch.optim, pytorch_optimizer" in capsys.readouterr().err
