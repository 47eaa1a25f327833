"""Rare large gradients against frequent small ones: dividing by their recent size leads uphill."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from problems.inexact_gradients.sampled import Sampled, first_draws
from problems.problem import Card, Tree, dial
from problems.registry import register
from ravine import Refused, bounded, require

Variant = Literal["stochastic", "online", "periodic"]
BLOCK = 1000  # steps whose slopes are drawn at once


@register("reddi")
@dataclass(frozen=True)
class Reddi(Sampled):
    """Lines on [−1, 1] that fall more often than they rise, but rise more steeply.

    A step sees c_t · x with c_t = C or −1. Their mean is positive, so that the minimum is at x = −1:
    "periodic", C every third step; "online", C every C-th; "stochastic", C with probability
    (1 + margin)/(C + 1), which makes margin the mean. There are `dim` such lines at once.

    Adam divides each gradient by a root mean square of the recent ones. If that forgets faster than
    large gradients come, they count for too little, and the many small ones lead to x = +1, the worst
    point of all; clipping does the same. A divisor that never shrinks is a cure (AMSGrad), and so is
    none, at a rate small against 1/C. Starts are within ½ of 0.

    large: C; above 2 for "periodic", a whole number for "online".
    variant: "stochastic", "online" or "periodic", the paper's third, second and first theorem.
    margin: the mean slope, of "stochastic" alone. The paper's experiment has 0.02, and takes 3e6 steps.
    dim: how many lines.

    Reddi, Kale & Kumar 2018, arXiv:1904.09237.
    """

    large: float = dial(200.0)
    variant: Variant = bounded("stochastic", choices=get_args(Variant))
    margin: float = bounded(1.0, above=0)
    dim: int = bounded(20, low=1)

    card = Card(
        scale="log",
        ladder=(1.5, 100.0, 1000.0),
        target=0.25,
        budget=3000,
        reference=("sgd", {"lr": 1e-3}),
        control={"large": 1.5, "variant": "stochastic"},
        breaks=("adam", "noise"),
        signature="share of the gradients seen that point away from the minimum",
        threshold=0.9,
        truth="The mean of the lines rises, so that the minimum is at x = −1, a border, and the worst "
        "point is x = +1. Adam with β₁ = 0 and β₂ = 1/(1 + C²) goes there on the periodic variant, "
        "with an average regret of 2(C − 2)/3.",
        source="Reddi, Kale & Kumar 2018, theorems 1 to 3 and figure 1",
        exceptions={
            "reference": "at C = 1000 a line meets six large gradients in 3000 steps: a rate at which "
            "they lead to the minimum lets the small ones lead away again",
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        least = {"periodic": 2.0, "online": 1.0, "stochastic": max(1.0, self.margin)}[self.variant]
        require("reddi", "large", self.large, low=least, open_low=True)
        if self.variant == "online" and self.large != round(self.large):
            raise Refused(
                f"reddi.large is {self.large!r}, but must be whole where variant is online"
            )

    @property
    def period(self) -> int:
        """Return the number of steps from one large slope to the next, where that is regular."""
        return 3 if self.variant == "periodic" else round(self.large)

    @property
    def share(self) -> float:
        """Return the share of the slopes that are large."""
        if self.variant == "stochastic":
            return (1 + self.margin) / (self.large + 1)
        return 1 / self.period

    @property
    def slope(self) -> float:
        """Return the mean slope."""
        return self.share * (self.large + 1) - 1

    def instance(self, generator: torch.Generator) -> Tree:
        return {"start": torch.rand(self.dim, generator=generator) - 0.5}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.slope * x.sum(-1)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        return self.slope * x.sum(-1), torch.full_like(x, self.slope)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(-self.slope * self.dim, dtype=torch.float64)

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return x.clamp(-1, 1)

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x + 1).norm(dim=-1)

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        """Yield levels from 0 to 1, (dim,): random, the same at all rungs, or places in each line's period."""
        if self.variant == "stochastic":
            while True:
                yield from (
                    {"level": row} for row in torch.rand(BLOCK, self.dim, generator=generator)
                )
        phase = torch.randint(self.period, (self.dim,), generator=generator)
        for first in itertools.count(step=BLOCK):
            place = (torch.arange(first, first + BLOCK)[:, None] + phase) % self.period
            yield from ({"level": row} for row in place.to(torch.get_default_dtype()) / self.period)

    def at_draw(self, x: torch.Tensor, data: Tree, draw: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        slopes = self.slopes(draw)
        return (slopes * x).sum(-1), slopes.expand(x.shape)

    def signature(self, data: Tree) -> float:
        draws = first_draws(self, data, BLOCK)
        slopes = self.sampled_value_and_gradient(data["start"].expand(BLOCK, -1), data, draws)[1]
        return (slopes < 0).double().mean().item()

    def slopes(self, draw: Tree) -> torch.Tensor:
        """Return C where the level is below the share of the large ones, else −1: (*runs, dim)."""
        level = draw["level"]
        return (level < self.share).to(level.dtype) * (self.large + 1) - 1
