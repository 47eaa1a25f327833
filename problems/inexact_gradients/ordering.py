"""Examples that come in an order: minibatches that are alike do not average out."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from problems.problem import Card, Problem, Tree, dial
from problems.registry import register
from ravine import Refused, bounded

Order = Literal["independent", "reshuffled", "cyclic", "sorted"]
BLOCK = 100  # steps whose examples are drawn at once, where they are independent
RATE = 0.05  # of gradient descent in the signature


def correlated_variance(lr: float, correlation: float) -> float:
    """Return E e² of gradient descent at rest, whose noise of variance 1 is correlated like ρ^|lag|.

    It is α² (1 + aρ)/((1 − a²)(1 − aρ)) with a = 1 − α.
    """
    a = 1 - lr
    return lr**2 * (1 + a * correlation) / ((1 - a * a) * (1 - a * correlation))


def _largest_correlation(problem: Ordering, budget: float) -> float:
    """Return the largest ρ at which gradient descent at the best of 60 rates reaches the target on average.

    E e² and E eξ obey E e′² = a² E e² + 2aα E eξ + α² and E e′ξ′ = ρ (a E eξ + α); the start is 1
    away along each axis, and the gap E e².
    """
    steps = int(budget)
    lr = torch.logspace(-3.5, -0.1, 60, dtype=torch.float64)
    correlation = torch.cat([torch.linspace(0, 0.9, 46), 1 - torch.logspace(-1, -3, 101)[1:]])
    correlation, a = correlation.to(lr)[:, None], 1 - lr
    square, along = torch.ones_like(lr + correlation), torch.zeros_like(lr + correlation)
    total = torch.zeros_like(square)
    last = max(20, round(steps / 10))
    for step in range(steps):
        total += square if step >= steps - last else 0.0
        square = a.square() * square + 2 * a * lr * along + lr.square()
        along = correlation * (a * along + lr)
    bearable = (total / last <= problem.card.target).any(-1)
    return correlation[bearable].max().item() if bearable.any() else 0.0


@register("ordering")
@dataclass(frozen=True)
class Ordering(Problem):
    """Means to be estimated from examples that come in an order, each much like the one before.

    f(x) = ½ E|x − z|², and a step sees ½|x − z_t|². Each of the `dim` means m has examples of its own,
    of variance 1. Independent ones are Gaussian, and correlated by `correlation` from one step to
    the next, as the frames of a film are; else they are the N normal quantiles, in an order.

    The next steps repeat the error of a step: at the rate α the gap at rest is (1 + aρ)/(1 − aρ)
    times that of independent examples, a = 1 − α, and no rate helps a run that is hardly longer than
    1/(1 − ρ). At the end of an epoch a fixed random order is as good as reshuffling, and both beat
    independent examples; sorting is 47 times as bad at N = 100 and α = 0.05.

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
        ladder=(0.0, 0.9, 0.999),
        target=0.1,
        budget=1000,
        reference=("sgd", {"lr": 0.004}),
        control={"correlation": 0.0, "order": "independent"},
        signature="gap of gradient descent at rate 0.05 with these examples, over that with "
        "independent ones, from the minimum and over 4000 steps",
        threshold=3.0,
        truth="One minimum at the means, with the variance of the examples as its loss, dim/2. "
        "Gradient descent comes to rest with E|x − m|² = dim α² (1 + aρ)/((1 − a²)(1 − aρ)), a = 1 − α.",
        source="Goodfellow, Bengio & Courville 2016, section 8.1.3",
        theory={"sgd": _largest_correlation},
        exceptions={
            "reference": "at correlation 0.999 a thousand examples are hardly more than one: the best "
            "linear estimate from them errs by 0.82 of their standard deviation"
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
        return 0.5 * (x - data["means"]).square().sum(-1) + self.dim / 2

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
        independent = self.order == "independent"
        errors = self._correlated(generator) if independent else self._in_order(generator)
        for error in errors:
            yield {"example": data["means"] + error}

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return 0.5 * (x - draw["example"]).square().sum(-1)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if draw is None:
            return self.value_and_gradient(x, data)
        error = x - draw["example"]
        return 0.5 * error.square().sum(-1), error

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.hvp(x, data, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data)

    def signature(self, data: Tree) -> float:
        independent = self.dim * correlated_variance(RATE, 0.0)
        return self._squared_error(data, RATE, 4000, 0) / independent

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

    def _squared_error(self, data: Tree, lr: float, steps: int, skipped: int) -> float:
        """Return the mean of |x − m|² over gradient descent from m, after the skipped steps."""
        x, total = data["means"], 0.0
        stream = self.draws(data, torch.Generator().manual_seed(0))
        for step, draw in enumerate(itertools.islice(stream, skipped + steps)):
            x = x - lr * (x - draw["example"])
            total += (x - data["means"]).square().sum().item() if step >= skipped else 0.0
        return total / steps
