"""What is known about a product of many weights, measured on ours by plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from problems.cliffs._certificates import product_cliff as evidence
from problems.cliffs.product_cliff import ProductCliff
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


def hessian(problem, weights):
    return torch.func.hessian(lambda w: 0.5 * (w.prod() - problem.product).square())(weights)


@pytest.mark.parametrize("weights", [(2.0, -3.0, 0.5), (0.0, 2.0, 5.0), (0.0, 0.0, 5.0)])
def test_no_weight_divides(weights):
    """The gradient is right where weights are 0 too: the error times the product of the others."""
    a, b, c = weights
    value, gradient = ProductCliff(dim=3).value_and_gradient(torch.tensor(weights), {})
    error = a * b * c - 1
    assert value == 0.5 * error**2
    assert gradient.tolist() == [error * b * c, error * a * c, error * a * b]


@pytest.mark.parametrize(("size", "product"), [(2.0, 1.0), (1.5, 3.0), (0.5, 2.0)])
def test_curvatures_on_the_diagonal(size, product):
    problem = ProductCliff(dim=7, product=product)
    along, across = evidence.curvatures_on_diagonal(problem, size)
    curvatures = torch.linalg.eigvalsh(hessian(problem, torch.full((7,), size)))
    expected = torch.tensor([across] * 6 + [along]).sort().values
    torch.testing.assert_close(curvatures, expected)


def test_differences_of_squares_stay_as_they_are():
    """Along the flow wᵢ² − wⱼ² is conserved: descent at a small rate goes down between two walls."""
    problem = ProductCliff(dim=4)
    x = drawn(problem)["start"]
    before = x.square() - x[0].square()
    while problem.loss(x, {}) > 1e-3:
        x = x - 2e-4 * problem.value_and_gradient(x, {})[1]
    assert (x.square() - x[0].square() - before).abs().max() < 0.01


def test_starts_are_on_the_side_of_the_minima():
    problem = ProductCliff(dim=8)
    starts = torch.stack([drawn(problem, seed)["start"] for seed in range(50)])
    assert (starts.prod(-1) > 1).all()
    assert (starts < 0).double().mean().item() == pytest.approx(0.5, abs=0.1)
    size = starts.abs()
    assert 1.8 <= size.min() < 1.81
    assert 2.19 < size.max() <= 2.2


def test_solved_is_measured_by_the_saddles_and_not_by_the_start():
    """At dim 32 a loss of 1e10 is a relative gap of 1e-9, and nowhere."""
    problem = ProductCliff(dim=32)
    data = drawn(problem)
    half_way = data["start"] / 1.3
    gap = problem.loss(half_way, data) / problem.loss(data["start"], data)
    assert gap < 1e-6
    assert not problem.solved(half_way, gap, None, data)
    assert problem.solved(problem.minimizers(data)[1], gap, None, data)


def test_the_minima_have_one_curvature_that_differs_along_the_valley():
    problem = ProductCliff(dim=5, product=2.0)
    data = drawn(problem)
    for point in problem.minimizers(data):
        curvatures = torch.linalg.eigvalsh(hessian(problem, point))
        assert curvatures[-1] == pytest.approx((2 / point).square().sum().item())
        assert curvatures[:-1].abs().max() < 1e-12 * curvatures[-1]
    equal, skew = (
        torch.linalg.eigvalsh(hessian(problem, point))[-1] for point in problem.minimizers(data)
    )
    assert equal == pytest.approx(5 * 2 ** (2 - 2 / 5))
    assert skew > equal


@pytest.mark.parametrize("dim", [2, 3, 6])
def test_saddles_have_the_stated_curvatures(dim):
    problem = ProductCliff(dim=dim)
    for point in problem.critical_points(drawn(problem)):
        value, gradient = problem.value_and_gradient(point.x, {})
        curvatures = torch.linalg.eigvalsh(hessian(problem, point.x))
        assert value == pytest.approx(point.value, abs=1e-20)
        assert gradient.abs().max() < 1e-12
        assert (curvatures < -1e-9).sum() == point.index
        assert (curvatures.abs() < 1e-9).sum() == point.nullity


def test_the_signature_is_nearly_two_to_the_2n_minus_1():
    for dim in (2, 6, 32):
        problem = ProductCliff(dim=dim)
        signature = problem.signature(drawn(problem))
        assert math.log2(signature) == pytest.approx(2 * dim - 1, abs=1.5 / dim)


def test_refuses_what_would_make_the_truth_false():
    for fields, message in [
        ({"dim": 1}, "product_cliff.dim is 1, but must be a whole number, at least 2"),
        ({"radius": 1.0}, "product_cliff.radius is 1.0, but must be above 1.13 for this dim"),
        ({"product": 0.0}, "product_cliff.product is 0.0, but must be a number, above 0"),
        ({"dim": 200}, "product_cliff.dim is 200, but must be at most 116 at radius 2"),
    ]:
        with pytest.raises(Refused) as refused:
            ProductCliff(**fields)
        assert message in str(refused.value)
