"""A problem around a problem: it passes on what it does not change."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Self

import torch

from problems.claims import Claim
from problems.problem import Card, CriticalPoint, Problem, Tree


@dataclass(frozen=True)
class ProblemModifier(Problem):
    """Another view of `inner`, with the same dial, known solution and tests; `data["inner"]` is the inner instance."""

    inner: Problem

    def inside(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the point of `inner` (*runs, dim) for the optimizer's x (*runs, dim)."""
        return x

    def outside(self, y: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the optimizer's x (*runs, dim) for a point of `inner` (*runs, dim)."""
        return y

    @property
    def card(self) -> Card:  # type: ignore[override]
        """The card of `inner`."""
        return self.inner.card

    @property
    def dial(self) -> float:
        return self.inner.dial

    @property
    def dial_column(self) -> str:
        return self.inner.dial_column

    @property
    def has_whole_dial(self) -> bool:
        return self.inner.has_whole_dial

    @property
    def budget(self) -> float:
        return self.inner.budget

    @property
    def settings(self) -> dict[str, Any]:
        return self.inner.settings

    @property
    def claims(self) -> dict[str, Claim]:
        """None: the claims about `inner` are on `inner`."""
        return {}

    def at_dial(self, value: float) -> Self:
        return replace(self, inner=self.inner.at_dial(value))

    def control(self) -> Self:
        return replace(self, inner=self.inner.control())

    def without(self, cause: str) -> Self:
        return replace(self, inner=self.inner.without(cause))

    def has_own(self, method: str) -> bool:
        return self.inner.has_own(method)

    @property
    def solved_when(self) -> str:
        return self.inner.solved_when if self.has_own("solved") else super().solved_when

    def instance(self, generator: torch.Generator) -> Tree:
        inner = self.inner.instance(generator)
        return {"start": inner["start"], "inner": inner}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.inner.loss(self.inside(x, data), data["inner"])

    def floor(self, data: Tree) -> torch.Tensor:
        return self.inner.floor(data["inner"])

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        return self.inner.residuals(self.inside(x, data), data["inner"])

    def signature(self, data: Tree) -> float:
        return self.inner.signature(data["inner"])

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree] | None:
        return self.inner.draws(data["inner"], generator)

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        if not self.inner.has_own("project"):  # there and back would round x
            return x
        return self.outside(self.inner.project(self.inside(x, data), data["inner"]), data)

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        return self.inner.distance(self.inside(x, data), data["inner"])

    def minimizers(self, data: Tree) -> torch.Tensor | None:
        found = self.inner.minimizers(data["inner"])
        return None if found is None else self.outside(found, data)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        found = self.inner.critical_points(data["inner"])
        return tuple(replace(each, x=self.outside(each.x, data)) for each in found)

    def predicted_share(self) -> float | None:
        return self.inner.predicted_share()

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        return self.inner.chain(self.inside(x, data), data["inner"])

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        return self.inner.at_end(self.inside(x, data), steps, data["inner"])
