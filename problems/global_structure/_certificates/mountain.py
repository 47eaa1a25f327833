"""The evidence for `mountain`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.global_structure.mountain import SPREAD, Mountain
from problems.portrait import Curves

RATE = 0.5  # of the descents
PATIENCE = 20_000  # and their steps


def share_that_gets_round(problem: Mountain, count: int, steps: int) -> float:
    """Return the share of `count` starts from which gradient descent at rate ½ has passed the top."""
    generator = torch.Generator().manual_seed(0)
    axis = torch.eye(problem.dim, dtype=torch.float64)[0]
    data = {"center": torch.zeros_like(axis), "ahead": axis}
    x = SPREAD * torch.randn(count, problem.dim, generator=generator, dtype=axis.dtype)
    x[:, 0] = -1.0
    end = next(islice(descent(problem, data, x, RATE), steps, None))
    return (end[:, 0] > 0).double().mean().item()


def _claim_share_round(dim: int, stated: float, low: float, high: float) -> None:
    """Claim the share of descents that get round in this dimension."""

    @claim(
        Mountain,
        f"in dimension {dim} this share of 2000 descents is round the mountain after 20,000 steps",
        stated=stated,
        within=(low, high),
        source="Goodfellow, Bengio & Courville 2016, caption of figure 8.4, made a number",
        slow=True,
        name=f"round_in_{dim}",
    )
    def measure(problem: Mountain) -> float:
        return share_that_gets_round(replace(problem, dim=dim), 2000, PATIENCE)


_claim_share_round(1, 0.0, 0.0, 0.0)
_claim_share_round(2, 0.4115, 0.3815, 0.4415)
_claim_share_round(3, 0.7295, 0.6995, 0.7595)
_claim_share_round(10, 1.0, 0.97, 1.0)


def orbit(
    problem: Mountain, aside: torch.Tensor, far: float = 6.0
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return r, y₁ and the time along gradient flow from (−1, aside), each (*starts, 1001).

    With r the distance from the axis, y₁(r)/r = y₁(r₀)/r₀ + c ∫ e^(s²/2)/s² ds from r₀ to r, which ends
    above 0 from every start; it takes the time ∫ e^((r² + y₁²)/2)/(height r) dr. Both are sums of trapezes
    from `aside` (*starts) to `far`, evenly spaced in ln r.
    """
    aside = aside[..., None].double()
    r = aside * (far / aside) ** torch.linspace(0, 1, 1001, dtype=aside.dtype)
    turned = torch.cumulative_trapezoid(problem.behind * (r.square() / 2).exp() / r.square(), r)
    y = r * (-1 / aside + torch.nn.functional.pad(turned, (1, 0)))
    pace = ((r.square() + y.square()) / 2).exp() / (problem.height * r)
    return r, y, torch.nn.functional.pad(torch.cumulative_trapezoid(pace, r), (1, 0))


def predicted_share_round(problem: Mountain, time: float) -> float:
    """Return the share of starts from which gradient flow has passed the top within this time.

    Starts nearer the axis pass later: so it is the probability that |N(0, ¼ I)| in dim − 1 dimensions is
    above a distance, which bisection finds.
    """
    if problem.dim == 1:
        return 0.0
    low, high = 1e-3, 3.0
    for _ in range(30):
        middle = (low * high) ** 0.5
        _, y, times = orbit(problem, torch.tensor(middle))
        passed = times[y < 0][-1].item() < time
        low, high = (low, middle) if passed else (middle, high)
    freedom = torch.tensor((problem.dim - 1) / 2, dtype=torch.float64)
    return torch.special.gammaincc(freedom, 0.5 * freedom.new_tensor(high / SPREAD) ** 2).item()


@claim(
    Mountain,
    "the law of the orbits foretells the share that gets round in two dimensions",
    stated=0.4115,
    within=about(0.4115, abs=0.03),
    source="derived",
    formula=True,
)
def foretold_in_2(problem: Mountain) -> float:
    """Return the flow's share at the time 20,000 · ½; steps of ½ change it by less than 0.01."""
    return predicted_share_round(replace(problem, dim=2), RATE * PATIENCE)


@claim(
    Mountain,
    "share of starts that the orbits of the flow lead round the mountain in the same time, in dimension 3",
    stated=0.7295,
    within=about(0.7295, abs=0.03),
    source="derived",
    formula=True,
)
def foretold_in_3(problem: Mountain) -> float:
    return predicted_share_round(replace(problem, dim=3), RATE * PATIENCE)


@claim(
    Mountain,
    "so far off the predicted orbit is descent from 0.7 off the axis, until it is round",
    stated="less than 0.02",
    within=(0.0, 0.02),
    source="derived",
)
def orbit_error(problem: Mountain) -> float:
    """Measure it at rate 0.04, whose steps are off the flow by half of that times the curvature, 1."""
    plane = replace(problem, dim=2)
    axis = torch.tensor([1.0, 0.0])
    data = {"center": torch.zeros(2), "ahead": axis}
    start = torch.tensor([-1.0, 0.7])
    points = torch.stack(list(islice(descent(plane, data, start, 0.04), 1650)))
    r, y, _ = orbit(plane, torch.tensor(0.7))
    at = torch.searchsorted(r, points[:, 1].contiguous()).clamp(1, len(r) - 1)
    share = (points[:, 1] - r[at - 1]) / (r[at] - r[at - 1])
    expected = y[at - 1] + share * (y[at] - y[at - 1])
    assert points[-1, 0] > 0
    return (points[:, 0] - expected).abs().max().item()


@claim(
    Mountain,
    "in one dimension, after 10⁶ steps on the high plain, descent has come no farther than this",
    stated=-5.747,
    within=about(-5.747, abs=1e-3),
    source="derived",
    formula=True,
)
def drift(problem: Mountain) -> float:
    """Iterate in one dimension: y = −y₁ obeys dy/dt = (y − c) e^(−y²/2), so that e^(y²/2) grows only like 2 t ln t."""
    y, c = 1.0, problem.behind
    for _ in range(1_000_000):
        y += RATE * (y - c) * math.exp(-y * y / 2)
    return -y


def portrait(problem: Mountain) -> Curves:
    steps = torch.logspace(1, 4, 19)
    sample = (100, 300, 1000)
    lines, dots = {}, {}
    for dim in (2, 3, 10):
        variant = replace(problem, dim=dim)
        shares = [predicted_share_round(variant, RATE * each) for each in steps.tolist()]
        lines[f"dim {dim}"] = (steps, torch.tensor(shares))
        measured = [share_that_gets_round(variant, 200, each) for each in sample]
        dots[f"dim {dim}"] = (torch.tensor(sample), torch.tensor(measured))
    return Curves(
        caption="The share of descents that have got round the mountain, measured and as predicted from the orbits "
        "of the flow. In one dimension it is 0 for ever.",
        x_label="steps",
        y_label="share that has got round",
        lines=lines,
        dots=dots,
        x_scale="log",
    )
