"""What is known about class imbalance beside its claims."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from benchmarks.checks.contracts import has_the_derivatives_of_its_loss
from problems.ill_conditioning.class_imbalance import (
    ClassImbalance,
    loss_of_class,
    margin_at_minimum,
    steps_of_descent,
    steps_of_sign_descent,
    time_of_flow,
)


def test_loss_is_the_weighted_cross_entropy():
    problem = ClassImbalance(classes=4, exponent=1.0)
    data, x = problem.example(), torch.randn(16)
    frequencies = torch.tensor([12.0, 6, 4, 3]) / 25
    labels = data["joint"] / frequencies
    torch.testing.assert_close(labels.sum(0), torch.ones(4))
    each = torch.nn.functional.cross_entropy(x.view(4, 4).T, labels.T, reduction="none")
    torch.testing.assert_close(problem.loss(x, data), (frequencies * each).sum())


def test_rungs_are_paired_and_labels_are_wrong_half_to_twice_as_often_as_stated():
    shares = []
    for seed in range(30):
        one, other = (ClassImbalance(exponent=each).example(seed) for each in (0.0, 3.0))
        assert torch.equal(one["start"], other["start"])
        right = [tree["joint"].diagonal() / tree["frequencies"] for tree in (one, other)]
        torch.testing.assert_close(*right)
        shares.append(1 - right[0])
    assert 0.05 <= torch.stack(shares).min() < 0.055
    assert 0.19 < torch.stack(shares).max() <= 0.2


def test_shifts_of_an_inputs_logits_change_nothing():
    problem = ClassImbalance()
    data = problem.example()
    x = data["start"]
    shifted = (x.view(10, 10) + torch.randn(10)).flatten()
    torch.testing.assert_close(problem.loss(shifted, data), problem.loss(x, data))
    torch.testing.assert_close(problem.distance(shifted, data), problem.distance(x, data))


def test_without_noise_there_is_no_minimum():
    problem = ClassImbalance(classes=3, noise=0.0)
    data = problem.example()
    assert problem.floor(data) == 0
    assert problem.minimizers(data) is None
    assert problem.distance(data["start"], data) is None
    assert not problem.critical_points(data)
    assert problem.loss(40 * torch.eye(3).flatten(), data) < 1e-15
    has_the_derivatives_of_its_loss(problem)


def test_the_hessian_of_sure_predictions_has_no_subnormal_numbers():
    """LAPACK's eigh fails on some matrices with them."""
    problem = ClassImbalance()
    data = problem.example()
    x = torch.randn(200, 100) * torch.logspace(1, 4, 200)[:, None]
    sizes = problem.hessian(x, data).abs()
    assert (sizes[sizes > 0] > torch.finfo(sizes.dtype).tiny).all()


@pytest.mark.parametrize("noise", [0.0, 0.01, 0.1, 0.3])
def test_the_flow_is_the_gradients(noise):
    """The margin's velocity, by the loss's own gradient, is 1 over the derivative of the stated time."""
    problem = ClassImbalance(classes=6, noise=noise, exponent=1.0)
    frequencies = problem.frequencies()
    joint = problem.joint(torch.full((6,), noise))
    last = margin_at_minimum(problem) if noise else 8.0
    margins = torch.linspace(0, 0.99 * last, 6).requires_grad_()
    (inverse,) = torch.autograd.grad(time_of_flow(problem, margins).sum(), margins)
    x = margins.detach().diag()
    data = {"frequencies": frequencies, "joint": joint}
    value, gradient = problem.value_and_gradient(x.flatten(), data)
    push = -gradient.view(6, 6)
    others = (push.sum(0) - push.diagonal()) / 5
    velocity = (push.diagonal() - others) / frequencies
    torch.testing.assert_close(velocity, 1 / inverse)
    height = (frequencies * loss_of_class(problem, margins.detach())).sum()
    torch.testing.assert_close(value - problem.floor(data), height)
    assert time_of_flow(problem, torch.zeros(1)) == 0


def test_predicted_steps_are_those_of_the_flow_in_small_steps():
    """Of Euler's method at 1/500 of the largest stable rate, at exponent 1 with η = 0.1."""
    problem = ClassImbalance(exponent=1.0)
    frequencies = problem.frequencies()
    margins, lr = torch.zeros(10), 2 / (frequencies[0] * 0.09 * 10 / 9)
    height, steps = loss_of_class(problem, torch.zeros(1)), 0
    while (frequencies * loss_of_class(problem, margins)).sum() > 1e-4 * height:
        right = 1 / (1 + 9 * (-margins).exp())
        margins = margins + lr / 500 * frequencies * (0.9 - right) * 10 / 9
        steps += 1
    # First order: the margins move by up to 0.04 in a step.
    assert steps_of_descent(problem) == pytest.approx(steps / 500, rel=0.02)


def test_predicted_rate_of_signs_leaves_the_target_to_margins_at_random():
    """Margins that are off by up to 2 lr, where m*/(2 lr) is the predicted number of steps."""
    problem = ClassImbalance()
    best = margin_at_minimum(problem)
    assert best == pytest.approx(math.log(81))
    farthest = best / steps_of_sign_descent(problem)
    off = farthest * (2 * torch.rand(100_000) - 1)
    left = loss_of_class(problem, best + off).mean() / loss_of_class(problem, torch.zeros(1))
    # The loss is not quite a parabola there.
    assert left.item() == pytest.approx(problem.card.target, rel=0.02)


def test_breaking_points_of_theory():
    problem, theory = ClassImbalance(), ClassImbalance.card.theory
    found = {name: [at(problem, b) for b in (2000, 200, 20)] for name, at in theory.items()}
    assert found["sgd"] == [math.inf, pytest.approx(2.7), pytest.approx(1.36)]
    assert found["sign_sgd"] == [math.inf, math.inf, 0.0]
    assert [at(replace(problem, noise=0.0), 1) for at in theory.values()] == [math.inf] * 2
