"""What is known about the neuron whose only minimum is wrong, beyond its claims."""

from __future__ import annotations

import pytest
import torch

from benchmarks.checks.contracts import has_the_stated_critical_points
from problems.local_minima.failing_neuron import FailingNeuron


@pytest.mark.parametrize("repeats", [1, 351, 352])
def test_the_minimum_is_wrong_from_352_repeats_on(repeats):
    problem = FailingNeuron(repeats=repeats)
    data = problem.example()
    has_the_stated_critical_points(problem)
    (x,) = problem.minimizers(data)
    assert problem.at_end(x, torch.zeros(()), data)["wrong"] == (repeats >= 352)
