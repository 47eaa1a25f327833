"""L-BFGS: Newton's step with the curvature along the last few steps."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register
from optimizers.strong_wolfe import dot, first_length, strong_wolfe

CURVED = 1e-10  # the least cosine of s and y for which a pair is kept


@register("lbfgs")
@dataclass(frozen=True)
class LBFGS(Optimizer):
    """L-BFGS: Newton's step with an inverse Hessian H built from the last `memory` steps: s = −t H g.

    H is the BFGS matrix of the last pairs of a step s and the gradient's change y, on top of (sᵀy/yᵀy) I: it takes
    the last y to the last s. t satisfies the strong Wolfe conditions with c₁ = 1e-4 and c₂ = `c2`, and is 1 if that
    does. Pairs with sᵀy ≤ 1e-10 |s||y| are skipped, so that H stays positive definite; after a failed search all
    pairs are dropped. Both gradients of a pair are seen through the same noise, but that of a single draw: it enters
    H as curvature, and t lowers the loss of that draw, not its mean. It stops when the decrease is below the loss's
    rounding.

    Nocedal 1980, "Updating quasi-Newton matrices with limited storage"; Liu & Nocedal 1989, "On the
    limited memory BFGS method for large scale optimization".
    """

    memory: int = hyper(10, low=1)
    c2: Hyper = hyper(0.9, above=0, below=1)

    def init(self, x: torch.Tensor) -> State:
        """Return the pairs s and y, oldest first, each (*runs, memory, dim), 1/sᵀy (*runs, memory, 1), and t gᵀd.

        An empty pair has 0 for 1/sᵀy. t gᵀd of the step before gives the first length to try if there are no pairs.
        """
        pairs = x.new_zeros(*x.shape[:-1], self.memory, x.shape[-1])
        return pairs, pairs, pairs[..., :1], torch.zeros_like(x[..., :1])

    def vectors(self, dim: int) -> int:
        return self.memory

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −t H g, or −t g if −H g is not downhill."""
        steps, changes, weights, foretold = state
        gradient = oracle.gradient
        direction = -_two_loops(gradient, steps, changes, weights)
        newton = (dot(gradient, direction) < 0) & (weights[..., -1, :] > 0)
        direction = torch.where(newton, direction, -gradient)
        guess = torch.where(
            foretold < 0, -foretold / dot(gradient, gradient), first_length(gradient)
        )
        first = torch.where(newton, 1.0, guess)
        found = strong_wolfe(oracle, direction, first, self.c2)

        step, change = found.x - oracle.x, found.gradient - gradient
        weight = 1 / dot(step, change)
        lengths = step.norm(dim=-1, keepdim=True) * change.norm(dim=-1, keepdim=True)
        curved = dot(step, change) > CURVED * lengths
        curved &= weight.isfinite() & (dot(change, change) > 0)
        moved = (found.length > 0).unsqueeze(-1)
        pairs = (step, steps), (change, changes), (weight, weights)
        kept = tuple(
            torch.where(moved, torch.where(curved.unsqueeze(-1), _push(new, old), old), 0.0)
            for new, old in pairs
        )
        return found.length * direction, (*kept, found.foretold)


def _push(new: torch.Tensor, old: torch.Tensor) -> torch.Tensor:
    """Return the vectors (*runs, memory, n) with the new one last and without the oldest."""
    return torch.cat([old[..., 1:, :], new.unsqueeze(-2)], -2)


def _two_loops(
    vector: torch.Tensor, steps: torch.Tensor, changes: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """Return H times a vector, by two loops over the pairs. Pairs of weight 0 have no effect; all stand first."""
    pairs = list(zip(steps.unbind(-2), changes.unbind(-2), weights.unbind(-2), strict=True))
    shares = []
    for step, change, weight in reversed(pairs):
        shares.append(weight * dot(step, vector))
        vector = vector - shares[-1] * change
    _, change, weight = pairs[-1]
    vector = torch.where(weight > 0, vector / (weight * dot(change, change)), vector)
    for (step, change, weight), share in zip(pairs, reversed(shares), strict=True):
        vector = vector + (share - weight * dot(change, vector)) * step
    return vector
