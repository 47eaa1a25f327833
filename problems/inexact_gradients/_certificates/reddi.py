"""The evidence for `reddi`: claims and portrait."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.inexact_gradients.reddi import Reddi, Variant
from problems.portrait import Curves


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


def _slopes(problem: Reddi, steps: int) -> Iterator[float]:
    """Those of a single line, from the beginning of its period where it has one."""
    if problem.variant != "stochastic":
        return (problem.large if t % problem.period == 0 else -1.0 for t in range(steps))
    levels = torch.rand(steps, generator=torch.Generator().manual_seed(0))
    return iter(problem.slopes({"level": levels}).tolist())


def _end(
    problem: Reddi, steps: int, lr: float, beta1: float, beta2: float, longest_memory: bool
) -> float:
    points = adam_points(_slopes(problem, steps), lr, beta1, beta2, longest_memory)
    return deque(points, maxlen=1).pop()


def _first(problem: Reddi) -> Reddi:
    """The paper's first example."""
    return replace(problem, variant="periodic", large=3.0)


def _regret(problem: Reddi, longest_memory: bool) -> float:
    """The average of c_t (x_t + 1) over 300,000 steps."""
    steps = 300_000
    points = adam_points(_slopes(problem, steps), 0.5, 0.0, 0.1, longest_memory)
    return sum(c * (x + 1) for c, x in zip(_slopes(problem, steps), points, strict=False)) / steps


def _experiment(problem: Reddi, variant: Variant, steps: int, longest_memory: bool) -> float:
    """That of figure 1: slopes 1010 and −10 there are 101 and −1 here, as Adam has no scale."""
    problem = replace(problem, variant=variant, large=101.0, margin=0.02)
    return _end(problem, steps, 0.5, 0.9, 0.99, longest_memory)


@claim(Reddi,
    "Where Adam ends on C = 3 every third step, with β₁ = 0 and β₂ = 1/(1 + C²)",
    stated="+1", within=(0.99, 1.0), source="Reddi, Kale & Kumar 2018, theorem 1",
    formula=True,
)  # fmt: skip
def adam_goes_to_the_worst_point(problem: Reddi) -> float:
    return _end(_first(problem), 300_000, 0.5, 0.0, 0.1, longest_memory=False)


@claim(Reddi,
    "Where AMSGrad ends on the same", stated="−1", within=(-1.0, -0.99),
    source="Reddi, Kale & Kumar 2018, corollary 1",
    formula=True,
)  # fmt: skip
def amsgrad_goes_to_the_minimum(problem: Reddi) -> float:
    return _end(_first(problem), 300_000, 0.5, 0.0, 0.1, longest_memory=True)


@claim(Reddi,
    "Adam's average regret on the same, which does not vanish: 2(C − 2)/3",
    stated=0.6667, within=about(2 / 3, rel=0.01), source="Reddi, Kale & Kumar 2018, theorem 1",
    formula=True,
)  # fmt: skip
def regret_of_adam(problem: Reddi) -> float:
    """At +1 a period of three steps costs (C − 2) · 2; on the way there it was a little less or more."""
    return _regret(_first(problem), longest_memory=False)


@claim(Reddi,
    "AMSGrad's average regret on the same, which vanishes like 1/√t",
    stated="0", within=(-0.005, 0.005), source="Reddi, Kale & Kumar 2018, corollary 1",
    formula=True,
)  # fmt: skip
def regret_of_amsgrad(problem: Reddi) -> float:
    return _regret(_first(problem), longest_memory=True)


@claim(Reddi,
    "Where Adam is after 100,000 steps with 1010 every 101st and −10 else",
    stated="+1", within=(0.98, 1.0), source="Reddi, Kale & Kumar 2018, figure 1",
    formula=True,
)  # fmt: skip
def adam_online(problem: Reddi) -> float:
    return _experiment(problem, "online", 100_000, longest_memory=False)


@claim(Reddi,
    "Where AMSGrad is after 100,000 steps of the same",
    stated="−1", within=(-1.0, -0.97), source="Reddi, Kale & Kumar 2018, figure 1",
    formula=True,
)  # fmt: skip
def amsgrad_online(problem: Reddi) -> float:
    return _experiment(problem, "online", 100_000, longest_memory=True)


@claim(Reddi,
    "Where Adam is after 3,000,000 steps with 1010 every 101st and −10 else",
    stated="+1", within=(0.99, 1.0), source="Reddi, Kale & Kumar 2018, figure 1", slow=True,
    formula=True,
)  # fmt: skip
def adam_online_at_last(problem: Reddi) -> float:
    return _experiment(problem, "online", 3_000_000, longest_memory=False)


@claim(Reddi,
    "Where AMSGrad is after 3,000,000 steps of the same",
    stated="−1", within=(-1.0, -0.97), source="Reddi, Kale & Kumar 2018, figure 1", slow=True,
    formula=True,
)  # fmt: skip
def amsgrad_online_at_last(problem: Reddi) -> float:
    return _experiment(problem, "online", 3_000_000, longest_memory=True)


@claim(Reddi,
    "Where Adam is after 3,000,000 steps with 1010 at a chance of 0.01 and −10 else",
    stated="+1", within=(0.99, 1.0), source="Reddi, Kale & Kumar 2018, figure 1", slow=True,
)  # fmt: skip
def adam_stochastic_at_last(problem: Reddi) -> float:
    return _experiment(problem, "stochastic", 3_000_000, longest_memory=False)


@claim(Reddi,
    "Where AMSGrad is after 3,000,000 steps of the same: it takes more than a million to get there",
    stated="−1", within=(-1.0, -0.97), source="Reddi, Kale & Kumar 2018, figure 1", slow=True,
)  # fmt: skip
def amsgrad_stochastic_at_last(problem: Reddi) -> float:
    return _experiment(problem, "stochastic", 3_000_000, longest_memory=True)


def portrait(problem: Reddi) -> Curves:
    steps, shown = 100_000, torch.logspace(0, 5, 150).long().unique()
    problem = replace(problem, variant="online", large=101.0)
    paths = {
        name: torch.tensor(list(adam_points(_slopes(problem, steps), 0.5, 0.9, 0.99, longest)))
        for name, longest in (("Adam", False), ("AMSGrad", True))
    }
    return Curves(
        caption="With a steep slope every 101st step, Adam ends at the worst point and AMSGrad at the minimum.",
        x_label="step",
        y_label="x",
        dots={name: (shown, path[shown]) for name, path in paths.items()},
        x_scale="log",
    )
