"""What is known about learning in deep linear networks, measured on ours."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice, pairwise

import pytest
import torch

from problems.descent import descent
from problems.saddles._certificates import deep_linear as evidence
from problems.saddles.deep_linear import DeepLinear, breaking_start_of_descent
from ravine import Refused


@pytest.mark.parametrize("depth", [2, 3, 4, 6])
def test_critical_points_have_the_stated_curvatures(depth):
    problem = DeepLinear(depth=depth)
    data = problem.example()
    points = problem.critical_points(data)
    assert len(points) == 8
    for point in points:
        value, gradient = problem.value_and_gradient(point.x, data)
        assert gradient.norm() < 1e-12
        assert float(value) == pytest.approx(point.value, abs=1e-12)
        curvatures = torch.linalg.eigvalsh(problem.hessian(point.x, data))
        assert (curvatures < -1e-8).sum() == point.index
        assert (curvatures.abs() < 1e-8).sum() == point.nullity


def test_saddles_on_the_way_are_strict_at_depth_2_only():
    """Nothing, the first mode, the first two: at larger depths no curvature is negative."""
    for depth, indices in [(2, [9, 4, 1]), (3, [0, 0, 0]), (5, [0, 0, 0])]:
        problem = DeepLinear(depth=depth)
        points = {point.value: point for point in problem.critical_points(problem.example())}
        assert [points[value].index for value in (10.5, 2.5, 0.5)] == indices


def test_starts_are_balanced_and_aligned():
    problem = DeepLinear(depth=4)
    for seed in range(3):
        data = problem.example(seed)
        layers = data["start"].view(4, 3, 3)
        for before, after in pairwise(layers):
            torch.testing.assert_close(after.T @ after, before @ before.T)
        strengths = evidence.strengths(problem, data["start"], data)
        torch.testing.assert_close(strengths, data["strengths"])
        ratios = strengths / problem.start
        assert (ratios >= 0.5).all()
        assert (ratios <= 2).all()
        torch.testing.assert_close(torch.linalg.svdvals(data["target"]), torch.tensor([4.0, 2, 1]))


def test_descent_keeps_the_layers_balanced_and_the_modes_apart():
    problem = DeepLinear(depth=3, start=0.05)
    data = problem.example()
    x = next(islice(descent(problem, data, data["start"], 0.01), 150, None))
    strengths = evidence.strengths(problem, x, data)
    assert strengths.max() > 1
    torch.testing.assert_close(x, problem.aligned(strengths, data))


def test_flow_times_at_depth_2_and_4_are_those_in_closed_form():
    a, start = torch.tensor([0.01, 1.0, 1.9, 1.999]), 1e-4
    two = evidence.time_to(DeepLinear(depth=2), a, start, 1)
    expected = (a * (2 - start) / (start * (2 - a))).log() / 4
    torch.testing.assert_close(two, expected)

    def antiderivative(w):  # of 1/(w³(s − w⁴)) = (1/w³ + w/(s − w⁴))/s, s = 2
        return (-1 / (2 * w**2) + torch.atanh(w**2 / math.sqrt(2)) / (2 * math.sqrt(2))) / 2

    four = evidence.time_to(DeepLinear(depth=4), a, start, 1)
    expected = antiderivative(a**0.25) - antiderivative(torch.tensor(start) ** 0.25)
    torch.testing.assert_close(four, expected, rtol=1e-4, atol=0)


def test_the_sharpness_is_the_largest_curvature_in_the_minimum():
    for depth in (1, 2, 4):
        problem = DeepLinear(depth=depth)
        data = problem.example()
        (minimizer,) = problem.minimizers(data)
        curvatures = torch.linalg.eigvalsh(problem.hessian(minimizer, data))
        assert float(curvatures[-1]) == pytest.approx(problem.sharpness())


def test_one_layer_is_a_bowl():
    problem = DeepLinear().control()
    data = problem.example()
    torch.testing.assert_close(problem.hessian(data["start"], data), torch.eye(9))
    assert problem.critical_points(data) == ()
    assert problem.signature(data) == pytest.approx(0.5)


def test_where_theory_says_that_descent_breaks():
    """A plateau of a₀^−½/2 in time, at depth 4 and s = 1, of steps 2/32 long."""
    problem = DeepLinear(depth=4)
    assert breaking_start_of_descent(problem, 1000) == pytest.approx(6.4e-5)
    assert breaking_start_of_descent(replace(problem, depth=2), 100) < 1e-10
    assert breaking_start_of_descent(replace(problem, depth=1), 100) == 0


def test_shapes_and_refusals():
    assert DeepLinear(depth=3).shapes == ((3, 3),) * 3
    for fields, message in [
        ({"depth": 0}, "deep_linear.depth is 0, but must be a whole number, at least 1"),
        ({"start": 0.0}, "deep_linear.start is 0.0, but must be a number, above 0"),
        ({"start": 0.5}, "deep_linear.start is 0.5, but must be a number, above 0, at most 0.4"),
    ]:
        with pytest.raises(Refused, match=message):
            DeepLinear(**fields)
