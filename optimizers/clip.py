"""Gradient clipping around any optimizer."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

import torch

from optimizers.momentum import Momentum
from optimizers.optimizer import Optimizer, Oracle, Point, State, log_uniform
from optimizers.registry import register
from optimizers.sgd import SGD
from ravine import Refused, nearest


def clip_by_norm(gradient: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """Shorter but not turned: g · min(1, threshold/(|g| + 1e-6)).

    The 1e-6 is torch.nn.utils.clip_grad_norm_'s: it shows where gradients are that small.
    """
    norm = torch.linalg.vector_norm(gradient, dim=-1, keepdim=True)
    return gradient * (threshold / (norm + 1e-6)).clamp(max=1.0)


def clip_by_value(gradient: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
    """Each coordinate into [−threshold, threshold], which turns the gradient."""
    limit = torch.as_tensor(threshold, dtype=gradient.dtype, device=gradient.device)
    return gradient.clamp(-limit, limit)


@dataclass(frozen=True)
class Clip(Optimizer):
    """An optimizer that is shown clipped gradients, so that one cliff cannot throw it.

    by: "norm" shortens the gradient to the threshold (Pascanu, Mikolov & Bengio 2013,
    arXiv:1211.5063), "value" cuts each coordinate (Mikolov 2012). What the inner optimizer
    remembers is clipped too. Its hyperparameters stand beside the wrapper's; searched are its
    learning rate and the threshold. Raises Refused where both have a hyperparameter of the same
    name.
    """

    inner: Optimizer
    threshold: float = 1.0
    by: Literal["norm", "value"] = "norm"

    bounds = {"threshold": {"low": 0.0, "open_low": True}}

    def __post_init__(self) -> None:
        clash = {"inner", "threshold", "by"} & self.inner.hyperparameters.keys()
        if clash:
            raise Refused(f"Clip cannot wrap {self.inner!r}: both have a {min(clash)}")
        if self.by not in ("norm", "value"):
            raise Refused(
                f"unknown Clip.by {self.by!r}: {nearest(str(self.by), ['norm', 'value'])}"
            )
        super().__post_init__()
        space = {name: each for name, each in self.inner.space.items() if name == "lr"}
        space["threshold"] = log_uniform(1e-2, 1e1, unit="gradient")
        object.__setattr__(self, "space", space)
        object.__setattr__(self, "uses_hessian", self.inner.uses_hessian)
        object.__setattr__(self, "role", self.inner.role)

    def init(self, x: torch.Tensor) -> State:
        """The inner optimizer's."""
        return self.inner.init(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """The inner optimizer's step where gradients are clipped."""
        return self.inner.update(_ClippedOracle(oracle, self), state)

    def shown(self, gradient: torch.Tensor, threshold: torch.Tensor | float) -> torch.Tensor:
        """What the inner optimizer sees of a gradient."""
        clip = clip_by_norm if self.by == "norm" else clip_by_value
        return clip(gradient, threshold)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The inner optimizer's and the wrapper's."""
        return {**self.inner.hyperparameters, "threshold": self.threshold, "by": self.by}

    def replace(self, **values: Any) -> Self:
        """The same method with other hyperparameters, the inner optimizer's or the wrapper's."""
        inner, own = self._split(values)
        return dataclasses.replace(self, inner=self.inner.replace(**inner), **own)

    def batched(self, values: Mapping[str, torch.Tensor]) -> Self:
        """The same method with a tensor, one value a trial, for each hyperparameter named."""
        inner, own = self._split(values)
        other = super().batched(own)
        object.__setattr__(other, "inner", self.inner.batched(inner))
        return other

    def _split(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        theirs = self.inner.hyperparameters.keys()
        return (
            {name: value for name, value in values.items() if name in theirs},
            {name: value for name, value in values.items() if name not in theirs},
        )


class _ClippedPoint:
    """A point whose gradient is clipped; all else is the point's own."""

    def __init__(self, point: Point, clip: Clip):
        self._point = point
        self._clip = clip

    @property
    def x(self) -> torch.Tensor:
        return self._point.x

    @property
    def value(self) -> torch.Tensor:
        return self._point.value

    @property
    def gradient(self) -> torch.Tensor:
        return self._clip.shown(self._point.gradient, self._clip.threshold)

    def hvp(self, vector: torch.Tensor) -> torch.Tensor:
        return self._point.hvp(vector)

    @property
    def hessian(self) -> torch.Tensor:
        return self._point.hessian


class _ClippedOracle(_ClippedPoint):
    """An oracle whose gradients are clipped: here, at other points, and for one run alone."""

    def __init__(self, oracle: Oracle, clip: Clip):
        super().__init__(oracle, clip)
        self._oracle = oracle
        self.normal = oracle.normal
        self.alive = oracle.alive

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> Point:
        return _ClippedPoint(self._oracle.at(x, who), self._clip)

    def single(
        self, instance: int, trial: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self._oracle.single(instance, trial, x)
        thresholds = torch.as_tensor(self._clip.threshold, dtype=x.dtype, device=x.device)
        own = thresholds.expand(*self.x.shape[:-1], 1)[instance, trial]
        return value, self._clip.shown(gradient, own)


register("clipped_sgd", Clip(SGD()))
register("clipped_momentum", Clip(Momentum()))
