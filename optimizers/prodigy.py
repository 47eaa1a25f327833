"""Prodigy: Adam that finds its learning rate, from below, as an estimate of the distance to the solution."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("prodigy")
@dataclass(frozen=True)
class Prodigy(Optimizer):
    """Prodigy: Adam's step with the rate factor · d, where d grows towards the distance to the solution.

    d ← max(d, r/‖p‖₁), with r ← √β₂ r + c ⟨g, x₀ − x⟩, p ← √β₂ p + c g, and c = factor · d²: for a convex f with its
    minimum at x*, and exact gradients, r/‖p‖₁ is at most ‖x₀ − x*‖∞ (with β₂ = 1), since ⟨g, x − x*⟩ ≥ 0. So d has to
    begin below that, at d0. The moments are those of d g, and the step is s = −factor · d · m / (√v + d · eps), without
    bias correction. The factor in front uses the old d, as in the authors' code, which also gives the defaults and
    calls `factor` lr. It has no unit, and d does what a learning rate does. Mishchenko & Defazio 2023,
    arXiv:2306.06101.
    """

    factor: Hyper = hyper(1.0, search=log(1e-3, 2.0), low=0)
    beta1: Hyper = hyper(0.9, low=0, below=1)
    beta2: Hyper = hyper(0.999, low=0, below=1)
    eps: Hyper = hyper(1e-8, low=0)
    d0: Hyper = hyper(1e-6, above=0)

    def init(self, x: torch.Tensor) -> State:
        """Return the start x₀, m = v = p = 0, and per run r = 0 and d = d₀, as a share of d₀."""
        zero = torch.zeros_like(x)
        one = torch.ones_like(x[..., :1])
        return x, zero, zero, zero, 0 * one, one

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −factor · d · m / (√v + d · eps)."""
        start, mean, square, total, product, share = state
        gradient, d = oracle.gradient, self.d0 * share
        weight, decay = share * d * self.factor, self.beta2**0.5
        product = decay * product + weight * (gradient * (start - oracle.x)).sum(-1, keepdim=True)
        total = decay * total + weight * gradient
        mean = self.beta1 * mean + (1 - self.beta1) * d * gradient
        square = self.beta2 * square + (1 - self.beta2) * (d * gradient) ** 2
        length = total.abs().sum(-1, keepdim=True)
        found = torch.where(length > 0, product / length, 0.0)
        share = torch.maximum(share, found / self.d0)
        step = -self.factor * d * mean / (square.sqrt() + self.d0 * share * self.eps)
        return step, (start, mean, square, total, product, share)
