"""Signatures against closed forms: condition number, negative curvature, noise."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from benchmarks.engine.instances import Instances
from benchmarks.study import TASKS, signatures
from benchmarks.study.signatures import FEATURES, rungs, signature
from problems import PROBLEMS


def test_quadratic_has_its_condition_number_and_no_negative_curvature():
    found = signature(replace(PROBLEMS["quadratic"], dim=5, condition=1e4))
    assert found["condition"] == pytest.approx(2, abs=1e-6)  # 1e-4, 1e-3, 1e-2, 1e-1, 1
    assert found["negative"] == 0 and found["noise"] == 0
    assert found["stability"] == pytest.approx(-1, abs=1e-6)  # its curvature is constant


def test_growth_on_one_curvature_is_that_of_the_gradient(monkeypatch):
    monkeypatch.setattr(signatures, "STEPS", 10)
    found = signature(replace(PROBLEMS["quadratic"], dim=5, condition=1.0))
    assert found["growth"] == pytest.approx(2 * 10 * math.log10(1 - 0.2), abs=1e-6)


def test_saddle_has_its_share_of_negative_curvature(monkeypatch):
    monkeypatch.setattr(signatures, "STEPS", 0)
    problem = PROBLEMS["strict_saddle"]
    instances = Instances(problem, ("signature|0",))
    values = torch.linalg.eigvalsh(problem.hessian(instances.data["start"], instances.data))
    expected = (values < 0).double().mean().item()
    assert 0 < expected < 1
    assert signature(problem)["negative"] == pytest.approx(expected)


def test_a_flat_start_does_not_lead_far_away():
    problem = PROBLEMS["deep_linear"].at_dial(1e-6)
    assert all(map(math.isfinite, signature(problem).values()))


def test_noise_is_the_stated_variance():
    problem = replace(PROBLEMS["noisy_quadratic"], noise=0.3)
    found = signature(problem)
    instances = Instances(problem, ("signature|0", "signature|1", "signature|2"))
    steepest = 1.0
    data = instances.data
    x = signatures._walk(problem, instances, torch.full((3, 1, 1), 0.2 / steepest).double())
    squared = problem.value_and_gradient(x, data)[1].square().sum(-1)
    trace = 0.3 * problem.curvatures().sum()  # of noise · H
    expected = (trace / (trace + squared)).median().item()
    assert found["noise"] == pytest.approx(expected, rel=0.1)


def test_lanczos_has_the_spectrum_of_the_whole_hessian(monkeypatch):
    problem = replace(PROBLEMS["quadratic"], dim=300, condition=100.0)
    whole = signature(problem)
    monkeypatch.setattr(signatures, "SPECTRUM_UP_TO", 10)
    few = signature(problem)
    assert few["condition"] == pytest.approx(whole["condition"], abs=0.1)
    assert few["negative"] == 0 and few["stability"] == pytest.approx(whole["stability"], abs=0.01)


def test_lanczos_has_the_share_of_negative_curvature(monkeypatch):
    problem = PROBLEMS["random_field"].at_dial(20)
    whole = signature(problem)
    monkeypatch.setattr(signatures, "SPECTRUM_UP_TO", 10)
    assert signature(problem)["negative"] == pytest.approx(whole["negative"], abs=0.15)


@pytest.mark.parametrize("name", ["softmax_cancer", "diabetes"])
def test_task_has_every_feature_and_the_same_each_time(name):
    found = signature(TASKS[name])
    assert tuple(found) == FEATURES
    assert all(map(math.isfinite, found.values()))
    assert 0 < found["noise"] < 1 and 0 < found["density"] <= 1
    assert signature(TASKS[name]) == found


def test_the_curvature_of_a_task_is_that_of_many_examples():
    task = TASKS["softmax_digits"]
    many = signatures._exact(task)
    x = Instances(task, ("a",)).data["start"]
    inputs, wanted = (each[: signatures.EXAMPLES] for each in task.parts()[0])
    weight, bias = x[0, 0, :640].view(10, 64), x[0, 0, 640:]
    loss = torch.nn.functional.cross_entropy(inputs @ weight.T + bias, wanted)
    torch.testing.assert_close(many.loss(x, {})[0, 0], loss)


def test_every_rung_of_the_standard_suite_is_there():
    found = list(rungs())
    assert len({(name, dial) for name, dial, _ in found}) == len(found)
    assert all(problem.dial == dial for _, dial, problem in found)
    assert ("random_field", 20.0) in {(name, dial) for name, dial, _ in found}
    assert next(each for name, _, each in found if name == "random_field").waves == 1000
