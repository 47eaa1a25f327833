"""One neuron, three separable examples, and a local minimum that gets one of them wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from problems.geometry import random_rotation
from problems.local_minima.one_neuron import OneNeuron
from problems.problem import Card, Tree, dial
from problems.registry import register

EXAMPLES = ((3.0, 1.0), (0.0, 1.0), (1.0, 4.0))

# Roots of the gradient, computed in 40 digits, the loss there, and the index.
GLOBAL = (0.00106102681546387009, 1.095108214635528844), 0.01993829887511425219, 0
BAD = (-3.295776189937642247, 1.098598087925863904), 1.619999916355904206, 0
SADDLE = (-1.568959021407472583, 0.90463648491307736), 1.635531142303304571, 1


@register("bad_neuron")
@dataclass(frozen=True)
class BadNeuron(OneNeuron):
    """A single neuron, separable examples, and yet a local minimum 81 times as bad as the global one.

    f(w) = ½ Σ (tanh(w·x_i) − 0.8)², x_i = (3, 1), (0, 1), (1, 4), the plane rotated by the seed.

    w = (0, 1) classifies all three right, and near it lies the global minimum. At w = (−3.3, 1.1) the last two
    are fitted exactly, and the first is so wrong that the unit is saturated and its gradient gone. This too is
    a strict minimum, at ½ (1 + 0.8)² = 1.62. Which of the two descent reaches is decided by the start: the
    basins meet at the stable manifold of the saddle between them.

    Starts are drawn on a circle, in directions in which the first example is wrong; within 1.58 of the origin
    all descend to the global minimum. The predicted share is that of the flow. Long steps may leap over the
    boundary, or land where examples are right but saturated: there, at 0.04, is a plateau and no minimum, and
    the way back is longer than any budget.

    radius: of the circle.
    asymptotic: the target is the asymptote 1 instead.

    Deep Learning, section 8.2.2; Sontag & Sussmann 1989; Brady, Raghavan & Slawny 1989; Gori & Tesi
    1992.
    """

    radius: float = dial(2.0, above=0, high=5)
    asymptotic: bool = False

    card = Card(
        scale="linear",
        ladder=(1.0, 2.0, 3.0),
        target=1e-3,
        budget=1000,
        reference=("sgd", {"lr": 0.1}),
        control={"asymptotic": True},
        removes={"local_minimum": {"asymptotic": True}},
        signature="cost of the worst certified strict minimum over that of the best, 0 without any",
        threshold=2.0,
        truth="The global minimum is 0.019938, at (0.00106, 1.09511); the only other critical points "
        "are a strict minimum of 1.620000, at (−3.29578, 1.09860), and the saddle of 1.635531 "
        "between them. With asymptotic targets the infimum, 0, is at infinity, and there is no "
        "critical point.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.2; Brady, Raghavan & Slawny 1989",
        exceptions={
            "ranked": "the start decides where descent ends, not the method",
            "reference": "no local method leaves the basin of the bad minimum",
            "random_search": "in two dimensions 1000 evaluations are enough, if the start allows it",
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        rotation = random_rotation(2, generator)
        side = _wrong_side()
        angle = side + math.pi * torch.rand((), generator=generator)
        start = self.radius * torch.stack([angle.cos(), angle.sin()])
        return {
            "start": rotation @ start,
            "rotation": rotation,
            "examples": torch.tensor(EXAMPLES) @ rotation.T,
            "counts": torch.ones(3),
        }

    def stated(self) -> tuple[tuple[tuple[float, float], float, int], ...]:
        return GLOBAL, BAD, SADDLE

    def predicted_share(self) -> float:
        """Return the share of the starts' directions that lie in the basin of the global minimum."""
        return 1.0 if self.asymptotic else _share_of_the_global_minimum(self.radius)

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        away = (x - self.place(BAD[0], data)).norm(dim=-1)
        return {"at_bad_minimum": (away < 0.01).to(x.dtype), **super().at_end(x, steps, data)}

    def signature(self, data: Tree) -> float:
        ends = self.settle(3 * _directions(32), data)
        costs = self.loss(ends, data)[self.certified(ends, data)]
        return (costs.max() / costs.min()).item() if len(costs) else 0.0


def _wrong_side() -> float:
    """Return the angle from which on, for half a turn, the first example is wrong."""
    return math.atan2(EXAMPLES[0][1], EXAMPLES[0][0]) + math.pi / 2


def _directions(count: int) -> torch.Tensor:
    """Return unit vectors, evenly spread: (count, 2)."""
    angles = 2 * math.pi * (torch.arange(count) + 0.5) / count
    return torch.stack([angles.cos(), angles.sin()], -1)


@lru_cache
def _boundary() -> tuple[tuple[float, float], ...]:
    """Return the line between the basins, as (distance, angle) from the origin, from one end to the other.

    It is the stable manifold of the saddle: ascent leaves the saddle along its positive curvature and keeps to
    it, in Runge-Kutta steps of length 0.02.
    """
    problem, stride = BadNeuron(), 0.02
    examples = torch.tensor(EXAMPLES, dtype=torch.float64)
    data = {"examples": examples, "counts": examples.new_ones(3)}

    def uphill(w: torch.Tensor) -> torch.Tensor:
        gradient = problem.value_and_gradient(w, data)[1]
        return gradient / gradient.norm()

    saddle = examples.new_tensor(SADDLE[0])
    away = torch.linalg.eigh(problem.hessian(saddle, data)).eigenvectors[:, 1]
    halves = []
    for sign in (1, -1):
        w, half = saddle + 1e-4 * sign * away, []
        while w.norm() < 6:
            half.append((w.norm().item(), math.atan2(w[1].item(), w[0].item())))
            first = uphill(w)
            second = uphill(w + stride / 2 * first)
            third = uphill(w + stride / 2 * second)
            fourth = uphill(w + stride * third)
            w = w + stride / 6 * (first + 2 * second + 2 * third + fourth)
        halves.append(half)
    return (*reversed(halves[0]), *halves[1])


@lru_cache
def _share_of_the_global_minimum(radius: float) -> float:
    """Return the share of the half circle of starts that the boundary does not cut off."""
    line = torch.tensor(_boundary(), dtype=torch.float64)
    distance, angle = line[:, 0], (line[:, 1] - _wrong_side()) % (2 * math.pi)
    before, after = distance[:-1] - radius, distance[1:] - radius
    crossing = before * after < 0
    weight = (before / (before - after))[crossing]
    cuts = torch.lerp(angle[:-1][crossing], angle[1:][crossing], weight).sort().values / math.pi
    # The first and the last piece of the half circle belong to the global minimum.
    return 1 - (cuts[1::2] - cuts[::2]).sum().item()
