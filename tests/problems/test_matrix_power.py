"""What is known about powers of a matrix, measured on ours by plain loops."""

from __future__ import annotations

import math
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
        stated = problem.curvatures(steps)
        torch.testing.assert_close(curvatures.flip(0), stated, rtol=1e-5, atol=0)  # ε·κ of eigvalsh
    slopes = torch.tensor(conditions).diff() / 5
    assert slopes.mean().item() == pytest.approx(
        2 * math.log(1.1 / 0.9) * share, rel=0.001, abs=1e-9
    )
    assert slopes.max() - slopes.min() < 0.1 * 2 * math.log(1.1 / 0.9)


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
        residual = data["map"] @ (data["start"] - data["minimizer"])
        found = evidence.growth(residual, data["weights"], 30)
        torch.testing.assert_close(found, logs - logs[0], rtol=0, atol=1e-9)


# Optimizers.


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
