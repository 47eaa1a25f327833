"""What is known about powers of a matrix, measured on ours by plain loops."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import get_args

import pytest
import torch

from problems.ill_conditioning.quadratic import Quadratic
from problems.long_term_dependencies._certificates import matrix_power as evidence
from problems.long_term_dependencies.matrix_power import Kind, MatrixPower
from ravine import Refused

KINDS = get_args(Kind)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(problem, count=1):
    return [problem.instance(generator(seed)) for seed in range(count)]


def unrolled(data, x, steps):
    """½ |y − y(m)|², y after t steps of the network, one at a time."""
    state, wanted = data["inputs"].T @ x, data["inputs"].T @ data["minimizer"]
    for _ in range(steps):
        state, wanted = data["weights"] @ state, data["weights"] @ wanted
    return 0.5 * (state - wanted).square().sum()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 20, 50])
def test_loss_is_that_of_the_unrolled_network(kind, steps):
    problem = MatrixPower(kind=kind, steps=steps)
    (data,) = drawn(problem)
    x = data["start"].clone().requires_grad_()
    value = unrolled(data, x, steps)
    (gradient,) = torch.autograd.grad(value, x)
    # The largest gain is 117 and the least 0.005: that many digits of 16 can be lost on the way.
    torch.testing.assert_close(problem.loss(data["start"], data), value, rtol=1e-10, atol=0)
    measured = problem.value_and_gradient(data["start"], data)[1]
    assert (measured - gradient).norm() < 1e-10 * gradient.norm()


@pytest.mark.parametrize("kind", KINDS)
def test_start_is_whitened(kind):
    """The residual at the start is the same Gaussian noise at every length: no mode is free."""
    residuals = {}
    for steps in (1, 50):
        problem = MatrixPower(dim=5, kind=kind, steps=steps)
        residuals[steps] = torch.stack(
            [
                torch.linalg.matrix_power(data["weights"], steps)
                @ data["inputs"].T
                @ (data["start"] - data["minimizer"])
                for data in drawn(problem, 400)
            ]
        )
    torch.testing.assert_close(residuals[1], residuals[50], rtol=0, atol=1e-8)
    covariance = residuals[50].T @ residuals[50] / 400
    assert (covariance - torch.eye(5)).abs().max() < 5 * math.sqrt(2 / 400)


def test_rungs_are_paired():
    (short, other), (long, _) = (drawn(MatrixPower(steps=steps), 2) for steps in (1, 50))
    for name in ("minimizer", "inputs", "weights"):
        assert torch.equal(short[name], long[name])
    assert not torch.equal(short["minimizer"], other["minimizer"])


# The dial.


@pytest.mark.parametrize(
    ("kind", "share"), [("symmetric", 1.0), ("non_normal", 0.9854), ("orthogonal", 0.0)]
)
def test_condition_grows_exponentially_with_the_number_of_steps(kind, share):
    """(high/low)^2t: its logarithm is a straight line whose slope the control does not have."""
    conditions = []
    for steps in range(5, 51, 5):
        problem = MatrixPower(kind=kind, steps=steps)
        (data,) = drawn(problem)
        curvatures = torch.linalg.eigvalsh(problem.hessian(data["start"], data))
        conditions.append(math.log(curvatures[-1] / curvatures[0]))
        assert problem.signature(data) == pytest.approx(math.exp(conditions[-1] / 2), rel=1e-5)
        stated = problem.gains().square()
        torch.testing.assert_close(curvatures.flip(0), stated, rtol=1e-5, atol=0)  # ε·κ of eigvalsh
    slopes = torch.tensor(conditions).diff() / 5
    assert slopes.mean().item() == pytest.approx(
        2 * math.log(1.1 / 0.9) * share, rel=0.001, abs=1e-9
    )
    assert slopes.max() - slopes.min() < 0.1 * 2 * math.log(1.1 / 0.9)


def test_eigenvalues_say_nothing_about_a_non_normal_matrix():
    """All are 1, the control's in absolute value too; the gains are the symmetric matrix's."""
    problem = MatrixPower(kind="non_normal", steps=50)
    (data,) = drawn(problem)
    nilpotent = data["weights"] - torch.eye(20)
    assert torch.linalg.matrix_power(nilpotent, 19).norm() > 0
    assert torch.linalg.matrix_power(nilpotent, 20).norm() == 0  # so W has no eigenvalue but 1
    assert problem.gains()[0] > 100
    assert problem.gains()[-1] < 0.01
    commutator = data["weights"] @ data["weights"].T - data["weights"].T @ data["weights"]
    assert commutator.norm() > 1e-3


# How the gradient grows on its way back.


def test_growth_is_that_of_the_gradient():
    """ln |∂f/∂y_{t−s}| by autograd through the unrolled network."""
    for kind in KINDS:
        problem = MatrixPower(kind=kind, steps=30)
        (data,) = drawn(problem)
        states = [data["inputs"].T @ (data["start"] - data["minimizer"])]
        states[0].requires_grad_()
        for _ in range(30):
            states.append(data["weights"] @ states[-1])
        gradients = torch.autograd.grad(0.5 * states[-1].square().sum(), states[::-1])
        logs = torch.stack([gradient.norm().log() for gradient in gradients])
        torch.testing.assert_close(
            evidence.growth_of_start(data, 30), logs - logs[0], rtol=0, atol=1e-9
        )


def test_a_symmetric_matrix_has_an_offset_and_then_the_slope_of_its_radius():
    """|Wᵗ v| → |⟨v, v₁⟩| ρᵗ: for ρ = 0.9838 the slope is ln ρ = −0.01633 from then on."""
    problem = MatrixPower(dim=100, steps=1, low=0.01, high=0.9838)
    for data in drawn(problem, 3):
        growth = evidence.growth_of_start(data, 2000)
        assert (growth[2000] - growth[500]).item() / 1500 == pytest.approx(
            math.log(0.9838), abs=1e-6
        )
        residual = data["power"] @ (data["start"] - data["minimizer"])
        leading = torch.linalg.eigh(data["weights"]).eigenvectors[:, -1]
        share = abs(leading @ residual / residual.norm())
        assert growth[2000] - 2000 * math.log(0.9838) == pytest.approx(share.log().item(), abs=1e-6)
        assert growth[10] < 10 * math.log(0.9838) - 1  # all but one mode vanish faster


def test_an_orthogonal_matrix_neither_grows_nor_shrinks_anything():
    problem = MatrixPower(dim=100, steps=1, kind="orthogonal")
    (data,) = drawn(problem)
    assert evidence.growth_of_start(data, 2000).abs().max() < 1e-11  # 2000 roundings


def test_a_non_normal_matrix_grows_far_beyond_its_eigenvalues():
    """W = 0.9 I + 0.5 N, N = 100: about e^118 at 2000 steps, where the eigenvalues promise e^−211.

    The standard deviations over random vectors are 0.13, 0.25, 0.5 and 1.2 at 10, 50, 200 and 2000.
    """
    problem = MatrixPower(dim=100, steps=1, kind="non_normal", low=0.4, high=1.4)
    growth = torch.stack([evidence.growth_of_start(data, 2000) for data in drawn(problem, 10)])
    at = growth[:, [10, 50, 200, 2000]].mean(0)
    assert at.tolist() == pytest.approx([2.5, 15.4, 64.9, 118.6], abs=0.5)
    assert 2000 * math.log(0.9) == pytest.approx(-210.7, abs=0.05)
    # Never faster than (a + b)ᵗ, and after some hundred steps it turns down: a transient.
    assert (growth <= torch.arange(2001) * math.log(1.4) + 1e-9).all()
    peak = growth.mean(0).argmax()
    assert 200 < peak < 1500
    assert growth[:, peak].mean() > at[3] + 20


def test_non_normal_growth_is_the_binomial_sum():
    """(aI + bN)ˢ has C(s, k) a^(s−k) b^k on its k-th diagonal: another road to the same number."""
    problem = MatrixPower(dim=100, steps=1, kind="non_normal", low=0.4, high=1.4)
    (data,) = drawn(problem)
    growth = evidence.growth_of_start(data, 2000)
    residual = data["power"] @ (data["start"] - data["minimizer"])
    shift = (torch.arange(100) - torch.arange(100)[:, None]).clamp(min=-1)
    for steps in (10, 50, 200, 2000):
        logs = torch.tensor(
            [math.log(math.comb(steps, k)) if k <= steps else -math.inf for k in range(100)]
            + [-math.inf]  # below the diagonal: index −1
        )
        log_power = logs[shift] + (steps - shift) * math.log(0.9) + shift * math.log(0.5)
        expected = (log_power.exp().T @ residual).norm().log() - residual.norm().log()
        assert growth[steps] == pytest.approx(expected.item(), abs=1e-9)


def test_a_recurrent_weight_of_one_and_a_half_overflows_float32_after_219_steps():
    problem = MatrixPower(dim=1, steps=1, low=1.5, high=1.5)
    (data,) = drawn(problem)
    state, steps = torch.ones(1, dtype=torch.float32), 0
    while state.isfinite().all():
        state, steps = data["weights"].float() @ state, steps + 1
    assert steps == 219 == math.ceil(math.log(torch.finfo(torch.float32).max) / math.log(1.5))


# Optimizers.


@pytest.mark.parametrize(
    ("kind", "solves"), [("symmetric", 15), ("non_normal", 15), ("orthogonal", 50)]
)
def test_gradient_descent_breaks_where_theory_says(kind, solves):
    """A plain loop at the best rate: the control is solved at every length."""
    problem = MatrixPower(kind=kind)
    predicted = problem.card.theory["sgd"](problem, 1000)
    assert predicted == (math.inf if kind == "orthogonal" else solves + 0.5)
    for steps in {solves - 2, min(solves + 3, 50)}:
        rung = replace(problem, steps=steps)
        curvatures = rung.gains().square()
        trees = drawn(rung, 20)
        data = {name: torch.stack([tree[name] for tree in trees]) for name in trees[0]}
        x = data["start"]
        for _ in range(1000):
            x = x - 2 / (curvatures[0] + curvatures[-1]) * rung.value_and_gradient(x, data)[1]
        gaps = rung.loss(x, data) / rung.loss(data["start"], data)
        assert (gaps.mean() <= problem.card.target) == (steps < predicted)


def test_breaking_points_of_theory_are_those_of_the_quadratic_with_this_condition():
    """And so three times the budget buys three steps."""
    problem, theory = MatrixPower(), MatrixPower.card.theory
    found = {
        name: [at(problem, budget) for budget in (300, 1000, 3000)] for name, at in theory.items()
    }
    assert found == {
        "sgd": [12.5, 15.5, 18.5],
        "momentum": [21.5, 27.5, 32.5],
        "newton": [math.inf] * 3,
    }
    for name in ("sgd", "momentum"):
        condition = Quadratic.card.theory[name](Quadratic(dim=20), 1000)
        steps = math.log(condition) / (2 * math.log(1.1 / 0.9))
        assert found[name][1] == pytest.approx(steps, abs=0.6)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("steps", [1, 50])
def test_newton_needs_two_steps_at_every_length(kind, steps):
    """One, but for rounding: the Hessian's condition reaches 5e8."""
    problem = MatrixPower(kind=kind, steps=steps)
    (data,) = drawn(problem)
    x, first = data["start"], problem.loss(data["start"], data)
    for _ in range(2):
        gradient = problem.value_and_gradient(x, data)[1]
        x = x - torch.linalg.solve(problem.hessian(x, data), gradient)
    assert problem.loss(x, data) < 1e-20 * first
    assert problem.distance(x, data) < 1e-10


def test_refuses_what_would_make_the_truth_false():
    for fields, message in [
        ({"steps": 0}, "matrix_power.steps is 0, but must be a whole number, at least 1"),
        ({"steps": 70}, "matrix_power.steps is 70, but must be at most 68 with gains from 0.9"),
        ({"steps": 300, "low": 1.5, "high": 1.5}, "must be at most 283 with gains from 1.5"),
        ({"low": 1.2}, "matrix_power.high is 1.1, but must be a number, at least 1.2"),
        ({"low": 0.0}, "matrix_power.low is 0.0, but must be a number, above 0"),
        ({"dim": 1}, "matrix_power.high is 1.1, but must be low (0.9) where dim is 1"),
        ({"kind": "normal"}, "did you mean non_normal?"),
    ]:
        with pytest.raises(Refused) as refused:
            MatrixPower(**fields)
        assert message in str(refused.value)
    assert MatrixPower(steps=1000, kind="orthogonal").dial == 1000
