"""What the literature says about quadratics, measured on ours by plain loops."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch

from problems.geometry import random_rotation
from problems.ill_conditioning.quadratic import Quadratic, Spectrum
from ravine import Refused

KAPPA = 1e3
SPECTRA = get_args(Spectrum)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def instances(problem, count):
    """Some instances at once, each a row of trials."""
    trees = [problem.instance(generator(seed)) for seed in range(count)]
    return {name: torch.stack([tree[name] for tree in trees]).unsqueeze(1) for name in trees[0]}


def polyak(low):
    """Heavy ball's lr and momentum, the best in the long run for curvatures from `low` to 1."""
    return 4 / (1 + low**0.5) ** 2, ((1 - low**0.5) / (1 + low**0.5)) ** 2


def heavy_ball(problem, data, lr, momentum, steps):
    """Loss and distance before each step; constants of shape (trials, 1) make so many trials."""
    x = before = data["start"] + torch.zeros_like(torch.as_tensor(lr))
    losses, errors = [], []
    for _ in range(steps + 1):
        value, gradient = problem.value_and_gradient(x, data)
        losses.append(value)
        errors.append(problem.distance(x, data))
        x, before = x - lr * gradient + momentum * (x - before), x
    return torch.stack(losses), torch.stack(errors)


@pytest.mark.parametrize("spectrum", SPECTRA)
@pytest.mark.parametrize(
    ("dim", "condition"), [(2, 1.0), (2, 50.0), (7, 3.0), (100, 1e3), (99, 1e5)]
)
def test_hessian_has_the_stated_curvatures(spectrum, dim, condition):
    problem = Quadratic(dim=dim, condition=condition, spectrum=spectrum)
    stated = problem.curvatures().sort().values
    assert stated[0] == 1 / condition
    assert stated[-1] == 1
    data = problem.instance(generator())
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
        data = problem.instance(generator(seed))
        curvatures, basis = torch.linalg.eigh(data["hessian"])
        shares.append(0.5 * curvatures * (basis.T @ (data["start"] - data["minimizer"])) ** 2)
    # ½χ² has mean ½ and standard deviation 0.71; five standard errors of 400.
    assert (torch.stack(shares).mean(0) - 0.5).abs().max() < 5 * math.sqrt(0.5) / 20


def test_modes_lie_across_the_axes_unless_asked():
    """Scaling each coordinate cures the axis-aligned twin, and does nothing here."""
    for rotated in (True, False):
        problem = Quadratic(rotated=rotated)
        hessian = problem.instance(generator())["hessian"]
        scale = hessian.diagonal().rsqrt()
        scaled = torch.linalg.eigvalsh(scale[:, None] * hessian * scale)
        condition = float(scaled[-1] / scaled[0])
        assert condition > KAPPA / 2 if rotated else condition == pytest.approx(1)


def test_twins_and_rungs_are_paired():
    """The dial and the rotation change the geometry and not the luck of the draw."""
    problems = [Quadratic(), Quadratic(rotated=False), Quadratic(condition=10.0)]
    instances = [problem.instance(generator(0)) for problem in problems]
    values = [
        problem.loss(data["start"], data) for problem, data in zip(problems, instances, strict=True)
    ]
    torch.testing.assert_close(torch.stack(values), values[0].expand(3))
    assert all(torch.equal(data["minimizer"], instances[0]["minimizer"]) for data in instances)
    assert not torch.equal(
        instances[0]["minimizer"], Quadratic().instance(generator(1))["minimizer"]
    )


def test_rotation_is_uniform():
    """The entries have mean 0 and variance 1/dim; without the signs the first is never positive."""
    basis = [random_rotation(4, generator(seed)) for seed in range(400)]
    torch.testing.assert_close(basis[0].T @ basis[0], torch.eye(4))
    diagonals = torch.stack(basis).diagonal(dim1=-2, dim2=-1)
    assert diagonals.mean(0).abs().max() < 5 * 0.5 / 20
    assert (diagonals.square().mean(0) - 0.25).abs().max() < 0.06


def test_gradient_descent_contracts_as_cauchy_says():
    """At 2/(L + μ) the error shrinks by (κ − 1)/(κ + 1) a step: 0.998002 at κ = 1000."""
    rate = (KAPPA - 1) / (KAPPA + 1)
    lr = 2 / (1 + 1 / KAPPA)
    problem = Quadratic(spectrum="linear")
    data = problem.instance(generator())
    _, errors = heavy_ball(problem, data, lr, 0.0, 3000)
    assert (errors[1:] <= rate * errors[:-1] * (1 + 1e-9)).all()
    assert float(errors[3000] / errors[2000]) ** 1e-3 == pytest.approx(rate, abs=1e-6)
    assert round(rate, 6) == 0.998002

    # Log-uniform: the many small modes hide the rate until only the slowest is left.
    problem = Quadratic()
    data = problem.instance(generator())
    _, errors = heavy_ball(problem, data, lr, 0.0, 8000)
    assert float(errors[100] / errors[0]) ** 1e-2 < rate - 1e-3
    assert float(errors[8000] / errors[7000]) ** 1e-3 == pytest.approx(rate, abs=2e-5)


def test_gradient_descent_diverges_above_two_over_the_largest_curvature():
    problem = Quadratic(dim=10)
    data = problem.instance(generator())
    below, _ = heavy_ball(problem, data, 1.99, 0.0, 5000)
    above, _ = heavy_ball(problem, data, 2.01, 0.0, 5000)
    assert below[-1] < below[0]
    assert above[-1] > 1e6 * above[0]


def test_heavy_ball_has_polyaks_radius_and_a_jordan_factor():
    """The radius is 0.93869 at κ = 1000, but at both ends the roots coincide: the error is t·ρᵗ.

    At λ = L it is ρᵗ (1 + (1 + ρ) t), so that the slope from 150 to 400 steps reads 0.94238.
    """
    lr, momentum = polyak(1 / KAPPA)
    rho = math.sqrt(momentum)
    assert round(rho, 5) == 0.93869
    problem = Quadratic(spectrum="linear")
    data = problem.instance(generator())
    losses, _ = heavy_ball(problem, data, lr, momentum, 400)
    slope = float(losses[400] / losses[150]) ** (1 / 500)  # of the square root of the loss
    jordan = rho * ((1 + (1 + rho) * 400) / (1 + (1 + rho) * 150)) ** (1 / 250)
    assert slope == pytest.approx(jordan, abs=3e-4)
    assert slope > rho + 3e-3
    assert jordan == pytest.approx(0.94238, abs=1e-5)


def test_heavy_ball_overshoots_before_it_converges():
    """All modes of two clusters excited alike: the error first grows 8.25 times."""
    problem = Quadratic(spectrum="two_cluster", rotated=False)
    data = problem.instance(generator())
    data["start"] = data["minimizer"] + 1
    _, errors = heavy_ball(problem, data, *polyak(1 / KAPPA), 100)
    assert float(errors.max() / errors[0]) == pytest.approx(8.25, abs=0.005)


def test_chebyshev_meets_its_bound_on_two_clusters():
    """2/(Rᵗ + R⁻ᵗ), R = (√κ + 1)/(√κ − 1): met where all curvatures lie at the ends."""
    steps, middle, half = 400, (1 + 1 / KAPPA) / 2, (1 - 1 / KAPPA) / 2
    ratio = {}
    for spectrum in ("two_cluster", "loguniform"):
        problem = Quadratic(spectrum=spectrum, rotated=False)
        data = problem.instance(generator())
        before = start = data["start"] - data["minimizer"]
        # The iteration is linear: run on the error itself, no digit is lost beside the minimizer.
        error = start - problem.hvp(start, data, start) / middle
        weight = 2 * (middle / half) ** 2 / (2 * (middle / half) ** 2 - 1)
        for _ in range(steps - 1):
            gradient = problem.hvp(error, data, error)
            error, before = weight * (error - before - gradient / middle) + before, error
            weight = 1 / (1 - weight * (half / middle) ** 2 / 4)
        ratio[spectrum] = float(error.norm() / start.norm())
    radius = (math.sqrt(KAPPA) + 1) / (math.sqrt(KAPPA) - 1)
    bound = 2 / (radius**steps + radius**-steps)
    assert bound == pytest.approx(2.044031572108e-11, rel=1e-12)
    assert ratio["two_cluster"] == pytest.approx(bound, rel=1e-12)
    assert ratio["loguniform"] < 0.9 * bound


def test_conjugate_gradients_need_one_step_per_distinct_curvature():
    """So the condition number alone does not make a problem hard for Krylov methods."""
    left = {}
    for spectrum in ("two_cluster", "loguniform"):
        problem = Quadratic(spectrum=spectrum)
        data = problem.instance(generator())
        x = data["start"]
        gradient = problem.value_and_gradient(x, data)[1]
        direction = -gradient
        for _ in range(2):
            curved = problem.hvp(x, data, direction)
            x = x + gradient.square().sum() / (direction @ curved) * direction
            after = problem.value_and_gradient(x, data)[1]
            direction = -after + after.square().sum() / gradient.square().sum() * direction
            gradient = after
        left[spectrum] = float(problem.loss(x, data) / problem.loss(data["start"], data))
    assert left["two_cluster"] < 1e-20
    assert left["loguniform"] > 0.1


def test_steepest_descent_zigzags():
    """Exact line searches from (κ, 1) leave ((κ − 1)/(κ + 1))² of the loss a step, for ever."""
    problem = Quadratic(dim=2)
    data = problem.instance(generator())
    _, basis = torch.linalg.eigh(data["hessian"])  # the flat direction first
    x = data["minimizer"] + basis @ torch.tensor([KAPPA, 1.0])
    losses, before = [], None
    for _ in range(50):
        value, gradient = problem.value_and_gradient(x, data)
        losses.append(value)
        x = x - gradient.square().sum() / (gradient @ problem.hvp(x, data, gradient)) * gradient
        assert before is None or abs(torch.cosine_similarity(before, gradient, dim=0)) < 1e-6
        before = gradient
    ratios = torch.stack(losses[1:]) / torch.stack(losses[:-1])
    expected = ((KAPPA - 1) / (KAPPA + 1)) ** 2
    assert (ratios - expected).abs().max() < 1e-9
    assert expected == pytest.approx(0.996008, abs=1e-7)


def test_newton_needs_one_step_at_every_condition():
    for condition in (1.0, 1e5, 1e12):
        problem = Quadratic(condition=condition)
        data = problem.instance(generator())
        value, gradient = problem.value_and_gradient(data["start"], data)
        step = torch.linalg.solve(problem.hessian(data["start"], data), gradient)
        assert problem.loss(data["start"] - step, data) < 1e-6 * value


@pytest.mark.parametrize("budget", [300, 1000])
def test_gradient_descent_breaks_where_theory_says(budget):
    """The mean gap of twenty instances, by a plain loop, meets the target there, within 10 %."""
    problem = Quadratic()
    predicted = problem.card.theory["sgd"](problem, budget)
    for condition, solved in ((predicted / 1.1, True), (predicted * 1.1, False)):
        rung = replace(problem, condition=condition)
        losses, _ = heavy_ball(rung, instances(rung, 20), 2 / (1 + 1 / condition), 0.0, budget)
        assert ((losses[-1] / losses[0]).mean() <= problem.card.target) == solved


def test_heavy_ball_breaks_where_theory_says():
    """The best of a scan of heavy ball's constants, too, within a quarter."""
    problem = Quadratic()
    predicted = problem.card.theory["momentum"](problem, 1000)
    for condition, solved in ((predicted / 1.25, True), (predicted * 1.25, False)):
        rung = replace(problem, condition=condition)
        constants = polyak(torch.logspace(0, 1, 11)[:, None] / condition)
        losses, _ = heavy_ball(rung, instances(rung, 10), *constants, 1000)
        best = (losses[-1] / losses[0]).mean(0).min()
        assert (best <= problem.card.target) == solved


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


def test_refuses_what_would_make_the_truth_false():
    for fields, message in [
        ({"dim": 0}, "quadratic.dim is 0, but must be a whole number, at least 1"),
        ({"condition": 0.5}, "quadratic.condition is 0.5, but must be a number, at least 1,"),
        ({"condition": 1e13}, "at most 1e+12"),
        ({"dim": 1}, "must be 1 where dim is 1"),
        ({"spectrum": "power-law"}, "did you mean power_law?"),
    ]:
        with pytest.raises(Refused) as refused:
            Quadratic(**fields)
        assert message in str(refused.value)
    assert Quadratic(dim=1, condition=1.0).curvatures().tolist() == [1.0]
