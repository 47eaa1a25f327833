"""The evidence for `biased_gradient`: claims and portrait."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.inexact_gradients.biased_gradient import BiasedGradient
from problems.inexact_gradients.sampled import descent_on_draws
from problems.portrait import Curves
from problems.problem import Tree


def _points(
    problem: BiasedGradient, data: Tree, lr: float, momentum: float = 0.0
) -> Iterator[torch.Tensor]:
    """Heavy ball on what is seen, from the start."""
    stream = problem.draws(data, torch.Generator().manual_seed(0))
    return descent_on_draws(problem, data, data["start"], stream, lr, momentum)


def _rest(
    problem: BiasedGradient, data: Tree, lr: float, momentum: float, steps: int
) -> torch.Tensor:
    """The mean over the second half of the first `steps` points."""
    points = islice(_points(problem, data, lr, momentum), steps // 2, steps)
    return sum(points, torch.zeros(problem.dim)) / (steps - steps // 2)


def _off_rest(problem: BiasedGradient, lr: float, momentum: float, steps: int) -> float:
    """How far descent ends from m − H⁻¹b, over how far m is from there."""
    data = problem.example()
    rest, end = problem.rest(data), _rest(problem, data, lr, momentum, steps)
    return ((end - rest).norm() / (data["minimizer"] - rest).norm()).item()


@claim(BiasedGradient,
    "How far descent without noise ends from m − H⁻¹b, over how far m is from there",
    stated=0.0, within=(0.0, 1e-9), source="derived here: the fixed point of x − lr (H (x − m) + b)",
)  # fmt: skip
def comes_to_rest_at_the_wrong_place(problem: BiasedGradient) -> float:
    return _off_rest(replace(problem, noise=0.0), 1.0, 0.0, 6000)


@claim(BiasedGradient,
    "How far the mean point of heavy ball with noise is from m − H⁻¹b, over how far m is from there",
    stated="hardly", within=(0.0, 0.02), source="derived here: the mean obeys the same recursion",
)  # fmt: skip
def noise_averages_out(problem: BiasedGradient) -> float:
    """Noise is a tenth of the bias, and the mean over 4000 steps has a 60th of that."""
    return _off_rest(problem, 0.3, 0.9, 8000)


@claim(BiasedGradient,
    "The gap at rest at bias 3, over the target",
    stated=9.0, within=about(9.0, rel=1e-6), source="derived here: ½ bᵀH⁻¹b",
)  # fmt: skip
def gap_at_rest(problem: BiasedGradient) -> float:
    """Measured by descent without noise, to the rounding of what it forgets of the start."""
    variant = replace(problem, bias=3.0, noise=0.0)
    data = variant.example()
    return problem.gap(_rest(variant, data, 1.0, 0.0, 6000), data) / problem.card.target


@claim(BiasedGradient,
    "The loss at rest at condition 100 over that at condition 1, on average over biases of one length",
    stated=23.05, within=about(23.05, rel=0.02), source="derived here: tr H⁻¹/dim",
)  # fmt: skip
def flat_directions_amplify(problem: BiasedGradient) -> float:
    """½ bᵀH⁻¹b is ½|b|² where H = I. Of 10,000 directions the mean is known to 0.4 %."""
    data = problem.example()
    bias = torch.randn(10_000, problem.dim, generator=torch.Generator().manual_seed(0))
    rest = data["minimizer"] - torch.linalg.solve(data["hessian"], bias.T).T
    return (problem.loss(rest, data).mean() / (0.5 * bias.square().sum(-1).mean())).item()


@claim(BiasedGradient,
    "The part of the bias along the flattest mode, in what it adds to the loss, over the part along "
    "the steepest",
    stated=100.0, within=about(100.0, rel=1e-6), source="derived here: b²/2h along a mode",
)  # fmt: skip
def the_flattest_mode_suffers_most(problem: BiasedGradient) -> float:
    data = problem.example()
    basis = torch.linalg.eigh(data["hessian"]).eigenvectors
    ends = torch.linalg.solve(data["hessian"], basis[:, [0, -1]]).T
    flat, steep = problem.loss(data["minimizer"] - ends, data)
    return (flat / steep).item()


def portrait(problem: BiasedGradient) -> Curves:
    steps = torch.arange(0, 1001, 20)
    lines, dots = {}, {}
    for bias in torch.logspace(-1, 1, 5).tolist():
        variant, name = replace(problem, bias=bias), f"bias {bias:.2g}"
        data = variant.example()
        gaps = [problem.gap(x, data) for x in islice(_points(variant, data, 1.0), 1001)]
        lines[name] = steps[[0, -1]], torch.full((2,), problem.card.target * bias**2)
        dots[name] = steps, torch.tensor(gaps)[steps]
    return Curves(
        caption="Gradient descent comes to rest at a gap of bias² times the target.",
        x_label="step",
        y_label="gap",
        lines=lines,
        dots=dots,
        y_scale="log",
    )
