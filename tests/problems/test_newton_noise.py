"""The minibatches of Newton's method are drawn without their examples: they must have the same law."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from problems.inexact_gradients._certificates import newton_noise as evidence
from problems.inexact_gradients.newton_noise import NewtonNoise
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def with_batch(dim, batch, **fields):
    return NewtonNoise(dim=dim, parameters_per_example=dim / batch, **fields)


def from_examples(problem, data, count, seed):
    """The Hessians and noises of minibatches whose examples are drawn one by one."""
    rows = (
        torch.randn(count, problem.batch, problem.dim, generator=generator(seed)) @ data["root"].T
    )
    residuals = problem.noise * torch.randn(count, problem.batch, generator=generator(seed + 1))
    return rows.mT @ rows / problem.batch, torch.einsum(
        "kb,kbi->ki", residuals, rows
    ) / problem.batch


@pytest.mark.parametrize("batch", [3, 4, 9])
def test_minibatches_have_the_law_of_drawn_examples(batch):
    """Means of what is linear, quadratic and mixed in them, each to 5 of its standard errors."""
    problem = with_batch(3, batch, condition=10.0, noise=0.7)
    data = problem.instance(generator())
    laws = [
        problem.minibatches(data, 60_000, generator(1)),
        from_examples(problem, data, 60_000, 2),
    ]
    measured = []
    for hessian, noise in laws:
        outer = noise[:, :, None] * noise[:, None, :]
        products = torch.einsum("kij,kjl->kil", hessian, hessian)
        mixed = torch.einsum("kij,kjl->kil", hessian, outer)
        determinant = torch.linalg.det(hessian)[:, None, None].expand(-1, 3, 3)
        measured.append(torch.stack([hessian, outer, products, mixed, determinant], 1))
    one, other = measured
    error = ((one.var(0) + other.var(0)) / len(one)).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() <= 5 * error).all()


def test_means_are_the_exact_ones():
    problem = with_batch(4, 8, condition=5.0)
    data = problem.instance(generator())
    hessian, noise = problem.minibatches(data, 100_000, generator(1))
    torch.testing.assert_close(hessian.mean(0), data["hessian"], rtol=0, atol=0.01)
    covariance = noise.T @ noise / len(noise)
    torch.testing.assert_close(covariance, data["hessian"] / 8, rtol=0, atol=0.005)


def test_a_whole_newton_step_forgets_where_it_was():
    problem = NewtonNoise()
    data = problem.instance(generator())
    draw = next(problem.draws(data, generator(1)))
    ends = []
    for x in (data["start"], data["minimizer"], data["start"] + 100):
        gradient = problem.sampled_value_and_gradient(x, data, draw)[1]
        ends.append(x - torch.linalg.solve(problem.sampled_hessian(x, data, draw), gradient))
    torch.testing.assert_close(ends[0], ends[1])
    torch.testing.assert_close(ends[0], ends[2])
    assert problem.sampled_loss(ends[0], data, draw) < problem.sampled_loss(
        data["minimizer"], data, draw
    )


def test_the_dial_is_rounded_to_whole_examples():
    for ratio, batch in [(0.005, 2000), (0.2, 50), (0.9, 11), (1.0, 10)]:
        assert NewtonNoise(parameters_per_example=ratio).batch == batch


def test_stated_noise_of_fifty_parameters():
    """B = 60, 100, 1000, 10,000 at condition 100, and the batches that make both equally noisy."""
    gradients = [
        evidence.gradient_noise(with_batch(50, batch)) for batch in (60, 100, 1000, 10_000)
    ]
    assert gradients == pytest.approx([1.943, 1.166, 0.1166, 0.01166], rel=1e-3)
    steps = [evidence.step_noise(with_batch(50, batch)) for batch in (60, 100, 1000, 10_000)]
    assert steps == pytest.approx([122.7, 22.54, 1.164, 0.1110], rel=1e-3)
    equal = [evidence.equal_batch(with_batch(50, 100, condition=10**k)) for k in (2, 3, 3.5, 4)]
    assert equal == pytest.approx([999, 7052, 19796, 56652], rel=1e-3)


def test_infinite_where_examples_are_hardly_more_than_parameters():
    assert [evidence.step_noise(with_batch(10, batch)) for batch in (10, 11)] == [math.inf] * 2
    assert evidence.step_noise(with_batch(10, 12)) < math.inf


def test_equally_steep_directions_are_no_worse_for_newton():
    """At condition 1 and many examples a Newton step is as noisy as a gradient, but for q."""
    even = with_batch(10, 10_000, condition=1.0)
    assert evidence.step_noise(even) / evidence.gradient_noise(even) == pytest.approx(
        10 / 21, rel=0.01
    )


def test_theory_breaks_later_with_more_budget_and_less_noise():
    problem = NewtonNoise()
    theory = problem.card.theory["newton"]
    assert theory(problem, 300) == 0.0  # 14 steps, and 20 are needed to be judged
    assert 0 < theory(problem, 600) < theory(problem, 2100) < 1
    assert theory(problem, 2100) < theory(replace(problem, noise=0.3), 2100)


def test_bad_fields_are_refused():
    for name, value in [("dim", 0), ("parameters_per_example", 0.0), ("parameters_per_example", 1.1),
                        ("condition", 0.5), ("noise", 0.0)]:  # fmt: skip
        with pytest.raises(Refused, match=f"newton_noise.{name}"):
            NewtonNoise(**{name: value})
