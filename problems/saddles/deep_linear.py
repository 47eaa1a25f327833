"""A deep linear network learns nothing for long, and then one mode after the other, in steps."""

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
    """The a₀ whose weakest mode's plateau lasts all the budget's steps at the largest stable rate, 2/L."""
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
    random rotations between. Then gradient flow keeps them so, and each mode's strength obeys

        da/dt = N a^(2 − 2/N) (s − a),

    on its own: it grows from its start a₀ to s along a plateau and a sudden step, the strongest mode
    first. At depth 2 the plateau lasts ln(s/a₀)/2s, at larger depths a₀^−(1 − 2/N)/(s (N − 2)): for
    N > 2 the loss falls in steps from saddle to saddle where, but for a wrong order of modes, no
    curvature is negative. A step whose length is its own, as Adam's, does not wait.

    The modes start at a₀ between half and twice `start`.

    depth: N. At 1 the loss is a bowl, without a plateau.
    start: the scale of a₀, what the whole chain multiplies by at first.

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
        factors = 4 ** (torch.rand(MODES, generator=generator) - 0.5)
        output, first = (random_rotation(MODES, generator) for _ in range(2))
        between = [random_rotation(MODES, generator) for _ in range(self.depth - 1)]
        bases = torch.stack([first, *between, output])
        data = {
            "bases": bases,
            "target": (output * torch.tensor(STRENGTHS)) @ first.T,
            "strengths": self.start * factors,
        }
        return {"start": self.aligned(self.start * factors, data), **data}

    def aligned(self, strengths: torch.Tensor, data: Tree) -> torch.Tensor:
        """The balanced layers that multiply the modes by these strengths (*runs, modes): (*runs, dim)."""
        roots = strengths ** (1 / self.depth)
        bases = data["bases"]
        layers = torch.einsum("...m,lim,ljm->...lij", roots, bases[1:], bases[:-1])
        return layers.flatten(-3)

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * (data["target"] - self._product(x)).square().sum((-2, -1))

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """|(W_N ⋯ W_l+1)ᵀ (W_N ⋯ W_1 − S)|, l = N … 1: the gradient with respect to what layer l gives."""
        slope = self._product(x) - data["target"]
        norms = [slope.flatten(-2).norm(dim=-1)]
        for layer in reversed(x.unflatten(-1, (self.depth, MODES, MODES)).unbind(-3)[1:]):
            slope = layer.mT @ slope
            norms.append(slope.flatten(-2).norm(dim=-1))
        return torch.stack(norms, -1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (self._product(x) - data["target"]).flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        """The balanced layers that have learned all modes."""
        return self.aligned(torch.tensor(STRENGTHS), data)[None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """The balanced layers that have learned some of the modes and nothing else, if there are two
        layers or more.

        A pair of one learned mode and one that is not turns down where the latter is the stronger;
        of its 2N weights two are not flat. Nor is one of the N weights of each pair of learned modes.
        At depth 2 two modes not learned can be joined by the product of two small weights, along
        which the curvatures are ± the strength: half of them are negative. At larger depths their
        weights are flat.
        """
        if self.depth == 1:
            return ()
        strengths, points = torch.tensor(STRENGTHS), []
        for rank in range(MODES, -1, -1):
            for learned in combinations(range(MODES), rank):
                missing = [j for j in range(MODES) if j not in learned]
                wrong = sum(STRENGTHS[j] > STRENGTHS[i] for i in learned for j in missing)
                joined = len(missing) ** 2 if self.depth == 2 else 0
                curved = rank**2 + 2 * rank * len(missing) + 2 * joined
                kept = torch.zeros(MODES)
                kept[list(learned)] = strengths[list(learned)]
                points.append(
                    CriticalPoint(
                        x=self.aligned(kept, data),
                        value=0.5 * sum(STRENGTHS[j] ** 2 for j in missing),
                        index=wrong + joined,
                        nullity=self.depth * MODES**2 - curved,
                    )
                )
        return tuple(points)

    def signature(self, data: Tree) -> float:
        value, gradient = self.value_and_gradient(data["start"], data)
        return (value / gradient.square().sum()).item() * self.sharpness()

    # Gradient flow.

    def sharpness(self) -> float:
        """The largest curvature in the balanced minimum, N s^(2 − 2/N) of the strongest mode."""
        return self.depth * STRENGTHS[0] ** (2 - 2 / self.depth)

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        """W_N ⋯ W₁."""
        layers = x.unflatten(-1, (self.depth, MODES, MODES)).unbind(-3)
        return reduce(lambda product, layer: layer @ product, layers)
