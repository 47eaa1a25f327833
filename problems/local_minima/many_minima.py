"""One neuron whose local minima are as many as exponentially in the number of weights."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from ravine import Refused, bounded

SATURATED = 20.0  # of the logarithm of an input: the unit's output is 1 long before


def errors(log_weight: torch.Tensor, scales: int, separation: float, wanted: float) -> torch.Tensor:
    """Return σ(cᵏ w) − y for each k, in a further dimension, given ln w."""
    steps = torch.arange(scales, dtype=log_weight.dtype, device=log_weight.device)
    inputs = log_weight[..., None] + math.log(separation) * steps
    return inputs.clamp(max=SATURATED).exp().sigmoid() - wanted


def cost(log_weight: torch.Tensor, scales: int, separation: float, wanted: float) -> torch.Tensor:
    """Return Σ_k (σ(cᵏ w) − y)², the cost of one axis, given ln w: of the same shape."""
    return errors(log_weight, scales, separation, wanted).square().sum(-1)


def find_minima(scales: int, separation: float, wanted: float) -> torch.Tensor:
    """Return the ln w at local minima of `cost`, on a grid of 1e-3 that goes far beyond them, ascending."""
    period = math.log(separation)
    grid = torch.arange(-(scales + 2) * period - 2, 2 * period, 1e-3, dtype=torch.float64)
    costs = cost(grid, scales, separation, wanted)
    lower = (costs[1:-1] < costs[:-2]) & (costs[1:-1] < costs[2:])
    return grid[1:-1][lower]


def least_separation(wanted: float) -> float:
    """Return the c from which on a barrier between neighbouring minima is certain.

    Smaller scales together pull up by at most (y − ½)/4(c − 1), and a scale of output σ holds back by
    (σ − y) σ (1 − σ). From c = 30 on, a larger scale adds nothing beyond the barrier.
    """
    steepest = _steepest(wanted)
    return 1 + (wanted - 0.5) / (4 * (steepest - wanted) * steepest * (1 - steepest))


def _steepest(wanted: float) -> float:
    """Return the output σ at which (σ − y) σ (1 − σ) is largest."""
    return (1 + wanted + math.sqrt((1 + wanted) ** 2 - 3 * wanted)) / 3


def _logit(output: float) -> float:
    return math.log(output / (1 - output))


@register("many_minima")
@dataclass(frozen=True)
class ManyMinima(Problem):
    """A single logistic neuron with m^d strict minima, of which one in m^d is global.

    f(x) = Σ_j Σ_k (σ(cᵏ w_j) − y)², ln w_j = x_j − s_j, j = 1 … d, k = 0 … m − 1.

    The examples are cᵏ times the unit vectors, all with target y. Weights are seen as ln w, moved by a drawn
    shift s, for no step in w suits several scales. Along each axis any one scale can be fitted,
    w_j = logit(y) c⁻ᵏ: examples of larger scale are then saturated, (1 − y)² each, those of smaller scale
    undecided, (y − ½)² each. The minima are all m^d combinations. At y = ¾ they cost the same to leading order;
    at a larger y the one with k = 0 everywhere is the best. Starts are uniform over the m basins of each axis,
    which are equally wide in ln w: descent ends in the best minimum in one case of m^d.

    dim: d.
    scales: m. With one there is one minimum.
    separation: c. If it is small the minima merge: at y = 0.9 there is one up to c = 40.
    wanted: y.

    Auer, Herbster & Warmuth 1996, "Exponentially many local minima for single neurons"; Deep Learning, 8.2.2.
    """

    dim: int = dial(3, low=1)
    scales: int = bounded(2, low=1, high=8)
    separation: float = bounded(100.0, low=30, high=1e4)
    wanted: float = bounded(0.8, low=0.8, high=0.99)

    card = Card(
        scale="log",
        ladder=(1, 3, 10),
        target=1e-2,
        budget=1000,
        reference=("sgd", {"lr": 10.0}),
        control={"scales": 1},
        removes={"local_minimum": {"scales": 1}},
        signature="certified strict minima: along each axis, multiplied",
        threshold=2.0,
        truth="The minima are the m^d combinations of m along each axis; with the m − 1 maxima between there are "
        "(2m − 1)^d critical points. The global minimum is d (m − 1)(1 − y)², at w_j = logit(y).",
        source="Auer, Herbster & Warmuth 1996; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={
            "ranked": "the start decides in which basin descent ends, not the method",
            "reference": "no local method leaves the basin of a local minimum",
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.separation < (least := least_separation(self.wanted)):
            raise Refused(
                f"many_minima.separation is {self.separation!r}, but must be at least {least:.6g} "
                f"where wanted is {self.wanted!r}: minima merge below"
            )

    def instance(self, generator: torch.Generator) -> Tree:
        shift = torch.randn(self.dim, generator=generator)
        place = torch.rand(self.dim, generator=generator)
        low, high = self.start_range()
        return {"start": shift + low + (high - low) * place, "shift": shift}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return cost(x - data["shift"], *self.axis).sum(-1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return math.sqrt(2) * errors(x - data["shift"], *self.axis).flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        """Return the cost of the larger scales, which are saturated to within e^(−30 logit 0.8) = 1e-18."""
        return data["start"].new_tensor(self.dim * (self.scales - 1) * (1 - self.wanted) ** 2)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return (data["shift"] + self.best)[None]

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["shift"] - self.best).norm(dim=-1)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return those where all axes are at the same of their 2m − 1 stationary points."""
        minima, maxima = self.stationary()
        return tuple(
            CriticalPoint(data["shift"] + at, self.dim * cost(at, *self.axis).item(), index)
            for points, index in ((minima, 0), (maxima, self.dim))
            for at in points
        )

    def predicted_share(self) -> float:
        """Return the share of the starts beyond the last barrier on all axes, m^-d up to a thousandth."""
        low, high = self.start_range()
        last = max([low, *self.stationary()[1].tolist()])
        return ((high - last) / (high - low)) ** self.dim

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        away = (x - data["shift"] - self.best).abs()
        return {"axes_at_the_best": (away < 0.1).to(x.dtype).sum(-1)}

    def signature(self, data: Tree) -> float:
        minima = find_minima(*self.axis)
        curvatures = torch.linalg.eigvalsh(self.hessian(data["shift"] + minima[:, None], data))
        return float((curvatures[:, 0] > 1e-6).sum().item() ** self.dim)

    @property
    def best(self) -> float:
        """The ln w at the best minimum of an axis."""
        return math.log(_logit(self.wanted))

    @property
    def axis(self) -> tuple[int, float, float]:
        """What the cost of one axis depends on, beside its weight."""
        return self.scales, self.separation, self.wanted

    def start_range(self) -> tuple[float, float]:
        """Return the range of ln w: m basins wide, up to where the last scale is as saturated as at a barrier."""
        # There a scale's (1 − y) e^-r, r its input, balances the next one's (y − ½)/4c.
        ratio = 4 * self.separation * (1 - self.wanted) / (self.wanted - 0.5)
        high = math.log(math.log(ratio))
        return high - self.scales * math.log(self.separation), high

    def stationary(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the ln w of the minima, (m,), and of the maxima, (m − 1,), along an axis, by bisection."""
        period = math.log(self.separation)
        # The slope is negative at `falling` and positive at `rising`.
        falling = math.log(_logit(self.wanted) / 2)
        rising = math.log(_logit(_steepest(self.wanted)))

        def zero(low: float, high: float, sign: int) -> float:
            for _ in range(100):
                middle = (low + high) / 2
                low, high = (low, middle) if sign * self._slope(middle) > 0 else (middle, high)
            return high

        minima = [zero(falling - k * period, rising - k * period, 1) for k in range(self.scales)]
        maxima = [
            zero(rising - k * period, falling - (k - 1) * period, -1) for k in range(1, self.scales)
        ]
        return torch.tensor(minima, dtype=torch.float64), torch.tensor(maxima, dtype=torch.float64)

    def _slope(self, log_weight: float) -> float:
        """Return half the derivative of an axis' cost with respect to ln w."""
        total = 0.0
        for k in range(self.scales):
            size = math.exp(min(log_weight + k * math.log(self.separation), SATURATED))
            below = 1 / (1 + math.exp(min(size, 700.0)))  # 1 − σ
            total += (1 - below - self.wanted) * below * (1 - below) * size
        return total
