"""A spin glass on a sphere: most critical points are saddles, and all minima are about equally deep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import torch

from problems.problem import Card, Problem, Tree, dial
from problems.registry import register
from problems.saddles.levenberg_marquardt import critical_points
from ravine import bounded

LEVEL = -3.0  # of f/dim: nobody gets there
REST = 1e-6  # of the gradient at the start: who has less is at rest
ACROSS = 10.0  # curvature across the sphere: about the largest along it in a minimum


class _At(NamedTuple):
    """What the derivatives at points x (*runs, dim) are made of; all but `contracted` lead with *runs."""

    s: torch.Tensor  # the point of the sphere
    outward: torch.Tensor  # x/|x|
    scale: torch.Tensor  # |x|/√N
    off: torch.Tensor  # |x| − √N
    contracted: torch.Tensor  # Σₖ Jᵢⱼₖ sₖ/N
    tangential: torch.Tensor  # the part of ∇H along the sphere
    shift: torch.Tensor  # s·∇H/N


@register("spin_glass")
@dataclass(frozen=True)
class SpinGlass(Problem):
    """The spherical 3-spin glass, a random cubic form on a sphere.

    H(s) = (1/N) Σ J_ijk s_i s_j s_k − field Σ m_i s_i on |s|² = N, J independent N(0, 1), |m|² = N.

    Every step is taken back to the sphere. The loss is f(x) = H(√N x/|x|) + 5 (|x| − √N)²: on the
    sphere it is H, its gradient is the tangential one, ∇H − (s·∇H/N) s, and its curvatures at a
    critical point are those along the sphere, and 10 across it.

    Without a field s·∇H = 3H, so at a critical point of energy u = H/N the Hessian along the sphere
    is a semicircle of radius 2√6 shifted by −3u: the share F(u/E) of the directions goes down,
    E = 2√(2/3) = 1.633, F(u) = ½ + (u√(1 − u²) + asin u)/π. Critical points of index k number e^(NΘₖ(u)):
    those of low index lie in layers between −E₀ = −1.657 and −E, the lower the index the deeper.
    Descent leaves the saddles and ends in a minimum in a narrow band of energies, the narrower the
    larger N is; hardly anyone finds a better one. Newton's method ends at any critical point.

    Solved means at rest in a minimum, whichever: |g| below 1e-6 of that at the start, and the Hessian
    positive definite. The start is uniform on the sphere. Use float64.

    dim: N.
    field: strength of an external field. Above √3, for large N, two critical points are left: a
        minimum and a maximum (Belius, Černý, Nakajima & Schmidt 2022).

    Choromanska et al. 2015, arXiv:1412.0233; Auffinger, Ben Arous & Černý 2013, arXiv:1003.1129;
    Deep Learning, section 8.2.3.
    """

    dim: int = dial(20, low=2)
    field: float = bounded(0.0, low=0)

    card = Card(
        scale="log",
        ladder=(5, 20, 40),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.1, "momentum": 0.9}),
        control={"field": 6.0},
        signature="share of the critical points found from random starts that are saddles",
        threshold=0.5,
        truth="The minimum is unknown; for large dim it is −1.657 dim. The floor is a level, "
        "f = −3 dim: of minima below it one expects e^(−2.4 dim). At a critical point of energy "
        "f/dim = u the share F(u/1.633) of the directions goes down; minima lie between −1.657 and "
        "−1.633 for large dim, and are a share of the critical points that falls exponentially.",
        source="Auffinger, Ben Arous & Černý 2013; Choromanska et al. 2015",
        exceptions={
            "ranked": "whoever comes to rest in a minimum does so at about the same energy, which "
            "is the result: the column energy"
        },
        floor_is_minimum=False,
    )

    def instance(self, generator: torch.Generator) -> Tree:
        start = self.project(torch.randn(self.dim, generator=generator), {})
        direction = self.project(torch.randn(self.dim, generator=generator), {})
        couplings = torch.randn(self.dim, self.dim, self.dim, generator=generator)
        couplings = sum(couplings.permute(order) for order in permutations(range(3)))
        data = {"couplings": couplings / (6 * self.dim), "direction": direction}
        slope = self.value_and_gradient(start, data)[1].norm()
        return {"start": start, "slope": slope, **data}

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return x * (math.sqrt(self.dim) / x.norm(dim=-1, keepdim=True))

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        s = self.project(x, data)
        cubic = (s * torch.einsum("...ij,...j->...i", self._contracted(s, data), s)).sum(-1)
        off = x.norm(dim=-1) - math.sqrt(self.dim)
        linear = self.field * (s * data["direction"]).sum(-1)
        return cubic - linear + ACROSS / 2 * off.square()

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        at = self._at(x, data)
        along = torch.einsum("...ij,...j->...i", at.contracted, at.s)
        linear = self.field * (at.s * data["direction"]).sum(-1)
        value = (at.s * along).sum(-1) - linear + ACROSS / 2 * at.off[..., 0].square()
        return value, at.tangential / at.scale + ACROSS * at.off * at.outward

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        """With r = |x|/√N, n = x/|x|, P = I − nnᵀ and g = ∇H:

        r² H v = P ∇²H P v − (s·g/N) P v − (n (Pg·v) + Pg (n·v))/√N, and across the sphere
        10 (nnᵀ + (1 − 1/r) P) v. The third term is there because Pg turns with the sphere; it
        vanishes at critical points.
        """
        at = self._at(x, data)
        out = (at.outward * vector).sum(-1, keepdim=True)
        inside = vector - out * at.outward
        bent = 6 * torch.einsum("...ij,...j->...i", at.contracted, inside)
        bent = bent - (at.outward * bent).sum(-1, keepdim=True) * at.outward
        turned = (at.tangential * inside).sum(-1, keepdim=True) * at.outward + out * at.tangential
        sphere = bent - at.shift * inside - turned / math.sqrt(self.dim)
        across = out * at.outward + (1 - 1 / at.scale) * inside
        return sphere / at.scale.square() + ACROSS * across

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        basis = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        basis = basis.view(self.dim, *(1,) * (x.dim() - 1), self.dim)
        return self.hvp(x, data, basis).movedim(0, -1)

    def floor(self, data: Tree) -> torch.Tensor:
        """Not the minimum but a level that nobody reaches."""
        return torch.tensor(LEVEL * self.dim)

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Which runs are at rest in a minimum; only the Hessians of resting ones are computed."""
        solved = torch.zeros_like(gap, dtype=torch.bool)
        if gradient is None:
            return solved
        at_rest = gradient.norm(dim=-1) < REST * data["slope"]
        couplings = data["couplings"].expand(*gap.shape, -1, -1, -1)
        direction = data["direction"].expand(*gap.shape, -1)
        for run in map(tuple, at_rest.nonzero().tolist()):
            here = {"couplings": couplings[run], "direction": direction[run]}
            solved[run] = torch.linalg.cholesky_ex(self.hessian(x[run], here)).info == 0
        return solved

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """The energy f/dim at which a run ended."""
        return {"energy": self.loss(x, data) / self.dim}

    def signature(self, data: Tree) -> float:
        _, _, indices = self.find_critical_points(data, 24, torch.Generator().manual_seed(0))
        return ((indices > 0) & (indices < 1)).double().mean().item()

    def find_critical_points(
        self, data: Tree, count: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Critical points of one instance: (found, dim), energies f/dim and shares of directions down.

        From `count` random starts, those on the sphere that Levenberg and Marquardt's method finds.
        """
        x = self.project(torch.randn(count, self.dim, generator=generator), data)
        x, curvatures = critical_points(self, data, x)
        down = (curvatures < 0).sum(-1) / (self.dim - 1)
        return x, self.loss(x, data) / self.dim, down

    def _at(self, x: torch.Tensor, data: Tree) -> _At:
        length, root = x.norm(dim=-1, keepdim=True), math.sqrt(self.dim)
        outward = x / length
        s = root * outward
        contracted = self._contracted(s, data)
        slope = 3 * torch.einsum("...ij,...j->...i", contracted, s)
        slope = slope - self.field * data["direction"]
        along = (outward * slope).sum(-1, keepdim=True)
        return _At(
            s,
            outward,
            length / root,
            length - root,
            contracted,
            slope - along * outward,
            along / root,
        )

    def _contracted(self, s: torch.Tensor, data: Tree) -> torch.Tensor:
        """Σₖ Jᵢⱼₖ sₖ/N, a sixth of the Hessian of H: (*runs, dim, dim)."""
        return torch.einsum("...k,...ijk->...ij", s, data["couplings"])
