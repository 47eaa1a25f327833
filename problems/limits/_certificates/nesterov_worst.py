"""The evidence for `nesterov_worst`: claims and portrait."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.limits._certificates.chain import accelerated
from problems.limits.first_order import conjugate_gradients
from problems.limits.nesterov_worst import SOURCE, NesterovWorst
from problems.portrait import Curves
from problems.problem import Tree

BEST, FAST, PLAIN = METHODS = ("conjugate gradients", "Nesterov's method", "gradient descent")


def run(problem: NesterovWorst, method: str, data: Tree) -> Iterator[torch.Tensor]:
    """The points of one of the methods, at the rate 1/L = 1."""
    if method == BEST:
        return conjugate_gradients(problem, data)
    if method == FAST:
        return accelerated(problem, data, _growing_momentum())
    return descent(problem, data, data["start"], 1.0)


def _growing_momentum() -> Iterator[float]:
    """(t − 1)/t⁺ with t⁺ = (1 + √(1 + 4t²))/2, from t = 1: Nesterov 1983."""
    t = 1.0
    while True:
        following = (1 + math.sqrt(1 + 4 * t * t)) / 2
        yield (t - 1) / following
        t = following


def ratio_to_bound(problem: NesterovWorst, method: str) -> float:
    """The gap that a method leaves after `horizon` steps over Nesterov's bound."""
    data = problem.example()
    x = next(islice(run(problem, method, data), problem.horizon, None))
    return problem.ratio_to_bound(x, data)


def _claim_ratio(method: str, steps: int, stated: float, digit: float, name: str) -> None:
    """Claim a method's gap, in units of Nesterov's bound, after half as many steps as dim."""

    @claim(
        NesterovWorst,
        f"the gap that {method} leaves after {steps} steps in dimension {2 * steps + 1}, over the bound",
        stated=stated,
        within=about(stated, abs=digit / 2),
        source=SOURCE,
        name=f"{name}_after_{steps}",
    )
    def measure(problem: NesterovWorst) -> float:
        return ratio_to_bound(replace(problem, horizon=steps), method)


_claim_ratio(BEST, 5, 1.1383, 1e-4, "best")
_claim_ratio(BEST, 20, 1.0367, 1e-4, "best")
_claim_ratio(BEST, 50, 1.0149, 1e-4, "best")
_claim_ratio(BEST, 100, 1.0075, 1e-4, "best")
_claim_ratio(FAST, 5, 2.83, 1e-2, "fast")
_claim_ratio(FAST, 20, 3.06, 1e-2, "fast")
_claim_ratio(FAST, 50, 3.16, 1e-2, "fast")
_claim_ratio(FAST, 100, 3.22, 1e-2, "fast")
_claim_ratio(PLAIN, 5, 3.46, 1e-2, "plain")
_claim_ratio(PLAIN, 20, 6.61, 1e-2, "plain")
_claim_ratio(PLAIN, 50, 10.6, 1e-1, "plain")
_claim_ratio(PLAIN, 100, 15.2, 1e-1, "plain")


@claim(
    NesterovWorst,
    "so far is the gap of conjugate gradients from ⅛ (1/(t + 1) − 1/(n + 1)), in units of it",
    stated=0.0,
    within=(0.0, 1e-10),
    source=SOURCE,
)
def formula_error(problem: NesterovWorst) -> float:
    """At every step up to the horizon; what remains is rounding."""
    data = problem.example()
    points = torch.stack(list(islice(conjugate_gradients(problem, data), problem.horizon + 1)))
    t = torch.arange(len(points))
    exact = (1 / (t + 1) - 1 / (problem.dim + 1)) / 8
    return (problem.gap(points, data) / exact - 1).abs().max().item()


@claim(
    NesterovWorst,
    "after t steps of heavy ball the largest coordinate beyond the t-th",
    stated=0.0,
    within=(0.0, 0.0),
    source=SOURCE,
)
def news_from_afar(problem: NesterovWorst) -> float:
    """Zero without rounding: a difference of equal numbers is exactly zero."""
    data = problem.example()
    path = descent(problem, data, data["start"], 3.5, momentum=0.9)
    points = torch.stack(list(islice(path, problem.horizon + 1))) - data["start"]
    return points.triu().abs().max().item()


@claim(
    NesterovWorst,
    "log-log slope of descent's ratio to the bound, from 20 to 100 steps",
    stated=0.5,
    within=about(0.5, abs=0.05),
    source="derived",
)
def falls_behind(problem: NesterovWorst) -> float:
    """The steps seen from afar are a diffusion: the gap falls like 1/√t for t < n², not like 1/t."""
    early, late = (ratio_to_bound(replace(problem, horizon=k), PLAIN) for k in (20, 100))
    return math.log(late / early) / math.log(5)


def portrait(problem: NesterovWorst) -> Curves:
    data = problem.example()
    steps = torch.logspace(0, math.log10(problem.horizon), 25).round().long().unique()
    dots = {}
    for method in METHODS:
        points = torch.stack(list(islice(run(problem, method, data), problem.horizon + 1)))
        dots[method] = (steps, problem.gap(points, data)[steps])
    return Curves(
        caption="No method that adds up gradients gets below the line. Conjugate gradients lie on it, Nesterov's "
        "method stays within a factor of it, and gradient descent does not.",
        x_label="steps",
        y_label="gap",
        lines={"least possible": (steps, problem.least_gap(steps))},
        dots=dots,
        x_scale="log",
        y_scale="log",
    )
