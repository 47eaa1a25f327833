"""A funnel that flattens outwards and has a sharp tip, with ripples all over."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.local_minima.multimodal import Multimodal
from problems.problem import Card
from problems.registry import register
from ravine import require

STEEPEST = math.sqrt((math.sqrt(5) - 1) / 2) * math.exp(
    (math.sqrt(5) - 1) / 2
)  # max of |sin| e^cos
SINGLE = 2 / (math.pi * math.e * STEEPEST)  # r below which there is one critical point in the box


@register("ackley")
@dataclass(frozen=True)
class Ackley(Multimodal):
    """A funnel that flattens outwards and has a sharp tip, with ripples all over.

    f = 20 (1 − e^(−ρ/5)) + r (e − e^c), ρ² the mean of zᵢ², c that of cos 2πzᵢ, z = Qᵀ (x − m).

    Farther out the funnel is flatter, and its slope 4 e^(−ρ/5) loses against the ripples, so that
    traps stop runs far from m first. On a sphere of radius ρ√dim
    z·∇f = 4ρ e^(−ρ/5) + 2πr e^c mean(zᵢ sin 2πzᵢ) ≥ ρ (4 e^(−ρ/5) − 2πr max e^c √(1 − c²)), by Cauchy's
    inequality twice; the maximum, 1.4585, is where c = (√5 − 1)/2. So in the box [−5, 5]^dim, where
    runs start, r < 0.1606 leaves m the only critical point. At m itself the loss has a tip of slope 4/√dim, so that
    steps of constant rate circle around it.

    dim: x is (dim,).
    ripple: r; the classical value is 1, and 0 leaves the funnel.

    Ackley 1987, "A connectionist machine for genetic hillclimbing"; Deep Learning, section 8.2.2.
    """

    dim: int = 5
    ripple: float = 0.5

    box = (-5.0, 5.0)
    card = Card(
        dial="ripple",
        scale="log",
        ladder=(0.1, 0.5, 1.0),
        target=1e-2,
        budget=1000,
        reference=("momentum", {"lr": 0.02, "momentum": 0.9}),
        control={"ripple": 0.0},
        removes={"local_minimum": {"ripple": 0.0}},
        signature="minima among the starts on a line through m along the axis of z₁",
        threshold=2.0,
        truth="The minimum is 0, at m, where the loss has a tip of slope 4/√dim; inside the box there is "
        "no other critical point for r < 0.1606.",
        source="Ackley 1987; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={
            "reference": "at r = 1 traps cover the box, and no local method gets to the tip"
        },
    )

    def __post_init__(self) -> None:
        require("ackley", "dim", self.dim, low=1, whole=True)
        require("ackley", "ripple", self.ripple, low=0)

    def landscape(self, z: torch.Tensor) -> torch.Tensor:
        rms = z.norm(dim=-1) / math.sqrt(self.dim)
        ripples = math.e - (2 * math.pi * z).cos().mean(-1).exp()
        return -20 * (-rms / 5).expm1() + self.ripple * ripples

    @Claim(
        "On the box's diagonal the first trap appears at this ripple, where 0.1606 is the bound for all points",
        stated=0.1653,
        within=about(0.1653, rel=2e-3),
        source="4 e^(−ρ/5) = 2πr · 1.4585 at ρ = 5 − 0.144, where cos 2πρ = (√5 − 1)/2",
    )
    def first_traps(self) -> float:
        """The bound is the worst case at ρ = 5, the corner; on the diagonal all zᵢ = ρ, and both uses of
        Cauchy's inequality are equalities. The corner itself has the wrong phase; the last good one before
        it is at ρ = 4.856. The funnel's slope moves the touching point by a little: 2e-3."""
        return self.first_trap(torch.linspace(0, 5, 50001)[1:, None].expand(-1, self.dim))

    @Claim(
        "Below the bound the loss rises everywhere in the box on the way out: the least slope, over that at r = 0",
        stated="at least 0.01",
        within=(0.01, 1.0),
        source="z·∇f ≥ ρ (4 e^(−ρ/5) − 2πr · 1.4585)",
    )
    def least_slope(self) -> float:
        """Over 100,000 points of the box, and as many on its diagonal, at 0.99 of the bound,
        which leaves 0.01 of the slope in the worst case."""
        problem, funnel, data = replace(self, ripple=0.99 * SINGLE), self.control(), self.example()
        inside = 5 - 10 * torch.rand(100_000, self.dim, generator=torch.Generator().manual_seed(0))
        diagonal = torch.linspace(0, 5, 100_001)[1:, None].expand(-1, self.dim)
        x = self.place(torch.cat([inside, diagonal]), data)
        slope, plain = (
            (each.value_and_gradient(x, data)[1] * (x - data["minimizer"])).sum(-1)
            for each in (problem, funnel)
        )
        return (slope / plain).min().item()

    @Claim(
        "The slope beside the minimum",
        stated=4 / math.sqrt(5),
        within=about(4 / math.sqrt(5), rel=1e-4),
        source="20 (1 − e^(−ρ/5)) ≈ 4ρ",
    )
    def slope_of_the_tip(self) -> float:
        data = self.example()
        x = data["minimizer"] + 1e-6 * data["basis"][:, 0]
        return self.value_and_gradient(x, data)[1].norm().item()
