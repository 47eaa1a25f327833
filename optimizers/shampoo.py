"""Shampoo: AdaGrad for matrices, with a root of the gradient's covariance on each side."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.matrices import (
    KroneckerOptimizer,
    along,
    covariance,
    eigen,
    is_dense,
    joined,
)
from optimizers.optimizer import Oracle, State
from optimizers.registry import register


@register("shampoo")
@dataclass(frozen=True)
class Shampoo(KroneckerOptimizer):
    """Shampoo: the gradient of a matrix between roots of its covariances: s = −lr · L^(−1/4) G R^(−1/4).

    L ← L + G Gᵀ and R ← R + Gᵀ G, from eps · I. A vector has one factor, whose power is −1/2: full-matrix AdaGrad. So
    steps are as long as lr, and like AdaGrad's fall as 1/√t while gradients do not. Sides longer than 512 have the
    diagonals of their factors, as in the paper.

    The roots are computed at every `every`-th step, from the first on: always, by default, as in the paper's algorithm.
    An old root multiplies a direction that is new in rows and columns by up to eps^(−1/2), which is 1000, so that
    longer waits need a rate that warms up or a length that is borrowed from another method. lr and eps are
    pytorch_optimizer.Shampoo's. Gupta, Koren & Singer 2018, arXiv:1802.09568.
    """

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length"), low=0)
    eps: Hyper = hyper(1e-6, low=0)
    every: int = hyper(1, low=1)

    on_vectors = "full-matrix AdaGrad"

    def init(self, x: torch.Tensor) -> State:
        """Return the sums of G Gᵀ and of Gᵀ G by block and side, no roots, and t = 0."""
        self.need_a_matrix(x)
        zero = torch.zeros_like(x)
        return self._covariances(zero), (), 0

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · L^(−1/4) G R^(−1/4)."""
        sums, roots, t = state
        x, gradient = oracle.x, oracle.gradient
        new = self._covariances(gradient)
        sums = tuple(
            tuple(old + each for old, each in zip(*pair, strict=True))
            for pair in zip(sums, new, strict=True)
        )
        blocks = self.blocks(gradient)
        if t % self.every == 0:
            roots = tuple(
                tuple(
                    _root(each, self.eps, -0.5 / len(sides), dense=each.dim() > x.dim())
                    for each in sides
                )
                for sides in sums
            )
        for k, sides in enumerate(roots):
            for side, root in enumerate(sides):
                blocks[k] = along(root, blocks[k], side)
        return -self.lr * joined(blocks, x), (sums, roots, t + 1)

    def _covariances(self, x: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], ...]:
        return tuple(
            tuple(covariance(block, k, is_dense(n)) for k, n in enumerate(sides))
            for block, sides in zip(self.blocks(x), self.sides(x.shape[-1]), strict=True)
        )


def _root(total: torch.Tensor, eps: Hyper, power: float, dense: bool) -> torch.Tensor:
    """Return (eps · I + F)^power of symmetric F (…, n, n) or a diagonal F (…, n), with 0 for the power of 0."""
    values, basis = eigen(total) if dense else (total, None)
    values = values.clamp(min=0) + eps
    powers = torch.where(values > 0, values**power, 0.0)
    return powers if basis is None else (basis * powers.unsqueeze(-2)) @ basis.mT
