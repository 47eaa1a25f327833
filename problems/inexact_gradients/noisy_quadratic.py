"""A quadratic bowl whose gradients are noisy: the rate that gets there fast is not the one that gets close."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.problem import Card, Tree, dial
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import bounded

BLOCK = 100  # steps whose noise is drawn at once
RATES = 48  # learning rates that theory tries
MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)


def steady_variance(
    curvature: torch.Tensor, variance: torch.Tensor, lr: torch.Tensor, momentum: torch.Tensor
) -> torch.Tensor:
    """Return E e² of heavy ball along a mode at rest: infinite from αh = 2(1 + β) on.

    α v (1 + β) / ((1 − β) h (2 (1 + β) − α h)) for a gradient h e + N(0, v): the fixed point of the
    second moments' recursion. β = 0 is gradient descent, α v / (h (2 − α h)).
    """
    room = 2 * (1 + momentum) - lr * curvature
    steady = lr * variance * (1 + momentum) / ((1 - momentum) * curvature * room)
    return torch.where(room > 0, steady, math.inf)


def _largest_noise(momenta: tuple[float, ...]) -> Callable[[NoisyQuadratic, float], float]:
    """Return the theory of the most noise that constant rates bear.

    The expected gap is A + noise · N for each of them; the best has the largest (target − A)/N.
    """

    def breaking_point(problem: NoisyQuadratic, budget: float) -> float:
        steps = int(budget)
        lr, momentum = problem.tried(momenta)
        window = max(20, round(steps / 10))
        if steps < window:  # over which a run is judged
            return 0.0
        start, noise = problem.expected_gap(steps, lr, momentum, window)
        return ((problem.card.target - start) / noise).max().clamp(min=0).item()

    return breaking_point


@register("noisy_quadratic")
@dataclass(frozen=True)
class NoisyQuadratic(QuadraticForm):
    """A rotated bowl whose gradients have noise that is larger where it is steeper.

    f(x) = ½ (x − m)ᵀ H (x − m), H = Q diag(h) Qᵀ, h_i = 1/i; seen is the gradient + N(0, noise · H).

    A minibatch of B examples has noise of covariance H/B near the solution of a well-specified
    model: `noise` is 1/B. A constant rate α forgets the start like (1 − αh)^t, and then shakes about
    m, with a gap near α · noise/2 of that at the start. The steps to a target fall as 1/B while
    noise decides, and no further once curvature does: only there momentum helps. Starts are m + N(0, I).

    dim: x is (dim,), and the condition number.
    noise: the variance of the gradient along a mode over its curvature.

    Schaul, Zhang & LeCun 2013, arXiv:1206.1106; Wu, Ren, Liao & Grosse 2018, arXiv:1803.02021;
    Zhang et al. 2019, arXiv:1907.04164; Deep Learning, section 8.2.6.
    """

    dim: int = bounded(100, low=1)
    noise: float = dial(0.05, low=0)

    card = Card(
        scale="log",
        ladder=(1e-4, 0.03, 10.0),
        quick={"dim": 20},
        target=1e-2,
        budget=1000,
        reference=("sgd", {"lr": 0.2}),
        control={"noise": 0.0},
        signature="noise of the gradient over the gradient, both root mean square, where the gap is "
        "the target",
        threshold=1.0,
        truth="One minimum, 0 at m. At a constant rate α with momentum β the gap settles at "
        "½ Σ α noise h (1 + β)/((1 − β)(2(1 + β) − αh)). T gradients leave on average at least "
        "the share Σ h/(1 + Th/noise) / Σ h: 0.13 at noise 10 and T = 1000.",
        source="Zhang et al. 2019; Schaul, Zhang & LeCun 2013; "
        "Goodfellow, Bengio & Courville 2016, section 8.2.6",
        theory={"sgd": _largest_noise((0.0,)), "momentum": _largest_noise(MOMENTA)},
        exceptions={
            "reference": "at noise 10 a thousand gradients do not hold enough about the minimum: "
            "on average even the best estimate leaves 13 times the target",
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

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.loss(x, data) + (draw["noise"] * (x - data["minimizer"])).sum(-1)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self.value_and_gradient(x, data)
        if draw is None:
            return value, gradient
        noise = draw["noise"]
        return value + (noise * (x - data["minimizer"])).sum(-1), gradient + noise

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.hvp(x, data, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data)

    def signature(self, data: Tree) -> float:
        near = self.card.target**0.5
        point = data["minimizer"] + near * (data["start"] - data["minimizer"])
        stream = self.draws(data, torch.Generator().manual_seed(0))
        noise = torch.stack([next(stream)["noise"] for _ in range(200)])
        gradient = self.value_and_gradient(point, data)[1]
        return (noise.square().sum(-1).mean().sqrt() / gradient.norm()).item()

    def tried(self, momenta: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return stable rates and momenta for theory to choose from: (settings,) each."""
        momentum = torch.tensor(momenta, dtype=torch.float64).repeat_interleave(RATES)
        share = torch.logspace(-4, math.log10(0.98), RATES, dtype=torch.float64)
        return 2 * (1 + momentum) * share.repeat(len(momenta)), momentum

    def expected_gap(
        self, steps: int, lr: torch.Tensor, momentum: torch.Tensor, window: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return A and N, (settings,) each: the expected gap over that at the start is A + noise · N.

        The mean over the `window` steps before that one. Along a mode, with e[t+1] =
        s e[t] − β e[t−1] − α ξ and s = 1 + β − αh, the moments (E e[t]², E e[t] e[t−1], E e[t−1]²) obey
        p ← M p + (α² noise · h, 0, 0). So p is p∞ + Mᵗ (p₀ − p∞), and its sums are geometric.
        """
        h = self.curvatures()
        s, beta = 1 + momentum[:, None] - lr[:, None] * h, momentum[:, None].expand(-1, len(h))
        one, zero = torch.ones_like(s), torch.zeros_like(s)
        rows = [s.square(), -2 * s * beta, beta.square()], [s, -beta, zero], [one, zero, zero]
        step = torch.stack([torch.stack(row, -1) for row in rows], -2)
        first = torch.linalg.matrix_power(step, steps - window + 1)
        decay = (first - first @ torch.linalg.matrix_power(step, window)) / window
        forgotten = torch.linalg.solve(torch.eye(3, dtype=h.dtype) - step, decay)[..., 0, :]
        steady = steady_variance(h, h, lr[:, None], momentum[:, None])
        lagged = s / (1 + beta) * steady  # E e[t] e[t−1] at rest
        start = forgotten.sum(-1)
        noise = steady - (forgotten * torch.stack([steady, lagged, steady], -1)).sum(-1)
        return tuple((h * each).sum(-1) / h.sum() for each in (start, noise))  # type: ignore[return-value]
