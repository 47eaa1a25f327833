"""Gradient descent along the gradient's direction, whatever its length."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.optimizer import Optimizer, Oracle, State
from optimizers.registry import register


@register("normalized_sgd")
@dataclass(frozen=True)
class NormalizedSGD(Optimizer):
    """Gradient descent with steps of fixed length: s = −lr · g/|g|, and 0 if g = 0.

    A plateau is as easy as a slope, and no cliff can throw it; but at a constant rate it comes no nearer to a
    minimum than about lr/2, beside a saddle it follows the noise as far as the gradient elsewhere, and under noise
    it follows the mean direction, not the mean. Hazan, Levy & Shalev-Shwartz 2015, arXiv:1507.02030. They have no
    default: this one is torch.optim.Adam's, whose steps are as long as the rate, too.
    """

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length"), low=0)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · g/|g|. The largest component is divided out first: the square of 1e-170 is 0."""
        gradient = oracle.gradient
        largest = gradient.abs().amax(-1, keepdim=True)
        scaled = gradient / torch.where(largest > 0, largest, 1.0)
        norm = torch.linalg.vector_norm(scaled, dim=-1, keepdim=True)
        return -self.lr * scaled / norm.clamp(min=1.0), state
