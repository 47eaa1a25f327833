"""A linear autoencoder, in which every wrong choice of components is a saddle."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import torch

from problems.geometry import random_rotation
from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from ravine import Refused, bounded

SPREAD = 1.5  # ratio of neighbouring variances, except at the gap
SCALE = 0.1  # of the weights at the start


@register("linear_autoencoder")
@dataclass(frozen=True)
class LinearAutoencoder(Problem):
    """A narrow linear network: every wrong choice of what to keep is a saddle, and the best one is flat.

    f(A, B) = ½ tr (I − AB) S (I − AB)ᵀ, A (inputs, code), B (code, inputs), S = Q diag(λ) Qᵀ.

    At a critical point AB projects on a set of at most `code` of the inputs' principal components, and f is
    ½ Σ λⱼ over those left out. The `code` largest make the minimum, which is global; all other sets make
    saddles with negative curvatures. The smaller the gap between the last variance kept and the first one
    dropped, the flatter are the lowest saddle and the minimum: descent from near the origin often passes
    close to that saddle, and leaves it at a rate proportional to the gap. The target is less than a
    tenth of that saddle's height.

    Starts have independent weights N(0, 0.1²): near the saddle where no unit is used.

    inputs, code: the widths; x is (2 · inputs · code,).
    gap: λ_code/λ_code+1 − 1, where λ_code+1 = 1; all other neighbours have the ratio 1.5.

    Baldi & Hornik 1989, "Neural networks and principal component analysis: learning from examples
    without local minima"; Deep Learning, section 8.2.3.
    """

    inputs: int = bounded(5, low=2)
    code: int = bounded(2, low=1)
    gap: float = dial(0.005, above=0)

    card = Card(
        scale="log",
        ladder=(1.0, 0.03, 0.003),
        target=1e-6,
        budget=2000,
        reference=("damped_newton", {"damping": 0.1}),
        control={"gap": 9.0},
        breaks=("sgd", "saddle"),
        same=("plateau",),
        signature="largest curvature over the size of the negative one at the lowest saddle",
        threshold=20.0,
        truth="The minimum is half the sum of the variances beyond the largest `code`, where AB "
        "projects on those; every other critical point is a saddle with a negative curvature. "
        "Indices and nullities are written for the balanced points, A = Bᵀ.",
        source="Baldi & Hornik 1989",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.code >= self.inputs:
            raise Refused(
                f"linear_autoencoder.code is {self.code}, but must be below inputs ({self.inputs}): "
                "else nothing is squeezed"
            )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return (self.inputs, self.code), (self.code, self.inputs)

    def variances(self) -> torch.Tensor:
        """Return λ, the largest first: (inputs,)."""
        rank = torch.arange(self.inputs, dtype=torch.float64)
        kept = (1 + self.gap) * SPREAD ** (self.code - 1 - rank)
        return torch.where(rank < self.code, kept, SPREAD ** (self.code - rank))

    def instance(self, generator: torch.Generator) -> Tree:
        components = random_rotation(self.inputs, generator)
        start = SCALE * torch.randn(2 * self.inputs * self.code, generator=generator)
        covariance = (components * self.variances()) @ components.T
        return {"start": start, "components": components, "covariance": covariance}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return (I − AB) Q diag(√λ), what is lost of each principal component: (*runs, inputs²)."""
        lost = torch.einsum("...ij,...jk->...ik", self._error(*self._layers(x)), data["components"])
        return (lost * self.variances().to(x).sqrt()).flatten(-2)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        decoder, encoder = self._layers(x)
        error = self._error(decoder, encoder)
        through = torch.einsum("...ij,...jk->...ik", error, data["covariance"])
        outer = torch.einsum("...ik,...pk->...ip", through, encoder)
        inner = torch.einsum("...ip,...ik->...pk", decoder, through)
        value = 0.5 * (through * error).sum((-2, -1))
        return value, -torch.cat([outer.flatten(-2), inner.flatten(-2)], -1)

    def floor(self, data: Tree) -> torch.Tensor:
        return 0.5 * self.variances()[self.code :].sum()

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return two of A = c Q, B = Qᵀ/c, with Q the first components: the balanced one, c = 1, and c = 2."""
        first = data["components"][:, : self.code]
        return torch.stack(
            [torch.cat([(c * first).flatten(), (first.T / c).flatten()]) for c in (1.0, 2.0)]
        )

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return that at A = Bᵀ for each set of r components: all there are up to A → AC, B → C⁻¹B.

        Down go each pair of a kept component and a larger one left out, and each of the
        (code − r)(inputs − r) ways to use an idle unit.
        """
        variances, points = self.variances(), []
        for kept in self._sets():
            idle = self.code - len(kept)
            basis = torch.nn.functional.pad(data["components"][:, list(kept)], (0, idle))
            dropped = [j for j in range(self.inputs) if j not in kept]
            better = sum(j < i for i in kept for j in dropped)
            points.append(
                CriticalPoint(
                    x=torch.cat([basis.flatten(), basis.T.flatten()]),
                    value=0.5 * variances[dropped].sum().item(),
                    index=better + idle * len(dropped),
                    nullity=self.code**2 - idle**2,
                )
            )
        return tuple(points)

    def lowest_saddle(self, data: Tree) -> CriticalPoint:
        """Return the lowest critical point except the minimum, which is the first."""
        return min(self.critical_points(data)[1:], key=lambda point: point.value)

    def signature(self, data: Tree) -> float:
        curvatures = torch.linalg.eigvalsh(self.hessian(self.lowest_saddle(data).x, data))
        return (curvatures[-1] / -curvatures[0]).item()

    def _sets(self) -> tuple[tuple[int, ...], ...]:
        sizes = range(self.code, -1, -1)
        return tuple(kept for size in sizes for kept in combinations(range(self.inputs), size))

    def _layers(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        decoder, encoder = x.chunk(2, -1)
        decoder = decoder.unflatten(-1, (self.inputs, self.code))
        return decoder, encoder.unflatten(-1, (self.code, self.inputs))

    def _error(self, decoder: torch.Tensor, encoder: torch.Tensor) -> torch.Tensor:
        """I − AB."""
        product = torch.einsum("...ip,...pj->...ij", decoder, encoder)
        return torch.eye(self.inputs, dtype=product.dtype, device=product.device) - product
