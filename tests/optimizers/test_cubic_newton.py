"""Cubic regularization: each step is the model's minimizer, and M what it is adapted to."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq, minimize, rosen, rosen_der, rosen_hess

from optimizers.cubic_newton import CubicNewton

DIM, HESSIAN, LOSS = 3, 2 * 3, 1 / 3


def saddle(x, data):
    """½x² − ½y² + ¼y⁴: a saddle at 0, minima at (0, ±1)."""
    return 0.5 * x[..., 0] ** 2 - 0.5 * x[..., 1] ** 2 + 0.25 * x[..., 1] ** 4


def banana(x, data):
    here, after = x[..., :-1], x[..., 1:]
    return (100 * (after - here**2) ** 2 + (1 - here) ** 2).sum(-1)


def cubic_step(hessian, gradient, cubic):
    """The minimizer of the cubic model and its gain, by a root of |(H + λ)⁻¹ g| − 2λ/M, without eigenvectors."""
    eye = np.eye(len(gradient))

    def step(shift):
        return -np.linalg.solve(hessian + shift * eye, gradient)

    least = max(0.0, -np.linalg.eigvalsh(hessian)[0])
    low, high = least * (1 + 1e-12) + 1e-30, least + 1.0
    while np.linalg.norm(step(high)) > 2 * high / cubic:
        high *= 2
    shift = brentq(
        lambda shift: np.linalg.norm(step(shift)) - 2 * shift / cubic, low, high, xtol=1e-30,
        rtol=1e-14,
    )  # fmt: skip
    s = step(shift)
    model = gradient @ s + s @ hessian @ s / 2 + cubic / 6 * np.linalg.norm(s) ** 3
    return s, -model


@pytest.mark.parametrize("cubic", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("dim", [1, 2, 5, 20])
def test_a_step_is_the_root_of_the_secular_equation(walk, dim, cubic):
    """(H + λI) s = −g, λ = M|s|/2, H + λI ≥ 0, on quadratics of which half are indefinite."""
    generator = torch.Generator().manual_seed(dim)
    matrices = torch.randn(8, dim, dim, generator=generator, dtype=torch.float64)
    matrices[::2] = matrices[::2] @ matrices[::2].mT
    hessians = 0.5 * (matrices + matrices.mT)
    gradients = torch.randn(8, dim, generator=generator, dtype=torch.float64)

    def quadratic(x, data):
        bent = torch.einsum("...i,...ij->...j", x, data["hessian"])
        return (x * (data["slope"] + 0.5 * bent)).sum(-1)

    data = {
        "start": torch.zeros(8, 1, dim, dtype=torch.float64),
        "hessian": hessians.unsqueeze(1),
        "slope": gradients.unsqueeze(1),
    }
    steps = walk(CubicNewton(cubic), quadratic, data, steps=1).points[1, :, 0]
    shifts = cubic * steps.norm(dim=-1, keepdim=True) / 2
    left = torch.einsum("kij,kj->ki", hessians, steps) + shifts * steps + gradients
    assert left.abs().max() < 1e-10
    least = torch.linalg.eigvalsh(hessians)[:, :1] + shifts
    assert (least > -1e-12 * shifts).all()
    for step, hessian, gradient in zip(steps, hessians, gradients, strict=True):
        expected, _ = cubic_step(hessian.numpy(), gradient.numpy(), cubic)
        torch.testing.assert_close(step, torch.from_numpy(expected), rtol=1e-8, atol=1e-10)


def plain_path(x, cubic):
    """The method as it is written, one run on Rosenbrock's function, while |g| is above 1e-6, and M."""
    points = [x]
    while np.linalg.norm(gradient := rosen_der(x)) > 1e-6 and len(points) < 30:
        hessian = rosen_hess(x)
        step, foretold = cubic_step(hessian, gradient, cubic)
        ratio = (rosen(x) - rosen(x + step)) / foretold
        if ratio > 0.9 and cubic / 6 * np.linalg.norm(step) ** 3 > 0.01 * foretold:
            after = cubic / 3
        else:
            after = 2 * cubic if ratio < 0.1 else cubic
        x, cubic = x + step if ratio > 0.1 else x, after
        points.append(x)
    return torch.from_numpy(np.stack(points)), cubic


@pytest.mark.parametrize("dim", [2, 5])
@pytest.mark.parametrize("cubic", [1e-3, 1.0, 1e4])
def test_the_path_is_the_plain_one(walk, dim, cubic):
    for seed in range(4):
        x = torch.randn(dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        expected, adapted = plain_path(x.numpy(), cubic)
        data = {"start": x.view(1, 1, -1)}
        ours = walk(CubicNewton(cubic), banana, data, steps=len(expected) - 1)
        torch.testing.assert_close(ours.points[:, 0, 0], expected, rtol=0, atol=1e-7)
        assert ours.state[0].item() == pytest.approx(adapted)


@pytest.mark.parametrize("dim", [2, 5])
def test_the_minimizer_is_that_of_scipy(walk, dim):
    starts = torch.tensor([[0.0] * 6, [2.0] * 6, [-0.5, 0.5] * 3], dtype=torch.float64)[:, :dim]
    ours = walk(CubicNewton(), banana, {"start": starts.unsqueeze(1)}, steps=80).points[-1, :, 0]
    for x, end in zip(starts, ours, strict=True):
        options = {"gtol": 1e-10}
        theirs = minimize(
            rosen, x.numpy(), jac=rosen_der, hess=rosen_hess, method="trust-exact", options=options
        )
        torch.testing.assert_close(end, torch.from_numpy(theirs.x), rtol=0, atol=1e-8)


def test_with_the_hessians_own_constant_a_step_gains_what_is_promised(walk, draw):
    """Σ log cosh has third derivatives of at most 4/√27 = M: the gain is at least M |s|³/12.

    Nesterov & Polyak 2006.
    """
    cubic, data = 4 / 27**0.5, draw(instances=50)
    points = walk(CubicNewton(cubic), log_cosh, data, steps=1).points
    length = (points[1] - points[0]).norm(dim=-1)
    gain = log_cosh(points[0], data) - log_cosh(points[1], data)
    assert (length > 0).all()
    assert (gain >= cubic / 12 * length**3).all()


def test_the_weight_follows_the_ratio(walk, start):
    # On a slope the model is right but for the cube: |s| = √(2/M), and M falls to a third each time.
    slope = walk(CubicNewton(2.0), lambda x, data: x.sum(-1), start(0.0), steps=2)
    assert slope.points.flatten().tolist() == pytest.approx([0, -1, -1 - 3**0.5])
    assert slope.state[0].item() == pytest.approx(2 / 9)
    # On a bowl it has nearly no part in the step, and is left as it is.
    bowl = walk(CubicNewton(1e-3), lambda x, data: 0.5 * x.square().sum(-1), start(1.0), steps=5)
    assert bowl.state[0].item() == 1e-3
    # At 3 log cosh hardly bends: nearly Newton's step of 100 does not gain, and M doubles.
    steep = walk(CubicNewton(1e-6), log_cosh, start(3.0), steps=3)
    assert steep.points.flatten().tolist()[:4] == [3.0] * 4
    assert steep.state[0].item() == 8e-6


def test_leaves_a_saddle_from_exactly_beside_it_and_on_it(walk, start):
    """The hard case: λ is 1 = −λ_min, so that |s| = 2/M, of which g explains −1/(1 + 1) or nothing."""
    for x, explained in ((1.0, 0.5), (0.0, 0.0)):
        points = walk(CubicNewton(2.0), saddle, start(x, 0.0), steps=40).points[:, 0, 0]
        beside = (points[1] - points[0]).abs().tolist()
        assert beside == pytest.approx([explained, (1 - explained**2) ** 0.5])
        torch.testing.assert_close(points[-1].abs().tolist(), [0.0, 1.0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("power", [2, 4])
def test_stays_in_a_minimum_and_pays_no_look_around(walk, start, power):
    found = walk(CubicNewton(), lambda x, data: 1 + x.pow(power).sum(-1), start(0.0, 0.0), steps=3)
    assert not found.points.any()
    assert found.prices[0].item() == 1 + 2 * 2


def test_converges_beyond_the_rounding_of_the_loss(walk, start):
    points = walk(
        CubicNewton(), lambda x, data: 1e3 + (x.cosh() - 1).sum(-1), start(1.0), steps=30
    ).points
    assert points[-1].abs() < 1e-12


def test_its_unit_is_a_gradient_over_a_length_squared(walk, start):
    """On a loss c times as high and w times as wide, M · c/w³ leads the same way, w times as far."""
    high, wide = 50.0, 0.02
    plain = walk(CubicNewton(3.0), banana, start(-1.2, 1.0), steps=15).points
    other = walk(
        CubicNewton(3.0 * high / wide**3),
        lambda x, data: high * banana(x / wide, data),
        start(-1.2 * wide, wide),
        steps=15,
    ).points
    torch.testing.assert_close(other / wide, plain, rtol=1e-8, atol=1e-8)


def test_price_of_a_step(walk, draw, valley, start):
    prices = walk(CubicNewton(10.0), valley, draw(), steps=3).prices
    torch.testing.assert_close(prices[0], torch.full_like(prices[0], 1 + HESSIAN + LOSS))
    torch.testing.assert_close(prices[1:], torch.full_like(prices[1:], 1 + HESSIAN))
    rejected = walk(CubicNewton(1e-6), log_cosh, start(3.0), steps=3).prices
    assert rejected.flatten().tolist() == pytest.approx([1 + 2 + LOSS, LOSS, LOSS])


def log_cosh(x, data):
    return torch.logaddexp(x, -x).sum(-1)
