"""Views of a problem: the optimizer sees something else than the problem, which is scored as before.

They draw what the problem draws, so that runs are paired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from benchmarks.explain.curvature import tame
from problems import Card, Tree
from problems.modifiers.modifier import ProblemModifier


@dataclass(frozen=True)
class View(ProblemModifier):
    """A problem that the optimizer sees changed and that is scored as `inner`; no theory is about such a view."""

    @property
    def card(self) -> Card:  # type: ignore[override]
        return replace(self.inner.card, theory={})

    def predicted_share(self) -> None:
        return None

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner.value_and_gradient(x, data["inner"])

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        return self.inner.hvp(x, data["inner"], vector)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.inner.hessian(x, data["inner"])

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.inner.sampled_loss(x, data["inner"], draw)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner.sampled_value_and_gradient(x, data["inner"], draw)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.inner.sampled_hvp(x, data["inner"], draw, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.inner.sampled_hessian(x, data["inner"], draw)

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return self.inner.seen(gradient, data["inner"], draw, memory)

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        return self.inner.solved(x, gap, gradient, data["inner"])


@dataclass(frozen=True)
class Noiseless(View):
    """A view with the exact loss; `inner.seen` still changes its gradients."""

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.loss(x, data)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.value_and_gradient(x, data)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.hvp(x, data, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data)


@dataclass(frozen=True)
class Exact(Noiseless):
    """A view with the exact loss and the exact gradient."""

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return gradient, memory


@dataclass(frozen=True)
class Absolute(View):
    """A view whose Hessians have |λ| for a negative λ, at least a thousandth of the largest |λ|."""

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        hessian = super().sampled_hessian(x, data, draw)
        curvatures, basis = torch.linalg.eigh(tame(hessian))
        least = 1e-3 * curvatures.abs().amax(-1, keepdim=True)
        raised = torch.where(curvatures < 0, curvatures.abs().maximum(least), curvatures)
        built = torch.einsum("...ij,...j,...kj->...ik", basis, raised, basis)
        return torch.where((curvatures[..., :1] < 0).unsqueeze(-1), built, hessian)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return torch.einsum("...ij,...j->...i", self.sampled_hessian(x, data, draw), vector)
