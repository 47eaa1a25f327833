"""Newton's method on minibatches: dividing by a noisy Hessian takes a hundred times as many examples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.problem import Card, Tree, dial
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import bounded

BLOCK = 50  # steps whose minibatches are drawn at once


def _breaking_point_of_newton(problem: NewtonNoise, budget: float) -> float:
    """Return the largest d/B that Newton's method bears at the best constant rate.

    A step leads to (1 − lr) e + lr · w, with w the error of least squares on the minibatch alone. So
    of the gap (1 − lr)^2t is left, and noise adds (1 − (1 − lr)^2t) lr/(2 − lr) times that of w,
    ½ noise² d/(B − d − 1).
    """
    steps = int(budget / (1 + 2 * problem.dim))
    if steps < 20:  # a noisy run is judged by as many
        return 0.0
    lr = torch.linspace(0.01, 1, 100, dtype=torch.float64)[:, None]
    t = torch.arange(steps - max(20, round(steps / 10)), steps)
    left = ((1 - lr) ** (2 * t)).mean(-1)
    share = lr[:, 0] / (2 - lr[:, 0]) * (1 - left)
    curvatures = problem.curvatures()
    allowed = (problem.card.target - left) / share * curvatures.mean() / problem.noise**2
    most = allowed.max().clamp(min=0).item()  # d/(B − d − 1)
    return most / (1 + most * (1 + 1 / problem.dim))


@register("newton_noise")
@dataclass(frozen=True)
class NewtonNoise(QuadraticForm):
    """Least squares, where each step sees the gradient and the Hessian of one small minibatch.

    f(x) = ½ (x − m)ᵀ S (x − m): the mean squared error of a linear model, less that of the best one.
    Examples are a ~ N(0, S), y = a·m + N(0, noise²); S is rotated, its eigenvalues from 1/condition
    to 1. A step sees H_B = AᵀA/B of B of them, and the gradient H_B (x − m) − Aᵀε/B.

    The gradient of a minibatch errs by (q + noise²) tr S + |Sδ|² over B, squared and on average, where
    δ = x − m and q = δᵀSδ. Newton's step errs by H_B⁻¹Aᵀε/B, whatever δ is: least squares on the
    minibatch alone. That is noise² tr S⁻¹/(B − d − 1), and infinite for B ≤ d + 1. At condition 1480
    and 50 parameters a step from B = 10,000 is relatively as noisy as a gradient from 100.

    Starts are one unit away from m. H_B is drawn as a Wishart matrix (by Bartlett's factor) and Aᵀε
    as a Gaussian vector, at a cost that does not depend on B.

    dim: d.
    parameters_per_example: d/B, at most 1; B is a whole number.
    condition: of S.
    noise: the standard deviation of what the model cannot explain.

    Deep Learning, section 8.1.3: with so many examples Hessians are estimated, and section 8.2.6.
    """

    dim: int = bounded(10, low=1)
    parameters_per_example: float = dial(0.2, above=0, high=1)
    condition: float = bounded(100.0, low=1, high=1e12)
    noise: float = bounded(1.0, above=0)

    card = Card(
        scale="log",
        ladder=(0.005, 0.1, 0.9),
        target=0.05,
        budget=2100,
        reference=("sgd", {"lr": 0.04}),
        control={"parameters_per_example": 0.005, "condition": 1.0},
        signature="noise of a Newton step over that of a gradient, at the start: mean squares, each "
        "in relation to what it should be",
        threshold=2.0,
        truth="One minimum, 0 at m. A whole Newton step leaves ½ noise² d/(B − d − 1), from "
        "wherever it starts, which is infinite for B ≤ d + 1.",
        source="Goodfellow, Bengio & Courville 2016, section 8.1.3; Wishart 1928, Bartlett 1933",
        theory={"newton": _breaking_point_of_newton},
        exceptions={
            "signature": "It draws the noise of gradients and Newton steps itself, from its fields.",
        },
    )

    @property
    def batch(self) -> int:
        """Return B."""
        return round(self.dim / self.parameters_per_example)

    @property
    def budget(self) -> float:
        """Return that of 100 steps of Newton's method, up to dim 10; 2100 beyond."""
        return min(self.card.budget, 100 * (1 + 2 * self.dim))

    def curvatures(self) -> torch.Tensor:
        """Return the eigenvalues of S: (dim,)."""
        return self.condition ** -torch.linspace(0, 1, self.dim, dtype=torch.float64)

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        away = torch.randn(self.dim, generator=generator)
        basis = random_rotation(self.dim, generator)
        curvatures = self.curvatures().to(basis)
        return {
            "start": minimizer + away / away.norm(),
            "minimizer": minimizer,
            "hessian": (basis * curvatures) @ basis.T,
            "root": basis * curvatures.sqrt(),  # times its transpose it is S
        }

    def minibatches(
        self, data: Tree, count: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return H_B (count, dim, dim) and Aᵀε/B (count, dim) of `count` minibatches.

        AᵀA is R L Lᵀ Rᵀ with RRᵀ = S and L lower triangular: Gaussians below its diagonal, and on it
        the roots of χ² with B, B − 1, … degrees of freedom. Given A, Aᵀε is N(0, noise² AᵀA).
        """
        freedom = self.batch - torch.arange(self.dim, dtype=data["root"].dtype)
        # torch.distributions.Gamma is this, but takes no generator.
        gamma = torch._standard_gamma  # pyright: ignore[reportPrivateImportUsage]
        square = gamma((freedom / 2).expand(count, -1), generator=generator)
        factor = torch.randn(count, self.dim, self.dim, generator=generator).tril(-1)
        factor.diagonal(dim1=-2, dim2=-1).copy_((2 * square).sqrt())
        factor = data["root"] @ factor / math.sqrt(self.batch)
        noise = torch.randn(count, self.dim, generator=generator) * self.noise
        shaken = torch.einsum("kij,kj->ki", factor, noise) / math.sqrt(self.batch)
        return factor @ factor.mT, shaken

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        while True:
            for hessian, noise in zip(*self.minibatches(data, BLOCK, generator), strict=True):
                yield {"hessian": hessian, "noise": noise}

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.sampled_value_and_gradient(x, data, draw)[0]

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if draw is None:
            return self.value_and_gradient(x, data)
        error = x - data["minimizer"]
        product = torch.einsum("...i,...ij->...j", error, draw["hessian"])
        value = (error * (0.5 * product - draw["noise"])).sum(-1)
        return value, product - draw["noise"]

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.hvp(x, data if draw is None else draw, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data if draw is None else draw)

    def signature(self, data: Tree) -> float:
        away = data["start"] - data["minimizer"]
        generator = torch.Generator().manual_seed(0)
        gradients, steps = self._noise_to_signal(data, away.expand(1000, -1), generator)
        return steps / gradients

    def _noise_to_signal(
        self, data: Tree, away: torch.Tensor, generator: torch.Generator
    ) -> tuple[float, float]:
        """Return the mean squared error over the exact mean square, of gradients and of Newton steps."""
        hessians, noises = self.minibatches(data, len(away), generator)
        draw, x = {"hessian": hessians, "noise": noises}, data["minimizer"] + away
        seen, right = self.sampled_value_and_gradient(x, data, draw)[1], away @ data["hessian"]
        step = torch.linalg.solve(self.sampled_hessian(x, data, draw), seen)
        pairs = (seen, right), (step, away)
        gradients, steps = (
            (found - exact).square().sum(-1).mean() / exact.square().sum(-1).mean()
            for found, exact in pairs
        )
        return gradients.item(), steps.item()
