"""The evidence for `noisy_quadratic`: claims and portrait."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.inexact_gradients.constant_rates import (
    MOMENTA,
    expected_gap,
    stable_settings,
    steady_variance,
)
from problems.inexact_gradients.noisy_quadratic import NoisyQuadratic
from problems.inexact_gradients.sampled import descent_on_draws
from problems.portrait import Curves
from problems.problem import Tree

# What theory says.


def steady_gap(problem: NoisyQuadratic, lr: float, momentum: float = 0.0) -> float:
    """f at rest, on average: ½ Σ h E e²."""
    h, rate, beta = problem.curvatures(), torch.tensor(lr), torch.tensor(momentum)
    return (0.5 * h * steady_variance(h, problem.noise * h, rate, beta)).sum().item()


def bayes_share(problem: NoisyQuadratic, gradients: int) -> float:
    """The share of the gap that the best estimate of m from so many gradients leaves, on average.

    A gradient says where m is along a mode with information h²/(noise · h), wherever it is
    taken; the start says it with 1. So the error's variance is 1/(1 + T h/noise).
    """
    h = problem.curvatures()
    return ((h / (1 + gradients * h / problem.noise)).sum() / h.sum()).item()


def steps_to_target(problem: NoisyQuadratic, momenta: tuple[float, ...]) -> int:
    """The fewest steps in which the best constant setting brings the expected gap to the target."""
    settings = stable_settings(momenta)

    def reached(steps: int) -> bool:
        start, noise = expected_gap(problem.curvatures(), steps, *settings)
        return bool((start + problem.noise * noise <= problem.card.target).any())

    low, high = 0, 1
    while not reached(high):
        low, high = high, 2 * high
    while high - low > max(1, low // 500):
        middle = (low + high) // 2
        low, high = (low, middle) if reached(middle) else (middle, high)
    return high


def _points(
    problem: NoisyQuadratic, data: Tree, x: torch.Tensor, lr, momentum, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Heavy ball from x (*rest, runs, dim), with noise that differs between the runs."""
    draws = ({"noise": problem.noises(data, x.shape[-2], generator)} for _ in itertools.count())
    return descent_on_draws(problem, data, x, draws, lr, momentum)


def _at_rest(problem: NoisyQuadratic, lr: float, momentum: float) -> float:
    """The mean gap of heavy ball from m, over 500 steps after 300, over the predicted one."""
    data, generator, total = problem.example(), torch.Generator().manual_seed(1), 0.0
    start = data["minimizer"].expand(100, problem.dim)
    points = _points(problem, data, start, lr, momentum, generator)
    for x in itertools.islice(points, 301, 801):
        total += problem.loss(x, data).mean().item()
    return total / 500 / steady_gap(problem, lr, momentum)


@claim(NoisyQuadratic,
    "The gap of SGD at rest over the predicted one, at rate 0.7",
    stated=1.0, within=about(1.0, rel=0.02),
    source="Zhang et al. 2019, section 3, with the fixed point derived here",
)  # fmt: skip
def sgd_at_rest(problem: NoisyQuadratic) -> float:
    return _at_rest(problem, 0.7, 0.0)


@claim(NoisyQuadratic,
    "The gap of heavy ball at rest over the predicted one, at rate 0.1 and momentum 0.9",
    stated=1.0, within=about(1.0, rel=0.02),
    source="Zhang et al. 2019, section 3, with the fixed point derived here",
)  # fmt: skip
def momentum_at_rest(problem: NoisyQuadratic) -> float:
    """The slow modes forget in 100 steps; those that make the gap in a few."""
    return _at_rest(problem, 0.1, 0.9)


@claim(NoisyQuadratic,
    "The variance of a single mode at rest over the predicted one: the farthest from 1 of "
    "gradient descent and heavy ball at four rates, one of them 8 % below the edge of stability",
    stated=1.0, within=about(1.0, rel=0.02),
    source="derived here from the second moments",
)  # fmt: skip
def single_mode_at_rest(problem: NoisyQuadratic) -> float:
    """For curvature 1 and noise 1 they are 0.0526, 0.5135, 6.786 and 221.7."""
    one = replace(problem, dim=1, noise=1.0)
    lr = torch.tensor([0.1, 0.1, 1.0, 3.5])[:, None, None]
    momentum = torch.tensor([0.0, 0.9, 0.9, 0.9])[:, None, None]
    data, generator, total = one.example(), torch.Generator().manual_seed(2), torch.zeros(4)
    start = data["minimizer"].expand(4, 10_000, 1)
    points = _points(one, data, start, lr, momentum, generator)
    for x in itertools.islice(points, 201, 601):
        total += (x - data["minimizer"]).square().mean((1, 2)) / 400
    unit = torch.ones(())
    ratios = total / steady_variance(unit, unit, lr, momentum).flatten()
    return ratios[(ratios - 1).abs().argmax()].item()


@claim(NoisyQuadratic,
    "The gap of heavy ball on its way, over the predicted one: the farthest from 1 after 10, 30 "
    "and 100 steps",
    stated=1.0, within=about(1.0, rel=0.03), source="derived here from the second moments",
)  # fmt: skip
def on_the_way(problem: NoisyQuadratic) -> float:
    """Of 4000 starts the gap's mean is known to 1 %."""
    small, lr, momentum = replace(problem, dim=20, noise=0.3), 0.05, 0.8
    data, generator = small.example(), torch.Generator().manual_seed(3)
    x = data["minimizer"] + torch.randn(4000, small.dim, generator=generator)
    setting, scale = (torch.tensor([lr]), torch.tensor([momentum])), 0.5 * small.curvatures().sum()
    points, ratios = [*itertools.islice(_points(small, data, x, lr, momentum, generator), 101)], []
    for step in (10, 30, 100):
        start, noise = expected_gap(small.curvatures(), step, *setting)
        left = small.loss(points[step], data).mean() / scale
        ratios.append((left / (start + small.noise * noise)).item())
    return max(ratios, key=lambda ratio: abs(ratio - 1))


@claim(NoisyQuadratic,
    "The share of the gap that the best estimate from 1000 gradients leaves at noise 10",
    stated=0.1331, within=about(0.1331, rel=0.03), source="derived here: see bayes_share",
)  # fmt: skip
def best_estimate(problem: NoisyQuadratic) -> float:
    """The posterior mean, for 4000 minima: (H/noise · T + I)⁻¹ H/noise · T times what a mean
    gradient says. The mean over T gradients has noise/T."""
    loud, steps = replace(problem, noise=10.0), 1000
    data, generator = loud.example(), torch.Generator().manual_seed(4)
    away = torch.randn(4000, problem.dim, generator=generator)
    mean = replace(loud, noise=loud.noise / steps)
    seen = away @ data["hessian"] + mean.noises(data, len(away), generator)
    weight = steps / loud.noise
    system = weight * data["hessian"] + torch.eye(problem.dim)
    error = away - torch.linalg.solve(system, weight * seen.T).T
    left = problem.loss(data["minimizer"] + error, data)
    return (left.mean() / problem.loss(data["minimizer"] + away, data).mean()).item()


@claim(NoisyQuadratic,
    "The factor by which twice the noise multiplies the steps to the target, where noise is large",
    stated=2.0, within=about(2.0, rel=0.05),
    source="Zhang et al. 2019, figures 1 and 2: perfect scaling",
)  # fmt: skip
def perfect_scaling(problem: NoisyQuadratic) -> float:
    """In the limit the rate is small, the number of steps times the rate fixed, and twice the
    noise asks for half the rate. The rates tried are 20 % apart, and few of them the best."""
    at_noise = [
        steps_to_target(replace(problem, dim=20, noise=noise), (0.0,)) for noise in (8.0, 16.0)
    ]
    return at_noise[1] / at_noise[0]


@claim(NoisyQuadratic,
    "How many times as many steps gradient descent takes as heavy ball where there is little noise",
    stated="above 2", within=(2.0, math.inf),
    source="Zhang et al. 2019, figures 1 and 2: momentum moves the critical batch size",
)  # fmt: skip
def momentum_helps_large_batches(problem: NoisyQuadratic) -> float:
    return _gain_of_momentum(problem, 1e-6)


@claim(NoisyQuadratic,
    "How many times as many steps gradient descent takes as heavy ball where there is much noise",
    stated=1.0, within=about(1.0, rel=0.1),
    source="Zhang et al. 2019, figures 1 and 2: no gain at small batch sizes",
)  # fmt: skip
def momentum_does_not_help_small_batches(problem: NoisyQuadratic) -> float:
    return _gain_of_momentum(problem, 3.0)


def _gain_of_momentum(problem: NoisyQuadratic, noise: float) -> float:
    small = replace(problem, dim=50, noise=noise)
    return steps_to_target(small, (0.0,)) / steps_to_target(small, MOMENTA)


def portrait(problem: NoisyQuadratic) -> Curves:
    noises = torch.logspace(-5, 0.5, 12)
    counts = {
        name: torch.tensor(
            [steps_to_target(replace(problem, dim=30, noise=n), momenta) for n in noises.tolist()]
        )
        for name, momenta in (("gradient descent", (0.0,)), ("heavy ball", (0.0, 0.8, 0.9)))
    }
    return Curves(
        caption="Predicted steps: halving the noise halves them, until curvature decides; there momentum helps.",
        x_label="noise, 1/batch size",
        y_label="steps to the target at the best rate",
        lines={name: (noises, steps) for name, steps in counts.items()},
        x_scale="log",
        y_scale="log",
    )
