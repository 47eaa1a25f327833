"""What is known about fits in powers of t beside their claims."""

from __future__ import annotations

import math

import pytest
import torch

from problems.ill_conditioning._certificates.hilbert import hilbert_condition, hilbert_inverse
from problems.ill_conditioning.hilbert import Hilbert
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dim", [1, 2, 5, 8])
def test_loss_is_the_integral_of_the_squared_difference(dim):
    """By Gauss's rule with `dim` nodes, exact for polynomials of degree 2 dim − 1."""
    from numpy.polynomial.legendre import leggauss

    problem = Hilbert(dim=dim)
    data = drawn(problem)
    nodes, weights = (torch.tensor(each) for each in leggauss(dim))
    powers = ((nodes + 1) / 2)[:, None] ** torch.arange(dim)
    x = data["minimizer"] + torch.linspace(-1, 2, dim)
    expected = 0.25 * (weights * (powers @ (x - data["minimizer"])).square()).sum()
    torch.testing.assert_close(problem.loss(x, data), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("dim", [2, 4, 10, 12])
def test_root_is_that_of_hilberts_matrix(dim):
    """RᵀR = H to rounding, and R⁻¹ is its inverse; the start's residual is z."""
    problem = Hilbert(dim=dim)
    data = drawn(problem)
    i = torch.arange(dim)
    hessian = 1 / (i[:, None] + i + 1.0)
    torch.testing.assert_close(data["hessian"], hessian)
    torch.testing.assert_close(data["root"].T @ data["root"], hessian, rtol=1e-14, atol=0)
    inverse = torch.tensor(hilbert_inverse(dim)).double()
    root = torch.linalg.solve_triangular(data["root"], torch.eye(dim), upper=True)
    torch.testing.assert_close(root @ root.T, inverse, rtol=1e-8, atol=0)


def test_start_is_whitened():
    """Every dimension's gap at the start is ½ of a χ² with as many degrees of freedom: none is free."""
    for dim in (2, 10):
        problem = Hilbert(dim=dim)
        values = torch.stack(
            [problem.loss(data["start"], data) for data in (drawn(problem, k) for k in range(300))]
        )
        # Five standard errors of the mean: ½χ² has variance dim/2.
        assert values.mean() == pytest.approx(dim / 2, abs=5 * math.sqrt(dim / 2 / 300))


def test_fewer_powers_are_the_first_of_more():
    few, many = drawn(Hilbert(dim=3)), drawn(Hilbert(dim=10))
    assert torch.equal(few["minimizer"], many["minimizer"][:3])
    assert torch.equal(few["root"], many["root"][:3, :3])


def test_curvatures_and_signature_agree_with_the_exact_condition():
    for dim in range(2, 13):
        problem = Hilbert(dim=dim)
        curvatures = problem.curvatures()
        assert (curvatures.diff() > 0).all()
        condition = hilbert_condition(dim)
        # The least singular value of R is known to ε of the largest.
        within = 1e-15 * math.sqrt(condition) + 1e-10
        assert float(curvatures[-1] / curvatures[0]) == pytest.approx(condition, rel=10 * within)
        assert problem.signature(drawn(problem)) == pytest.approx(condition, rel=10 * within)


def test_legendres_basis_cures_it():
    problem = Hilbert(dim=10, basis="legendre")
    data = drawn(problem)
    assert problem.signature(data) == 1
    gradient = problem.value_and_gradient(data["start"], data)[1]
    assert problem.loss(data["start"] - gradient, data) < 1e-28
    # The same z at the start: the same gap.
    twin = Hilbert(dim=10)
    torch.testing.assert_close(
        problem.loss(data["start"], data),
        twin.loss(drawn(twin)["start"], drawn(twin)),
        rtol=1e-7,
        atol=0,
    )


def test_theory_breaks_early_for_descent_and_late_for_heavy_ball():
    problem, theory = Hilbert(), Hilbert.card.theory
    found = {name: [at(problem, b) for b in (100, 1000, 100_000)] for name, at in theory.items()}
    assert found["sgd"] == [2.5, 2.5, 4.5]
    assert found["momentum"][1] == 4.5
    assert found["momentum"][2] > found["momentum"][1]


def test_refuses_what_float64_cannot_tell():
    for fields, message in [
        ({"dim": 13}, "hilbert.dim is 13, but must be a whole number, at least 1, at most 12"),
        ({"dim": 0}, "hilbert.dim is 0"),
        ({"basis": "power"}, "did you mean powers?"),
    ]:
        with pytest.raises(Refused) as refused:
            Hilbert(**fields)
        assert message in str(refused.value)
