"""Examples that come in an order: minibatches that are alike do not average out."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal, get_args

import torch

from problems.inexact_gradients.constant_rates import correlated_variance, largest_correlation
from problems.inexact_gradients.sampled import Sampled, descent_on_draws
from problems.problem import Card, Tree, dial
from problems.registry import register
from ravine import Refused, bounded

Order = Literal["independent", "reshuffled", "cyclic", "sorted"]
BLOCK = 100  # steps whose examples are drawn at once, where they are independent
RATE = 0.05  # of gradient descent in the signature


@register("ordering")
@dataclass(frozen=True)
class Ordering(Sampled):
    """Means to be estimated from examples that come in an order, each much like the one before.

    f(x) = ½ E|x − z|², and a step sees ½|x − z_t|². Each of the `dim` means m has examples of its own,
    of variance 1. Independent ones are Gaussian, and correlated by `correlation` from one step to
    the next, as the frames of a film are; else they are the N normal quantiles, in an order.

    The next steps repeat the error of a step: at the rate α the gap at rest is (1 + aρ)/(1 − aρ)
    times that of independent examples, a = 1 − α, and no rate helps a run that is hardly longer than
    1/(1 − ρ). Reshuffling and a fixed random order beat independent examples, sorted ones lose to them.

    dim: how many means.
    correlation: ρ; 0 where the examples have an order of their own.
    order: "independent" draws; "reshuffled" at each epoch; "cyclic", shuffled once; "sorted".
    examples: N, of a data set.

    Deep Learning, section 8.1.3: "it is crucial that the minibatches be selected randomly";
    Mishchenko, Khaled & Richtárik 2020, arXiv:2006.05988.
    """

    dim: int = bounded(10, low=1)
    correlation: float = dial(0.95, above=-1, below=1)
    order: Order = bounded("independent", choices=get_args(Order))
    examples: int = bounded(100, low=2)

    card = Card(
        scale="linear",
        ladder=(0.0, 0.95, 0.99),
        target=0.1,
        budget=1000,
        reference=("sgd", {"lr": 0.0025}),
        control={"correlation": 0.0, "order": "independent"},
        breaks=("sgd", "noise"),
        signature="gap of gradient descent at rate 0.05 with these examples, over that with "
        "independent ones, from the minimum and over 4000 steps",
        threshold=3.0,
        truth="One minimum at the means, with the variance of the examples as its loss, dim/2. "
        "Gradient descent comes to rest with E|x − m|² = dim α² (1 + aρ)/((1 − a²)(1 − aρ)), a = 1 − α.",
        source="Goodfellow, Bengio & Courville 2016, section 8.1.3",
        theory={
            "sgd": lambda problem, budget: largest_correlation(problem.card.target, int(budget))
        },
        exceptions={
            "reference": "at correlation 0.99 a thousand examples are hardly more than six: the best "
            "linear estimate from them errs by 0.41 of their standard deviation"
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order != "independent" and self.correlation != 0:
            raise Refused(
                f"ordering.correlation is {self.correlation!r}, but must be 0 where order is "
                f"{self.order}: an order has its own"
            )

    def quantiles(self) -> torch.Tensor:
        """Return the centred examples of a data set in ascending order: (examples,), of variance 1."""
        levels = (torch.arange(self.examples, dtype=torch.float64) + 0.5) / self.examples
        quantiles = torch.special.ndtri(levels)
        return quantiles / quantiles.square().mean().sqrt()

    def instance(self, generator: torch.Generator) -> Tree:
        """Draw the means, and a start √dim away from them."""
        means = torch.randn(self.dim, generator=generator)
        away = torch.randn(self.dim, generator=generator)
        away = away * math.sqrt(self.dim) / away.norm()
        return {"start": means + away, "means": means}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        error = x - data["means"]
        return 0.5 * error.square().sum(-1) + self.dim / 2, error

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        return vector.clone()

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.eye(self.dim, dtype=x.dtype, device=x.device).expand(*x.shape, self.dim)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(self.dim / 2)

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["means"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["means"][None]

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        stream = self._correlated if self.order == "independent" else self._in_order
        yield from ({"example": data["means"] + error} for error in stream(generator))

    def at_draw(self, x: torch.Tensor, data: Tree, draw: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        error = x - draw["example"]
        return 0.5 * error.square().sum(-1), error

    def _correlated(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Yield ξ ← ρ ξ + √(1 − ρ²) w, from its own stationary distribution."""
        error = torch.randn(self.dim, generator=generator)
        fresh = math.sqrt(1 - self.correlation**2)
        while True:
            for row in torch.randn(BLOCK, self.dim, generator=generator):
                yield error
                error = self.correlation * error + fresh * row

    def _in_order(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Yield the quantiles epoch by epoch, from either end where they are sorted."""
        shape = self.examples, self.dim
        ends = torch.randint(2, (self.dim,), generator=generator) * 2 - 1
        order = torch.rand(shape, generator=generator).argsort(0)
        ascending = self.quantiles().to(torch.get_default_dtype())
        while True:
            if self.order == "sorted":
                yield from ascending[:, None] * ends
            else:
                yield from ascending[order]
            if self.order == "reshuffled":
                order = torch.rand(shape, generator=generator).argsort(0)

    def signature(self, data: Tree) -> float:
        independent = self.dim * correlated_variance(RATE, 0.0)
        return self.squared_error(data, RATE, 4000) / independent

    def squared_error(self, data: Tree, lr: float, steps: int, skipped: int = 0) -> float:
        """Return the mean of |x − m|² over gradient descent from m, after the skipped steps."""
        stream = self.draws(data, torch.Generator().manual_seed(0))
        points = descent_on_draws(self, data, data["means"], stream, lr)
        total = 0.0
        for x in islice(points, skipped + 1, skipped + steps + 1):
            total += (x - data["means"]).square().sum().item()
        return total / steps
