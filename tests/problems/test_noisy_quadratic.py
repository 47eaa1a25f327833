"""The noise of the noisy bowl, what theory says of it, and what its rungs ask."""

from __future__ import annotations

import pytest
import torch

from problems.inexact_gradients._certificates import noisy_quadratic as evidence
from problems.inexact_gradients.constant_rates import expected_gap, steady_variance
from problems.inexact_gradients.noisy_quadratic import NoisyQuadratic
from problems.inexact_gradients.sampled import first_draws
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_noise_has_the_shape_of_the_hessian():
    problem = NoisyQuadratic(dim=6, noise=0.3)
    data = problem.example()
    torch.testing.assert_close(data["root"] @ data["root"].T, data["hessian"])
    stated = 1 / torch.arange(6, 0, -1)
    torch.testing.assert_close(torch.linalg.eigvalsh(data["hessian"]), stated.double())
    noise = problem.noises(data, 400_000, generator(1))
    covariance = noise.T @ noise / len(noise)
    torch.testing.assert_close(covariance, 0.3 * data["hessian"], rtol=0, atol=3e-3)  # 4 errors
    assert noise.mean(0).norm() < 5e-3


def test_rungs_share_their_noise_but_for_its_size():
    quiet, loud = NoisyQuadratic(noise=0.01), NoisyQuadratic(noise=4.0)
    data = quiet.example()
    assert torch.equal(data["start"], loud.example()["start"])
    one, other = (first_draws(each, data, 3)["noise"] for each in (quiet, loud))
    torch.testing.assert_close(20 * one, other)


def test_a_sampled_loss_is_tilted_about_the_minimizer():
    problem = NoisyQuadratic(dim=4)
    data = problem.example()
    draws = first_draws(problem, data, 5)
    assert not problem.sampled_loss(data["minimizer"].expand(5, 4), data, draws).any()


def test_expected_gap_of_gradient_descent_is_the_closed_one():
    h, lr = NoisyQuadratic(dim=5).curvatures(), torch.tensor([0.01, 0.3, 1.7])
    start, noise = expected_gap(h, 7, lr, torch.zeros(3))
    left = (1 - lr[:, None] * h) ** 14
    torch.testing.assert_close(start, (h * left).sum(-1) / h.sum())
    settled = lr[:, None] / (2 - lr[:, None] * h)
    torch.testing.assert_close(noise, (h * settled * (1 - left)).sum(-1) / h.sum())


def test_a_window_is_the_mean_of_its_steps():
    h, setting = NoisyQuadratic(dim=5).curvatures(), (torch.tensor([0.3]), torch.tensor([0.5]))
    each = [torch.cat(expected_gap(h, steps, *setting)) for steps in range(21, 31)]
    together = torch.cat(expected_gap(h, 30, *setting, window=10))
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
    assert by_descent(problem, 3) == by_momentum(problem, 3) == 0  # too few steps to be judged


def test_the_reference_comes_to_rest_within_half_the_target():
    card = NoisyQuadratic.card
    middle = NoisyQuadratic(noise=card.ladder[1])
    rest = evidence.steady_gap(middle, card.reference[1]["lr"])
    assert card.target > 2 * rest / (0.5 * middle.curvatures().sum())


def test_bad_fields_are_refused():
    for fields in ({"dim": 0}, {"noise": -0.1}):
        with pytest.raises(Refused, match=f"noisy_quadratic.{next(iter(fields))}"):
            NoisyQuadratic(**fields)
