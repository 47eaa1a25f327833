"""A spin glass on a sphere: most critical points are saddles, and all minima are about equally deep."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations

import torch

from problems.problem import Card, Tree, dial
from problems.registry import register
from problems.saddles.landscape import Landscape
from ravine import bounded

ACROSS = 10.0  # curvature across the sphere: about the largest along it in a minimum


@register("spin_glass")
@dataclass(frozen=True)
class SpinGlass(Landscape):
    """The spherical 3-spin glass, a random cubic form on a sphere.

    H(s) = (1/N) Σ J_ijk s_i s_j s_k − field Σ m_i s_i on |s|² = N, J independent N(0, 1), |m|² = N.

    Each step is projected back to the sphere. The loss is f(x) = H(√N x/|x|) + 5 (|x| − √N)²: on the
    sphere it is H, with the tangential gradient ∇H − (s·∇H/N) s, and the curvatures at a critical
    point are those along the sphere, and 10 across it.

    Without a field, the curvatures along the sphere at a critical point of energy u = H/N are a
    semicircle of radius 2√6 shifted by −3u: a share F(u/E) of the directions goes down, E = 2√(2/3) = 1.633,
    F(u) = ½ + (u√(1 − u²) + asin u)/π. Critical points of low index lie in layers between −E₀ = −1.657
    and −E, the lower the index the deeper. Descent leaves the saddles and ends in a minimum within a
    band of energies that narrows with N. Newton's method ends at any critical point.

    The start is uniform on the sphere.

    A run is solved at rest in any minimum: |g| is below 1e-6 of that at the start, and the Hessian is
    positive definite. Use float64.

    dim: N.
    field: strength of an external field. Above √3, for large N, only a minimum and a maximum are left
        (Belius, Černý, Nakajima & Schmidt 2022).

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
        truth="The minimum is unknown. The floor is a level, f = −(3 + field) dim. Without a field one "
        "expects e^(−2.4 dim) minima below it; for large dim the minimum is −1.657 dim, minima lie between "
        "−1.657 dim and −1.633 dim, and their share of the critical points falls exponentially with dim.",
        source="Auffinger, Ben Arous & Černý 2013; Choromanska et al. 2015",
        exceptions={
            "ranked": "runs that come to rest in a minimum do so at about the same energy, which is "
            "the result: the column energy"
        },
        floor_is_minimum=False,
    )
    level = -3.0

    def instance(self, generator: torch.Generator) -> Tree:
        start = self.project(torch.randn(self.dim, generator=generator), {})
        direction = self.project(torch.randn(self.dim, generator=generator), {})
        couplings = torch.randn(self.dim, self.dim, self.dim, generator=generator)
        couplings = sum(couplings.permute(order) for order in permutations(range(3)))
        data = {"couplings": couplings / (6 * self.dim), "direction": direction}
        slope = self.value_and_gradient(start, data)[1].norm()
        return {"start": start, "slope": slope, **data}

    def floor(self, data: Tree) -> torch.Tensor:
        """Return the level: that without a field, less field · dim, as |m·s| ≤ |m||s| = dim."""
        return super().floor(data) - self.field * self.dim

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return x * (math.sqrt(self.dim) / x.norm(dim=-1, keepdim=True))

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        s = self.project(x, data)
        cubic = (s * torch.einsum("...ij,...j->...i", self._contracted(s, data), s)).sum(-1)
        off = x.norm(dim=-1) - math.sqrt(self.dim)
        return cubic - self._linear(s, data) + ACROSS / 2 * off.square()

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        outward, scale, off = self._radial(x)
        s, contracted, tangential, _ = self._along(outward, data)
        cubic = (s * torch.einsum("...ij,...j->...i", contracted, s)).sum(-1)
        value = cubic - self._linear(s, data) + ACROSS / 2 * off[..., 0].square()
        return value, tangential / scale + ACROSS * off * outward

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        """With r = |x|/√N, n = x/|x|, P = I − nnᵀ and g = ∇H:

        r² H v = P ∇²H P v − (s·g/N) P v − (n (Pg·v) + Pg (n·v))/√N, and across the sphere
        10 (nnᵀ + (1 − 1/r) P) v. The third term is there because Pg turns with the sphere; it
        vanishes at critical points.
        """
        outward, scale, _ = self._radial(x)
        _, contracted, tangential, shift = self._along(outward, data)
        out = (outward * vector).sum(-1, keepdim=True)
        inside = vector - out * outward
        bent = 6 * torch.einsum("...ij,...j->...i", contracted, inside)
        bent = bent - (outward * bent).sum(-1, keepdim=True) * outward
        turned = (tangential * inside).sum(-1, keepdim=True) * outward + out * tangential
        sphere = bent - shift * inside - turned / math.sqrt(self.dim)
        across = out * outward + (1 - 1 / scale) * inside
        return sphere / scale.square() + ACROSS * across

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        basis = torch.eye(self.dim, dtype=x.dtype, device=x.device)
        basis = basis.view(self.dim, *(1,) * (x.dim() - 1), self.dim)
        return self.hvp(x, data, basis).movedim(0, -1)

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """Return the energy f/dim at which each run ended."""
        return {"energy": self.loss(x, data) / self.dim}

    def signature(self, data: Tree) -> float:
        *_, down = self.find_critical_points(data, 24, torch.Generator().manual_seed(0))
        return ((down > 0) & (down < 1)).double().mean().item()

    @property
    def directions(self) -> int:
        return self.dim - 1

    def random_points(self, count: int, generator: torch.Generator) -> torch.Tensor:
        return self.project(torch.randn(count, self.dim, generator=generator), {})

    def _radial(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return x/|x|, |x|/√N and |x| − √N."""
        length, root = x.norm(dim=-1, keepdim=True), math.sqrt(self.dim)
        return x / length, length / root, length - root

    def _along(self, outward: torch.Tensor, data: Tree) -> tuple[torch.Tensor, ...]:
        """Return s, Σₖ Jᵢⱼₖ sₖ/N, the part of ∇H along the sphere, and s·∇H/N."""
        s = math.sqrt(self.dim) * outward
        contracted = self._contracted(s, data)
        slope = 3 * torch.einsum("...ij,...j->...i", contracted, s)
        slope = slope - self.field * data["direction"]
        along = (outward * slope).sum(-1, keepdim=True)
        return s, contracted, slope - along * outward, along / math.sqrt(self.dim)

    def _contracted(self, s: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return Σₖ Jᵢⱼₖ sₖ/N, a sixth of the Hessian of H: (*runs, dim, dim)."""
        return torch.einsum("...k,...ijk->...ij", s, data["couplings"])

    def _linear(self, s: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.field * (s * data["direction"]).sum(-1)
