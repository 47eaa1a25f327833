"""What is known about fits in powers of t beside their claims."""

from __future__ import annotations

import math

import pytest
import torch

from problems.ill_conditioning._certificates.hilbert import hilbert_condition
from problems.ill_conditioning.hilbert import Hilbert


@pytest.mark.parametrize("dim", [2, 4, 10, 12])
def test_start_is_whitened(dim):
    """RᵀR = H, and the start's residual is z; both draws are cut from those of twelve powers."""
    problem = Hilbert(dim=dim)
    data, index = problem.example(), torch.arange(dim)
    torch.testing.assert_close(
        data["root"].T @ data["root"], 1 / (index[:, None] + index + 1.0), rtol=1e-14, atol=0
    )
    minimizer, z = torch.randn(2, 12, generator=torch.Generator().manual_seed(0))[:, :dim]
    assert torch.equal(data["minimizer"], minimizer)
    torch.testing.assert_close(problem.residuals(data["start"], data), z, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dim", range(2, 13))
def test_curvatures_and_signature_agree_with_the_exact_condition(dim):
    problem, condition = Hilbert(dim=dim), hilbert_condition(dim)
    curvatures = problem.curvatures()
    assert (curvatures.diff() > 0).all()
    # The least singular value of R is known to ε of the largest.
    close = pytest.approx(condition, rel=1e-14 * math.sqrt(condition) + 1e-9)
    assert float(curvatures[-1] / curvatures[0]) == close
    assert problem.signature(problem.example()) == close


def test_legendres_basis_cures_it():
    """One step of descent ends at the minimum, from a start as high as in powers."""
    problem, twin = Hilbert(dim=10, basis="legendre"), Hilbert(dim=10)
    data, other = problem.example(), twin.example()
    value, gradient = problem.value_and_gradient(data["start"], data)
    assert problem.loss(data["start"] - gradient, data) < 1e-28
    torch.testing.assert_close(problem.hessian(data["start"], data), torch.eye(10))
    torch.testing.assert_close(value, twin.loss(other["start"], other), rtol=1e-7, atol=0)


def test_theory_breaks_early_for_descent_and_late_for_heavy_ball():
    problem, theory = Hilbert(), Hilbert.card.theory
    found = {name: [at(problem, b) for b in (100, 1000, 100_000)] for name, at in theory.items()}
    assert found["sgd"] == [2.5, 2.5, 4.5]
    assert found["momentum"][1] == 4.5
    assert found["momentum"][2] > found["momentum"][1]
