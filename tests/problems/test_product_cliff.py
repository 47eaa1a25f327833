"""What is known about a product of many weights beside its claims."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.checks.contracts import has_the_stated_critical_points, has_the_stated_minimizers
from problems.cliffs.product_cliff import ProductCliff
from ravine import Refused


@pytest.mark.parametrize("weights", [(2.0, -3.0, 0.5), (0.0, 2.0, 5.0), (0.0, 0.0, 5.0)])
def test_no_weight_divides(weights):
    """The gradient is right where weights are 0 too: the error times the product of the others."""
    a, b, c = weights
    value, gradient = ProductCliff(dim=3).value_and_gradient(torch.tensor(weights), {})
    error = a * b * c - 1
    assert value == 0.5 * error**2
    assert gradient.tolist() == [error * b * c, error * a * c, error * a * b]


@pytest.mark.parametrize(("dim", "finite"), [(56, True), (57, False)])
def test_float32_overflows_where_it_is_said_to(dim, finite):
    """At the highest start, 2.2 in all weights."""
    assert ProductCliff.__doc__ and "from dim 57 on" in ProductCliff.__doc__
    value, gradient = ProductCliff(dim=dim).value_and_gradient(
        torch.full((dim,), 2.2, dtype=torch.float32), {}
    )
    assert bool(value.isfinite() and gradient.isfinite().all()) == finite


def test_starts_are_on_the_side_of_the_minima():
    problem = ProductCliff(dim=8)
    starts = torch.stack([problem.example(seed)["start"] for seed in range(50)])
    assert (starts.prod(-1) > 1).all()
    assert (starts < 0).double().mean().item() == pytest.approx(0.5, abs=0.1)
    size = starts.abs()
    assert 1.8 <= size.min() < 1.81
    assert 2.19 < size.max() <= 2.2


def test_solved_is_measured_by_the_saddles_and_not_by_the_start():
    """At dim 32 a loss of 1e10 is a relative gap of 1e-9, and nowhere."""
    problem = ProductCliff(dim=32)
    data = problem.example()
    half_way = data["start"] / 1.3
    gap = problem.loss(half_way, data) / problem.loss(data["start"], data)
    assert gap < 1e-6
    assert not problem.solved(half_way, gap, None, data)
    assert problem.solved(problem.minimizers(data)[1], gap, None, data)


def test_the_truth_holds_for_another_product():
    problem = ProductCliff(dim=5, product=2.0)
    has_the_stated_minimizers(problem)
    has_the_stated_critical_points(problem)
    data = problem.example()
    equal, skew = (
        torch.linalg.eigvalsh(problem.hessian(point, data))[-1]
        for point in problem.minimizers(data)
    )
    assert equal == pytest.approx(5 * 2 ** (2 - 2 / 5))
    assert skew > equal


@pytest.mark.parametrize("dim", [2, 6, 32])
def test_the_signature_is_nearly_two_to_the_2n_minus_1(dim):
    problem = ProductCliff(dim=dim)
    signature = problem.signature(problem.example())
    assert math.log2(signature) == pytest.approx(2 * dim - 1, abs=1.5 / dim)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"radius": 1.0}, "product_cliff.radius is 1.0, but must be above 1.13 for this dim"),
        ({"dim": 200}, "product_cliff.dim is 200, but must be at most 116 at radius 2"),
    ],
)
def test_refuses_no_cliff_and_one_that_overflows(fields, message):
    with pytest.raises(Refused, match=message):
        ProductCliff(**fields)
