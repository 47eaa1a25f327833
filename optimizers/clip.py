"""Gradient clipping around any optimizer: by norm, by value, or at a quantile of the norms so far."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch

from optimizers.hyperparameter import Hyper, hyper, linear, log
from optimizers.momentum import Momentum
from optimizers.optimizer import Oracle, Point, State
from optimizers.registry import WRAPPERS, register
from optimizers.sgd import SGD
from optimizers.wrapper import OracleView, PointView, Wrapper

Clipping: TypeAlias = "Callable[[torch.Tensor, Hyper], torch.Tensor]"


def clip_by_norm(gradient: torch.Tensor, threshold: Hyper) -> torch.Tensor:
    """Return the gradient shortened to a threshold, in the same direction: g · min(1, threshold/(|g| + 1e-6)).

    The 1e-6 is torch.nn.utils.clip_grad_norm_'s: it matters if gradients are that small.

    Args:
        gradient: g, (*runs, dim).
        threshold: The largest norm, a number or (*runs, 1).

    Returns:
        The clipped gradient, (*runs, dim).
    """
    return gradient * _kept(gradient, threshold)


def clip_by_value(gradient: torch.Tensor, threshold: Hyper) -> torch.Tensor:
    """Return the gradient with each coordinate clamped to [−threshold, threshold], which changes its direction.

    Args:
        gradient: g, (*runs, dim).
        threshold: The largest absolute value, a number or (*runs, 1).

    Returns:
        The clipped gradient, (*runs, dim).
    """
    limit = torch.as_tensor(threshold, dtype=gradient.dtype, device=gradient.device)
    return gradient.clamp(-limit, limit)


@WRAPPERS.register("clip", around=SGD())
@dataclass(frozen=True)
class Clip(Wrapper):
    """Gradient clipping by norm around an optimizer, which gets g · min(1, threshold/|g|).

    With `by="value"` it gets each coordinate of g clamped to ±threshold. So no cliff can throw it far. What the inner
    optimizer stores is clipped too. Its learning rate and the threshold are searched.

    Attributes:
        threshold: The largest norm, or the largest absolute value of a coordinate.
        by: "norm" (Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063) or "value" (Mikolov 2012).
    """

    threshold: Hyper = hyper(1.0, search=log(1e-2, 1e1, unit="gradient"), above=0)
    by: Literal["norm", "value"] = hyper("norm", choices=("norm", "value"))

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step with clipped gradients."""
        clip = clip_by_norm if self.by == "norm" else clip_by_value
        return self.inner.update(_ClippedOracle(oracle, clip, self.threshold), state)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor | None:
        """Return the inner optimizer's value times the share that clipping leaves; None if it changes the direction."""
        inner = self.inner.stability(state, gradient, progress)
        if inner is None or self.by != "norm":
            return None
        return inner * _kept(gradient, self.threshold)


@WRAPPERS.register("adaptive_clip", around=SGD())
@dataclass(frozen=True)
class AdaptiveClip(Wrapper):
    """Gradient clipping by norm around an optimizer, at a quantile of the norms so far.

    The threshold is the `quantile` of the last `window` norms, including the current one. 0 clips every gradient to the
    smallest of them. 1 clips none, but the 1e-6 of `clip_by_norm` shortens one that is the largest so far by the factor
    |g|/(|g| + 1e-6): by half at |g| = 1e-6. If all gradients are clipped alike, as at low quantiles, it amounts to a
    decaying step. The norm is measured at the run's own point: a method that evaluates its gradient elsewhere pays for
    both. Seetharaman, Wichern, Pardo & Le Roux 2020, arXiv:2007.14469, who keep all norms and use the quantile 0.1.
    """

    quantile: Hyper = hyper(0.1, search=linear(0.0, 1.0), low=0, high=1)
    window: int = hyper(100, low=1)

    def init(self, x: torch.Tensor) -> State:
        """Return no norms, (*runs, 0), in the order of the steps and of their size, and the inner optimizer's state."""
        return x[..., :0], x[..., :0], self.inner.init(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step with clipped gradients."""
        norms, ordered, inner = state
        norm = torch.linalg.vector_norm(oracle.gradient, dim=-1, keepdim=True)
        if norms.shape[-1] == self.window:
            norms, ordered = norms[..., 1:], _without(ordered, norms[..., :1])
        norms, ordered = torch.cat([norms, norm], dim=-1), _with(ordered, norm)
        threshold = _quantile(ordered, self.quantile)
        step, inner = self.inner.update(_ClippedOracle(oracle, clip_by_norm, threshold), inner)
        return step, (norms, ordered, inner)

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor | None:
        """Return the inner optimizer's value times the share of the gradient that clipping leaves."""
        _, ordered, state = state
        inner = self.inner.stability(state, gradient, progress)
        return None if inner is None else inner * _kept(gradient, _quantile(ordered, self.quantile))


def _kept(gradient: torch.Tensor, threshold: Hyper) -> torch.Tensor:
    """Return the share of a gradient's norm that clipping leaves, (*runs, 1)."""
    norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    return (threshold / (norm + 1e-6)).clamp(max=1.0)


def _with(ordered: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return ascending numbers (*runs, n) with one more (*runs, 1); to sort all anew takes several times as long."""
    below = torch.nn.functional.pad(ordered, (1, 0), value=-math.inf)
    above = torch.nn.functional.pad(ordered, (0, 1), value=math.inf)
    return value.clamp(below, above)


def _without(ordered: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Return ascending numbers (*runs, n) without one of them (*runs, 1)."""
    before = ordered[..., :-1] < value
    return torch.where(before, ordered[..., :-1], ordered[..., 1:])


def _quantile(ordered: torch.Tensor, share: Hyper) -> torch.Tensor:
    """Return the quantile of ascending numbers (*runs, n), linear between them, (*runs, 1)."""
    at = torch.as_tensor(share, dtype=ordered.dtype, device=ordered.device)
    at = (at * (ordered.shape[-1] - 1)).expand(*ordered.shape[:-1], 1)
    low, high = at.floor().long(), at.ceil().long()
    return torch.lerp(ordered.gather(-1, low), ordered.gather(-1, high), at - at.floor())


class _ClippedPoint(PointView):
    def __init__(self, point: Point, clip: Clipping, threshold: Hyper):
        super().__init__(point)
        self._clip = clip
        self._threshold = threshold

    @property
    def gradient(self) -> torch.Tensor:
        return self._clip(self._point.gradient, self._threshold)


class _ClippedOracle(OracleView):
    """An oracle whose gradients are clipped: at the current point, at other points, and for a single run."""

    def __init__(self, oracle: Oracle, clip: Clipping, threshold: Hyper):
        super().__init__(oracle, _ClippedPoint(oracle, clip, threshold))
        self._clip = clip
        self._threshold = threshold

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> Point:
        return _ClippedPoint(self._oracle.at(x, who), self._clip, self._threshold)

    def single(
        self, instance: int, trial: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self._oracle.single(instance, trial, x)
        thresholds = torch.as_tensor(self._threshold, dtype=x.dtype, device=x.device)
        own = thresholds.expand(*self.x.shape[:-1], 1)[instance, trial]
        return value, self._clip(gradient, own)


WRAPPERS.register(
    "clip_by_value",
    Clip(SGD(), by="value"),
    summary="Gradient clipping by value around an optimizer, which gets each coordinate of g clamped to ±threshold.",
)
register(
    "clipped_sgd",
    Clip(SGD()),
    summary="Gradient descent with gradients clipped by norm: s = −lr · g · min(1, threshold/|g|).",
)
register(
    "clipped_momentum",
    Clip(Momentum()),
    summary="SGD with heavy-ball momentum and gradients clipped by norm: v ← momentum · v + g · min(1, threshold/|g|), "
    "s = −lr · v.",
)
