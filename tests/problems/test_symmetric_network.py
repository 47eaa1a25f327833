"""What is known about a network's symmetries, beyond its claims."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch

from benchmarks.checks.contract import NothingStated
from benchmarks.checks.contracts import has_the_stated_critical_points, has_the_stated_minimizers
from problems.local_minima.symmetric_network import SymmetricNetwork
from ravine import Refused


@pytest.mark.parametrize("layers", [1, 3])
def test_the_network_is_that_of_torch(layers):
    problem = SymmetricNetwork(layers=layers)
    data = problem.example()
    *weights, last = problem.parts(data["start"])
    state = data["inputs"]
    for weight in weights:
        state = torch.nn.functional.linear(state, weight).relu()
    torch.testing.assert_close(problem.outputs(data["start"], data["inputs"]), state @ last)


@pytest.mark.parametrize(
    "problem",
    [SymmetricNetwork(layers=2), SymmetricNetwork(activation="tanh", rescaling=1.0)],
    ids=["symmetric_network with two layers", "symmetric_network with tanh"],
)
def test_copies_of_the_teacher_are_minimizers(problem):
    has_the_stated_minimizers(problem)
    with suppress(NothingStated):  # of two layers
        has_the_stated_critical_points(problem)


def test_rungs_start_as_the_same_function():
    """So that only the coordinates differ."""
    near, far = (SymmetricNetwork(rescaling=each) for each in (1.0, 32.0))
    start = near.example()["start"]
    torch.testing.assert_close(far.rescaled(start, 32.0), far.example()["start"])
    assert near.signature(near.example()) == 1


def test_refuses_what_is_no_symmetry():
    with pytest.raises(
        Refused, match=r"symmetric_network.rescaling is 2.0, but must be 1 with tanh"
    ):
        SymmetricNetwork(activation="tanh", rescaling=2.0)
