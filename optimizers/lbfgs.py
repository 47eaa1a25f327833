"""L-BFGS: Newton's step with the curvature that the last few steps met."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register
from optimizers.strong_wolfe import dot, first_length, strong_wolfe

CURVED = 1e-10  # least cosine of s and y in a pair that is kept


@register("lbfgs")
@dataclass(frozen=True)
class LBFGS(Optimizer):
    """A secant for each step: the matrix that takes the last changes y of the gradient to the steps s.

    s = −t H g, H the BFGS matrix of the last `memory` pairs (s, y) on top of (sᵀy/yᵀy) I, in two
    loops over the pairs; t satisfies the strong Wolfe conditions with c₁ = 1e-4 and c₂ = `c2`, and
    is 1 where that will do. Pairs with sᵀy ≤ 1e-10 |s||y| are skipped, so that H stays positive
    definite; where a search fails all pairs are forgotten. Both gradients of a pair are seen through
    the same noise, but of a single draw: it goes into H as curvature, and t settles that draw's loss,
    not its mean. A decrease below the loss's rounding is not seen: there it stops.

    Nocedal 1980, "Updating quasi-Newton matrices with limited storage"; Liu & Nocedal 1989, "On the
    limited memory BFGS method for large scale optimization".
    """

    memory: int = hyper(10, low=1)
    c2: Hyper = hyper(0.9, above=0, below=1)

    def init(self, x: torch.Tensor) -> State:
        """The pairs s and y, oldest first (*runs, memory, dim), 1/sᵀy (*runs, memory, 1), or 0, and t gᵀd.

        The last, of the step before, says how far to look first where no pairs do.
        """
        pairs = x.new_zeros(*x.shape[:-1], self.memory, x.shape[-1])
        return pairs, pairs, pairs[..., :1], torch.zeros_like(x[..., :1])

    def vectors(self, dim: int) -> int:
        return self.memory

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −t H g, or −t g where that is not downhill."""
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
    """The newest last, and the oldest out."""
    return torch.cat([old[..., 1:, :], new.unsqueeze(-2)], -2)


def _two_loops(
    vector: torch.Tensor, steps: torch.Tensor, changes: torch.Tensor, weights: torch.Tensor
) -> torch.Tensor:
    """H times a vector. Pairs of weight 0 do nothing; the newest, where there is any, has none of them after it."""
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
