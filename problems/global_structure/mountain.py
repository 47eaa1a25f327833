"""A mountain between the start and the lower ground: downhill leads away from the lower ground."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from ravine import bounded

SPREAD = 0.5  # of the starts, across the way to the lower ground


@register("mountain")
@dataclass(frozen=True)
class Mountain(Problem):
    """A mountain on a slope, with the start behind it: downhill leads to the higher ground.

    f(x) = height e^(−|y|²/2) + tilt Φ(−y₁), y the coordinates around a random centre along random
    axes, Φ the normal distribution function.

    There is no minimum and no saddle. The one critical point is a maximum, y = (−c, 0) with
    c = tilt/(height √2π), whose curvatures are all −height e^(−c²/2). Far out on one side f falls to 0,
    on the other to the level `tilt`, and nowhere does it tell which is which. Starts lie on the wrong
    side, at y₁ = −1, and N(0, ¼) off the axis in all other directions.

    In one dimension the only way to the lower ground is over the top. In more there is one round the
    mountain, and gradient flow from every start off the axis finds it, given time. But the nearer the
    axis a path begins, the farther out on the high plain it turns: at y₁ = −7 a unit of length takes
    the time e^24. Within a budget only starts far enough off the axis get round; in many dimensions
    nearly all are.

    dim: with few, it is hard.
    tilt: how much lower the lower ground is.
    height: 0 takes the mountain away.

    Deep Learning, section 8.2.7 and figure 8.4.
    """

    dim: int = dial(3, low=1)
    tilt: float = bounded(0.5, above=0)
    height: float = bounded(1.0, low=0)

    card = Card(
        scale="log",
        ladder=(10, 3, 1),
        quick={},
        target=0.25,
        budget=1000,
        reference=("damped_newton", {"damping": 0.1}),
        control={"height": 0.0},
        removes={"misleading_slope": {"height": 0.0}},
        breaks=("sgd", "misleading_slope"),
        signature="cosine between the gradient at the start and the way to the lower ground",
        threshold=0.1,
        truth="The floor 0 is an infimum that is not attained: no minimum, no saddle, one maximum. "
        "Within 20,000 steps at rate ½ gradient descent gets round from 0, 41, 73 and 100 of 100 "
        "starts in 1, 2, 3 and 10 dimensions.",
        source="Goodfellow, Bengio & Courville 2016, figure 8.4",
        exceptions={
            "reference": "In one dimension every way down leads to the higher ground, and in few "
            "so do those that begin near the axis.",
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        center = torch.randn(self.dim, generator=generator)
        basis = random_rotation(self.dim, generator)
        offset = SPREAD * torch.randn(self.dim, generator=generator)
        offset[0] = -1.0
        return {"start": center + basis @ offset, "center": center, "ahead": basis[:, 0]}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        y = x - data["center"]
        along = (y * data["ahead"]).sum(-1)
        mountain = self.height * (-0.5 * y.square().sum(-1)).exp()
        return mountain + 0.5 * self.tilt * torch.erfc(along / math.sqrt(2))

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        y, ahead = x - data["center"], data["ahead"]
        along = (y * ahead).sum(-1, keepdim=True)
        mountain = self.height * (-0.5 * y.square().sum(-1, keepdim=True)).exp()
        slope = self.tilt / math.sqrt(2 * math.pi) * (-0.5 * along.square()).exp()
        value = mountain + 0.5 * self.tilt * torch.erfc(along / math.sqrt(2))
        return value.squeeze(-1), -mountain * y - slope * ahead

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the top; without the mountain there is none."""
        if not self.height:
            return ()
        c = self.behind
        level = 0.5 * self.tilt * math.erfc(-c / math.sqrt(2))
        top = CriticalPoint(
            data["center"] - c * data["ahead"],
            self.height * math.exp(-(c**2) / 2) + level,
            index=self.dim,
        )
        return (top,)

    def signature(self, data: Tree) -> float:
        gradient = self.value_and_gradient(data["start"], data)[1]
        return (gradient @ data["ahead"] / gradient.norm()).item()

    @property
    def behind(self) -> float:
        """c: how far behind the centre the top is."""
        return self.tilt / (self.height * math.sqrt(2 * math.pi))
