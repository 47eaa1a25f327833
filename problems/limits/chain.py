"""What Nesterov's two resisting quadratics have in common: a chain that hands news on by one link a step."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch

from problems.geometry import random_rotation
from problems.problem import CriticalPoint, Problem, Tree


class Chain(Problem):
    """f = (w/2) [z₁² + Σ (zᵢ − zᵢ₊₁)² + a zₙ²] + (m/2) |z|² − w z₁, z the way from the start.

    At the start only the first coordinate has a slope, and each gradient reaches one coordinate farther. Any method
    whose steps are sums of the gradients seen has after t of them zᵢ = 0 for all i > t, and so at least the loss of the
    best such point. That one solves the chain cut after t links; with q the smaller root of w q² − (2w + m) q + w = 0
    its first coordinate is q (1 − q^2t)/(1 − q^(2t+2)), and its loss −w/2 times that.

    Subclasses say what w, m and a are and where the solution is, and have a field `rotated`, which hides the axes from
    methods that treat each coordinate alone.
    """

    rotated: bool

    @property
    @abstractmethod
    def stiffness(self) -> float:
        """Return w."""

    @property
    @abstractmethod
    def convexity(self) -> float:
        """Return m."""

    @property
    def anchor(self) -> float:
        """Return a."""
        return 1.0

    @abstractmethod
    def solution(self) -> torch.Tensor:
        """Return z at the minimum: (dim,)."""

    @abstractmethod
    def lowest(self) -> float:
        """Return the minimum."""

    def instance(self, generator: torch.Generator) -> Tree:
        solution = self.solution()
        start = torch.randn(len(solution), generator=generator)
        if not self.rotated:
            return {"start": start, "minimizer": start + solution}
        basis = random_rotation(len(solution), generator)
        return {"start": start, "minimizer": start + basis @ solution, "basis": basis}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self._value(self._along(x - data["start"], data))

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        z = self._along(x - data["start"], data)
        gradient = self.times_hessian(z)
        gradient[..., 0] -= self.stiffness
        return self._value(z), self._back(gradient, data)

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        return self._back(self.times_hessian(self._along(vector, data)), data)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(self.lowest(), dtype=torch.float64)

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["minimizer"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], self.lowest(), index=0),)

    @property
    def decay(self) -> float:
        """Return q, by which the solution of an endless chain falls from one coordinate to the next."""
        half = self.convexity / (2 * self.stiffness)
        return 1 + half - math.sqrt(half * (2 + half))

    def first(self, links: torch.Tensor) -> torch.Tensor:
        """Return z₁ of the solution of a chain that is cut after so many links."""
        links, q = links.double(), self.decay
        if q == 1:
            return links / (links + 1)
        return q * (1 - q ** (2 * links)) / (1 - q ** (2 * links + 2))

    def least_gap(self, steps: torch.Tensor) -> torch.Tensor:
        """Return the least gap that any sum of so many gradients leaves: (*runs)."""
        gap = -self.stiffness / 2 * self.first(steps) - self.lowest()
        return gap.clamp(min=0)

    def gap(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the gap, f above the minimum: (*runs)."""
        return self.loss(x, data) - self.floor(data)

    def times_hessian(self, z: torch.Tensor) -> torch.Tensor:
        """Return H z as differences of differences: what has not arrived yet is exactly zero."""
        product = self.convexity * z - self.stiffness * _links(z).diff(dim=-1)
        product[..., -1] += self.stiffness * (self.anchor - 1) * z[..., -1]
        return product

    def _value(self, z: torch.Tensor) -> torch.Tensor:
        bent = _links(z).square().sum(-1) + (self.anchor - 1) * z[..., -1].square()
        pull = self.stiffness * (bent / 2 - z[..., 0])
        return pull + self.convexity / 2 * z.square().sum(-1)

    def _along(self, vector: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return a vector's coordinates along the chain."""
        if not self.rotated:
            return vector
        return torch.einsum("...i,...ij->...j", vector, data["basis"])

    def _back(self, along: torch.Tensor, data: Tree) -> torch.Tensor:
        if not self.rotated:
            return along
        return torch.einsum("...j,...ij->...i", along, data["basis"])


def _links(z: torch.Tensor) -> torch.Tensor:
    """Return the stretch of each link, the two to the walls included: (*runs, dim + 1)."""
    return torch.nn.functional.pad(z, (1, 1)).diff(dim=-1)
