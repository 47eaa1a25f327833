"""Newton's method on minibatches: dividing by a noisy Hessian takes a hundred times as many examples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.inexact_gradients.constant_rates import largest_newton_gap
from problems.inexact_gradients.sampled import Sampled
from problems.problem import Card, Tree, dial
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import bounded

BLOCK = 50  # steps whose minibatches are drawn at once


def _breaking_point_of_newton(problem: NewtonNoise, budget: float) -> float:
    """Return the largest d/B that Newton's method bears at the best constant rate.

    Least squares on the minibatch alone has the gap noise² d/(B − d − 1) over the mean curvature.
    """
    gap = largest_newton_gap(problem.card.target, int(budget / (1 + 2 * problem.dim)))
    most = gap * problem.curvatures().mean().item() / problem.noise**2  # d/(B − d − 1)
    return most / (1 + most * (1 + 1 / problem.dim))


@register("newton_noise")
@dataclass(frozen=True)
class NewtonNoise(Sampled, QuadraticForm):
    """Least squares, where each step sees the gradient and the Hessian of one small minibatch.

    f(x) = ½ (x − m)ᵀ S (x − m): the mean squared error of a linear model, less that of the best one.
    Examples are a ~ N(0, S), y = a·m + N(0, noise²); S is rotated, its eigenvalues from 1/condition
    to 1. A step sees H_B = AᵀA/B of B of them, and the gradient H_B (x − m) − Aᵀε/B.

    A gradient errs by (q + noise²) tr S + |Sδ|² over B, squared and on average, with δ = x − m and
    q = δᵀSδ. Newton's step errs by H_B⁻¹Aᵀε/B, least squares on the minibatch alone: squared,
    noise² tr S⁻¹/(B − d − 1) whatever δ is, infinite for B ≤ d + 1. Starts are one unit away from m.
    H_B is a Wishart matrix (by Bartlett's factor) and Aᵀε Gaussian, at a cost that does not depend on B.

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
        breaks=("newton", "noise"),
        signature="noise of a Newton step over that of a gradient, at the start: mean squares, each "
        "in relation to what it should be",
        threshold=1.0,
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

    def minibatches(self, data: Tree, count: int, generator: torch.Generator) -> Tree:
        """Return the "hessian" H_B (count, dim, dim) and "noise" Aᵀε/B (count, dim) of `count` minibatches.

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
        return {"hessian": factor @ factor.mT, "noise": shaken}

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        while True:
            drawn = self.minibatches(data, BLOCK, generator)
            for hessian, noise in zip(drawn["hessian"], drawn["noise"], strict=True):
                yield {"hessian": hessian, "noise": noise}

    def at_draw(self, x: torch.Tensor, data: Tree, draw: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        error = x - data["minimizer"]
        product = self.hvp(x, draw, error)
        return (error * (0.5 * product - draw["noise"])).sum(-1), product - draw["noise"]

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.hvp(x, draw or data, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, draw or data)

    def signature(self, data: Tree) -> float:
        away = (data["start"] - data["minimizer"]).expand(1000, -1)
        gradients, steps = self.noise_to_signal(data, away, torch.Generator().manual_seed(0))
        return steps / gradients

    def noise_to_signal(
        self, data: Tree, away: torch.Tensor, generator: torch.Generator
    ) -> tuple[float, float]:
        """Return the mean squared error over the exact mean square, of gradients and of Newton steps.

        They are taken at the points m + `away` (count, dim), from one minibatch each.
        """

        def relative(seen: torch.Tensor, exact: torch.Tensor) -> float:
            error = (seen - exact).square().sum(-1).mean()
            return (error / exact.square().sum(-1).mean()).item()

        draw = self.minibatches(data, len(away), generator)
        seen = self.sampled_value_and_gradient(data["minimizer"] + away, data, draw)[1]
        step = torch.linalg.solve(draw["hessian"], seen)
        return relative(seen, away @ data["hessian"]), relative(step, away)
