"""What is known about quadratics beside their claims: spectra, starts, and the theory of breaking points."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace
from typing import get_args

import pytest
import torch

from problems.descent import descent
from problems.geometry import random_rotation
from problems.ill_conditioning.quadratic import Quadratic, Spectrum
from problems.quadratic_form import gap_left
from ravine import Refused

KAPPA = 1e3
SPECTRA = get_args(Spectrum)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ("instances", "trials", "dim"), [(1, 1, 3), (1, 4, 7), (3, 1, 20), (15, 17, 100)]
)
def test_a_batch_is_multiplied_as_einsum_does(instances, trials, dim, dtype):
    """To the last bit: it is a shorter road to the same product."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(instances, trials, dim, generator=generator, dtype=dtype)
    hessian = torch.randn(instances, 1, dim, dim, generator=generator, dtype=dtype)
    product = Quadratic(dim=dim).hvp(vector, {"hessian": hessian}, vector)
    assert torch.equal(product, torch.einsum("...i,...ij->...j", vector, hessian))


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(
    ("dim", "condition"), [(2, 1.0), (2, 50.0), (7, 3.0), (100, 1e3), (99, 1e5)]
)
def test_hessian_has_the_stated_curvatures(spectrum, dim, condition):
    problem = Quadratic(dim=dim, condition=condition, spectrum=spectrum)
    stated = problem.curvatures().sort().values
    assert stated[0] == 1 / condition
    assert stated[-1] == 1
    data = problem.example()
    measured = torch.linalg.eigvalsh(problem.hessian(data["start"], data))
    torch.testing.assert_close(measured, stated, rtol=1e-13 * condition, atol=0)  # eigvalsh: ε·L
    assert problem.signature(data) == pytest.approx(condition, rel=1e-13 * condition)


def test_spectra_have_their_shapes():
    plain = {s: Quadratic(condition=1e4, spectrum=s).curvatures().sort().values for s in SPECTRA}
    log = {s: plain[s].log10() for s in SPECTRA}
    assert log["loguniform"].diff().std() < 1e-12
    assert plain["linear"].diff().std() < 1e-12
    assert (log["two_cluster"] < -3.99).sum() == (log["two_cluster"] > -0.01).sum() == 50
    index = torch.arange(100, 0, -1.0)
    torch.testing.assert_close(plain["power_law"], index**-2)  # a = ln κ/ln dim
    assert (plain["outliers"] >= 0.5).sum() == 10
    assert (plain["outliers"] <= 1e-3 * (1 + 1e-12)).sum() == 90


def test_start_is_whitened():
    """Every mode has the same expected share of the gap, ½: the flat ones are not free."""
    problem = Quadratic(dim=8, condition=1e4)
    shares = []
    for seed in range(400):
        data = problem.example(seed)
        curvatures, basis = torch.linalg.eigh(data["hessian"])
        shares.append(0.5 * curvatures * (basis.T @ (data["start"] - data["minimizer"])) ** 2)
    # ½χ² has mean ½ and standard deviation 0.71; five standard errors of 400.
    assert (torch.stack(shares).mean(0) - 0.5).abs().max() < 5 * math.sqrt(0.5) / 20


def test_modes_lie_across_the_axes_unless_asked():
    """Scaling each coordinate cures the axis-aligned twin, and does nothing here."""
    for rotated in (True, False):
        problem = Quadratic(rotated=rotated)
        data = problem.example()
        hessian = problem.hessian(data["start"], data)
        scale = hessian.diagonal().rsqrt()
        scaled = torch.linalg.eigvalsh(scale[:, None] * hessian * scale)
        condition = float(scaled[-1] / scaled[0])
        assert condition > KAPPA / 2 if rotated else condition == pytest.approx(1)


def test_axis_aligned_curvatures_are_the_diagonal_of_the_hessian_to_the_bit():
    problem = Quadratic(dim=30, rotated=False)
    data = problem.example()
    whole = {**data, "hessian": data["curvatures"].diag()}
    del whole["curvatures"]
    x, v = torch.randn(4, 30), torch.randn(4, 30)
    assert torch.equal(problem.hessian(x, data), problem.hessian(x, whole))
    assert torch.equal(problem.hvp(x, data, v), problem.hvp(x, whole, v))
    for one, other in zip(
        problem.value_and_gradient(x, data), problem.value_and_gradient(x, whole), strict=True
    ):
        assert torch.equal(one, other)
    assert problem.signature(data) == pytest.approx(problem.signature(whole), rel=1e-12)


def test_axis_aligned_modes_may_be_a_hundred_thousand():
    problem = Quadratic(dim=100_000, rotated=False)
    data = problem.example()
    loss, gradient = problem.value_and_gradient(data["start"], data)
    assert loss > 0 and gradient.shape == (100_000,)


def test_twins_and_rungs_are_paired():
    """The dial and the rotation change the geometry and not the luck of the draw."""
    problems = [Quadratic(), Quadratic(rotated=False), Quadratic(condition=10.0)]
    instances = [problem.example() for problem in problems]
    for problem, data in zip(problems, instances, strict=True):
        value = problem.loss(data["start"], data)
        torch.testing.assert_close(value, problems[0].loss(instances[0]["start"], instances[0]))
        assert torch.equal(data["minimizer"], instances[0]["minimizer"])


def test_rotation_is_uniform():
    """The entries have mean 0 and variance 1/dim; without the signs the first is never positive."""
    basis = [random_rotation(4, torch.Generator().manual_seed(seed)) for seed in range(400)]
    torch.testing.assert_close(basis[0].T @ basis[0], torch.eye(4))
    diagonals = torch.stack(basis).diagonal(dim1=-2, dim2=-1)
    assert diagonals.mean(0).abs().max() < 5 * 0.5 / 20
    assert (diagonals.square().mean(0) - 0.25).abs().max() < 0.06


@pytest.mark.parametrize("momentum", [0.0, 0.7])
@pytest.mark.parametrize("spectrum", ["loguniform", "linear"])
def test_theory_is_the_gap_that_a_plain_loop_leaves(spectrum, momentum):
    """From a start that holds the same share of the gap in every mode."""
    problem = Quadratic(dim=20, condition=50.0, spectrum=spectrum, rotated=False)
    data, lr = problem.example(), torch.tensor(1.5)
    start = data["minimizer"] + problem.curvatures().rsqrt()
    for steps, x in enumerate(itertools.islice(descent(problem, data, start, lr, momentum), 30)):
        left = problem.loss(x, data) / problem.loss(start, data)
        expected = gap_left(problem.curvatures(), lr, torch.tensor(momentum), steps)
        torch.testing.assert_close(left, expected, rtol=1e-9, atol=0)


def test_breaking_points_of_theory():
    """Up to 2 %; descent's grows with the budget, heavy ball's with its square, Newton has none."""
    problem, theory = Quadratic(), Quadratic.card.theory
    found = {
        name: [at(problem, budget) for budget in (300, 1000, 3000)] for name, at in theory.items()
    }
    assert found["sgd"] == pytest.approx([200, 676, 2089], rel=0.02)
    assert found["momentum"] == pytest.approx([7762, 75858, 630957], rel=0.05)
    assert found["newton"] == [math.inf] * 3
    # All modes at the two ends: the rule of thumb 4B/ln(1/target) holds.
    ends = replace(problem, spectrum="two_cluster")
    assert theory["sgd"](ends, 1000) == pytest.approx(4000 / math.log(1e4), rel=0.02)


def test_one_direction_has_one_curvature():
    with pytest.raises(Refused, match="must be 1 where dim is 1"):
        Quadratic(dim=1)
    assert Quadratic(dim=1, condition=1.0).curvatures().tolist() == [1.0]
