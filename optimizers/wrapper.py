"""Optimizers around optimizers: they change the gradient, the learning rate or the point that the inner one sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

from optimizers.hyperparameter import Range, ranges
from optimizers.optimizer import Optimizer, Oracle, Point, State
from ravine import Refused


@dataclass(frozen=True)
class Wrapper(Optimizer):
    """An optimizer around `inner`. The hyperparameters of both stand side by side, under their own names.

    At most two hyperparameters are searched: the wrapper's own, and the inner optimizer's from the first (its
    learning rate) on.

    Raises:
        Refused: If both have a hyperparameter of the same name.
    """

    inner: Optimizer

    def __post_init__(self) -> None:
        clash = self.own.keys() & self.inner.hyperparameters.keys()
        if clash:
            name = type(self).__name__
            raise Refused(f"{name} cannot wrap {self.inner!r}: both have a {min(clash)}")
        super().__post_init__()

    @property
    def space(self) -> Mapping[str, Range]:
        """The searched ranges by name: the inner optimizer's, then the wrapper's."""
        theirs = list(self.inner.space.items())[: 2 - len(self.own_space)]
        return {**dict(theirs), **self.own_space}

    @property
    def own_space(self) -> Mapping[str, Range]:
        """The searched ranges of the wrapper's own hyperparameters."""
        return ranges(self)

    @property
    def role(self) -> str:  # type: ignore[override]
        """The inner optimizer's role."""
        return self.inner.role

    @property
    def uses_hessian(self) -> bool:  # type: ignore[override]
        """The inner optimizer's."""
        return self.inner.uses_hessian

    @property
    def rate(self) -> str:  # type: ignore[override]
        """The name of the inner optimizer's learning rate."""
        return self.inner.rate

    @property
    def missing_defaults(self) -> tuple[str, ...]:
        """The inner optimizer's."""
        return self.inner.missing_defaults

    def init(self, x: torch.Tensor) -> State:
        """Return the inner optimizer's state; a wrapper with a state of its own overrides this."""
        return self.inner.init(x)

    def vectors(self, dim: int) -> int:
        """Return the inner optimizer's."""
        return self.inner.vectors(dim)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The inner optimizer's and the wrapper's, by name."""
        return {**self.inner.hyperparameters, **self.own}

    def replace(self, **values: Any) -> Self:
        """Return the same method with other hyperparameters, the inner optimizer's or the wrapper's."""
        inner, own = self._split(values)
        return dataclasses.replace(self, inner=self.inner.replace(**inner), **own)

    def batched(self, values: Mapping[str, torch.Tensor]) -> Self:
        """Return the same method with a tensor (trials, 1) for each hyperparameter named."""
        inner, own = self._split(values)
        return self._changed(**own, inner=self.inner.batched(inner))

    def around(self, inner: Optimizer) -> Self:
        """Return the same wrapper around another optimizer."""
        return dataclasses.replace(self, inner=inner)

    @property
    def own(self) -> dict[str, Any]:
        """The wrapper's hyperparameters by name."""
        fields = (each.name for each in dataclasses.fields(self) if each.name != "inner")
        return {name: getattr(self, name) for name in fields}

    def _split(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        theirs = self.inner.hyperparameters.keys()
        return (
            {name: value for name, value in values.items() if name in theirs},
            {name: value for name, value in values.items() if name not in theirs},
        )


class PointView:
    """A point as a wrapper shows it to its inner optimizer; a subclass overrides what it changes."""

    def __init__(self, point: Point):
        self._point = point

    @property
    def x(self) -> torch.Tensor:
        """The points, (*runs, dim)."""
        return self._point.x

    @property
    def value(self) -> torch.Tensor:
        """The loss (*runs, 1)."""
        return self._point.value

    @property
    def gradient(self) -> torch.Tensor:
        """The gradient (*runs, dim)."""
        return self._point.gradient

    def hvp(self, vector: torch.Tensor, who: torch.Tensor | None = None) -> torch.Tensor:
        """Return the Hessian times a vector (*runs, dim)."""
        return self._point.hvp(vector, who)

    @property
    def hessian(self) -> torch.Tensor:
        """The Hessian (*runs, dim, dim)."""
        return self._point.hessian

    @property
    def gauss_newton(self) -> torch.Tensor:
        """The Gauss–Newton matrix (*runs, dim, dim)."""
        return self._point.gauss_newton


class OracleView(PointView):
    """An oracle as a wrapper shows it to its inner optimizer, at `point`, or at the oracle's own if none is given."""

    def __init__(self, oracle: Oracle, point: Point | None = None):
        super().__init__(oracle if point is None else point)
        self._oracle = oracle
        self.normal = oracle.normal
        self.alive = oracle.alive

    @property
    def progress(self) -> float | torch.Tensor:
        """The share of the budget that is spent."""
        return self._oracle.progress

    @property
    def floor(self) -> torch.Tensor:
        """The minimum (*runs, 1)."""
        return self._oracle.floor

    @property
    def spectrum(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The smallest and the largest curvature at the start, each (*runs, 1)."""
        return self._oracle.spectrum

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> Point:
        """Return another point (*runs, dim)."""
        return self._oracle.at(x, who)

    def single(
        self, instance: int, trial: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the value () and the gradient (dim,) of one run."""
        return self._oracle.single(instance, trial, x)


def innermost(optimizer: Optimizer) -> Optimizer:
    """Return what is inside all wrappers.

    Args:
        optimizer: A method, with or without wrappers.

    Returns:
        The method without.
    """
    while isinstance(optimizer, Wrapper):
        optimizer = optimizer.inner
    return optimizer
