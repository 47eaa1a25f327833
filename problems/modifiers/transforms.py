"""The same landscape in other coordinates; the known solution is transformed with it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

from problems.geometry import random_rotation
from problems.modifiers.modifier import ProblemModifier
from problems.problem import Card, Problem, Tree
from ravine import Refused, Registry

ROTATED_UP_TO = 2000  # dimensions, as a rotation is a dense matrix
ROTATION_INVARIANT = ("sgd", "momentum", "nesterov", "newton")  # the steps turn with the problem


class Transform:
    """An invertible map y = A x − s from the optimizer's coordinates x to the problem's y.

    Subclasses are frozen dataclasses. `data` is what `draw` returned, stacked as a problem's data are; vectors have the
    shape (*runs, dim).

    Attributes:
        orthogonal: True if A⁻¹ = Aᵀ: lengths and curvatures do not change.
        keeps_axes: True if each axis becomes one axis, so that methods that scale each component see the same problem.
    """

    orthogonal: bool = True
    keeps_axes: bool = True

    def draw(self, dim: int, generator: torch.Generator) -> Tree:
        """Return the random part of the map, drawn from the generator."""
        raise NotImplementedError

    def linear(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return A v."""
        return vector

    def inverse(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return A⁻¹ v."""
        return vector

    def transposed(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return Aᵀ v."""
        return self.inverse(vector, data) if self.orthogonal else self.linear(vector, data)

    def inverse_transposed(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return A⁻ᵀ v."""
        return self.linear(vector, data) if self.orthogonal else self.inverse(vector, data)

    def offset(self, data: Tree) -> torch.Tensor | float:
        """Return s."""
        return 0.0


TRANSFORMS: Registry[Transform] = Registry("transform", package="problems.modifiers")


@TRANSFORMS.register("rotate")
@dataclass(frozen=True)
class Rotate(Transform):
    """A random rotation: special directions of the axes are lost."""

    keeps_axes = False

    def draw(self, dim: int, generator: torch.Generator) -> Tree:
        if dim > ROTATED_UP_TO:
            raise Refused(
                f"transform=rotate needs a matrix of {dim} × {dim} numbers here, and takes at most "
                f"{ROTATED_UP_TO} dimensions"
            )
        return {"rotation": random_rotation(dim, generator)}

    def linear(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.einsum("...ij,...j->...i", data["rotation"], vector)

    def inverse(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.einsum("...i,...ij->...j", vector, data["rotation"])


@TRANSFORMS.register("shift")
@dataclass(frozen=True)
class Shift(Transform):
    """A shift by a Gaussian vector of unit variance: a special role of the origin is lost."""

    def draw(self, dim: int, generator: torch.Generator) -> Tree:
        return {"offset": torch.randn(dim, generator=generator)}

    def offset(self, data: Tree) -> torch.Tensor:
        return data["offset"]


@TRANSFORMS.register("scale")
@dataclass(frozen=True)
class Scale(Transform):
    """Axes stretched by factors from 1/10 to 10, in random order, as badly chosen units do."""

    orthogonal = False

    def draw(self, dim: int, generator: torch.Generator) -> Tree:
        order = torch.randperm(dim, generator=generator)
        return {"factors": torch.logspace(-1, 1, dim)[order]}

    def linear(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        return data["factors"] * vector

    def inverse(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        return vector / data["factors"]


@TRANSFORMS.register("permute")
@dataclass(frozen=True)
class Permute(Transform):
    """The axes in random order: a special role of the first ones is lost."""

    def draw(self, dim: int, generator: torch.Generator) -> Tree:
        order = torch.randperm(dim, generator=generator)
        return {"order": order, "back": order.argsort()}

    def linear(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        return _taken(vector, data["order"])

    def inverse(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        return _taken(vector, data["back"])


@dataclass(frozen=True)
class Transformed(ProblemModifier):
    """A problem in the coordinates of a transform: f(A x − s).

    The minimum, the critical points with their index and the solution set are transformed with it; the signature is
    measured in the problem's own coordinates. The distance to the solutions is known unless the transform changes
    lengths, and so is what theory predicts for a method whose steps are transformed with the problem.
    """

    transform: Transform

    @property
    def card(self) -> Card:  # type: ignore[override]
        """The card of `inner`, with the `theory` of methods whose steps are transformed with the problem."""
        stated, transform = self.inner.card, self.transform
        theory = {
            name: lambda problem, budget, predicts=predicts: predicts(problem.inner, budget)
            for name, predicts in stated.theory.items()
            if transform.orthogonal and (transform.keeps_axes or name in ROTATION_INVARIANT)
        }
        return replace(stated, theory=theory)

    @property
    def settings(self) -> dict[str, Any]:
        inner = self.inner.settings
        name = type(self.transform).__name__.lower()
        before = inner.get("transform")
        return inner | {"transform": name if before is None else f"{before}+{name}"}

    def instance(self, generator: torch.Generator) -> Tree:
        inner = self.inner.instance(generator)
        transform = self.transform.draw(len(inner["start"]), generator)
        data = {"inner": inner, "transform": transform}
        return {"start": self.outside(inner["start"], data), **data}

    def inside(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        transform = data["transform"]
        return self.transform.linear(x, transform) - self.transform.offset(transform)

    def outside(self, y: torch.Tensor, data: Tree) -> torch.Tensor:
        transform = data["transform"]
        return self.transform.inverse(y + self.transform.offset(transform), transform)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        return self.sampled_value_and_gradient(x, data, None)

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        return self.sampled_hvp(x, data, None, vector)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.sampled_hessian(x, data, None)

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.inner.sampled_loss(self.inside(x, data), data["inner"], draw)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.inside(x, data)
        value, gradient = self.inner.sampled_value_and_gradient(y, data["inner"], draw)
        return value, self.transform.transposed(gradient, data["transform"])

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        along = self.transform.linear(vector, data["transform"])
        product = self.inner.sampled_hvp(self.inside(x, data), data["inner"], draw, along)
        return self.transform.transposed(product, data["transform"])

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        hessian = self.inner.sampled_hessian(self.inside(x, data), data["inner"], draw)
        rows = self.transform.transposed(hessian.movedim(-2, 0), data["transform"])  # H A
        return self.transform.transposed(rows.transpose(0, -1), data["transform"]).movedim(0, -1)

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the gradient that the optimizer sees; it is corrupted in the problem's own coordinates."""
        transform = data["transform"]
        inner = self.transform.inverse_transposed(gradient, transform)
        inner, memory = self.inner.seen(inner, data["inner"], draw, memory)
        return self.transform.transposed(inner, transform), memory

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        if gradient is not None:
            gradient = self.transform.inverse_transposed(gradient, data["transform"])
        return self.inner.solved(self.inside(x, data), gap, gradient, data["inner"])

    def predicted_share(self) -> float | None:
        return self.inner.predicted_share() if self.transform.orthogonal else None

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        return super().distance(x, data) if self.transform.orthogonal else None


def transformed(problem: Problem, names: list[str]) -> Problem:
    """Return a problem after these transforms of its landscape.

    Args:
        problem: The problem.
        names: The registered names of the transforms, the first one first.

    Returns:
        The transformed problem.

    Raises:
        Refused: If a transform is not registered.
    """
    for name in names:
        problem = Transformed(problem, TRANSFORMS.find(name))
    return problem


def _taken(vector: torch.Tensor, order: torch.Tensor) -> torch.Tensor:
    return vector.gather(-1, order.expand(vector.shape))
