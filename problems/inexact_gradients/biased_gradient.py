"""A gradient with a bias, which no averaging removes: every method comes to rest in the same wrong place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.problem import Card, Tree, dial
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import bounded

BLOCK = 100  # steps whose noise is drawn at once


@register("biased_gradient")
@dataclass(frozen=True)
class BiasedGradient(QuadraticForm):
    """A bowl whose gradients are all shifted by the same vector.

    f(x) = ½ (x − m)ᵀ H (x − m); seen is H (x − m) + b + ξ, with ξ ~ N(0, s² I) new at every step.

    The noise ξ averages out, the bias b does not: what is seen vanishes on average at m − H⁻¹b, where
    f is ½ bᵀH⁻¹b. A bias of a given length does the more harm the flatter H is: along a mode of
    curvature h a share b²/2h of it remains, which is κ times as much for the flattest mode as for
    the steepest. Estimates that are cut off early, truncated gradients through time and lossy
    compression have such a bias; all optimizers end up there.

    The start is m + H^-½ z with Gaussian z, so that every mode counts alike in the gap.

    dim: x is (dim,).
    bias: |b| over that at which the gap at rest is just the target: there it is bias² times it.
    condition: κ; the curvatures are log-uniform from 1/κ to 1.
    noise: s, in the same unit: a whole Newton step is left with noise² times the target by ξ.

    Deep Learning, section 8.2.6; Bertsekas & Tsitsiklis 2000, doi:10.1137/S1052623497331063.
    """

    dim: int = bounded(20, low=1)
    bias: float = dial(2.0, low=0)
    condition: float = bounded(100.0, low=1, high=1e12)
    noise: float = bounded(0.1, low=0)

    card = Card(
        scale="log",
        ladder=(0.1, 0.5, 10.0),
        target=1e-2,
        budget=1000,
        reference=("sgd", {"lr": 1.0}),
        control={"bias": 0.0},
        signature="gap over the target where the mean of what is seen vanishes",
        threshold=1.0,
        truth="One minimum, 0 at m. What is seen leads to m − H⁻¹b, where the gap is bias² times the "
        "target, whatever the method.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.6; Bertsekas & Tsitsiklis 2000",
        exceptions={
            "reference": "from bias 1 on, the point where the gradients that are seen vanish lies "
            "outside the target",
            "random_search": "it compares losses, which have no bias",
            "ranked": "the bias alone decides: all methods that come to rest do so at the same point",
        },
    )

    def curvatures(self) -> torch.Tensor:
        """Return the eigenvalues of H: (dim,)."""
        return self.condition ** -torch.linspace(0, 1, self.dim, dtype=torch.float64)

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer, whitened, direction = torch.randn(3, self.dim, generator=generator)
        basis = random_rotation(self.dim, generator)
        curvatures = self.curvatures().to(basis)
        allowed = self.card.target * whitened.square().sum()  # of bᵀH⁻¹b = Σ (qᵀb)²/h
        harm = ((direction @ basis).square() / curvatures).sum()
        return {
            "start": minimizer + basis @ (whitened / curvatures.sqrt()),
            "minimizer": minimizer,
            "hessian": (basis * curvatures) @ basis.T,
            "bias": self.bias * direction * (allowed / harm).sqrt(),
            "spread": self.noise * (allowed / (1 / curvatures).sum()).sqrt(),
        }

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        while True:
            noises = data["spread"] * torch.randn(BLOCK, self.dim, generator=generator)
            yield from ({"noise": row} for row in noises)

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return gradient + data["bias"] + draw["noise"], memory

    def signature(self, data: Tree) -> float:
        return self.gap(self.rest(data), data) / self.card.target

    def predicted_share(self) -> float:
        return 1.0 if self.bias < 1 else 0.0

    def rest(self, data: Tree) -> torch.Tensor:
        """Return the point where the mean seen gradient vanishes, m − H⁻¹b: (dim,)."""
        return data["minimizer"] - torch.linalg.solve(data["hessian"], data["bias"])

    def gap(self, x: torch.Tensor, data: Tree) -> float:
        """Return the loss at a point (dim,) over that at the start."""
        return (self.loss(x, data) / self.loss(data["start"], data)).item()
