"""What is known about learning in deep linear networks, beside the claims."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from benchmarks.checks.contracts import has_the_stated_critical_points
from problems.saddles._certificates.deep_linear import strengths
from problems.saddles.deep_linear import DeepLinear, breaking_start_of_descent


@pytest.mark.parametrize(("depth", "count"), [(2, 8), (3, 8)])
def test_critical_points_have_the_stated_curvatures_at_other_depths(depth, count):
    problem = DeepLinear(depth=depth)
    has_the_stated_critical_points(problem)
    assert len(problem.critical_points(problem.example())) == count


def test_one_layer_has_no_saddle():
    problem = DeepLinear(depth=1)
    assert not problem.critical_points(problem.example())


def test_modes_start_between_half_and_twice_the_scale():
    problem = DeepLinear()
    trees = [problem.example(seed) for seed in range(30)]
    for data in trees:
        torch.testing.assert_close(strengths(problem, data["start"], data), data["strengths"])
    ratios = torch.stack([data["strengths"] for data in trees]) / problem.start
    assert 0.5 <= ratios.min() < 0.55
    assert 1.8 < ratios.max() <= 2
    torch.testing.assert_close(torch.linalg.svdvals(data["target"]), torch.tensor([4.0, 2, 1]))


def test_the_sharpness_is_the_largest_curvature_in_the_minimum():
    for depth in (1, 2, 4):
        problem = DeepLinear(depth=depth)
        data = problem.example()
        (minimizer,) = problem.minimizers(data)
        curvatures = torch.linalg.eigvalsh(problem.hessian(minimizer, data))
        assert float(curvatures[-1]) == pytest.approx(problem.sharpness())
    bowl = problem.control()
    assert bowl.signature(bowl.example()) == pytest.approx(0.5)


def test_the_chain_has_the_gradients_at_each_layers_output():
    problem = DeepLinear(depth=2)
    data = problem.example()
    inner, outer = data["start"].view(2, 3, 3)
    slope = outer @ inner - data["target"]
    expected = torch.stack([slope.norm(), (outer.T @ slope).norm()])
    torch.testing.assert_close(problem.chain(data["start"], data), expected)


def test_where_theory_says_that_descent_breaks():
    """A plateau of a₀^−½/2 in time, at depth 4 and s = 1, of steps 2/32 long."""
    problem = DeepLinear(depth=4)
    assert breaking_start_of_descent(problem, 1000) == pytest.approx(6.4e-5)
    assert breaking_start_of_descent(replace(problem, depth=2), 100) < 1e-10
    assert breaking_start_of_descent(replace(problem, depth=1), 100) == 0
