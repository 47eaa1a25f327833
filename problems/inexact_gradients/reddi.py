"""Rare large gradients against frequent small ones: whoever divides by their recent size goes uphill."""

from __future__ import annotations

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch

from problems.claims import Claim, about
from problems.portrait import Curves
from problems.problem import Card, Problem, Tree
from problems.registry import register
from ravine import Refused, nearest, require

Variant = Literal["stochastic", "online", "periodic"]
BLOCK = 1000  # steps whose slopes are drawn at once


def adam_points(
    slopes: Iterable[float], lr: float, beta1: float, beta2: float, longest_memory: bool = False
) -> Iterator[float]:
    """The points x₁, x₂, … of Adam from 0 in [−1, 1] as Reddi, Kale & Kumar write it, or of AMSGrad.

    m ← β₁ m + (1 − β₁) g, v ← β₂ v + (1 − β₂) g², x ← x − lr/√t · m/√v, then into [−1, 1]; without
    a correction of m and v for their start, and without an eps. AMSGrad divides by the largest √v so far.
    """
    x = mean = square = divisor = 0.0
    for t, slope in enumerate(slopes, start=1):
        yield x
        mean = beta1 * mean + (1 - beta1) * slope
        square = beta2 * square + (1 - beta2) * slope * slope
        divisor = max(divisor, square) if longest_memory else square
        x = min(1.0, max(-1.0, x - lr * mean / math.sqrt(t * divisor)))
    yield x


@register("reddi")
@dataclass(frozen=True)
class Reddi(Problem):
    """Lines on [−1, 1] that fall more often than they rise, but rise more steeply.

    A step sees c_t · x with c_t = C or −1. Their mean is positive, so that the minimum is at x = −1:
    "periodic", C every third step; "online", C every C-th; "stochastic", C with probability
    (1 + margin)/(C + 1), which makes margin the mean. There are `dim` such lines at once.

    Adam divides each gradient by a root mean square of the recent ones. Where that forgets faster
    than large gradients come, it is largest just after one of them: they count for less than they
    are worth, and the many small ones lead to x = +1, the worst point of all. With β₁ = 0 and
    β₂ = 1/(1 + C²) it does so even where every third gradient is large. A longer memory is no cure
    for larger C; a divisor that never shrinks is (AMSGrad), and so is none: gradient descent only
    takes the longer the larger C is, as its rate must be small against 1/C. To clip the large
    gradients to the size of the small ones is as bad as to divide.

    Starts are within ½ of 0. The paper's Adam has neither an eps nor a correction of its moments for
    their start, nor have the claims; a rate of 1/√t does not change where it goes.

    large: C; above 2 for "periodic", a whole number for "online".
    variant: "stochastic", "online" or "periodic", the paper's third, second and first theorem.
    margin: the mean slope, of "stochastic" alone. The paper's experiment has 0.02, and takes 3e6 steps.
    dim: how many lines.

    Reddi, Kale & Kumar 2018, arXiv:1904.09237.
    """

    large: float = 200.0
    variant: Variant = "stochastic"
    margin: float = 1.0
    dim: int = 20

    card = Card(
        dial="large",
        scale="log",
        ladder=(1.5, 100.0, 1000.0),
        target=0.25,
        budget=3000,
        reference=("sgd", {"lr": 1e-3}),
        control={"large": 1.5, "variant": "stochastic"},
        signature="share of the gradients seen that point away from the minimum",
        threshold=0.9,
        truth="The mean of the lines rises, so that the minimum is at x = −1, a border, and the worst "
        "point is x = +1. Adam with β₁ = 0 and β₂ = 1/(1 + C²) goes there on the periodic variant, "
        "with an average regret of 2(C − 2)/3.",
        source="Reddi, Kale & Kumar 2018, theorems 1 to 3 and figure 1",
        exceptions={
            "reference": "at C = 1000 a line meets six large gradients in 3000 steps: a rate at which "
            "they lead to the minimum lets the small ones lead away again"
        },
    )

    def __post_init__(self) -> None:
        if self.variant not in get_args(Variant):
            allowed = nearest(str(self.variant), get_args(Variant))
            raise Refused(f"reddi.variant is {self.variant!r}: {allowed}")
        require("reddi", "margin", self.margin, low=0, open_low=True)
        require("reddi", "dim", self.dim, low=1, whole=True)
        least = {"periodic": 2.0, "online": 1.0, "stochastic": max(1.0, self.margin)}[self.variant]
        require("reddi", "large", self.large, low=least, open_low=True)
        if self.variant == "online" and self.large != round(self.large):
            raise Refused(
                f"reddi.large is {self.large!r}, but must be whole where variant is online"
            )

    @property
    def period(self) -> int:
        """Every how many steps the slope is large, where that is regular."""
        return 3 if self.variant == "periodic" else round(self.large)

    @property
    def share(self) -> float:
        """Of the slopes that are large."""
        if self.variant == "stochastic":
            return (1 + self.margin) / (self.large + 1)
        return 1 / self.period

    @property
    def slope(self) -> float:
        """The mean."""
        return self.share * (self.large + 1) - 1

    def instance(self, generator: torch.Generator) -> Tree:
        return {"start": torch.rand(self.dim, generator=generator) - 0.5}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.slope * x.sum(-1)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        return self.slope * x.sum(-1), torch.full_like(x, self.slope)

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(vector)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return x.new_zeros(*x.shape, x.shape[-1])

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(-self.slope * self.dim, dtype=torch.float64)

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return x.clamp(-1, 1)

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x + 1).norm(dim=-1)

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        """Where slopes are regular, each line begins somewhere in its period."""
        for levels in self._levels(generator):
            yield from ({"level": row} for row in levels)

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return (self.slopes(draw) * x).sum(-1)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if draw is None:
            return self.value_and_gradient(x, data)
        slopes = self.slopes(draw)
        return (slopes * x).sum(-1), slopes.expand(x.shape)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.hvp(x, data, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data)

    def signature(self, data: Tree) -> float:
        stream = self.draws(data, torch.Generator().manual_seed(0))
        slopes = torch.stack([self.slopes(next(stream)) for _ in range(BLOCK)])
        return (slopes < 0).double().mean().item()

    def slopes(self, draw: Tree) -> torch.Tensor:
        """C where the level is below the share of the large ones, else −1."""
        level = draw["level"]
        return (level < self.share).to(level.dtype) * (self.large + 1) - 1

    def _levels(self, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Numbers from 0 to 1, the same at all rungs where they are random: (BLOCK, dim) at a time."""
        if self.variant == "stochastic":
            while True:
                yield torch.rand(BLOCK, self.dim, generator=generator)
        phase = torch.randint(self.period, (self.dim,), generator=generator)
        for first in itertools.count(step=BLOCK):
            place = (torch.arange(first, first + BLOCK)[:, None] + phase) % self.period
            yield place.to(torch.get_default_dtype()) / self.period

    # What is claimed.

    def _slopes(self, steps: int) -> Iterator[float]:
        """Those of a single line, from the beginning of its period where it has one."""
        if self.variant != "stochastic":
            return (self.large if t % self.period == 0 else -1.0 for t in range(steps))
        blocks = replace(self, dim=1)._levels(torch.Generator().manual_seed(0))
        levels = itertools.chain.from_iterable(block.flatten().tolist() for block in blocks)
        share = self.share
        return (self.large if level < share else -1.0 for level in itertools.islice(levels, steps))

    def _end(
        self, steps: int, lr: float, beta1: float, beta2: float, longest_memory: bool
    ) -> float:
        points = adam_points(self._slopes(steps), lr, beta1, beta2, longest_memory)
        return deque(points, maxlen=1).pop()

    def _regret(self, longest_memory: bool) -> float:
        """The average of c_t (x_t + 1) over 300,000 steps of the first example."""
        first, steps = replace(self, variant="periodic", large=3.0), 300_000
        points = adam_points(first._slopes(steps), 0.5, 0.0, 0.1, longest_memory)
        return sum(c * (x + 1) for c, x in zip(first._slopes(steps), points, strict=False)) / steps

    def _first(self, longest_memory: bool) -> float:
        """Where 300,000 steps of the first example lead."""
        first = replace(self, variant="periodic", large=3.0)
        return first._end(300_000, 0.5, 0.0, 1 / (1 + first.large**2), longest_memory)

    def _experiment(self, variant: Variant, steps: int, longest_memory: bool) -> float:
        """That of figure 1: slopes 1010 and −10 there are 101 and −1 here, as Adam has no scale."""
        problem = replace(self, variant=variant, large=101.0, margin=0.02)
        return problem._end(steps, 0.5, 0.9, 0.99, longest_memory)

    @Claim(
        "Where Adam ends on C = 3 every third step, with β₁ = 0 and β₂ = 1/(1 + C²)",
        stated="+1", within=(0.99, 1.0), source="Reddi, Kale & Kumar 2018, theorem 1",
    )  # fmt: skip
    def adam_goes_to_the_worst_point(self) -> float:
        return self._first(longest_memory=False)

    @Claim(
        "Where AMSGrad ends on the same", stated="−1", within=(-1.0, -0.99),
        source="Reddi, Kale & Kumar 2018, corollary 1",
    )  # fmt: skip
    def amsgrad_goes_to_the_minimum(self) -> float:
        return self._first(longest_memory=True)

    @Claim(
        "Adam's average regret on the same, which does not vanish: 2(C − 2)/3",
        stated=0.6667, within=about(2 / 3, rel=0.01), source="Reddi, Kale & Kumar 2018, theorem 1",
    )  # fmt: skip
    def regret_of_adam(self) -> float:
        """At +1 a period of three steps costs (C − 2) · 2; on the way there it was a little less or more."""
        return self._regret(longest_memory=False)

    @Claim(
        "AMSGrad's average regret on the same, which vanishes like 1/√t",
        stated="0", within=(-0.005, 0.005), source="Reddi, Kale & Kumar 2018, corollary 1",
    )  # fmt: skip
    def regret_of_amsgrad(self) -> float:
        return self._regret(longest_memory=True)

    @Claim(
        "Where Adam is after 100,000 steps with 1010 every 101st and −10 else",
        stated="+1", within=(0.98, 1.0), source="Reddi, Kale & Kumar 2018, figure 1",
    )  # fmt: skip
    def adam_online(self) -> float:
        return self._experiment("online", 100_000, longest_memory=False)

    @Claim(
        "Where AMSGrad is after 100,000 steps of the same",
        stated="−1", within=(-1.0, -0.97), source="Reddi, Kale & Kumar 2018, figure 1",
    )  # fmt: skip
    def amsgrad_online(self) -> float:
        return self._experiment("online", 100_000, longest_memory=True)

    @Claim(
        "Where Adam is after 3,000,000 steps with 1010 every 101st and −10 else",
        stated="+1", within=(0.99, 1.0), source="Reddi, Kale & Kumar 2018, figure 1", slow=True,
    )  # fmt: skip
    def adam_online_at_last(self) -> float:
        return self._experiment("online", 3_000_000, longest_memory=False)

    @Claim(
        "Where AMSGrad is after 3,000,000 steps of the same",
        stated="−1", within=(-1.0, -0.97), source="Reddi, Kale & Kumar 2018, figure 1", slow=True,
    )  # fmt: skip
    def amsgrad_online_at_last(self) -> float:
        return self._experiment("online", 3_000_000, longest_memory=True)

    @Claim(
        "Where Adam is after 3,000,000 steps with 1010 at a chance of 0.01 and −10 else",
        stated="+1", within=(0.99, 1.0), source="Reddi, Kale & Kumar 2018, figure 1", slow=True,
    )  # fmt: skip
    def adam_stochastic_at_last(self) -> float:
        return self._experiment("stochastic", 3_000_000, longest_memory=False)

    @Claim(
        "Where AMSGrad is after 3,000,000 steps of the same: it takes more than a million to get there",
        stated="−1", within=(-1.0, -0.97), source="Reddi, Kale & Kumar 2018, figure 1", slow=True,
    )  # fmt: skip
    def amsgrad_stochastic_at_last(self) -> float:
        return self._experiment("stochastic", 3_000_000, longest_memory=True)

    def portrait(self) -> Curves:
        steps, shown = 100_000, torch.logspace(0, 5, 150).long()
        problem = replace(self, variant="online", large=101.0)
        paths = {
            name: torch.tensor(list(adam_points(problem._slopes(steps), 0.5, 0.9, 0.99, longest)))
            for name, longest in (("Adam", False), ("AMSGrad", True))
        }
        return Curves(
            caption="With a steep slope every 101st step, Adam ends at the worst point and AMSGrad at the minimum.",
            x_label="step",
            y_label="x",
            lines={name: (shown, path[shown]) for name, path in paths.items()},
            x_scale="log",
        )
