"""Deep chains of independent random layers, whose gains are random walks in the depth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import get_args

import torch

from problems.geometry import random_rotation
from problems.long_term_dependencies.gain_law import Activation, log_gain_law
from problems.long_term_dependencies.linear_chain import THEORY, LinearChain
from problems.problem import Card, Tree, dial
from problems.registry import register
from ravine import Refused, bounded, require


@register("random_walk_depth")
@dataclass(frozen=True)
class RandomWalkDepth(LinearChain):
    """Some very deep nets side by side, with other weights in each layer: find the input of each.

    f(x) = ½ Σₖ γₖ² (uₖ·(x − m))², γₖ = |W_D ⋯ W_1 vₖ|, |vₖ| = 1: net k is fed vₖ times the k-th coordinate of x along
    random axes u. The start is m + Σ uₖ zₖ/γₖ with Gaussian z: every net counts alike in the gap.

    Entries of the N × N matrices W are N(0, g²/N) and independent, so each layer multiplies a vector by a random
    factor: ln γ is a random walk, of mean ≈ ln g − 1/(2N) and variance ≈ 1/(2N) a layer. With g = e^(1/2N) it has no
    drift, and what is left spreads like √(D/2N): curvatures of different nets, or of one net from seed to seed, differ
    by e^O(√D), where *one* matrix applied D times spreads them by e^O(D). That is why feedforward nets can be far
    deeper than recurrent ones are long; beyond D ≈ N the descent feels it all the same.

    dim: how many nets; x is (dim,).
    width: N.
    depth: D.
    gain: g over the value without drift: e^(1/2N) for linear layers, √2 e^(1.2/(max(N, 6) − 2.4)) for rectified ones,
        where half of the entries, at random, pass a gradient back.
    activation: "linear" or "relu"; the latter's walk has 2.5 times the variance.

    W_t acts on a vector that does not depend on it: W_t v is g |v|/√N times a Gaussian vector, and that alone is drawn.

    Sussillo & Abbott 2014, arXiv:1412.6558; Deep Learning, section 8.2.5.
    """

    dim: int = bounded(20, low=2)
    width: int = 100
    depth: int = dial(256, low=1)
    gain: float = bounded(1.0, above=0)
    activation: Activation = bounded("linear", choices=get_args(Activation))

    card = Card(
        scale="log",
        ladder=(1, 128, 1024),
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"depth": 1},
        removes={"vanishing_gradient": {"depth": 1}, "exploding_gradient": {"depth": 1}},
        breaks=("sgd", "vanishing_gradient"),
        same=("exploding_gradient", "ill_conditioning"),
        signature="largest over smallest curvature",
        threshold=10.0,
        truth="One minimum, 0 at m, and no other critical point; the Hessian is Σ γₖ² uₖ uₖᵀ. ln γ is the "
        "sum of D independent terms with mean ln g + ½ (digamma(N/2) + ln(2/N)) and variance "
        "¼ trigamma(N/2). Theory's depths are those of nets at the quantiles of that law.",
        source="Sussillo & Abbott 2014; Goodfellow, Bengio & Courville 2016, section 8.2.5",
        theory=THEORY,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # Of 50 rectified entries one in 2^50 times none passes anything.
        least = 50 if self.activation == "relu" else 2
        require("random_walk_depth", "width", self.width, low=least, whole=True)
        if self.depth > self.longest():
            raise Refused(
                f"random_walk_depth.depth is {self.depth}, but must be at most {self.longest()} at this "
                "width and gain: float64 loses the smallest curvatures beyond"
            )

    def longest(self) -> int:
        """Return the largest D at which γ² spreads, up to 3 standard deviations each way, by no more than 1e12.

        And by drift to no more than e^±300. This takes a drift of ln gain, and a variance of 1/2(N − 1), of 5/4(N − 4)
        with rectifiers, a layer: correct to two orders.
        """
        relu = self.activation == "relu"
        variance = 1.25 / (self.width - 4) if relu else 0.5 / (self.width - 1)
        drift = max(abs(math.log(self.gain)), 1e-9)
        return int(min((math.log(1e12) / 12) ** 2 / variance, 150 / drift))

    def layer_gain(self) -> float:
        """Return g."""
        if self.activation == "relu":
            return self.gain * math.sqrt(2) * math.exp(1.2 / (max(self.width, 6) - 2.4))
        return self.gain * math.exp(1 / (2 * self.width))

    def curvatures(self, length: int) -> torch.Tensor:
        """Return γ² of nets of this depth at the quantiles of their law, without its drift: (dim,)."""
        ranks = (torch.arange(self.dim, dtype=torch.float64) + 0.5) / self.dim
        spread = log_gain_law(self.width, self.activation)[1] * math.sqrt(length)
        return (2 * spread * torch.special.ndtri(ranks)).exp()

    def log_gains(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Return ln γ of `count` new nets: (count,). A deeper net's first layers are a shallower's."""
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
            "root": gains[:, None] * inputs.T,
            "hessian": (inputs * gains.square()) @ inputs.T,
        }

    def signature(self, data: Tree) -> float:
        curvatures = data["gains"].square()
        return (curvatures.max() / curvatures.min()).item()
