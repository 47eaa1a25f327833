"""A deep linear network, which learns nothing for long, and then one mode after the other."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import reduce
from itertools import combinations

import torch

from problems.geometry import random_rotation
from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from ravine import bounded

STRENGTHS = (4.0, 2.0, 1.0)  # of the target's modes
MODES = len(STRENGTHS)


def breaking_start_of_descent(problem: DeepLinear, budget: float) -> float:
    """Return the a₀ whose weakest mode's plateau lasts all the budget's steps at the largest stable rate, 2/L."""
    depth, weakest = problem.depth, STRENGTHS[-1]
    time = 2 * budget / problem.sharpness()
    if depth == 1:
        return 0.0
    if depth == 2:
        return weakest * math.exp(-2 * weakest * time)
    return (weakest * (depth - 2) * time) ** (-depth / (depth - 2))


@register("deep_linear")
@dataclass(frozen=True)
class DeepLinear(Problem):
    """A deep linear network, which learns nothing for long, and then one mode after the other.

    f(W₁, …, W_N) = ½ |S − W_N ⋯ W₁|², N = depth, S = U diag(4, 2, 1) Vᵀ.

    The layers start aligned and balanced: W_l = R_l diag(aᵢ^(1/N)) R_{l−1}ᵀ with R_0 = V, R_N = U and
    random rotations between. Gradient flow keeps them so, and each mode's strength obeys

        da/dt = N a^(2 − 2/N) (s − a):

    a plateau, then a sudden step from a₀ to s, the strongest mode first. At depth 2 the plateau lasts
    ln(s/a₀)/2s, at larger depths a₀^−(1 − 2/N)/(s (N − 2)). For N > 2 the saddles on the way have no
    negative curvature. A method whose steps do not shrink with the gradient, as Adam, does not wait.

    The modes start at a₀ between half and twice `start`.

    depth: N. At 1 the loss is a bowl, without a plateau.
    start: the scale of a₀, by which all layers together multiply at first.

    Saxe, McClelland & Ganguli 2014, arXiv:1312.6120; Deep Learning, section 8.2.3.
    """

    depth: int = bounded(4, low=1)
    start: float = dial(1e-4, above=0, high=0.4)

    card = Card(
        scale="log",
        ladder=(0.1, 1e-4, 1e-6),
        target=1e-4,
        budget=1000,
        reference=("adam", {"lr": 0.05, "beta2": 0.99}),
        control={"depth": 1},
        breaks=("sgd", "plateau"),
        same=("saddle",),
        signature="the loss at the start over its gradient squared, in units of one over the "
        "largest curvature in the minimum: steps to the minimum at the speed of the start",
        threshold=20.0,
        truth="The minimum is 0, where the layers' product is S. Each set of modes makes a saddle "
        "where the others are not learned; for depth above 2 the saddles on the way have no "
        "negative curvature. Gradient flow is solved exactly.",
        source="Saxe, McClelland & Ganguli 2014",
        theory={"sgd": breaking_start_of_descent},
    )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((MODES, MODES),) * self.depth

    def instance(self, generator: torch.Generator) -> Tree:
        strengths = self.start * 4 ** (torch.rand(MODES, generator=generator) - 0.5)
        output, first = (random_rotation(MODES, generator) for _ in range(2))
        between = [random_rotation(MODES, generator) for _ in range(self.depth - 1)]
        data = {
            "bases": torch.stack([first, *between, output]),
            "target": (output * torch.tensor(STRENGTHS)) @ first.T,
            "strengths": strengths,
        }
        return {"start": self.aligned(strengths, data), **data}

    def aligned(self, strengths: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the balanced layers that multiply the modes by these strengths (*runs, modes): (*runs, dim)."""
        roots, bases = strengths ** (1 / self.depth), data["bases"]
        return torch.einsum("...m,lim,ljm->...lij", roots, bases[1:], bases[:-1]).flatten(-3)

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * (data["target"] - self._product(x)).square().sum((-2, -1))

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return |(W_N ⋯ W_l+1)ᵀ (W_N ⋯ W_1 − S)|, l = N … 1: the gradient at the output of layer l."""
        slope = self._product(x) - data["target"]
        norms = [slope.flatten(-2).norm(dim=-1)]
        for layer in reversed(self._layers(x)[1:]):
            slope = layer.mT @ slope
            norms.append(slope.flatten(-2).norm(dim=-1))
        return torch.stack(norms, -1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (self._product(x) - data["target"]).flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return the balanced layers that have learned all modes."""
        return self.aligned(torch.tensor(STRENGTHS, device=data["start"].device), data)[None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the balanced layers that have learned some of the modes, if there are two layers or more.

        Two weights of each pair of a learned mode and a missing one are curved, one of them down where the
        missing one is stronger; so is one weight of each pair of learned modes. At depth 2 two small
        weights join any two missing modes, with one curvature up and one down.
        """
        if self.depth == 1:
            return ()
        points = []
        for rank in range(MODES, -1, -1):
            for learned in combinations(range(MODES), rank):
                missing = [j for j in range(MODES) if j not in learned]
                wrong = sum(j < i for i in learned for j in missing)  # the stronger mode is missing
                joined = len(missing) ** 2 if self.depth == 2 else 0
                curved = rank**2 + 2 * rank * len(missing) + 2 * joined
                kept = [s * (i in learned) for i, s in enumerate(STRENGTHS)]
                points.append(
                    CriticalPoint(
                        x=self.aligned(torch.tensor(kept, device=data["start"].device), data),
                        value=0.5 * sum(STRENGTHS[j] ** 2 for j in missing),
                        index=wrong + joined,
                        nullity=self.depth * MODES**2 - curved,
                    )
                )
        return tuple(points)

    def signature(self, data: Tree) -> float:
        value, gradient = self.value_and_gradient(data["start"], data)
        return (value / gradient.square().sum()).item() * self.sharpness()

    def sharpness(self) -> float:
        """Return the largest curvature in the balanced minimum, N s^(2 − 2/N) of the strongest mode."""
        return self.depth * STRENGTHS[0] ** (2 - 2 / self.depth)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        """Return W_N ⋯ W₁."""
        return reduce(lambda product, layer: layer @ product, self._layers(x))

    def _layers(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x.unflatten(-1, (self.depth, MODES, MODES)).unbind(-3)
