"""A valley that narrows on the way down, until noise and curvature hold descent where the gradient is strong."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from problems.noisy_runs import steps_judged
from problems.one_minimum import OneMinimum
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import bounded

WIDTH = 0.02  # of the start around the valley's floor, where the walls' curvature is 1
RESOLVED = 14.0  # narrowing beyond which float64 takes the curvature along for 0 beside that across


def _breaking_point_of_descent(problem: NarrowingValley, budget: float) -> float:
    """Return the largest narrowing, to 0.05, that some constant rate of descent solves in the mean field.

    By the mean loss over the steps that judge a run of `budget` steps, at 48 rates from 1e-3 to 2. The rate must not
    be below ln(1/target) X/2B, and gets no farther than ln(2/η)/k: so the breaking point grows like the
    logarithm of the budget.
    """
    steps = int(budget)
    last = steps_judged(steps)
    if not last:
        return 0.0
    lr = torch.logspace(-3, math.log10(2), 48, dtype=torch.float64)
    narrowing = 0.05 * torch.arange(400, dtype=torch.float64)[:, None]
    total = torch.zeros(len(narrowing), len(lr), dtype=torch.float64)
    places = problem.mean_field(narrowing / problem.length, lr)
    for x, stiffness, square in itertools.islice(places, steps - last, steps):
        total += (problem.length - x).square() / (2 * problem.length)
        total += stiffness * problem.walls * square / 2
    solved = (total / last <= problem.card.target * problem.length / 2).any(-1)
    return narrowing[solved].max().item() if solved.any() else 0.0


@register("narrowing_valley")
@dataclass(frozen=True)
class NarrowingValley(OneMinimum):
    """A valley whose walls close in exponentially on the way to the minimum, under noise.

    f(x, y) = (x − X)²/2X + ½ e^(k x) |y|², from x = 0; the gradient that is seen has σ N(0, I) added
    in y, and the origin is shifted by the seed.

    The valley falls with slope 1 − x/X. Noise keeps y off the floor, so that the walls push back with
    ½ k e^(k x) |y|². Where their curvature comes near 2/η, at x = ln(2/η)/k, this holds descent at a
    constant rate η for ever, though its gradient g is strong. On the way gᵀg hardly changes while gᵀHg
    grows a hundredfold, until ½η² gᵀHg = η gᵀg: the book's test of ill-conditioning. Half the rate gets
    only ln 2/k farther; a rate that decays exponentially helps, or a method that knows the curvature.
    It takes both, noise and growing curvature: what pushes back is their product. Without noise, descent at a
    rate of 0.1 has shrunk y to exactly 0 before it meets the walls' curvature 2/η, and no narrowing holds it.
    Newton's step must be damped: the Hessian is indefinite where k² e^(k x) |y|² > 2/X.

    narrowing: k X, the logarithm of how much stiffer the walls are at the minimum.
    walls: how many directions y has; dim is one more.
    length: X.
    noise: σ.

    Deep Learning, section 8.2.1. Descent held where the curvature is 2/η: Cohen et al. 2021,
    arXiv:2103.00065; Damian, Nichani & Lee 2022, arXiv:2209.15594.
    """

    narrowing: float = dial(6.0, low=0, high=100)
    walls: int = bounded(4, low=1)
    length: float = bounded(50.0, above=0)
    noise: float = bounded(0.3, low=0)

    card = Card(
        scale="linear",
        ladder=(0.0, 6.0, 20.0),
        target=0.05,
        budget=1000,
        reference=("saddle_free_newton", {"lr": 0.5, "damping": 0.1}),
        control={"narrowing": 0.0},
        removes={"sharpening": {"narrowing": 0.0}},
        breaks=("sgd", "noise"),
        also="sharpening",
        signature="growth of gᵀHg while gᵀg keeps at least half of what it was, along noisy descent",
        threshold=10.0,
        truth="One critical point, the minimum 0 at x = X, y = 0, where the curvature along is 1/X "
        "and that across e^narrowing. A constant rate η gets no farther than ln(2/η)/k.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.1; Cohen et al. 2021",
        theory={"sgd": _breaking_point_of_descent},
    )

    @property
    def rate(self) -> float:
        """k, the growth of the logarithm of the walls' curvature per unit of x."""
        return self.narrowing / self.length

    def instance(self, generator: torch.Generator) -> Tree:
        origin, beside = torch.randn(2, 1 + self.walls, generator=generator)
        beside[0], along = 0, torch.zeros_like(origin)
        along[0] = self.length
        return {"start": origin + WIDTH * beside, "minimizer": origin + along}

    def stiffness(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the walls' curvature, (*runs): 1 at the start, e^narrowing at the minimum."""
        return (self.narrowing + self.rate * (x - data["minimizer"])[..., 0]).exp()

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        error = x - data["minimizer"]
        across = error[..., 1:].square().sum(-1)
        return error[..., 0].square() / (2 * self.length) + self.stiffness(x, data) * across / 2

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        error, stiffness = x - data["minimizer"], self.stiffness(x, data)
        along, across = error[..., 0], error[..., 1:]
        wall = stiffness * across.square().sum(-1) / 2
        slope = along / self.length
        gradient = torch.cat(
            [(slope + self.rate * wall)[..., None], stiffness[..., None] * across], -1
        )
        return slope * along / 2 + wall, gradient

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        """Yield the push on each coordinate: none along the valley."""
        while True:
            push = torch.randn(1 + self.walls, generator=generator)
            push[0] = 0
            yield {"push": self.noise * push}

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.loss(x, data) + (draw["push"] * (x - data["minimizer"])).sum(-1)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self.value_and_gradient(x, data)
        if draw is None:
            return value, gradient
        return value + (draw["push"] * (x - data["minimizer"])).sum(-1), gradient + draw["push"]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the minimum, where float64 tells its curvatures from 0."""
        minimum = CriticalPoint(data["minimizer"], 0.0, index=0)
        return (minimum,) if self.narrowing <= RESOLVED else ()

    def signature(self, data: Tree) -> float:
        """Measure it at the rate 0.05: means over 16 runs and 20 steps, over those of the first 20."""
        points = itertools.islice(self.noisy_descent(data, 0.05), 0, 1000, 4)
        squares = self.squares(torch.stack(list(points)), data).mean(1)
        gradients, curved = squares.unflatten(0, (-1, 5)).mean(1).unbind(-1)
        strong = gradients >= gradients[0] / 2
        return (curved[strong].max() / curved[0]).item()

    def noisy_descent(
        self, data: Tree, lr: float | torch.Tensor, runs: int = 16, seed: int = 0
    ) -> Iterator[torch.Tensor]:
        """Yield the points (…, runs, dim) of gradient descent under noise; `lr` is a number or (…, 1, 1)."""
        generator = torch.Generator().manual_seed(seed)
        lr = torch.as_tensor(lr)
        x = data["start"].expand(*lr.shape[:-2], runs, -1)
        while True:
            yield x
            push = self.noise * torch.randn(runs, 1 + self.walls, generator=generator)
            push[:, 0] = 0
            x = x - lr * (self.value_and_gradient(x, data)[1] + push)

    def squares(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return gᵀg and gᵀHg of the exact loss, (*runs, 2)."""
        gradient = self.value_and_gradient(x, data)[1]
        curved = gradient * self.hvp(x, data, gradient)
        return torch.stack([gradient.square().sum(-1), curved.sum(-1)], -1)

    def mean_field(
        self, rate: torch.Tensor, lr: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield x, h = e^(k x) and the mean square s of each y at each step, were x the same in all runs.

        s ← (1 − η h)² s + η² σ² and x ← x + η (1 − x/X − ½ k h m s), for k = `rate` and η = `lr`,
        whose shapes broadcast to those of what is yielded.
        """
        x = torch.zeros_like(rate * lr)
        square = torch.full_like(x, WIDTH**2)
        while True:
            stiffness = (rate * x).exp()
            yield x, stiffness, square
            pushed = rate / 2 * stiffness * self.walls * square
            square = (1 - lr * stiffness).square() * square + (lr * self.noise) ** 2
            x = x + lr * (1 - x / self.length - pushed)
