"""The minibatches of Newton's method are drawn without their examples: they must have the same law."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from problems.inexact_gradients._certificates import newton_noise as evidence
from problems.inexact_gradients.constant_rates import largest_newton_gap
from problems.inexact_gradients.newton_noise import NewtonNoise
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def with_batch(dim, batch, **fields):
    return NewtonNoise(dim=dim, parameters_per_example=dim / batch, **fields)


def from_examples(problem, data, count, seed):
    """The Hessians and noises of minibatches whose examples are drawn one by one."""
    shape = count, problem.batch, problem.dim
    rows = torch.randn(shape, generator=generator(seed)) @ data["root"].T
    residuals = problem.noise * torch.randn(shape[:2], generator=generator(seed + 1))
    noise = torch.einsum("kb,kbi->ki", residuals, rows)
    return {"hessian": rows.mT @ rows / problem.batch, "noise": noise / problem.batch}


@pytest.mark.parametrize("batch", [3, 4, 9])
def test_minibatches_have_the_law_of_drawn_examples(batch):
    """Means of what is linear, quadratic and mixed in them, each to 5 of its standard errors."""
    problem = with_batch(3, batch, condition=10.0, noise=0.7)
    data, count, measured = problem.example(), 60_000, []
    minibatches = problem.minibatches(data, count, generator(1))
    for law in (minibatches, from_examples(problem, data, count, 2)):
        hessian, noise = law["hessian"], law["noise"]
        outer = noise[:, :, None] * noise[:, None, :]
        products = torch.einsum("kij,kjl->kil", hessian, hessian)
        mixed = torch.einsum("kij,kjl->kil", hessian, outer)
        determinant = torch.linalg.det(hessian)[:, None, None].expand(-1, 3, 3)
        measured.append(torch.stack([hessian, outer, products, mixed, determinant], 1))
    one, other = measured
    error = ((one.var(0) + other.var(0)) / len(one)).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() <= 5 * error).all()


def test_the_dial_is_rounded_to_whole_examples():
    for ratio, batch in [(0.005, 2000), (0.35, 29), (0.9, 11), (1.0, 10)]:
        assert NewtonNoise(parameters_per_example=ratio).batch == batch


def test_stated_noise_of_newton_steps():
    batches = (50, 51, 60, 100, 1000, 10_000)
    steps = [evidence.step_noise(with_batch(50, batch)) for batch in batches]
    assert steps == pytest.approx([math.inf, math.inf, 122.7, 22.54, 1.164, 0.1110], rel=1e-3)


def test_the_signature_is_above_the_threshold_whatever_the_start():
    """At the starts along the flattest directions gradients are the noisiest, and the ratio is the least."""
    problem = NewtonNoise()
    for rung in (problem, problem.at_dial(0.1)):
        assert (
            min(rung.signature(rung.example(seed)) for seed in range(60)) > problem.card.threshold
        )
    control = problem.control()
    assert (
        max(control.signature(control.example(seed)) for seed in range(60)) < problem.card.threshold
    )


def test_theory_breaks_later_with_more_budget_and_less_noise():
    problem = NewtonNoise()
    theory = problem.card.theory["newton"]
    assert theory(problem, 63) == 0.0  # three steps: too few to be judged
    assert 0 < theory(problem, 84) < theory(problem, 300) < theory(problem, 2100) < 1
    assert theory(problem, 2100) < theory(replace(problem, noise=0.3), 2100)


def test_small_steps_average_the_noise_of_newton_steps():
    """At the least rate, 0.01, a share of 1/199 is left of it, and nothing of the start."""
    assert largest_newton_gap(0.01, 10_000) == pytest.approx(1.99)


def test_bad_fields_are_refused():
    for name, value in [("dim", 0), ("parameters_per_example", 0.0), ("parameters_per_example", 1.1),
                        ("condition", 0.5), ("noise", 0.0)]:  # fmt: skip
        with pytest.raises(Refused, match=f"newton_noise.{name}"):
            NewtonNoise(**{name: value})
