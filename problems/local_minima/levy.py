"""A bowl with ripples that grow outwards: the traps that stop a run are the outer ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.local_minima.multimodal import Multimodal
from problems.problem import Card, dial
from problems.registry import register
from ravine import bounded


@register("levy")
@dataclass(frozen=True)
class Levy(Multimodal):
    """A bowl with ripples that grow outwards, so that the outer traps are the ones that stop a run.

    f = Σ vᵢ² + r [sin² πv₁ + 10 Σ_{i<n} vᵢ² sin²(πvᵢ + 1) + vₙ² sin² 2πvₙ], v = Qᵀ (x − m)/4.

    This is Levy and Montalvo's function of w = 1 + v, with its ripples scaled by r. They are up to 10 r
    times as high as the bowl, but their slope grows like v² and the bowl's like v: far enough out any r > 0
    makes traps. In the box [−10, 10]^n, where runs start, −2.75 < v < 2.25, and the first trap appears at
    r = 0.0353 and v = −2.10.

    dim: n, at least 2.
    ripple: r; the classical value is 1, and 0 leaves the bowl.

    Levy & Montalvo 1985 (SIAM J. Scientific and Statistical Computing 6); Deep Learning, section 8.2.2.
    """

    dim: int = bounded(5, low=2)
    ripple: float = dial(0.1, low=0)

    box = (-10.0, 10.0)
    card = Card(
        scale="log",
        ladder=(0.01, 0.1, 1.0),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.1, "momentum": 0.9}),
        control={"ripple": 0.0},
        removes={"local_minimum": {"ripple": 0.0}},
        breaks=("sgd", "local_minimum"),
        signature="minima among the starts on a line through m along the axis of z₁",
        threshold=2.0,
        truth="The minimum is 0, at m, where all zᵢ = 1. Up to r = 0.0353 there is no other critical point in "
        "the box.",
        source="Levy & Montalvo 1985; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={"reference": "at r = 1 traps are everywhere, and the start decides"},
    )

    @property
    def optimum(self) -> float:
        return 1.0

    def landscape(self, z: torch.Tensor) -> torch.Tensor:
        v = (z - 1) / 4
        first, others, last = v[..., 0], v[..., :-1], v[..., -1]
        ripples = (
            (math.pi * first).sin().square()
            + 10 * (others * (math.pi * others + 1).sin()).square().sum(-1)
            + (last * (2 * math.pi * last).sin()).square()
        )
        return v.square().sum(-1) + self.ripple * ripples
