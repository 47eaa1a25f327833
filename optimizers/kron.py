"""Kron: PSGD with a triangular factor for each side of a matrix, fitted so that it whitens the momentum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.matrices import (
    KroneckerOptimizer,
    along,
    beside,
    covariance,
    is_dense,
    joined,
)
from optimizers.optimizer import Oracle, State
from optimizers.registry import register

# Factors are fitted at a share of the steps that falls from 1, in steps 501 to about 4000, to 0.03, as in PSGD Kron.
ALWAYS, DECAY, RARELY = 500, 1e-3, 0.03
LONGEST = 1.1  # root mean square of a parameter's step, in units of lr


@register("kron")
@dataclass(frozen=True)
class Kron(KroneckerOptimizer):
    """Kron: PSGD with a triangular factor for each side of a matrix: s = −lr · P m̂, where P whitens m̂.

    m̂ is the mean gradient without bias, P M = Qᵀ Q M Rᵀ R with upper triangular Q and R, at first multiples of I; of
    vectors, and of sides that are 1 or longer than 512, they are diagonal. With A = Q M Rᵀ, and B = Q⁻ᵀ V R⁻¹ of a
    standard normal V,

        Q ← Q − precond_lr · triu(A Aᵀ − B Bᵀ) Q/|A Aᵀ + B Bᵀ|,

    with a lower bound of the spectral norm, and R likewise, with Aᵀ A and Bᵀ B. This is stochastic descent on
    E mᵀ P m + vᵀ P⁻¹ v, which is least where P m has the covariance of v. It happens at each of the first 500 steps,
    then ever more rarely, down to 0.03 of them. A step's root mean square is at most 1.1 lr in each parameter.

    Li 2015, arXiv:1512.04202; Pooladzandi & Li 2024, arXiv:2402.04553. Defaults and order of operations are those of
    the code that is known as PSGD Kron, but for these points. The factors begin at the scale of the first gradient, as
    in Li's own code, and not at 1, so that the gradient's unit changes nothing. The norms of Q and R are balanced at
    each fit, and not at random; that changes no step. Where a parameter's momentum is 0, its factors stay: they would
    grow without end. Kernels are matrices, and factors are diagonal beyond 512, not 8192.
    """

    lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length"), low=0)
    momentum: Hyper = hyper(0.9, low=0, below=1)
    precond_lr: Hyper = hyper(0.1, low=0, below=1)

    on_vectors = "a diagonal preconditioner"

    def init(self, x: torch.Tensor) -> State:
        """Return m = 0, the factors I by block and side, t = 0, and 0 steps since they were fitted."""
        self.need_a_matrix(x)
        one = torch.ones_like(x[..., :1])
        factors = tuple(
            tuple(
                torch.diag_embed(one.expand(*one.shape[:-1], n))
                if len(sides) > 1 and n > 1 and is_dense(n)
                else one.expand(*one.shape[:-1], n)
                for n in sides
            )
            for sides in self.sides(x.shape[-1])
        )
        return torch.zeros_like(x), factors, 0, 0

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −lr · P m̂, shortened to a root mean square of 1.1 lr."""
        mean, factors, t, since = state
        x = oracle.x
        mean = self.momentum * mean + (1 - self.momentum) * oracle.gradient
        moments = self.blocks(mean / (1 - self.momentum ** (t + 1)))
        share = min(1.0, max(RARELY, math.exp(DECAY * (ALWAYS - t))))
        if t == 0:
            factors = tuple(_begun(*pair) for pair in zip(factors, moments, strict=True))
        since += 1
        if since >= 1 / share:
            since = 0
            normals = self.blocks(oracle.normal().expand_as(x))
            factors = tuple(
                self._fitted(sides, moment, normal, x)
                for sides, moment, normal in zip(factors, moments, normals, strict=True)
            )
        steps = []
        for sides, step in zip(factors, moments, strict=True):
            for k, factor in enumerate(sides):
                step = along(_transposed(factor, step), along(factor, step, k), k)
            rms = step.square().mean((-2, -1), keepdim=True).sqrt()
            steps.append(step * (LONGEST / (rms + 1e-6)).clamp(max=1))
        return -self.lr * joined(steps, x), (mean, factors, t + 1, since)

    def _fitted(
        self,
        factors: tuple[torch.Tensor, ...],
        moment: torch.Tensor,
        normal: torch.Tensor,
        x: torch.Tensor,
    ) -> tuple[torch.Tensor, ...]:
        """Return the factors of a block (*runs, rows, columns) after a step on the whitening criterion."""
        sizes = [each.abs().flatten(x.dim() - 1).amax(-1) for each in factors]
        middle = math.prod(sizes) ** (1 / len(sizes))
        factors = tuple(
            _by_run(middle / size, each) * each for size, each in zip(sizes, factors, strict=True)
        )
        moves = (moment != 0).any(-1).any(-1)
        for k, factor in enumerate(factors):
            moment, normal = along(factor, moment, k), _divided(normal, factor, k)
        found = []
        for k, factor in enumerate(factors):
            dense = factor.dim() == moment.dim()
            seen, wanted = (covariance(each, k, dense) for each in (moment, normal))
            if dense:
                size, change = _least_norm(seen + wanted), (seen - wanted).triu() @ factor
            else:
                size, change = (seen + wanted).amax(-1), (seen - wanted) * factor
            rate = beside(self.precond_lr, factor, x)
            after = factor - rate * change / _by_run(size + torch.finfo(x.dtype).tiny, factor)
            sound = moves & after.flatten(x.dim() - 1).isfinite().all(-1)
            found.append(torch.where(_by_run(sound, factor), after, factor))
        return tuple(found)


def _begun(factors: tuple[torch.Tensor, ...], first: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return factors of which P g has a mean fourth power of 1 for the first gradient (*runs, rows, columns)."""
    largest = first.abs().amax((-2, -1))
    largest = torch.where(largest > 0, largest, 1.0)
    mean = (first / _by_run(largest, first)).pow(4).mean((-2, -1))
    scale = torch.where(mean > 0, (largest * mean**0.25) ** -0.5, 1.0) ** (1 / len(factors))
    return tuple(_by_run(scale, each) * each for each in factors)


def _by_run(numbers: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Return numbers (*runs) that broadcast against a factor (*runs, …)."""
    return numbers.reshape(*numbers.shape, *(1,) * (factor.dim() - numbers.dim()))


def _transposed(factor: torch.Tensor, block: torch.Tensor) -> torch.Tensor:
    """Return a factor's transpose; a diagonal one is its own."""
    return factor.mT if factor.dim() == block.dim() else factor


def _divided(block: torch.Tensor, factor: torch.Tensor, side: int) -> torch.Tensor:
    """Return F⁻ᵀ G for a matrix's rows (side 0), G F⁻¹ for its columns, with an upper triangular or diagonal F."""
    turned = block if side == 0 else block.mT
    if factor.dim() == block.dim():
        turned = torch.linalg.solve_triangular(factor.mT, turned, upper=False)
    else:
        turned = turned / factor.unsqueeze(-1)
    return turned if side == 0 else turned.mT


def _least_norm(matrices: torch.Tensor) -> torch.Tensor:
    """Return a lower bound (…) of the spectral norm of symmetric A (…, n, n): |A u|, u along A² of an axis."""
    largest = matrices.abs().amax((-2, -1), keepdim=True)
    scaled = matrices / torch.where(largest > 0, largest, 1.0)
    row = scaled.square().sum(-1).argmax(-1)[..., None, None]
    along_it = scaled.take_along_dim(row, -2) @ scaled
    unit = along_it / along_it.norm(dim=-1, keepdim=True).clamp(
        min=torch.finfo(matrices.dtype).tiny
    )
    return (largest * (unit @ scaled).norm(dim=-1, keepdim=True)).flatten(-3)
