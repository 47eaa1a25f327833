"""Gauss–Newton where problems state residuals: its step, its path, its minimizers, and where it cannot be used."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from scipy.optimize import least_squares

from benchmarks.engine.instances import stack
from optimizers import NotApplicable
from optimizers.gauss_newton import GaussNewton
from optimizers.oracle import CountingOracle, cost
from problems import PROBLEMS, Problem
from problems.ill_conditioning.rosenbrock import Rosenbrock
from problems.modifiers import noisy, transformed

LOSS = 1 / 3


def walk(optimizer, problem, instances, steps, trials=1):
    """The points (steps + 1, instances, trials, dim), the prices of the steps, and the last state."""
    data = stack(instances, torch.float64)
    runs = (len(instances), trials)
    start = data["start"]
    oracle = CountingOracle(problem, data, runs, lambda: start, start.device)
    x = start.expand(*runs, -1).clone()
    points, prices, state = [x], [], optimizer.init(x)
    for _ in range(steps):
        oracle.move(x, None)
        step, state = optimizer.update(oracle, state)
        x = x + step
        points.append(x)
        prices.append(torch.as_tensor(cost(oracle.counts, x.shape[-1])).expand(runs))
    assert not oracle.broken.any()
    return torch.stack(points), torch.stack(prices), state


@dataclass(frozen=True)
class TwoWells(Problem):
    """½x² + ¼(y² − 1)² = ½|(x, (y² − 1)/√2)|²: minima at (0, ±1), and a saddle between them."""

    def loss(self, x, data):
        return 0.5 * x[..., 0] ** 2 + 0.25 * (x[..., 1] ** 2 - 1) ** 2

    def residuals(self, x, data):
        return torch.stack([x[..., 0], (x[..., 1] ** 2 - 1) / 2**0.5], -1)

    def floor(self, data):
        return torch.zeros(())


def at(*numbers):
    return {"start": torch.tensor(numbers, dtype=torch.float64)}


@pytest.mark.parametrize("name", ["rosenbrock", "bad_neuron", "matrix_power", "linear_autoencoder"])
def test_a_step_is_that_of_the_damped_linear_least_squares(name):
    """s minimizes |r + J s|² + μ|s|²: a plain least-squares problem, which knows no normal equations."""
    problem = PROBLEMS[name]
    for damping in (1e-2, 1.0, 100.0, 1e4):
        data = problem.example()
        x = data["start"]
        jacobian = torch.func.jacrev(lambda x, data=data: problem.residuals(x, data))(x)
        rows = torch.cat([jacobian, damping**0.5 * torch.eye(len(x), dtype=x.dtype)])
        wanted = torch.cat([-problem.residuals(x, data), torch.zeros_like(x)])
        expected = torch.linalg.lstsq(rows, wanted.unsqueeze(-1)).solution[:, 0]
        if problem.loss(x + expected, data) < problem.loss(x, data):
            points, *_ = walk(GaussNewton(damping), problem, [data], steps=1)
            torch.testing.assert_close(points[1, 0, 0] - x, expected, rtol=1e-8, atol=1e-10)
            return
    pytest.fail("no damping makes a first step that is taken")


def plain_path(residuals, jacobian, x, damping, steps):
    """Algorithm 3.16 of Madsen, Nielsen & Tingleff 2004, one run: (steps + 1, dim), and μ."""
    points, growth = [x], 2.0
    for _ in range(steps):
        r, J = residuals(x), jacobian(x)
        step = np.linalg.solve(J.T @ J + damping * np.eye(len(x)), -J.T @ r)
        foretold = 0.5 * step @ (damping * step - J.T @ r)
        if foretold < 1e-20:  # where nothing is left to gain the ratio is one of roundings
            break
        ratio = (r @ r - residuals(x + step) @ residuals(x + step)) / 2 / foretold
        if ratio > 0:
            x, growth = x + step, 2.0
            damping *= max(1 / 3, 1 - (2 * ratio - 1) ** 3)
        else:
            damping, growth = damping * growth, 2 * growth
        points.append(x)
    return torch.from_numpy(np.stack(points)), damping


@pytest.mark.parametrize("damping", [1e-3, 0.1, 100.0])
@pytest.mark.parametrize("start", [(-1.2, 1.0), (2.0, -1.0), (0.0, 0.0)])
def test_the_path_is_the_plain_one(damping, start):
    """On Rosenbrock's function, with residuals √200 (y − x²) and √2 (1 − x)."""
    expected, adapted = plain_path(
        lambda x: np.array([200**0.5 * (x[1] - x[0] ** 2), 2**0.5 * (1 - x[0])]),
        lambda x: np.array([[-2 * 200**0.5 * x[0], 200**0.5], [-(2**0.5), 0.0]]),
        np.array(start),
        damping,
        steps=12,
    )
    steps = len(expected) - 1
    points, _, state = walk(GaussNewton(damping), Rosenbrock(), [at(*start)], steps=steps)
    torch.testing.assert_close(points[:, 0, 0], expected, rtol=0, atol=1e-8)
    assert state[0].item() == pytest.approx(adapted, rel=1e-5)  # the last ratios have few digits


@pytest.mark.parametrize(
    "name", ["rosenbrock", "hilbert", "winding_ravine", "matrix_power", "failing_neuron"]
)
def test_the_minimizer_is_that_of_scipy(name):
    """Of these the first four have none of their residuals left there, and the last has."""
    problem = PROBLEMS[name]
    for seed in range(3):
        data = problem.example(seed)
        theirs = least_squares(
            lambda x, data=data: problem.residuals(torch.from_numpy(x), data).numpy(),
            data["start"].numpy(), method="lm", xtol=1e-14, ftol=1e-14, gtol=1e-14, max_nfev=10_000,
        )  # fmt: skip
        points, *_ = walk(GaussNewton(1e-3), problem, [data], steps=150)
        # Where residuals are left, scipy's gradient, of differences, is zero only to half the digits.
        torch.testing.assert_close(
            points[-1, 0, 0], torch.from_numpy(theirs.x), rtol=1e-6, atol=1e-6
        )


def test_the_wells_beside_a_saddle_are_found_and_the_saddle_is_not_seen():
    """JᵀJ ≥ 0 where the Hessian is not; each step is downhill; only on the ridge itself, where g
    does not lead away, the way goes to the saddle."""
    problem = TwoWells()
    starts = [at(1.0, 1e-3), at(-2.0, -1e-6), at(0.5, 0.4), at(1.0, 0.0)]
    points, *_ = walk(GaussNewton(0.1), problem, starts, steps=100)
    torch.testing.assert_close(
        points[-1, :, 0].abs(),
        torch.tensor([[0.0, 1.0]] * 3 + [[0.0, 0.0]], dtype=torch.float64),
        rtol=0,
        atol=1e-8,
    )
    before = points[:-1]
    assert (torch.linalg.eigvalsh(problem.hessian(before, {}))[..., 0] < -0.5).any()
    matrix = problem.gauss_newton(before, {})
    assert matrix is not None
    assert (torch.linalg.eigvalsh(matrix) >= -1e-15).all()
    step, gradient = points.diff(dim=0), problem.value_and_gradient(before, {})[1]
    moved = (step != 0).any(-1) & (gradient.norm(dim=-1) > 1e-9)  # else a product of roundings
    assert ((step * gradient).sum(-1)[moved] < 0).all()


@pytest.mark.parametrize("name", ["product_cliff", "deep_linear", "mexican_hat", "cliff"])
def test_survives_fewer_residuals_than_dimensions(name):
    problem = PROBLEMS[name]
    instances = [problem.example(seed) for seed in range(3)]
    points, *_ = walk(GaussNewton(), problem, instances, steps=50)
    assert points.isfinite().all()
    values = problem.loss(points, stack(instances, torch.float64))
    assert (values.diff(dim=0) <= 0).all()
    assert (values[-1] < values[0]).all()


def test_stays_where_the_gradient_is_zero():
    points, *_ = walk(GaussNewton(), TwoWells(), [at(0.0, 0.0), at(0.0, 1.0)], steps=5)
    assert torch.equal(points, points[:1].expand_as(points))


def test_a_batch_is_its_runs_one_by_one():
    problem = Rosenbrock(dim=4)
    instances = [problem.example(seed) for seed in range(4)]  # as many as dimensions and trials
    values = [0.01, 0.1, 1.0, 10.0]
    damping = torch.tensor(values, dtype=torch.float64).unsqueeze(-1)
    together = GaussNewton().batched({"damping": damping})
    points, prices, _ = walk(together, problem, instances, steps=20, trials=4)
    for i, data in enumerate(instances):
        for j, damping in enumerate(values):
            alone, price, _ = walk(GaussNewton(damping), problem, [data], steps=20)
            torch.testing.assert_close(points[:, i, j], alone[:, 0, 0], rtol=1e-8, atol=1e-10)
            torch.testing.assert_close(prices[:, i, j], price[:, 0, 0], check_dtype=False)


def test_goes_with_a_rotation():
    problem = transformed(Rosenbrock(), ["rotate"])
    data = problem.example()
    points, *_ = walk(GaussNewton(), problem, [data], steps=20)
    inner, *_ = walk(GaussNewton(), Rosenbrock(), [data["inner"]], steps=20)
    inside = problem.inside(points[:, 0, 0], data)
    torch.testing.assert_close(inside, inner[:, 0, 0], rtol=0, atol=1e-8)


def test_is_not_applicable_without_residuals_or_under_noise():
    problem = PROBLEMS["ackley"]
    with pytest.raises(NotApplicable, match="no residuals"):
        walk(GaussNewton(), problem, [problem.example()], steps=1)
    problem = noisy(Rosenbrock(), "gaussian")
    data = stack([problem.example()], torch.float64)
    x = data["start"]
    oracle = CountingOracle(problem, data, (1, 1), lambda: x, x.device)
    draws = problem.draws(problem.example(), torch.Generator().manual_seed(0))
    assert draws is not None
    oracle.move(x, stack([next(draws)], torch.float64))
    with pytest.raises(NotApplicable, match="noise"):
        GaussNewton().update(oracle, GaussNewton().init(x))


def test_price_of_a_step():
    """J'J as a Hessian; at the next step the loss there is paid."""
    _, prices, _ = walk(GaussNewton(1.0), TwoWells(), [at(1.0, 0.5)], steps=3)
    assert prices.flatten().tolist() == pytest.approx([1 + 4 + LOSS, 1 + 4, 1 + 4])
