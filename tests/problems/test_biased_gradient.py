"""Where a biased gradient leads, and what the dial is measured in."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from problems.inexact_gradients.biased_gradient import BiasedGradient
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def tail_gap(problem, lr, seed):
    data = problem.instance(generator(seed))
    x, stream, total = data["start"], problem.draws(data, generator(100 + seed)), 0.0
    scale = problem.loss(x, data)
    for step in range(1000):
        total += problem.loss(x, data) / scale if step >= 900 else 0.0
        exact = problem.value_and_gradient(x, data)[1]
        x = x - lr * problem.seen(exact, data, next(stream), None)[0]
    return float(total) / 100


@pytest.mark.parametrize("condition", [1.0, 100.0, 1e4])
@pytest.mark.parametrize("bias", [0.1, 1.0, 10.0])
def test_the_dial_is_what_the_target_allows(condition, bias):
    problem = BiasedGradient(bias=bias, condition=condition)
    data = problem.instance(generator())
    rest, b = problem.rest(data), data["bias"]
    excess = 0.5 * b @ torch.linalg.solve(data["hessian"], b)
    torch.testing.assert_close(problem.loss(rest, data), excess)
    start = problem.loss(data["start"], data)
    assert (excess / start).item() == pytest.approx(bias**2 * problem.card.target)


def test_rungs_share_all_but_the_length_of_the_bias():
    one, other = (BiasedGradient(bias=bias).instance(generator()) for bias in (0.5, 5.0))
    for name in ("start", "minimizer", "hessian", "spread"):
        assert torch.equal(one[name], other[name])
    torch.testing.assert_close(10 * one["bias"], other["bias"])


def test_what_is_seen_vanishes_at_rest_but_for_noise():
    problem = BiasedGradient(noise=0.0)
    data = problem.instance(generator())
    rest = problem.rest(data)
    draw = next(problem.draws(data, generator(1)))
    seen, memory = problem.seen(problem.value_and_gradient(rest, data)[1], data, draw, None)
    assert seen.norm() < 1e-12
    assert memory is None
    at_minimum = problem.seen(torch.zeros(problem.dim), data, draw, None)[0]
    torch.testing.assert_close(at_minimum, data["bias"])


def test_noise_is_in_the_unit_of_the_target_too():
    """E ½ ξᵀH⁻¹ξ of 20,000 draws is noise² times the target's height."""
    problem = BiasedGradient(noise=0.5)
    data = problem.instance(generator())
    stream = problem.draws(data, generator(1))
    noise = torch.stack([next(stream)["noise"] for _ in range(20_000)])
    left = 0.5 * (noise * torch.linalg.solve(data["hessian"], noise.T).T).sum(-1).mean()
    share = left / problem.loss(data["start"], data)
    assert share.item() == pytest.approx(0.25 * problem.card.target, rel=0.05)


def test_the_start_is_whitened():
    problem = BiasedGradient()
    shares = []
    for seed in range(200):
        data = problem.instance(generator(seed))
        curvatures, basis = torch.linalg.eigh(data["hessian"])
        torch.testing.assert_close(curvatures, problem.curvatures().sort().values)
        shares.append(curvatures * ((data["start"] - data["minimizer"]) @ basis).square())
    means = torch.stack(shares).mean(0)  # χ² with one degree of freedom: 1 ± 0.1
    assert means.min() > 0.6
    assert means.max() < 1.5


def test_the_bias_alone_decides():
    lr = BiasedGradient.card.reference[1]["lr"]
    for bias, solved in [(0.1, True), (0.5, True), (2.0, False), (10.0, False)]:
        problem = BiasedGradient(bias=bias)
        assert problem.predicted_share() == float(solved)
        for seed in range(2):
            gap = tail_gap(problem, lr, seed)
            assert (gap <= problem.card.target) == solved
            assert gap == pytest.approx(bias**2 * problem.card.target, rel=0.3, abs=2e-3)
    assert replace(BiasedGradient(), bias=0.0).predicted_share() == 1.0


def test_bad_fields_are_refused():
    for name, value in [("dim", 0), ("bias", -1.0), ("condition", 0.1), ("noise", -0.1)]:
        with pytest.raises(Refused, match=f"biased_gradient.{name}"):
            BiasedGradient(**{name: value})
