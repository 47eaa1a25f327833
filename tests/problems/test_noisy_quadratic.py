"""The noise of the noisy bowl, what theory says of it, and what its rungs ask."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from problems.inexact_gradients._certificates import noisy_quadratic as evidence
from problems.inexact_gradients.noisy_quadratic import NoisyQuadratic, steady_variance
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tail_gap(problem, lr, seed, steps=1000):
    """The mean gap over the last tenth of gradient descent on what is seen."""
    data = problem.instance(generator(seed))
    x, stream, total = data["start"], problem.draws(data, generator(100 + seed)), 0.0
    scale = problem.loss(x, data)
    for step in range(steps):
        total += problem.loss(x, data) / scale if step >= 0.9 * steps else 0.0
        x = x - lr * problem.sampled_value_and_gradient(x, data, next(stream))[1]
    return float(total) / (0.1 * steps)


def test_noise_has_the_shape_of_the_hessian():
    problem = NoisyQuadratic(dim=6, noise=0.3)
    data = problem.instance(generator())
    torch.testing.assert_close(data["root"] @ data["root"].T, data["hessian"])
    stated = 1 / torch.arange(6, 0, -1)
    torch.testing.assert_close(torch.linalg.eigvalsh(data["hessian"]), stated.double())
    noise = problem.noises(data, 400_000, generator(1))
    covariance = noise.T @ noise / len(noise)
    torch.testing.assert_close(covariance, 0.3 * data["hessian"], rtol=0, atol=3e-3)  # 4 errors
    assert noise.mean(0).norm() < 5e-3


def test_rungs_share_their_noise_but_for_its_size():
    quiet, loud = NoisyQuadratic(noise=0.01), NoisyQuadratic(noise=4.0)
    data = quiet.instance(generator())
    assert torch.equal(data["start"], loud.instance(generator())["start"])
    one, other = (next(each.draws(data, generator(3)))["noise"] for each in (quiet, loud))
    torch.testing.assert_close(20 * one, other)


def test_a_sampled_loss_is_tilted_about_the_minimizer():
    problem = NoisyQuadratic(dim=4)
    data = problem.instance(generator())
    draw = next(problem.draws(data, generator(1)))
    assert problem.sampled_loss(data["minimizer"], data, draw) == 0
    value, gradient = problem.sampled_value_and_gradient(data["minimizer"], data, draw)
    assert value == 0
    assert torch.equal(gradient, draw["noise"])


def test_expected_gap_of_gradient_descent_is_the_closed_one():
    problem = NoisyQuadratic(dim=5)
    h, lr = problem.curvatures(), torch.tensor([0.01, 0.3, 1.7])
    start, noise = problem.expected_gap(7, lr, torch.zeros(3))
    left = (1 - lr[:, None] * h) ** 14
    torch.testing.assert_close(start, (h * left).sum(-1) / h.sum())
    settled = lr[:, None] / (2 - lr[:, None] * h)
    torch.testing.assert_close(noise, (h * settled * (1 - left)).sum(-1) / h.sum())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_expected_gap_settles_at_the_steady_one(momentum):
    problem = NoisyQuadratic(dim=5, noise=2.0)
    start, noise = problem.expected_gap(5000, torch.tensor([0.2]), torch.tensor([momentum]))
    assert start.item() < 1e-30
    steady = evidence.steady_gap(problem, 0.2, momentum) / (0.5 * problem.curvatures().sum())
    assert problem.noise * noise.item() == pytest.approx(steady.item())


def test_a_window_is_the_mean_of_its_steps():
    problem, setting = NoisyQuadratic(dim=5), (torch.tensor([0.3]), torch.tensor([0.5]))
    each = [torch.cat(problem.expected_gap(steps, *setting)) for steps in range(21, 31)]
    together = torch.cat(problem.expected_gap(30, *setting, window=10))
    torch.testing.assert_close(together, torch.stack(each).mean(0))


def test_no_rest_beyond_the_edge_of_stability():
    unit = torch.ones(())
    assert steady_variance(unit, unit, torch.tensor(3.8), torch.tensor(0.9)).isinf()
    assert steady_variance(unit, unit, torch.tensor(3.79), torch.tensor(0.9)) > 1e3


def test_theory_breaks_between_the_rungs_and_later_with_more_budget():
    problem = NoisyQuadratic()
    _, middle, last = problem.card.ladder
    by_descent, by_momentum = (problem.card.theory[name] for name in ("sgd", "momentum"))
    assert middle < by_descent(problem, 1000) <= by_momentum(problem, 1000) < last
    assert by_descent(problem, 100) < by_descent(problem, 300) < by_descent(problem, 1000)


def test_the_reference_solves_what_can_be_solved():
    problem = NoisyQuadratic()
    lr = problem.card.reference[1]["lr"]
    for rung in problem.card.ladder[:2]:
        floor = evidence.steady_gap(replace(problem, noise=rung), lr) / (
            0.5 * problem.curvatures().sum()
        )
        assert problem.card.target > 2 * floor
        assert all(tail_gap(problem.at_dial(rung), lr, seed) <= 0.01 for seed in range(3))


def test_at_the_last_rung_the_gradients_do_not_hold_the_answer():
    last = NoisyQuadratic(noise=10.0)
    assert evidence.bayes_share(last, 1000) > 10 * last.card.target
    assert min(tail_gap(last, lr, 0) for lr in (0.003, 0.03, 0.3)) > 10 * last.card.target


def test_bad_fields_are_refused():
    for fields in ({"dim": 0}, {"noise": -0.1}):
        with pytest.raises(Refused, match=f"noisy_quadratic.{next(iter(fields))}"):
            NoisyQuadratic(**fields)


def test_no_noise_is_borne_in_fewer_steps_than_a_run_is_judged_by():
    problem = NoisyQuadratic()
    for predicts in problem.card.theory.values():
        assert predicts(problem, 19.0) == 0.0
        assert predicts(problem, 1000.0) > 0.0
