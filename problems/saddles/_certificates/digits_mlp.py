"""The evidence for `digits_mlp`: claims and portrait."""

from __future__ import annotations

import math
from itertools import islice

import torch

from problems.claims import claim
from problems.descent import descent
from problems.portrait import Curves
from problems.problem import Tree
from problems.saddles.digits_mlp import EXAMPLES, DigitsMlp
from problems.saddles.levenberg_marquardt import critical_points

DAMPINGS = (1.0, 1e-1, 1e-2, 1e-3, 1e-4)  # all tried by Newton's methods at each step
RATES = (0.1, 0.3, 1.0, 3.0, 6.0)  # of heavy ball
NEARLY = 1e-3  # a gradient that has nearly vanished


def newton(problem: DigitsMlp, data: Tree, steps: int, absolute: bool) -> torch.Tensor:
    """Return the losses at the start and after each step of damped Newton: (steps + 1,).

    x ← x − Q (Λ + μ)⁻¹ Qᵀ g with H = QΛQᵀ and |Λ| for Λ if `absolute`. Of five μ it takes the one with the
    lowest loss, if that is lower than before.
    """
    x, losses = data["start"], [problem.loss(data["start"], data)]
    dampings = torch.tensor(DAMPINGS)[:, None]
    for _ in range(steps):
        gradient = problem.value_and_gradient(x, data)[1]
        curvatures, basis = torch.linalg.eigh(problem.hessian(x, data))
        curvatures = curvatures.abs() if absolute else curvatures
        tried = x - (gradient @ basis / (curvatures + dampings)) @ basis.T
        values = problem.loss(tried, data)
        best = values.argmin()
        x = tried[best] if values[best] < losses[-1] else x
        losses.append(torch.minimum(values[best], losses[-1]))
    return torch.stack(losses)


def heavy_ball(problem: DigitsMlp, data: Tree, steps: int) -> torch.Tensor:
    """Return the losses of heavy ball, momentum 0.9, at each of five rates: (steps + 1, rates)."""
    rates = torch.tensor(RATES)[:, None]
    x = data["start"].expand(len(RATES), -1)
    points = islice(descent(problem, data, x, rates, 0.9), steps + 1)
    return torch.stack([problem.loss(point, data) for point in points])


@claim(
    DigitsMlp,
    "after 30 steps from 4 starts saddle-free Newton's loss is this share of damped Newton's: "
    "geometric mean",
    stated="below 1",
    within=(0.0, 1.0),
    source="Dauphin et al. 2014, figure 3",
    slow=True,
)
def saddle_free_over_damped_newton(problem: DigitsMlp) -> float:
    instances = [problem.example(seed) for seed in range(4)]
    ratios = [
        newton(problem, d, 30, True)[-1] / newton(problem, d, 30, False)[-1] for d in instances
    ]
    return torch.stack(ratios).log().mean().exp().item()


@claim(
    DigitsMlp,
    "after 30 steps from 4 starts damped Newton's loss is this share of heavy ball's at the best "
    "of five rates: geometric mean",
    stated="below 1",
    within=(0.0, 1.0),
    source="Dauphin et al. 2014, figure 3",
    slow=True,
)
def damped_newton_over_momentum(problem: DigitsMlp) -> float:
    """Average the logarithms: the order holds on average, not from every start."""
    instances = [problem.example(seed) for seed in range(4)]
    ratios = [
        newton(problem, data, 30, False)[-1] / heavy_ball(problem, data, 30)[-1].min()
        for data in instances
    ]
    return torch.stack(ratios).log().mean().exp().item()


def nearly_critical(problem: DigitsMlp, seed: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return losses and shares of curvatures below −1e-6 where |g| is below 0.001, without the first saddle.

    Levenberg and Marquardt's method takes 60 steps from `count` points on paths of heavy ball (lr 0.1,
    momentum 0.9, up to 150 steps from weights N(0, 0.02²)), moved by N(0, 0.05²). It ends at the saddle
    without weights, or at points that are only nearly critical, in valleys where units saturate and
    |g| stays above 1e-4.
    """
    data, generator = problem.example(seed), torch.Generator().manual_seed(seed + 1)
    x = 0.02 * torch.randn(count, problem.dim, generator=generator)
    path = torch.stack([*islice(descent(problem, data, x, 0.1, 0.9), 151)])
    steps = torch.randint(0, 151, (count,), generator=generator)
    near = path[steps, torch.arange(count)]
    near = near + 0.05 * torch.randn(count, problem.dim, generator=generator)
    points, curvatures = critical_points(problem, data, near, 60, NEARLY)
    losses = problem.loss(points, data)
    other = losses < problem.critical_points(data)[0].value - 1e-6
    return losses[other], (curvatures[other] < -1e-6).double().mean(-1)


@claim(
    DigitsMlp,
    "where the gradient nearly vanishes, the share of negative curvatures is correlated with the "
    "loss",
    stated="above 0.7",
    within=(0.7, 1.0),
    source="Dauphin et al. 2014, figure 1",
    slow=True,
)
def correlation_of_index_and_loss(problem: DigitsMlp) -> float:
    losses, indices = zip(*(nearly_critical(problem, seed, 40) for seed in range(2)), strict=True)
    return torch.corrcoef(torch.stack([torch.cat(losses), torch.cat(indices)]))[0, 1].item()


@claim(
    DigitsMlp,
    "the mean loss of 500 digits at which saddle-free Newton is after 80 steps: all are right, and "
    "larger weights would do better",
    stated="below ln 2 / 500",
    within=(0.0, math.log(2) / EXAMPLES),
    source="derived: a wrong digit alone costs ln 2",
    slow=True,
)
def all_digits_can_be_right(problem: DigitsMlp) -> float:
    """Return the best of 4 starts; for those digits it follows that the infimum is 0."""
    return min(newton(problem, problem.example(seed), 80, True)[-1].item() for seed in range(4))


def portrait(problem: DigitsMlp) -> Curves:
    data, steps = problem.example(), 30
    left = heavy_ball(problem, data, steps)
    axis = torch.arange(steps + 1)
    return Curves(
        caption="A network leaves the saddle beside which it starts: at once along negative curvature, late along "
        "the gradient.",
        x_label="steps",
        y_label="cross-entropy",
        dots={
            "saddle-free Newton": (axis, newton(problem, data, steps, True)),
            "damped Newton": (axis, newton(problem, data, steps, False)),
            "heavy ball": (axis, left[:, left[-1].argmin()]),
        },
        y_scale="log",
    )
