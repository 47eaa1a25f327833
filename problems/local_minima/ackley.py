"""A funnel that flattens outwards and has a sharp tip, with ripples all over."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.local_minima.multimodal import Multimodal
from problems.problem import Card, dial
from problems.registry import register
from ravine import bounded


@register("ackley")
@dataclass(frozen=True)
class Ackley(Multimodal):
    """A funnel that flattens outwards and has a sharp tip, with ripples all over.

    f = 20 (1 − e^(−ρ/5)) + r (e − e^c), ρ² the mean of zᵢ², c that of cos 2πzᵢ, z = Qᵀ (x − m).

    Farther out the funnel is flatter, and its slope 4 e^(−ρ/5) loses against the ripples: traps stop runs
    far from m first. In the box [−5, 5]^dim, where runs start, r < 0.1606 leaves m the only critical point.
    At m the loss has a tip of slope 4/√dim, around which steps of constant rate circle.

    dim: x is (dim,).
    ripple: r; the classical value is 1, and 0 leaves the funnel.

    Ackley 1987, "A connectionist machine for genetic hillclimbing"; Deep Learning, section 8.2.2.
    """

    dim: int = bounded(5, low=1)
    ripple: float = dial(0.5, low=0)

    box = (-5.0, 5.0)
    card = Card(
        scale="log",
        ladder=(0.1, 0.5, 1.0),
        target=1e-2,
        budget=1000,
        reference=("momentum", {"lr": 0.02, "momentum": 0.9}),
        control={"ripple": 0.0},
        removes={"local_minimum": {"ripple": 0.0}},
        breaks=("sgd", "local_minimum"),
        signature="minima among the starts on a line through m along the axis of z₁",
        threshold=2.0,
        truth="The minimum is 0, at m, where the loss has a tip of slope 4/√dim; inside the box there is "
        "no other critical point for r < 0.1606.",
        source="Ackley 1987; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={
            "reference": "at r = 1 traps cover the box, and no local method gets to the tip"
        },
    )

    def landscape(self, z: torch.Tensor) -> torch.Tensor:
        rms = z.norm(dim=-1) / math.sqrt(self.dim)
        ripples = math.e - (2 * math.pi * z).cos().mean(-1).exp()
        return -20 * (-rms / 5).expm1() + self.ripple * ripples
