"""What is known about a network's symmetries, beyond its claims."""

from __future__ import annotations

import pytest
import torch

from problems.local_minima._certificates import symmetric_network as evidence
from problems.local_minima.symmetric_network import SymmetricNetwork
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_network_is_that_of_torch(layers):
    problem = SymmetricNetwork(layers=layers)
    data = drawn(problem)
    *weights, last = problem.parts(data["start"])
    state = data["inputs"]
    for weight in weights:
        state = torch.nn.functional.linear(state, weight).relu()
    torch.testing.assert_close(problem.outputs(data["start"], data["inputs"]), state @ last)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_all_symmetries_keep_the_function(activation):
    problem = SymmetricNetwork(layers=2, activation=activation, rescaling=1.0)
    data = drawn(problem)
    x, names = data["start"], [torch.tensor([2, 0, 3, 1]), torch.tensor([1, 3, 0, 2])]
    outputs = problem.outputs(x, data["inputs"])
    renamed = problem.renamed(x, names)
    assert not torch.equal(renamed, x)
    torch.testing.assert_close(problem.outputs(renamed, data["inputs"]), outputs)
    signs = [torch.tensor([1.0, -1, -1, 1]), torch.tensor([-1.0, 1, 1, 1])]
    flipped = problem.outputs(evidence.flipped(problem, x, signs), data["inputs"])
    rescaled = problem.outputs(problem.rescaled(x, 7.0), data["inputs"])
    kept, broken = (rescaled, flipped) if activation == "relu" else (flipped, rescaled)
    torch.testing.assert_close(kept, outputs)
    assert not torch.allclose(broken, outputs, rtol=0.01)


def test_symmetries_take_batches():
    problem = SymmetricNetwork(layers=2)
    x = torch.randn(3, 5, len(drawn(problem)["start"]))
    names = [torch.tensor([2, 0, 3, 1])] * 2
    torch.testing.assert_close(problem.renamed(x, names)[1, 2], problem.renamed(x[1, 2], names))
    torch.testing.assert_close(problem.rescaled(x, 3.0)[2, 4], problem.rescaled(x[2, 4], 3.0))


def test_rungs_start_as_the_same_function():
    """So that only the coordinates differ."""
    near, far = (drawn(SymmetricNetwork(rescaling=each)) for each in (1.0, 32.0))
    problem = SymmetricNetwork()
    torch.testing.assert_close(problem.loss(near["start"], near), problem.loss(far["start"], far))
    torch.testing.assert_close(problem.rescaled(near["start"], 32.0), far["start"])


def test_the_signature_grows_like_the_square_of_the_dial():
    for seed in range(3):
        ratios = [
            problem.signature(drawn(problem, seed))
            for problem in (SymmetricNetwork(rescaling=each) for each in (1.0, 8.0, 32.0))
        ]
        assert ratios[0] == pytest.approx(1)
        assert ratios[2] / ratios[1] == pytest.approx(16, rel=0.01)


def test_refuses_what_is_no_symmetry():
    with pytest.raises(
        Refused, match=r"symmetric_network.rescaling is 2.0, but must be 1 with tanh"
    ):
        SymmetricNetwork(activation="tanh", rescaling=2.0)
    for fields in ({"units": 5}, {"points": 31}, {"layers": 0}, {"rescaling": 0.0}):
        with pytest.raises(Refused, match="symmetric_network"):
            SymmetricNetwork(**fields)
