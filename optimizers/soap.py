"""SOAP: Adam in the eigenbasis of the gradient's covariances over rows and over columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.matrices import (
    KroneckerOptimizer,
    along,
    beside,
    covariance,
    eigen,
    is_dense,
    joined,
)
from optimizers.optimizer import Oracle, State
from optimizers.registry import register

Factors: TypeAlias = "tuple[tuple[torch.Tensor | None, ...], ...]"  # by block, then by side


@register("soap")
@dataclass(frozen=True)
class SOAP(KroneckerOptimizer):
    """SOAP: Adam in the eigenbasis of Shampoo's factors, s = −lr · c · U (m′/(√v + eps)) Vᵀ, with m′ = Uᵀ m V
    and Adam's correction c = √(1 − β₂ᵗ)/(1 − β₁ᵗ).

    U and V are the eigenvectors of the means of G Gᵀ and of Gᵀ G (decay β₂); m is the mean of the gradients G, and v
    that of the squares of Uᵀ G V. The first gradient only gives the first U and V, so that no step uses a basis that
    its own gradient went into. Without noise the second gradient is the first, and U and V leave nothing of it off the
    diagonal but rounding, which eps keeps small. Every `every` steps a basis moves by a step of power iteration and a
    QR decomposition, in the order of falling eigenvalues, and v goes along with its directions. Vectors, and sides
    longer than 512, keep their own basis: there it is Adam. Weight decay as in AdamW.

    Vyas et al. 2024, arXiv:2409.11321; defaults and order of operations are those of the authors' code, but a kernel is
    a matrix, and no number is rounded to float32.
    """

    lr: Hyper = hyper(3e-3, search=log(1e-5, 1e1, unit="length"), low=0)
    beta1: Hyper = hyper(0.95, low=0, below=1)
    beta2: Hyper = hyper(0.95, low=0, below=1)
    eps: Hyper = hyper(1e-8, low=0)
    weight_decay: Hyper = hyper(1e-2, low=0)
    every: int = hyper(10, low=1)

    moves_at_rest = True
    on_vectors = "Adam"

    def init(self, x: torch.Tensor) -> State:
        """Return m = v = 0, the factors 0 and no basis, and t = 0."""
        self.need_a_matrix(x)
        factors = tuple(
            tuple(
                x.new_zeros(*x.shape[:-1], n, n) if len(sides) > 1 and is_dense(n) else None
                for n in sides
            )
            for sides in self.sides(x.shape[-1])
        )
        return torch.zeros_like(x), torch.zeros_like(x), factors, (), 0

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return Adam's step s in the basis and the decay after it, s − lr · weight_decay · (x + s), or 0 at first."""
        mean, square, factors, bases, t = state
        x, gradient = oracle.x, oracle.gradient
        factors = self._factors(factors, gradient)
        if t == 0:
            bases = tuple(tuple(_basis(each) for each in sides) for sides in factors)
            return torch.zeros_like(x), (mean, square, factors, bases, 1)
        mean = self.beta1 * mean + (1 - self.beta1) * gradient
        square = self.beta2 * square + (1 - self.beta2) * self._turned(gradient, bases) ** 2
        ratio = self._turned(mean, bases) / (square.sqrt() + self.eps)
        rate = self.lr * (1 - self.beta2**t) ** 0.5 / (1 - self.beta1**t)
        step = -rate * self._turned(ratio, bases, back=True)
        step = step - self.lr * self.weight_decay * (x + step)
        if t % self.every == 0:
            square, bases = self._moved(square, factors, bases)
        return step, (mean, square, factors, bases, t + 1)

    def _factors(self, factors: Factors, gradient: torch.Tensor) -> Factors:
        """Return the means of G Gᵀ and of Gᵀ G with one more gradient (*runs, dim)."""
        found = []
        for sides, block in zip(factors, self.blocks(gradient), strict=True):
            decay = beside(self.beta2, block, gradient)
            found.append(tuple(
                None if each is None else decay * each + (1 - decay) * covariance(block, k, dense=True)
                for k, each in enumerate(sides)
            ))  # fmt: skip
        return tuple(found)

    def _turned(self, x: torch.Tensor, bases: Factors, back: bool = False) -> torch.Tensor:
        """Return Uᵀ X V of each block of x (*runs, dim), or U X Vᵀ on the way back."""
        found = []
        for sides, block in zip(bases, self.blocks(x), strict=True):
            for k, basis in enumerate(sides):
                if basis is not None:
                    block = along(basis if back else basis.mT, block, k)
            found.append(block)
        return joined(found, x)

    def _moved(
        self, square: torch.Tensor, factors: Factors, bases: Factors
    ) -> tuple[torch.Tensor, Factors]:
        """Return v and the bases after a step of power iteration in each."""
        squares, found = [], []
        for block, sides, before in zip(self.blocks(square), factors, bases, strict=True):
            after = []
            for k, (factor, basis) in enumerate(zip(sides, before, strict=True)):
                if factor is None or basis is None:
                    after.append(None)
                    continue
                product = factor @ basis
                values = (basis * product).sum(-2)
                order = values.argsort(dim=-1, descending=True, stable=True)
                turned = block if k == 0 else block.mT
                turned = turned.take_along_dim(order.unsqueeze(-1), -2)
                block = turned if k == 0 else turned.mT
                after.append(torch.linalg.qr(product.take_along_dim(order.unsqueeze(-2), -1))[0])
            squares.append(block)
            found.append(tuple(after))
        return joined(squares, square), tuple(found)


def _basis(factor: torch.Tensor | None) -> torch.Tensor | None:
    """Return the eigenvectors of a factor, those of the largest eigenvalues first."""
    return None if factor is None else eigen(factor)[1].flip(-1)
