"""The inputs on which two optimizers are compared: losses and gradients on which their formulas would come apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from optimizers.adopted import Shapes
from problems import Problem, Tree

STEPS = 25
LONG = 200  # at the defaults: some methods switch late
VECTOR, MATRICES, LAYER, KERNEL = ((6,),), ((3, 4), (4, 2)), ((4, 3), (4,)), ((2, 3, 2, 2),)
AFTER = 0.5  # of the coordinates that see no gradient at first


@dataclass(frozen=True)
class Loss(Problem):
    """½ xᵀ H x + quartic/4 Σ x⁴ + valley/2 Σ (xᵢ₊₁ − xᵢ²)² + tilt · x, with another tilt at each step."""

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the loss without the tilt."""
        bowl = (torch.einsum("...ij,...j->...i", data["curvature"], x) * x).sum(-1) / 2
        bend = x[..., 1:] - x[..., :-1] ** 2
        valley = data["valley"] / 2 * bend.square().sum(-1)
        return bowl + data["quartic"] / 4 * (x**4).sum(-1) + valley

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        """Return the loss."""
        return self.loss(x, data) + (draw["tilt"] * x).sum(-1)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return both in closed form, which is faster than autograd."""
        valley, quartic = data["valley"].unsqueeze(-1), data["quartic"].unsqueeze(-1)
        bend = valley * (x[..., 1:] - x[..., :-1] ** 2)
        ends = torch.zeros_like(x[..., :1])
        gradient = (
            torch.einsum("...ij,...j->...i", data["curvature"], x)
            + quartic * x**3
            + torch.cat([ends, bend], -1)
            - torch.cat([2 * x[..., :-1] * bend, ends], -1)
        )
        if draw is None:
            return self.loss(x, data), gradient
        return self.sampled_loss(x, data, draw), gradient + draw["tilt"]

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return r with the loss ½ |r|², where the curvature is that of a bowl."""
        bowl = torch.einsum("...ij,...j->...i", data["root"], x)
        bend = data["valley"].unsqueeze(-1).sqrt() * (x[..., 1:] - x[..., :-1] ** 2)
        return torch.cat([bowl, bend, (data["quartic"] / 2).unsqueeze(-1).sqrt() * x**2], -1)

    def gauss_newton(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Return Jᵀ J, or None where one of the losses is no sum of squares."""
        square = torch.einsum("...ki,...kj->...ij", data["root"], data["root"])
        return super().gauss_newton(x, data) if torch.allclose(square, data["curvature"]) else None

    def floor(self, data: Tree) -> torch.Tensor:
        """Return 0, which no method that is compared is told."""
        return torch.zeros((), dtype=data["start"].dtype)


@dataclass(frozen=True)
class Inputs:
    """Inputs for parameters of the same shapes, which are run side by side.

    They are the trials of one instance: each has an instance of the class of its own.

    Attributes:
        what: The parameters, in words.
        shapes: Their shapes; None for one vector.
        names: What each input is called.
        data: Starts and curvatures, stacked, (1, inputs, …).
        tilts: The gradient that is added at each step, (steps, 1, inputs, dim); None for exact losses.
        normals: Normal numbers of each step for methods that draw some, (steps, 1, inputs, dim).
    """

    what: str
    shapes: Shapes | None
    names: tuple[str, ...]
    data: Tree
    tilts: torch.Tensor | None
    normals: torch.Tensor = field(repr=False)

    def only(self, indices: Sequence[int]) -> Inputs:
        """Return some of the inputs."""
        some = list(indices)
        data = {name: each[:, some] for name, each in self.data.items()}
        tilts = None if self.tilts is None else self.tilts[:, :, some]
        names = tuple(self.names[k] for k in some)
        return Inputs(self.what, self.shapes, names, data, tilts, self.normals[:, :, some])


@dataclass
class _Input:
    """One input before it is stacked."""

    name: str
    start: torch.Tensor
    curvature: torch.Tensor
    tilts: torch.Tensor
    quartic: float = 0.0
    valley: float = 0.0


def inputs(dtype: torch.dtype = torch.float64) -> list[Inputs]:
    """Return all inputs, by the shapes of their parameters.

    Args:
        dtype: The precision of the parameters.

    Returns:
        Vectors with gradients of many kinds first, then matrices, then what is compared at the defaults alone.
    """
    return [
        _stacked("vectors", VECTOR, _drawn, dtype),
        _stacked("matrices", MATRICES, _drawn, dtype),
        _stacked("exact losses", VECTOR, _exact, dtype),
        _stacked("a layer", LAYER, _drawn, dtype),
        _stacked("a kernel", KERNEL, _drawn, dtype),
    ]


def _stacked(
    what: str,
    shapes: Shapes,
    draw: Callable[[int, torch.Generator], list[_Input]],
    dtype: torch.dtype,
) -> Inputs:
    dim = sum(math.prod(shape) for shape in shapes)
    generator = torch.Generator().manual_seed(dim)
    made = draw(dim, generator)

    def stack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        return torch.stack(list(tensors)).unsqueeze(0).to(dtype)

    data = {
        "start": stack([each.start for each in made]),
        "curvature": stack([each.curvature for each in made]),
        "root": stack([_root(each.curvature) for each in made]),
        "quartic": stack([torch.tensor(each.quartic) for each in made]),
        "valley": stack([torch.tensor(each.valley) for each in made]),
    }
    tilts = torch.stack([stack([each.tilts[t] for each in made]) for t in range(LONG)])
    normals = torch.randn(LONG, 1, len(made), dim, generator=generator, dtype=torch.float64)
    return Inputs(
        what,
        None if shapes == VECTOR else shapes,
        tuple(each.name for each in made),
        data,
        tilts if tilts.any() else None,
        normals.to(dtype),
    )


def _root(curvature: torch.Tensor) -> torch.Tensor:
    """Return R with Rᵀ R the curvature, or that without its negative part."""
    values, vectors = torch.linalg.eigh(curvature)
    return values.clamp(min=0).sqrt().unsqueeze(-1) * vectors.T


def _drawn(dim: int, generator: torch.Generator) -> list[_Input]:
    """Gradients that are drawn at each step; those of the bowl also depend on where the optimizer is."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    flat, mean = torch.zeros(dim, dim, dtype=torch.float64), normal(dim)
    random = mean + normal(LONG, dim)
    steps = torch.arange(LONG).unsqueeze(-1)
    zeros = random * (torch.rand(LONG, dim, generator=generator) < AFTER)
    zeros[:6, : dim // 2] = 0  # no gradient at all at first
    zeros[3::7] = 0  # nor, at some steps, anywhere
    spikes = torch.where(steps % 7 == 4, 1e4, 1e-2) * random
    sizes = torch.logspace(-10, 4, dim, dtype=torch.float64)[
        torch.randperm(dim, generator=generator)
    ]
    bowl = torch.diag(torch.logspace(-2, 1, dim, dtype=torch.float64))
    return [
        _Input("noisy bowl", normal(dim), bowl, 0.3 * normal(LONG, dim)),
        _Input("random gradients", normal(dim), flat, random),
        _Input("tiny gradients", torch.zeros(dim, dtype=torch.float64), flat, 1e-9 * random),
        _Input("huge gradients", normal(dim), flat, 1e6 * random),
        _Input("gradients of all sizes", normal(dim), flat, sizes * random),
        _Input("gradients with zeros", normal(dim), flat, zeros),
        _Input("gradients with spikes", normal(dim), flat, spikes),
    ]


def _exact(dim: int, generator: torch.Generator) -> list[_Input]:
    """Losses without noise, of which values, Hessians and line searches make sense."""

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    def turned(*curvatures: float) -> torch.Tensor:
        basis, _ = torch.linalg.qr(normal(dim, dim))
        return basis @ torch.diag(torch.tensor(curvatures, dtype=torch.float64)) @ basis.T

    none, flat = torch.zeros(LONG, dim), torch.zeros(dim, dim, dtype=torch.float64)
    steep = turned(*torch.logspace(-2, 2, dim).tolist())
    saddle = turned(*(2.0 * (-1) ** k for k in range(dim)))
    return [
        _Input("ill-conditioned bowl", normal(dim), steep, none),
        _Input("bent valley", 0.5 * normal(dim), flat + 0.1 * torch.eye(dim), none, valley=10.0),
        _Input("saddle", 0.5 * normal(dim), saddle, none, quartic=1.0),
    ]
