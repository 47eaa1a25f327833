"""A smooth random landscape, whose critical points are nearly all saddles."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.problem import Card, Tree, dial
from problems.registry import register
from problems.saddles.landscape import Landscape
from ravine import Refused, bounded


@register("random_field")
@dataclass(frozen=True)
class RandomField(Landscape):
    """A Gaussian random field: it has minima, but exponentially more saddles.

    f(x) = √N √(2/K) Σ cos(w_k·x + b_k), N = dim, K = waves, w_k ~ N(0, I/N), b_k uniform.

    For many waves f is Gaussian with covariance N exp(−|x − y|²/2N), and the Hessian a random matrix
    shifted by the energy, GOE − (f/N) I. So at a critical point of energy ε = f/N a share F(ε/2) of the
    directions goes down, F(u) = ½ + (u√(1 − u²) + asin u)/π: half near ε = 0, where most critical points
    are, and none below ε = −2. One in e^N, to leading order, is a minimum. Newton's method ends at any of
    them; descent leaves the saddles. The start is about a correlation length, √N, from the origin.

    A run is solved at rest in any minimum: |g| is below 1e-6 of that at the start, and the Hessian is
    positive definite. Use float64.

    dim: N.
    waves: K, at least 50 N: the Hessian's fourth free cumulant is 1.5 N/K, and that of a semicircle 0.
    bowl: adds (bowl/2)|x|². Above 1, for large N, the only critical point is a minimum (Fyodorov 2004,
        arXiv:cond-mat/0401287).

    Bray & Dean 2007, arXiv:cond-mat/0611023; Dauphin et al. 2014, arXiv:1406.2572; Deep Learning,
    section 8.2.3.
    """

    dim: int = dial(20, low=2)
    waves: int = bounded(2000, low=1)
    bowl: float = bounded(0.0, low=0)

    card = Card(
        scale="log",
        ladder=(2, 10, 40),
        quick={"dim": 10, "waves": 500, "ladder": (2, 5, 10)},
        standard={"waves": 1000, "ladder": (2, 10, 20)},
        target=1e-4,
        budget=4100,
        reference=("momentum", {"lr": 0.2, "momentum": 0.9}),
        control={"bowl": 5.0},
        breaks=("newton", "negative_curvature"),
        same=("saddle",),
        signature="share of the critical points found from random starts that are not minima",
        threshold=0.5,
        truth="The minimum is unknown. The floor is a level, f = −4 dim: of minima below it one "
        "expects e^(−5 dim) within three correlation lengths of a point. Of the critical points 1 in "
        "4 is a minimum at dim 2, 1 in 6e6 at dim 20.",
        source="Bray & Dean 2007; Goodfellow, Bengio & Courville 2016, section 8.2.3",
        floor_is_minimum=False,
    )
    level = -4.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.waves < 50 * self.dim:
            raise Refused(
                f"random_field.waves is {self.waves}, but must be at least {50 * self.dim}, "
                "50 for each dimension: fewer make no Gaussian field"
            )

    @property
    def budget(self) -> float:
        """That of 100 steps of Newton's method up to dim 20, and 4100 beyond."""
        return min(self.card.budget, 100 * (1 + 2 * self.dim))

    def instance(self, generator: torch.Generator) -> Tree:
        start = torch.randn(self.dim, generator=generator)
        data = {
            "waves": torch.randn(self.waves, self.dim, generator=generator) / math.sqrt(self.dim),
            "phases": 2 * math.pi * torch.rand(self.waves, generator=generator),
        }
        slope = self.value_and_gradient(start, data)[1].norm()
        return {"start": start, "slope": slope, **data}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self._amplitude * self._angles(x, data).cos().sum(-1) + self._bowl(x)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        angles = self._angles(x, data)
        falling = torch.einsum("...k,...kn->...n", angles.sin(), data["waves"])
        value = self._amplitude * angles.cos_().sum(-1)
        return value + self._bowl(x), self.bowl * x - self._amplitude * falling

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        along = torch.einsum("...n,...kn->...k", vector, data["waves"])
        weighted = along * self._angles(x, data).cos()
        falling = torch.einsum("...k,...kn->...n", weighted, data["waves"])
        return self.bowl * vector - self._amplitude * falling

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        cosines, waves = self._angles(x, data).cos_(), data["waves"]
        if x.dim() == 1:
            hessian = (cosines[:, None] * waves).T @ waves
        else:  # cosines times products of waves: the other order takes dim times the memory
            hessian = x.new_empty(*x.shape, self.dim)
            for i in range(self.dim):
                products = waves[..., i:] * waves[..., i, None]
                row = torch.einsum("...k,...kn->...n", cosines, products)
                hessian[..., i, i:] = hessian[..., i:, i] = row
        hessian *= -self._amplitude
        hessian.diagonal(dim1=-2, dim2=-1).add_(self.bowl)
        return hessian

    def signature(self, data: Tree) -> float:
        *_, down = self.find_critical_points(data, 24, torch.Generator().manual_seed(0))
        return (down > 0).double().mean().item()

    def random_points(self, count: int, generator: torch.Generator) -> torch.Tensor:
        return 3 * torch.randn(count, self.dim, generator=generator)

    @property
    def _amplitude(self) -> float:
        return math.sqrt(2 * self.dim / self.waves)

    def _angles(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.einsum("...n,...kn->...k", x, data["waves"]) + data["phases"]

    def _bowl(self, x: torch.Tensor) -> torch.Tensor:
        return self.bowl / 2 * x.square().sum(-1)
