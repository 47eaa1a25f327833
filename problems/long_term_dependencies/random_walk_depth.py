"""Deep chains of independent random layers, whose gains are random walks in the depth."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from problems.claims import Claim, about
from problems.geometry import random_rotation
from problems.ill_conditioning.quadratic import (
    breaking_point_of_newton,
    gap_left_by_descent,
    gap_left_by_momentum,
)
from problems.portrait import Curves
from problems.problem import Card, Tree
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import Refused, nearest, require

Activation = Literal["linear", "relu"]


def _depth_where(
    left: Callable[[torch.Tensor, int], float],
) -> Callable[[RandomWalkDepth, float], float]:
    """Half a layer past the deepest nets, at the quantiles of their law, that reach the target."""

    def breaking_point(problem: RandomWalkDepth, budget: float) -> float:
        ranks = (torch.arange(problem.dim, dtype=torch.float64) + 0.5) / problem.dim
        quantiles = torch.special.ndtri(ranks)

        def fails(depth: int) -> bool:
            spread = problem.walk_law()[1] * math.sqrt(depth)
            return left((2 * spread * quantiles).exp(), int(budget)) > problem.card.target

        depths = range(1, problem.deepest() + 1)
        solved = bisect.bisect_left(depths, True, key=fails)
        return solved + 0.5 if solved < len(depths) else math.inf

    return breaking_point


@register("random_walk_depth")
@dataclass(frozen=True)
class RandomWalkDepth(QuadraticForm):
    """Some very deep nets side by side, with other weights in each layer: find the input of each.

    f(x) = ½ Σₖ γₖ² (uₖ·(x − m))², γₖ = |W_D ⋯ W_1 vₖ|, |vₖ| = 1: net k is fed vₖ times the k-th
    coordinate of x along random axes u.

    Entries of the N × N matrices W are N(0, g²/N) and independent, so each layer multiplies a vector by
    a random factor: ln γ is a random walk, of mean ln g + ½ (digamma(N/2) + ln(2/N)) ≈ ln g − 1/(2N)
    and variance ¼ trigamma(N/2) ≈ 1/(2N) a layer. With g = e^(1/2N) it has no drift, and what is left
    spreads like √(D/2N): curvatures of different nets, or of one net from seed to seed, differ by
    e^O(√D), where *one* matrix applied D times spreads them by e^O(D). That is why feedforward nets can
    be far deeper than recurrent ones are long; beyond D ≈ N the descent feels it all the same.

    The start is m + Σ uₖ zₖ/γₖ with Gaussian z: every net counts alike in the gap.

    dim: how many nets; x is (dim,).
    width: N.
    depth: D.
    gain: g over the value without drift: e^(1/2N) for linear layers, √2 e^(1.2/(max(N, 6) − 2.4)) for
        rectified ones, where half of the entries, at random, pass a gradient back.
    activation: "linear" or "relu"; the latter's walk has 2.5 times the variance.

    W_t acts on a vector that does not depend on it, so W_t v is g |v|/√N times a Gaussian vector, and
    that alone is drawn: no matrix need be.

    Sussillo & Abbott 2014, arXiv:1412.6558; Deep Learning, section 8.2.5.
    """

    dim: int = 20
    width: int = 100
    depth: int = 256
    gain: float = 1.0
    activation: Activation = "linear"

    card = Card(
        dial="depth",
        scale="log",
        ladder=(1, 256, 1024),
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"depth": 1},
        removes={"vanishing_gradient": {"depth": 1}, "exploding_gradient": {"depth": 1}},
        signature="largest over smallest curvature",
        threshold=10.0,
        truth="One minimum, 0 at m, and no other critical point; the Hessian is Σ γₖ² uₖ uₖᵀ. ln γ is the "
        "sum of D independent terms with mean ln g + ½ (digamma(N/2) + ln(2/N)) and variance "
        "¼ trigamma(N/2). Theory's depths are those of nets at the quantiles of that law.",
        source="Sussillo & Abbott 2014; Goodfellow, Bengio & Courville 2016, section 8.2.5",
        theory={
            "sgd": _depth_where(gap_left_by_descent),
            "momentum": _depth_where(gap_left_by_momentum),
            "newton": breaking_point_of_newton,
        },
    )

    def __post_init__(self) -> None:
        require("random_walk_depth", "dim", self.dim, low=2, whole=True)
        if self.activation not in get_args(Activation):
            allowed = nearest(str(self.activation), get_args(Activation))
            raise Refused(f"random_walk_depth.activation is {self.activation!r}: {allowed}")
        # Of 50 rectified entries one in 2^50 times none passes anything.
        least = 50 if self.activation == "relu" else 2
        require("random_walk_depth", "width", self.width, low=least, whole=True)
        require("random_walk_depth", "depth", self.depth, low=1, whole=True)
        require("random_walk_depth", "gain", self.gain, low=0, open_low=True)
        if self.depth > self.deepest():
            raise Refused(
                f"random_walk_depth.depth is {self.depth}, but must be at most {self.deepest()} at this "
                "width and gain: float64 loses the smallest curvatures beyond"
            )

    def deepest(self) -> int:
        """The largest D at which γ² spreads, up to 3 standard deviations each way, by no more than 1e12.

        And by drift to no more than e^±300. Of `walk_law` this takes a drift of ln gain, and a
        variance of 1/2(N − 1), of 5/4(N − 4) with rectifiers, a layer: correct to two orders.
        """
        relu = self.activation == "relu"
        variance = 1.25 / (self.width - 4) if relu else 0.5 / (self.width - 1)
        drift = max(abs(math.log(self.gain)), 1e-9)
        return int(min((math.log(1e12) / 12) ** 2 / variance, 150 / drift))

    def layer_gain(self) -> float:
        """g."""
        if self.activation == "relu":
            return self.gain * math.sqrt(2) * math.exp(1.2 / (max(self.width, 6) - 2.4))
        return self.gain * math.exp(1 / (2 * self.width))

    def walk_law(self) -> tuple[float, float]:
        """Mean and standard deviation of ln γ for one layer.

        The factor squared is g²/N times a chi-squared number with as many degrees of freedom as
        entries pass, and ln of such a one with M has mean digamma(M/2) + ln 2 and variance
        trigamma(M/2).
        """
        if self.activation == "relu":
            passing = torch.arange(1, self.width + 1, dtype=torch.float64)
            share = (
                math.lgamma(self.width + 1)
                - (passing + 1).lgamma()
                - (self.width - passing + 1).lgamma()
            ).softmax(0)
        else:
            passing = torch.tensor([float(self.width)], dtype=torch.float64)
            share = torch.ones_like(passing)
        means = torch.special.digamma(passing / 2)
        mean = (share * means).sum()
        inner = torch.special.polygamma(1, passing / 2)
        variance = (share * (inner + (means - mean).square())).sum()
        drift = math.log(self.layer_gain()) + (mean.item() + math.log(2 / self.width)) / 2
        return drift, math.sqrt(variance.item()) / 2

    def log_gains(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """ln γ of so many nets, all weights new: (count,). A deeper net's first layers are a shallower's."""
        total = torch.zeros(count)
        for _ in range(self.depth):
            layer = torch.randn(count, self.width, generator=generator).square()
            if self.activation == "relu":
                layer = layer * (torch.rand(count, self.width, generator=generator) < 0.5)
            total = total + (layer.sum(-1) / self.width).log() / 2
        return total + self.depth * math.log(self.layer_gain())

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        residual = torch.randn(self.dim, generator=generator)
        inputs = random_rotation(self.dim, generator)
        gains = self.log_gains(self.dim, generator).exp()
        return {
            "start": minimizer + inputs @ (residual / gains),
            "minimizer": minimizer,
            "gains": gains,
            "map": gains[:, None] * inputs.T,
            "hessian": (inputs * gains.square()) @ inputs.T,
        }

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = torch.einsum("...j,...ij->...i", x - data["minimizer"], data["map"])
        gradient = torch.einsum("...i,...ij->...j", outputs, data["map"])
        return 0.5 * outputs.square().sum(-1), gradient

    def signature(self, data: Tree) -> float:
        curvatures = data["gains"].square()
        return (curvatures.max() / curvatures.min()).item()

    # What is known: of nets 100 wide and 200 deep, in 500 of them.

    def _walks(self, **fields) -> torch.Tensor:
        problem = replace(self, width=100, depth=200, **fields)
        return problem.log_gains(500, torch.Generator().manual_seed(0))

    @Claim(
        "the mean of ln γ over 200 linear layers, N = 100, with g = 1",
        stated=-1.003,
        within=about(-1.0033, abs=3 * 1.005 / math.sqrt(500)),  # three standard errors
        source="Sussillo & Abbott 2014, equation 8: D/2 (digamma(N/2) + ln(2/N))",
    )
    def drift_at_unit_gain(self) -> float:
        return self._walks(gain=math.exp(-1 / 200)).mean().item()

    @Claim(
        "the standard deviation of ln γ over 200 linear layers, N = 100",
        stated=1.005,
        within=about(1.005, abs=3 * 1.005 / math.sqrt(2 * 500)),  # three standard errors
        source="√(D trigamma(N/2))/2, about √(D/2N)",
    )
    def spread(self) -> float:
        return self._walks().std().item()

    @Claim(
        "the mean of ln γ over 200 linear layers, N = 100, with g = e^(1/2N)",
        stated=-0.003,
        within=about(-0.0033, abs=3 * 1.005 / math.sqrt(500)),
        source="Sussillo & Abbott 2014, equation 9",
    )
    def drift_corrected(self) -> float:
        return self._walks(gain=1.0).mean().item()

    @Claim(
        "the mean of ln γ over 200 rectified layers, N = 100, with g = √2",
        stated=-2.542,
        within=about(-2.542, abs=3 * 1.61 / math.sqrt(500)),
        source="walk_law",
    )
    def relu_drift_at_the_usual_gain(self) -> float:
        usual = math.exp(-1.2 / 97.6)
        return self._walks(gain=usual, activation="relu").mean().item()

    @Claim(
        "the mean of ln γ over 200 rectified layers, N = 100, with g = √2 e^(1.2/(N − 2.4))",
        stated=-0.083,
        within=about(-0.083, abs=3 * 1.61 / math.sqrt(500)),
        source="Sussillo & Abbott 2014, equation 12",
    )
    def relu_drift_corrected(self) -> float:
        return self._walks(activation="relu").mean().item()

    @Claim(
        "the mean of ln |W₂₀₀ ⋯ W₁ v| over 100 products of explicit matrices, N = 100, g = 1",
        stated=-1.003,
        within=about(-1.0033, abs=3 * 1.005 / 10),
        source="Sussillo & Abbott 2014, equation 8",
        slow=True,
    )
    def drift_of_explicit_products(self) -> float:
        generator = torch.Generator().manual_seed(0)
        vectors, logs = torch.full((100, 100, 1), 0.1), torch.zeros(100)
        for _ in range(200):
            vectors = torch.randn(100, 100, 100, generator=generator) / 10 @ vectors
            norms = vectors.norm(dim=1, keepdim=True)
            vectors, logs = vectors / norms, logs + norms.log().flatten()
        return logs.mean().item()

    @Claim(
        "the exponent of D in the standard deviation of ln γ, from D = 25 to 400, with new matrices",
        stated=0.5,
        within=about(0.5, abs=0.063),  # three standard errors, √(1/300)/ln 16 each
        source="a random walk",
    )
    def exponent_of_independent_layers(self) -> float:
        short, long = (
            replace(self, width=100, depth=depth).log_gains(300, torch.Generator().manual_seed(0))
            for depth in (25, 400)
        )
        return math.log(long.std() / short.std()) / math.log(16)

    @Claim(
        "the same exponent with one matrix repeated, from D = 50 to 800",
        stated="1, of D ln ρ",
        within=about(1.0, abs=0.15),  # the offset ln |⟨v, v₁⟩| still counts at D = 50
        source="the power method; Deep Learning, section 8.2.5",
    )
    def exponent_of_a_repeated_matrix(self) -> float:
        growth = self.growth_of_repeated(100, [50, 800])
        short, long = growth.std(dim=0).tolist()
        return math.log(long / short) / math.log(16)

    def growth_of_repeated(self, count: int, depths: list[int]) -> torch.Tensor:
        """ln |Wᴰ v| at these depths for so many Gaussian matrices, N = 100, g = 1: (count, depths)."""
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(count, 100, 100, generator=generator, dtype=torch.float64) / 10
        vectors = torch.full((count, 100, 1), 0.1, dtype=torch.float64)
        logs, found = vectors.new_zeros(count), []
        for depth in range(1, max(depths) + 1):
            vectors = weights @ vectors
            norms = vectors.norm(dim=1, keepdim=True)
            vectors, logs = vectors / norms, logs + norms.log().flatten()
            if depth in depths:
                found.append(logs)
        return torch.stack(found, -1)

    def portrait(self) -> Curves:
        depths = [1, 4, 16, 64, 256]
        walks = [
            replace(self, width=100, depth=depth, activation="linear").log_gains(
                300, torch.Generator().manual_seed(depth)
            )
            for depth in depths
        ]
        at = torch.tensor(depths, dtype=torch.float64)
        return Curves(
            caption="With new weights in each layer the logarithm of a gain spreads like a random walk, "
            "as √D; with the same weights in all of them it spreads as D.",
            x_label="depth D",
            y_label="standard deviation of ln γ",
            lines={"√(D/2N)": (at, (at / 200).sqrt())},
            dots={
                "new weights, N = 100": (at, torch.stack([each.std() for each in walks])),
                "the same weights": (at, self.growth_of_repeated(30, depths).std(dim=0)),
            },
            x_scale="log",
            y_scale="log",
        )
