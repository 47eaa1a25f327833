"""What is known about the neuron whose only minimum is wrong, beyond its claims."""

from __future__ import annotations

import pytest
import torch

from problems.local_minima._certificates import one_neuron as evidence
from problems.local_minima.failing_neuron import FailingNeuron
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("repeats", [1, 10, 100, 351, 352, 1000, 100_000])
def test_the_only_minimum_is_the_stated_one_and_wrong_from_352_on(repeats):
    problem = FailingNeuron(repeats=repeats)
    data = drawn(problem)
    (point,) = problem.critical_points(data)
    assert evidence.count_critical_points(problem, data) == 1
    assert problem.certified(point.x, data)
    assert problem.wrong(point.x, data) == (repeats >= 352)
    torch.testing.assert_close(problem.settle(data["start"], data), point.x, rtol=0, atol=1e-10)
    assert problem.at_end(point.x, torch.zeros(()), data)["wrong"] == (repeats >= 352)


def test_the_examples_are_separable():
    data = drawn(FailingNeuron())
    separating = data["rotation"] @ torch.tensor([1.0, 1.0])
    assert (data["examples"] @ separating > 0).all()
    assert FailingNeuron().wrong(separating, data) == 0


def test_getting_all_right_costs_more():
    """The least cost on the line where the third example's input is 0, by a grid."""
    problem = FailingNeuron()
    data = drawn(problem)
    along = torch.linspace(0, 1, 10_001)[:, None] * torch.tensor([5.0, 1.0])
    line = along @ data["rotation"].T
    assert problem.loss(line, data).min() > 1.1 * problem.floor(data)


def test_asymptotic_targets_leave_no_truth_to_state():
    problem = FailingNeuron().control()
    data = drawn(problem)
    assert problem.minimizers(data) is None
    assert problem.distance(data["start"], data) is None
    assert problem.critical_points(data) == ()
    assert problem.floor(data) == 0


def test_refuses_what_is_no_number_of_repeats():
    for fields in ({"repeats": 0}, {"repeats": 1.5}, {"asymptotic": "no"}):
        with pytest.raises(Refused, match=f"failing_neuron.{next(iter(fields))}"):
            FailingNeuron(**fields)
