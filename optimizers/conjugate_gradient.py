"""Conjugate gradients: each direction leaves in peace what the ones before have settled."""

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
    """The best sum of all gradients seen, where the Hessian is constant.

    s = −(gᵀd/dᵀHd) d, d ← −g + (|g|²/|g₋|²) d₋, g₋ and d₋ those of the step before: a gradient and
    one product Hd a step. After as many steps as H has distinct eigenvalues nothing is left but
    rounding, which a large condition number makes the longer to get rid of. Where dᵀHd is not
    positive there is no minimum along d: the run stays, and begins anew with −g. Where H changes,
    or under noise, directions are no longer conjugate, and nothing checks the loss.

    Hestenes & Stiefel 1952, "Methods of conjugate gradients for solving linear systems".
    """

    def init(self, x: torch.Tensor) -> State:
        """d₋ = 0 and |g₋|² = 0, which stands for no step before."""
        return torch.zeros_like(x), torch.zeros_like(x[..., :1])

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = −(gᵀd/dᵀHd) d, or 0."""
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
    """Conjugate gradients on any smooth loss, with a line search for the product with the Hessian.

    s = t d, d ← −g + max(0, gᵀ(g − g₋)/|g₋|²) d₋, from −g again every `dim` steps, where d is not
    downhill, and after a search that failed. t satisfies the strong Wolfe conditions with c₁ = 1e-4
    and c₂ = `c2`; the first one tried foretells the same decrease as the last. Both gradients of the
    share are seen through the same noise, but the search settles the loss of one draw, not its mean.
    A decrease below the loss's rounding is not seen: there it stops.

    Polak & Ribière 1969, "Note sur la convergence de méthodes de directions conjuguées"; without
    negative shares: Gilbert & Nocedal 1992, "Global convergence properties of conjugate gradient
    methods for optimization".
    """

    c2: Hyper = hyper(0.1, above=0, below=1)

    def init(self, x: torch.Tensor) -> State:
        """d₋ = 0, its share 0, for how many steps there was one, and t φ′(0) of the last step."""
        return torch.zeros_like(x), *(torch.zeros_like(x[..., :1]) for _ in range(3))

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """s = t d."""
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
