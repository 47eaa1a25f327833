"""What is known about products of independent random layers, measured on ours by plain loops."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from problems.long_term_dependencies._certificates.random_walk_depth import walk_law
from problems.long_term_dependencies.random_walk_depth import RandomWalkDepth
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(problem, seed=0):
    return problem.instance(generator(seed))


def test_loss_is_that_of_nets_side_by_side():
    """Each is fed the coordinate of x along an axis of its own, and multiplies it by its gain."""
    problem = RandomWalkDepth(dim=5)
    data = drawn(problem)
    x = torch.randn(5, generator=generator(1))
    axes = data["map"] / data["gains"][:, None]
    torch.testing.assert_close(axes @ axes.T, torch.eye(5))
    expected = 0.5 * (data["gains"] * (axes @ (x - data["minimizer"]))).square().sum()
    torch.testing.assert_close(problem.loss(x, data), expected)
    curvatures = torch.linalg.eigvalsh(data["hessian"])
    torch.testing.assert_close(curvatures, data["gains"].square().sort().values, rtol=1e-9, atol=0)


def test_start_is_whitened():
    """Every net counts alike in the gap, whatever its gain."""
    for depth in (1, 1024):
        data = drawn(RandomWalkDepth(depth=depth))
        outputs = data["map"] @ (data["start"] - data["minimizer"])
        assert outputs.square().mean().item() == pytest.approx(1, abs=0.9)
        shallow = drawn(RandomWalkDepth(depth=1))
        expected = shallow["map"] @ (shallow["start"] - shallow["minimizer"])
        torch.testing.assert_close(outputs, expected, rtol=1e-9, atol=1e-9)


def test_deeper_nets_begin_with_the_layers_of_shallower_ones():
    short, long = (RandomWalkDepth(depth=depth) for depth in (1, 2))
    first = short.log_gains(1000, generator())
    both = long.log_gains(1000, generator())
    correlation = torch.corrcoef(torch.stack([first, both]))[0, 1].item()
    assert correlation == pytest.approx(math.sqrt(0.5), abs=0.06)


def explicit(problem, count, seed):
    """ln of what one layer of explicit matrices does to the length of a vector."""
    width = problem.width
    weights = torch.randn(count, width, width, generator=generator(seed)) / math.sqrt(width)
    vector = torch.randn(count, width, generator=generator(seed + 1))
    passed = torch.einsum("...ij,...j->...i", weights, vector)
    if (
        problem.activation == "relu"
    ):  # a gradient passes where the entry of the forward pass was positive
        passed = passed * (torch.rand(count, width, generator=generator(seed + 2)) < 0.5)
    return (problem.layer_gain() * passed.norm(dim=-1) / vector.norm(dim=-1)).log()


@pytest.mark.parametrize("activation", ["linear", "relu"])
def test_one_layer_is_what_an_explicit_matrix_does(activation):
    """The law of the walk: mean and spread within three and a half standard errors."""
    problem = RandomWalkDepth(width=60, depth=1, activation=activation)
    drift, spread = walk_law(problem)
    for logs in (explicit(problem, 2000, 3), problem.log_gains(2000, generator())):
        assert logs.mean().item() == pytest.approx(drift, abs=3.5 * spread / math.sqrt(2000))
        assert logs.std().item() == pytest.approx(spread, rel=3.5 / math.sqrt(2 * 2000))


@pytest.mark.parametrize("width", [20, 50, 100, 200])
def test_law_of_linear_walks(width):
    """Published checks at depth 200: −5.083, −2.013, −1.003, −0.501 with g = 1, and what is left of them."""
    problem = RandomWalkDepth(width=width, depth=100, gain=math.exp(-1 / (2 * width)))
    drift, spread = walk_law(problem)
    exact = {20: (-5.083, 2.293), 50: (-2.013, 1.428), 100: (-1.003, 1.005), 200: (-0.501, 0.709)}
    assert (200 * drift, math.sqrt(200) * spread) == pytest.approx(exact[width], abs=6e-4)
    assert -0.09 < 200 * walk_law(replace(problem, gain=1.0))[0] < 0


def test_rectified_layers_need_twice_the_gain_squared_and_a_correction():
    problem = RandomWalkDepth(width=100, depth=200, activation="relu")
    assert problem.layer_gain() == pytest.approx(math.sqrt(2) * math.exp(1.2 / 97.6))
    assert abs(200 * walk_law(problem)[0]) < 0.1
    usual = replace(problem, gain=math.exp(-1.2 / 97.6))
    assert usual.layer_gain() == pytest.approx(math.sqrt(2))
    assert 200 * walk_law(usual)[0] == pytest.approx(-2.54, abs=0.01)
    linear = replace(problem, activation="linear")
    assert (walk_law(problem)[1] / walk_law(linear)[1]) ** 2 == pytest.approx(2.5, rel=0.05)


def test_theory_breaks_at_the_square_of_a_logarithm_of_the_budget():
    """ln κ grows as √D, so √D with ln of the budget: two decades of it buy a few hundred layers."""
    problem, theory = RandomWalkDepth(), RandomWalkDepth.card.theory
    descent = [theory["sgd"](problem, budget) for budget in (100, 1000, 10_000)]
    roots = [math.sqrt(depth) for depth in descent]
    assert roots[2] - roots[1] == pytest.approx(roots[1] - roots[0], rel=0.25)
    assert 100 < descent[1] < 170
    assert 2 * descent[1] < theory["momentum"](problem, 1000) < 5 * descent[1]
    assert theory["newton"](problem, 1000) == math.inf
    wide = RandomWalkDepth(width=200)  # only D/N counts
    assert theory["sgd"](wide, 1000) == pytest.approx(2 * descent[1], rel=0.05)


def test_refuses_what_would_make_the_truth_false():
    for fields, message in [
        ({"depth": 0}, "random_walk_depth.depth is 0, but must be a whole number, at least 1"),
        ({"depth": 2000}, "random_walk_depth.depth is 2000, but must be at most 1049"),
        ({"gain": 2.0}, "random_walk_depth.depth is 256, but must be at most 216"),
        ({"width": 20, "activation": "relu"}, "random_walk_depth.width is 20, but must be a whole"),
        ({"activation": "tanh"}, "random_walk_depth.activation is 'tanh'"),
    ]:
        with pytest.raises(Refused) as refused:
            RandomWalkDepth(**fields)
        assert message in str(refused.value)
