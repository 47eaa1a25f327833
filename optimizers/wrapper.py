"""Optimizers of optimizers: another gradient, another rate, another point, and the same method inside."""

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

    Of the inner optimizer's, the first (its learning rate) is searched, and as many as fit into a
    search of two beside the wrapper's own. Raises Refused where both have a hyperparameter of the
    same name.
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
        """What is searched: of the inner optimizer, then of the wrapper."""
        theirs = list(self.inner.space.items())[: 2 - len(self.own_space)]
        return {**dict(theirs), **self.own_space}

    @property
    def own_space(self) -> Mapping[str, Range]:
        """What is searched of the wrapper's own."""
        return ranges(self)

    @property
    def role(self) -> str:  # type: ignore[override]
        """The inner optimizer's."""
        return self.inner.role

    @property
    def uses_hessian(self) -> bool:  # type: ignore[override]
        """The inner optimizer's."""
        return self.inner.uses_hessian

    def init(self, x: torch.Tensor) -> State:
        """The inner optimizer's, unless the wrapper remembers something too."""
        return self.inner.init(x)

    def vectors(self, dim: int) -> int:
        """The inner optimizer's."""
        return self.inner.vectors(dim)

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The inner optimizer's and the wrapper's."""
        return {**self.inner.hyperparameters, **self.own}

    def replace(self, **values: Any) -> Self:
        """The same method with other hyperparameters, the inner optimizer's or the wrapper's."""
        inner, own = self._split(values)
        return dataclasses.replace(self, inner=self.inner.replace(**inner), **own)

    def batched(self, values: Mapping[str, torch.Tensor]) -> Self:
        """The same method with a tensor, one value a trial, for each hyperparameter named."""
        inner, own = self._split(values)
        return self._changed(**own, inner=self.inner.batched(inner))

    def around(self, inner: Optimizer) -> Self:
        """The same wrapper around another optimizer."""
        return dataclasses.replace(self, inner=inner)

    @property
    def own(self) -> dict[str, Any]:
        """The wrapper's hyperparameters."""
        fields = (each.name for each in dataclasses.fields(self) if each.name != "inner")
        return {name: getattr(self, name) for name in fields}

    def _split(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        theirs = self.inner.hyperparameters.keys()
        return (
            {name: value for name, value in values.items() if name in theirs},
            {name: value for name, value in values.items() if name not in theirs},
        )


class PointView:
    """A point as a wrapper shows it: a subclass overrides what it changes."""

    def __init__(self, point: Point):
        self._point = point

    @property
    def x(self) -> torch.Tensor:
        """Where, (*runs, dim)."""
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
        """The Hessian times a vector (*runs, dim)."""
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
    """An oracle as a wrapper shows it, seen from `point`: the oracle's own, unless another is given."""

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
        """Smallest and largest curvature at the start, each (*runs, 1)."""
        return self._oracle.spectrum

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> Point:
        """Another point (*runs, dim)."""
        return self._oracle.at(x, who)

    def single(
        self, instance: int, trial: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Value () and gradient (dim,) of one run alone."""
        return self._oracle.single(instance, trial, x)
