"""Adafactor: a matrix's squared gradients kept by row and by column, and steps relative to the parameter's size."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from optimizers.hyperparameter import Hyper, hyper, log
from optimizers.matrices import MatrixOptimizer, beside, joined
from optimizers.optimizer import Oracle, State
from optimizers.registry import register


@register("adafactor")
@dataclass(frozen=True)
class Adafactor(MatrixOptimizer):
    """Adafactor: squares kept by row and column, and steps relative to x: s = −ρ · max(eps, rms(x)) · û.

    û = u/max(1, rms(u)/clipping) with u = g/√v̂ and ρ = min(lr, 1/√t). For a matrix v̂ = r cᵀ/mean(r), from the means r
    and c of g² over its rows and its columns; for a vector v̂ is that of g² itself. Means over time have the decay
    1 − t^beta2_decay: the first is g², so that nothing needs a bias correction. rms is the root mean square of one
    parameter. lr is a share of rms(x), and has no unit; eps, a length, is what moves parameters that are 0.

    Shazeer & Stern 2018, arXiv:1804.04235. As in torch.optim.Adafactor: the defaults; lr is the largest ρ (0.01 in the
    paper); a kernel is a stack of matrices of its last two dimensions; divisors are at least the machine precision.
    """

    lr: Hyper = hyper(1e-2, search=log(1e-3, 1.0), low=0)
    beta2_decay: Hyper = hyper(-0.8, high=0)
    eps: Hyper = hyper(1e-3, low=0)
    clipping: Hyper = hyper(1.0, low=1)
    weight_decay: Hyper = hyper(0.0, low=0)

    def init(self, x: torch.Tensor) -> State:
        """Return the means of g² by parameter, of a matrix (rows, columns) two, and t = 0."""
        zeros = self.parameters(torch.zeros_like(x))
        return tuple(_means(each, _axes(each, x)) for each in zeros), 0

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return s = −ρ · max(eps, rms(x)) · û − lr · weight_decay · x."""
        squares, t = state
        t, x = t + 1, oracle.x
        least = torch.finfo(x.dtype).eps
        steps, kept = [], []
        for parameter, gradient, before in zip(
            self.parameters(x), self.parameters(oracle.gradient), squares, strict=True
        ):
            axes = _axes(parameter, x)
            eps, clipping, decay = (
                beside(each, parameter, x) for each in (self.eps, self.clipping, self.beta2_decay)
            )
            now = _means(gradient.square(), axes)
            mean = tuple(old + t**decay * (new - old) for old, new in zip(before, now, strict=True))
            square = mean[0]
            if len(axes) > 1:
                square = mean[0] * mean[1] / mean[0].mean(-2, keepdim=True).clamp(min=least)
            ratio = gradient / square.clamp(min=least**2).sqrt()
            size = _rms(parameter, axes).clamp(min=eps)
            steps.append(size / (_rms(ratio, axes) / clipping).clamp(min=1) * ratio)
            kept.append(mean)
        rate = torch.as_tensor(self.lr, dtype=x.dtype, device=x.device).clamp(max=t**-0.5)
        step = -rate * joined(steps, x) - self.lr * self.weight_decay * x
        return step, (tuple(kept), t)


def _axes(parameter: torch.Tensor, x: torch.Tensor) -> tuple[int, ...]:
    """Return the axes of a parameter (*runs, *shape) that are not those of runs."""
    return tuple(range(x.dim() - 1 - parameter.dim(), 0))


def _means(squares: torch.Tensor, axes: tuple[int, ...]) -> tuple[torch.Tensor, ...]:
    """Return the means of matrices (…, rows, 1) and (…, 1, columns); of vectors what is given."""
    if len(axes) == 1:
        return (squares,)
    return squares.mean(-1, keepdim=True), squares.mean(-2, keepdim=True)


def _rms(parameter: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    """Return the root mean square of each run's parameter, (*runs, 1, …)."""
    return parameter.square().mean(axes, keepdim=True).sqrt()
