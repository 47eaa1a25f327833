"""Small problems with known answers, for the tests of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from problems import Card, Problem, dial


def card(**other) -> Card:
    """A card of a problem that no one registers."""
    stated = {
        "scale": "log",
        "ladder": (1.0, 10.0, 100.0),
        "target": 1e-4,
        "budget": 100,
        "reference": ("newton", {}),
        "control": {"steepness": 1.0},
        "signature": "none",
        "threshold": 0.0,
        "truth": "0 at the minimizer",
        "source": "none",
    }
    return Card(**(stated | other))


@dataclass(frozen=True)
class Bowl(Problem):
    """½ steepness |x − m|²: one step of the right length solves it."""

    steepness: float = dial(1.0)
    dim: int = 3
    card: ClassVar[Card] = card()

    def instance(self, generator):
        minimizer = torch.randn(self.dim, generator=generator)
        return {
            "start": minimizer + torch.randn(self.dim, generator=generator),
            "minimizer": minimizer,
        }

    def loss(self, x, data):
        return 0.5 * self.steepness * (x - data["minimizer"]).square().sum(-1)

    def floor(self, data):
        return torch.zeros(())

    def distance(self, x, data):
        return (x - data["minimizer"]).norm(dim=-1)


@dataclass(frozen=True)
class Hole(Bowl):
    """A bowl whose loss is NaN within `radius` of the minimizer."""

    radius: float = 0.1

    def loss(self, x, data):
        loss = super().loss(x, data)
        inside = (x - data["minimizer"]).norm(dim=-1) < self.radius
        return torch.where(inside, torch.nan, loss)


@dataclass(frozen=True)
class Slip(Bowl):
    """A bowl whose gradient is NaN within `radius` of the minimizer: `where` differentiates the root that it drops."""

    radius: float = 0.1

    def loss(self, x, data):
        beyond = (x - data["minimizer"]).norm(dim=-1) - self.radius
        return super().loss(x, data) + 1e-9 * torch.where(beyond < 0, 0.0, beyond.sqrt())


@dataclass(frozen=True)
class NoisyBowl(Bowl):
    """A bowl of which one sees the gradient plus noise."""

    noise: float = 1.0

    def draws(self, data, generator):
        while True:
            yield {
                "noise": self.noise
                * torch.randn(self.dim, generator=generator, dtype=torch.float64)
            }

    def sampled_loss(self, x, data, draw):
        return self.loss(x, data) + (x * draw["noise"]).sum(-1)
