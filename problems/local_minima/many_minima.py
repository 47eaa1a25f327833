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
    """σ(cᵏ w) − y for each k, in a further dimension, of ln w."""
    steps = torch.arange(scales, dtype=log_weight.dtype, device=log_weight.device)
    inputs = log_weight[..., None] + math.log(separation) * steps
    return inputs.clamp(max=SATURATED).exp().sigmoid() - wanted


def cost(log_weight: torch.Tensor, scales: int, separation: float, wanted: float) -> torch.Tensor:
    """Σ_k (σ(cᵏ w) − y)², of ln w."""
    return errors(log_weight, scales, separation, wanted).square().sum(-1)


def find_minima(scales: int, separation: float, wanted: float) -> torch.Tensor:
    """The local minima of `cost`, on a grid of 1e-3 that goes far beyond them, the smallest w first."""
    period = math.log(separation)
    grid = torch.arange(-(scales + 2) * period - 2, 2 * period, 1e-3, dtype=torch.float64)
    costs = cost(grid, scales, separation, wanted)
    lower = (costs[1:-1] < costs[:-2]) & (costs[1:-1] < costs[2:])
    return grid[1:-1][lower]


def least_separation(wanted: float) -> float:
    """The c from which on a barrier between neighbouring minima is certain.

    All smaller scales together pull up by at most (y − ½)/4(c − 1), and a scale of output σ holds back
    by (σ − y) σ (1 − σ). What a larger scale adds beyond the barrier is nothing from c = 30 on, so
    that behind each barrier there is a minimum.
    """
    steepest = _steepest(wanted)
    return 1 + (wanted - 0.5) / (4 * (steepest - wanted) * steepest * (1 - steepest))


def _steepest(wanted: float) -> float:
    """The output σ at which (σ − y) σ (1 − σ) is largest."""
    return (1 + wanted + math.sqrt((1 + wanted) ** 2 - 3 * wanted)) / 3


def _logit(output: float) -> float:
    return math.log(output / (1 - output))


@register("many_minima")
@dataclass(frozen=True)
class ManyMinima(Problem):
    """A single logistic neuron with m^d strict minima, of which one in m^d is global.

    f(x) = Σ_j Σ_k (σ(cᵏ w_j) − y)², ln w_j = x_j − s_j, j = 1 … d, k = 0 … m − 1.

    The examples are cᵏ times the unit vectors, all with target y, and the weights are seen on a
    logarithmic scale, where a drawn shift s moves them: the scales lie far apart, and steps in w
    itself that suit one scale mean nothing at the others. Along each axis one scale after the other
    can be fitted, w_j = logit(y) c⁻ᵏ: those of larger scale are then saturated, (1 − y)² each, those
    of smaller scale not yet there, (y − ½)² each. The loss is a sum over axes, so the minima are all
    m^d combinations: (n/d)^d for n = md examples. At y = ¾ they cost the same to leading order; at a
    larger y the one with k = 0 everywhere is the best. The logarithm of the start is uniform over
    the m basins, which are equally wide, so descent ends in the best minimum in one case of m^d.

    dim: d.
    scales: m. With one there is one minimum.
    separation: c. Where it is small the minima merge: at y = 0.9 there is one up to c = 40.
    wanted: y.

    Auer, Herbster & Warmuth 1996, "Exponentially many local minima for single neurons"; Deep
    Learning, section 8.2.2.
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
        truth="The minima are the m^d combinations of m positions along each axis; with the m − 1 maxima "
        "between them there are (2m − 1)^d critical points. The global one is d (m − 1)(1 − y)², at "
        "w_j = logit(y).",
        source="Auer, Herbster & Warmuth 1996; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={
            "ranked": "in which basin descent ends is decided by the start, not by the method",
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
        return self.along_axis(x - data["shift"]).sum(-1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        each = errors(x - data["shift"], self.scales, self.separation, self.wanted)
        return math.sqrt(2) * each.flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        """What the larger scales cost, that are saturated to within e^(−30 logit 0.8) = 1e-18."""
        return data["start"].new_tensor(self.dim * (self.scales - 1) * (1 - self.wanted) ** 2)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return (data["shift"] + math.log(_logit(self.wanted)))[None]

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["shift"] - math.log(_logit(self.wanted))).norm(dim=-1)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Those where all axes are at the same of their 2m − 1 stationary points."""
        minima, maxima = self.stationary()
        return tuple(
            CriticalPoint(data["shift"] + at, self.dim * self.along_axis(at).item(), index)
            for points, index in ((minima, 0), (maxima, self.dim))
            for at in points
        )

    def predicted_share(self) -> float:
        """m^-d, up to a thousandth: the share of the starts that lies beyond the last barrier on all axes."""
        _, maxima = self.stationary()
        if not len(maxima):
            return 1.0
        low, high = self.start_range()
        return ((high - maxima.max().item()) / (high - low)) ** self.dim

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        away = (x - data["shift"] - math.log(_logit(self.wanted))).abs()
        return {"axes_at_the_best": (away < 0.1).to(x.dtype).sum(-1)}

    def signature(self, data: Tree) -> float:
        minima = self.find_minima()
        curvatures = torch.linalg.eigvalsh(
            torch.stack([self.hessian(data["shift"] + at, data) for at in minima])
        )
        return float((curvatures[:, 0] > 1e-6).sum().item() ** self.dim)

    def along_axis(self, log_weight: torch.Tensor) -> torch.Tensor:
        """What one axis costs: the same shape as ln w."""
        return cost(log_weight, self.scales, self.separation, self.wanted)

    def start_range(self) -> tuple[float, float]:
        """From m basins' width below to where the last scale is as saturated as at a barrier.

        At a barrier a scale's (1 − y) e^-r, r its input, balances the next one's (y − ½)/4c. So the
        slope is nowhere next to nothing.
        """
        ratio = 4 * self.separation * (1 - self.wanted) / (self.wanted - 0.5)
        high = math.log(math.log(ratio))
        return high - self.scales * math.log(self.separation), high

    def stationary(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The minima and the maxima along an axis, as ln w: (m,) and (m − 1,), by bisection.

        The slope is negative at half a scale's own input logit(y), and positive where its error
        times its slope is largest.
        """
        period = math.log(self.separation)
        falling = math.log(_logit(self.wanted) / 2)
        rising = math.log(_logit(_steepest(self.wanted)))

        def zero(low: float, high: float, sign: int) -> float:
            for _ in range(100):
                middle = (low + high) / 2
                above = sign * self._slope(middle) > 0
                low, high = (low, middle) if above else (middle, high)
            return high

        minima = [zero(falling - k * period, rising - k * period, 1) for k in range(self.scales)]
        maxima = [
            zero(rising - k * period, falling - (k - 1) * period, -1) for k in range(1, self.scales)
        ]
        return torch.tensor(minima, dtype=torch.float64), torch.tensor(maxima, dtype=torch.float64)

    def find_minima(self) -> torch.Tensor:
        """Where a fine grid over the whole range, and two basins more on both sides, is lowest: (found,)."""
        return find_minima(self.scales, self.separation, self.wanted)

    def _slope(self, log_weight: float) -> float:
        """Half the derivative of an axis' cost with respect to ln w."""
        total = 0.0
        for k in range(self.scales):
            reach = min(log_weight + k * math.log(self.separation), SATURATED)
            size = math.exp(reach)
            below = 1 / (1 + math.exp(min(size, 700.0)))  # 1 − σ
            total += (1 - below - self.wanted) * below * (1 - below) * size
        return total
