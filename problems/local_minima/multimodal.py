"""What the multimodal test functions have in common: one global minimum, moved and turned by the seed."""

from __future__ import annotations

import torch

from problems.geometry import random_rotation
from problems.one_minimum import OneMinimum
from problems.problem import Tree


class Multimodal(OneMinimum):
    """f(x) = g(z), z = o + Qᵀ (x − m): a landscape g with its minimum at o, which the seed puts at m.

    Starts are uniform in `box`, the domain on which the function is usually minimized, turned and
    moved with it. Q is a random rotation: the ripples run along no axis of x.
    """

    dim: int
    box: tuple[float, float]
    shown = slice(None)  # of `line`, in the picture

    def landscape(self, z: torch.Tensor) -> torch.Tensor:
        """Return g(z): (*runs, dim) -> (*runs)."""
        raise NotImplementedError

    @property
    def optimum(self) -> float:
        """The value that every coordinate of o has."""
        return 0.0

    def first(self, uniform: torch.Tensor) -> torch.Tensor:
        """Return where a run starts, in the coordinates z, given numbers from 0 to 1 of the same shape."""
        low, high = self.box
        return low + (high - low) * uniform

    def instance(self, generator: torch.Generator) -> Tree:
        low, high = self.box
        uniform = torch.rand(self.dim, generator=generator)
        minimizer = (high - low) / 2 * torch.randn(self.dim, generator=generator)
        data = {"minimizer": minimizer, "basis": random_rotation(self.dim, generator)}
        return {"start": self.place(self.first(uniform), data), **data}

    def coordinates(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return z at x: (*runs, dim) -> (*runs, dim)."""
        error = x - data["minimizer"]
        return self.optimum + torch.einsum("...i,...ij->...j", error, data["basis"])

    def place(self, z: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the points with coordinates z: (*runs, dim) -> (*runs, dim)."""
        error = torch.einsum("...j,...ij->...i", z - self.optimum, data["basis"])
        return data["minimizer"] + error

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.landscape(self.coordinates(x, data))

    def signature(self, data: Tree) -> float:
        """Count the minima among the starts on the line through m along the axis of z₁."""
        lower = self.loss(self.place(self.line(), data), data).diff() < 0
        return (lower[:-1] & ~lower[1:]).sum().item()

    def line(self) -> torch.Tensor:
        """Return points among the starts, on the line through m along the axis of z₁: (4001, dim)."""
        along = self.first(torch.linspace(0, 1, 4001, dtype=torch.float64))
        return torch.cat([along[:, None], along.new_full((4001, self.dim - 1), self.optimum)], -1)
