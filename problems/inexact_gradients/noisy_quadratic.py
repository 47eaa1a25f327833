"""A quadratic bowl whose gradients are noisy: the rate that gets there fast is not the one that gets close."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.inexact_gradients.constant_rates import MOMENTA, largest_noise
from problems.inexact_gradients.sampled import Sampled, first_draws
from problems.problem import Card, Tree, dial
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import bounded

BLOCK = 100  # steps whose noise is drawn at once


def _largest_noise(problem: NoisyQuadratic, budget: float, momenta: tuple[float, ...]) -> float:
    """Return the most noise that the best constant setting bears."""
    return largest_noise(problem.curvatures(), problem.card.target, int(budget), momenta)


@register("noisy_quadratic")
@dataclass(frozen=True)
class NoisyQuadratic(Sampled, QuadraticForm):
    """A rotated bowl whose gradients have noise that is larger where it is steeper.

    f(x) = ½ (x − m)ᵀ H (x − m), H = Q diag(h) Qᵀ, h_i = 1/i; seen is the gradient + N(0, noise · H).

    A minibatch of B examples has noise of covariance H/B near the solution of a well-specified
    model: `noise` is 1/B. A constant rate α forgets the start like (1 − αh)^t, and then shakes about
    m, with a gap near α · noise/2 of that at the start. The steps to a target fall as 1/B while
    noise decides, and no further once curvature does: only there momentum helps. Starts are m + N(0, I).
    A run is judged by the mean gap of its last steps, at most half of them (`problems.noisy_runs`).

    dim: x is (dim,), and the condition number.
    noise: the variance of the gradient along a mode over its curvature.

    Schaul, Zhang & LeCun 2013, arXiv:1206.1106; Wu, Ren, Liao & Grosse 2018, arXiv:1803.02021;
    Zhang et al. 2019, arXiv:1907.04164; Deep Learning, section 8.2.6.
    """

    dim: int = bounded(100, low=1)
    noise: float = dial(0.05, low=0)

    card = Card(
        scale="log",
        ladder=(1e-4, 0.03, 1.0),
        quick={"dim": 20},
        target=1e-2,
        budget=1000,
        reference=("sgd", {"lr": 0.2}),
        control={"noise": 0.0},
        breaks=("sgd", "noise"),
        signature="noise of the gradient over the gradient, both root mean square, where the gap is "
        "the target",
        threshold=1.0,
        truth="One minimum, 0 at m. At a constant rate α with momentum β the gap settles at "
        "½ Σ α noise h (1 + β)/((1 − β)(2(1 + β) − αh)). T gradients leave on average at least "
        "the share Σ h/(1 + Th/noise) / Σ h: 0.13 at noise 10 and T = 1000.",
        source="Zhang et al. 2019; Schaul, Zhang & LeCun 2013; "
        "Goodfellow, Bengio & Courville 2016, section 8.2.6",
        theory={
            "sgd": lambda problem, budget: _largest_noise(problem, budget, (0.0,)),
            "momentum": lambda problem, budget: _largest_noise(problem, budget, MOMENTA),
        },
        exceptions={
            "reference": "at noise 1 a thousand gradients do not hold enough about the minimum: "
            "on average even the best estimate leaves 1.8 times the target",
        },
    )

    def curvatures(self) -> torch.Tensor:
        """Return the eigenvalues of H, 1 to 1/dim: (dim,)."""
        return 1 / torch.arange(1, self.dim + 1, dtype=torch.float64)

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        away = torch.randn(self.dim, generator=generator)
        basis = random_rotation(self.dim, generator)
        curvatures = self.curvatures().to(basis)
        return {
            "start": minimizer + away,
            "minimizer": minimizer,
            "hessian": (basis * curvatures) @ basis.T,
            "root": basis * curvatures.sqrt(),  # times its transpose it is H
        }

    def noises(self, data: Tree, count: int, generator: torch.Generator) -> torch.Tensor:
        """Return independent noise of `count` gradients: (count, dim)."""
        noise = torch.randn(count, self.dim, generator=generator)
        return math.sqrt(self.noise) * noise @ data["root"].T

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        while True:
            yield from ({"noise": row} for row in self.noises(data, BLOCK, generator))

    def at_draw(self, x: torch.Tensor, data: Tree, draw: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self.value_and_gradient(x, data)
        tilt = (draw["noise"] * (x - data["minimizer"])).sum(-1)
        return value + tilt, gradient + draw["noise"]

    def signature(self, data: Tree) -> float:
        near = self.card.target**0.5
        point = data["minimizer"] + near * (data["start"] - data["minimizer"])
        gradient = self.value_and_gradient(point, data)[1]
        noise = first_draws(self, data, 200)["noise"]
        return (noise.square().sum(-1).mean().sqrt() / gradient.norm()).item()
