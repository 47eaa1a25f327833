"""One neuron whose only minimum gets an example wrong, though the examples are separable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import torch

from problems.geometry import random_rotation
from problems.local_minima.one_neuron import WANTED, OneNeuron
from problems.problem import Card, Tree, dial
from problems.registry import register

EXAMPLES = ((1.0, 0.0), (1.0, 1.0), (-1.0, 5.0))
START = 0.5  # from the origin: far out the unit is saturated
RANGE = 1.4  # times atanh t: in there is the input of the second kind at the minimum


@register("failing_neuron")
@dataclass(frozen=True)
class FailingNeuron(OneNeuron):
    """A single neuron whose one and only minimum misclassifies an example that it could have right.

    f(w) = ½ Σ cᵢ (tanh(w·x_i) − 0.8)² / Σ cᵢ, x_i = (1, 0), (1, 1), (−1, 5), the first two M times
    each, the third once: c = (M, M, 1). The plane is rotated by the seed.

    w = (1, 1) classifies all examples right. But the squared error also punishes outputs above 0.8, and to get
    the third example right the second ones must be pushed there. From M = 351.77 on the minimum gives the
    third example up. It is the only critical point, so no method, however global, does better: every method
    solves the problem, every solution is wrong, and it is the loss that fails.

    repeats: M.
    asymptotic: the target is the asymptote 1 instead, which punishes no output: descent separates the examples
        on its way to infinity.

    Deep Learning, section 8.2.2; Brady, Raghavan & Slawny 1989; Sontag & Sussmann 1991; Gori & Tesi
    1992.
    """

    repeats: int = dial(1000, low=1, high=10**6)
    asymptotic: bool = False

    card = Card(
        scale="log",
        ladder=(10, 1000, 100_000),
        target=1e-4,
        budget=1000,
        reference=("sgd", {"lr": 0.5}),
        control={"asymptotic": True},
        signature="examples that are wrong where descent ends",
        threshold=0.5,
        truth="One minimum, strict, and no other critical point: the inputs p of the three kinds solve "
        "p₃ = 5 p₂ − 6 p₁, h(p₁) = −1.2 h(p₂), h(p₃) = −M h(p₂)/5, h(p) = (tanh p − 0.8)/cosh² p. At "
        "M = 1000 it is at (1.0603, 0.0766), and p₃ = −0.677. With asymptotic targets the infimum, 0, "
        "is at infinity.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.2; Brady, Raghavan & Slawny 1989",
        exceptions={
            "ranked": "all methods descend to the one minimum",
            "random_search": "in two dimensions 1000 evaluations are enough",
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        rotation = random_rotation(2, generator)
        start = torch.randn(2, generator=generator)
        counts = torch.tensor([self.repeats, self.repeats, 1.0])
        return {
            "start": START * start / start.norm(),
            "rotation": rotation,
            "examples": torch.tensor(EXAMPLES) @ rotation.T,
            "counts": counts / counts.sum(),
        }

    def stated(self) -> tuple[tuple[tuple[float, float], float, int], ...]:
        inputs = first, second, _ = _inputs(self.repeats)
        errors = [0.5 * (math.tanh(p) - WANTED) ** 2 for p in inputs]
        value = (self.repeats * (errors[0] + errors[1]) + errors[2]) / (2 * self.repeats + 1)
        return (((first, second - first), value, 0),)

    def predicted_share(self) -> float:
        """Return 1: all runs reach the one minimum."""
        return 1.0

    def signature(self, data: Tree) -> float:
        return self.wrong(self.settle(data["start"], data), data).item()


def _slope(p: float) -> float:
    """Return h(p) = (tanh p − t)/cosh² p."""
    return (math.tanh(p) - WANTED) / math.cosh(p) ** 2


@lru_cache(maxsize=512)
def _inputs(repeats: float) -> tuple[float, float, float]:
    """Return the inputs p of the three kinds of examples at the minimum.

    (−1, 5) = 5 (1, 1) − 6 (1, 0), so p₃ = 5 p₂ − 6 p₁, and the gradient is zero where h(p₁) =
    −1.2 h(p₂) and h(p₃) = −M h(p₂)/5. For p₂ from atanh t to 1.4 of it, p₁ is the root that lies
    between 0 and atanh t, and h(p₃) + M h(p₂)/5 goes from below zero to above.
    """
    goal = math.atanh(WANTED)

    def first(second: float) -> float:
        low, high, height = 0.0, goal, -1.2 * _slope(second)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _slope(middle) < height else (low, middle)
        return low

    low, high = goal, RANGE * goal
    for _ in range(60):
        second = (low + high) / 2
        rising = _slope(5 * second - 6 * first(second)) + repeats * _slope(second) / 5
        low, high = (second, high) if rising < 0 else (low, second)
    return first(low), low, 5 * low - 6 * first(low)
