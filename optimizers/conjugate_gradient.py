"""Conjugate gradients: each direction is conjugate to the ones before."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register
from optimizers.strong_wolfe import dot, first_length, strong_wolfe


@register("conjugate_gradient")
@dataclass(frozen=True)
class ConjugateGradient(Optimizer):
    """Linear conjugate gradients, with the exact step along each conjugate direction d: s = −(gᵀd/dᵀHd) d.

    d ← −g + (|g|²/|g₋|²) d₋, with g₋ and d₋ of the step before: a step costs one gradient and one product Hd. If H is
    constant, each iterate minimizes the loss over the start plus any sum of the gradients so far, and after as many
    steps as H has distinct eigenvalues only rounding errors are left; the larger the condition number, the longer they
    take to vanish. If dᵀHd ≤ 0 there is no minimum along d: the run stays, and restarts with −g. If H changes, or under
    noise, the directions are not conjugate, and nothing checks the loss.

    Hestenes & Stiefel 1952, "Methods of conjugate gradients for solving linear systems".
    """

    def init(self, x: torch.Tensor) -> State:
        """Return d₋ = 0 and |g₋|² = 0, which stands for no step before."""
        return torch.zeros_like(x), torch.zeros_like(x[..., :1])

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −(gᵀd/dᵀHd) d, or 0."""
        direction, before = state
        gradient = oracle.gradient
        square = dot(gradient, gradient)
        share = torch.where(before > 0, square / before, 0.0)
        direction = share * direction - gradient
        bend = dot(direction, oracle.hvp(direction, who=square > 0))
        step = -dot(gradient, direction) / bend * direction
        curved = (bend > 0) & step.isfinite().all(-1, keepdim=True)
        return torch.where(curved, step, 0.0), (direction, torch.where(curved, square, 0.0))


@register("nonlinear_cg")
@dataclass(frozen=True)
class NonlinearCG(Optimizer):
    """Conjugate gradients for any smooth loss, with a line search along d instead of Hessian products: s = t d.

    d ← −g + max(0, gᵀ(g − g₋)/|g₋|²) d₋. It restarts from −g every `dim` steps, if d is not downhill, and after a
    failed search. t satisfies the strong Wolfe conditions with c₁ = 1e-4 and c₂ = `c2`; the first t that is tried
    predicts the same decrease as the last step's. Both gradients of the coefficient are seen through the same noise,
    but the search lowers the loss of one draw, not its mean. It stops when the decrease is below the loss's
    rounding.

    Polak & Ribière 1969, "Note sur la convergence de méthodes de directions conjuguées"; without
    negative coefficients: Gilbert & Nocedal 1992, "Global convergence properties of conjugate gradient
    methods for optimization".
    """

    c2: Hyper = hyper(0.1, above=0, below=1)

    def init(self, x: torch.Tensor) -> State:
        """Return d₋ = 0, its coefficient 0, the steps since a restart, 0, and t φ′(0) = 0 of the last step."""
        return torch.zeros_like(x), *(torch.zeros_like(x[..., :1]) for _ in range(3))

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = t d."""
        direction, share, age, foretold = state
        gradient = oracle.gradient
        direction = share * direction - gradient
        downhill = dot(gradient, direction) < 0
        direction = torch.where(downhill, direction, -gradient)
        guess = foretold / dot(gradient, direction)
        first = torch.where(foretold < 0, guess, first_length(gradient))
        found = strong_wolfe(oracle, direction, first, self.c2)

        share = dot(found.gradient, found.gradient - gradient) / dot(gradient, gradient)
        goes_on = (found.length > 0) & (share > 0) & (age + 1 < gradient.shape[-1])
        share, age = torch.where(goes_on, share, 0.0), torch.where(goes_on, age + 1, 0.0)
        return found.length * direction, (direction, share, age, found.foretold)
