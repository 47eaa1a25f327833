"""The evidence for `octopus`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.portrait import Curves
from problems.saddles.octopus import GAMMA, PATIENCE, TAU, Octopus

NEAR = 1e-3  # of the height: how far down "in the minimum" is, for the counts of steps


def growth(problem: Octopus) -> float:
    """Return 1 + ln 2/ln(1 + γ/2L), by which stays grow at the rate 1/4L."""
    return 1 + math.log(2) / math.log1p(GAMMA / (2 * problem.steepness))


def steps_down(problem: Octopus, perturbed: bool, most: int) -> torch.Tensor:
    """Return the steps of descent at the rate 1/4L to the minimum from ten starts, or infinity beyond `most`.

    Perturbed as in Jin et al. 2017, arXiv:1703.00887: where the gradient is below γτ/100, and the step
    before was not perturbed, x is first moved to a random point of the ball of radius τ/100.
    """
    generator = torch.Generator().manual_seed(0)
    x = _starts(problem, generator)
    steps, rested = torch.full((10,), math.inf), torch.zeros(10, 1, dtype=torch.bool)
    for k in range(most + 1):
        value, gradient = problem.value_and_gradient(x, {})
        steps = torch.where((value <= problem.floor({}) * (1 - NEAR)) & steps.isinf(), k, steps)
        if steps.isfinite().all():
            break
        if perturbed:
            low = gradient.norm(dim=-1, keepdim=True) <= GAMMA * TAU / 100
            rested = low & ~rested
            way = torch.randn(x.shape, generator=generator)
            far = TAU / 100 * torch.rand(10, 1, generator=generator) ** (1 / x.shape[-1])
            x = torch.where(rested, x + far * way / way.norm(dim=-1, keepdim=True), x)
            gradient = problem.value_and_gradient(x, {})[1]
        x = problem.project(x - gradient / (4 * problem.steepness), {})
    return steps


def portrait(problem: Octopus) -> Curves:
    lines, dots = {}, {}
    for steepness, saddles in ((1.0, 5), (2.0, 4)):
        variant = _original(problem, steepness, saddles)
        stays, factor = _median_stays(variant), growth(variant)
        count, name = torch.arange(1, saddles + 1), f"L = {steepness:g}: × {factor:.2f} each"
        lines[name] = count, factor ** (count - saddles)
        dots[name] = count, stays / stays[-1]
    return Curves(
        caption="Each saddle holds gradient descent up longer than the one before, by the predicted factor.",
        x_label="saddle",
        y_label="steps beside it over those beside the last",
        lines=lines,
        dots=dots,
        y_scale="log",
    )


@claim(
    Octopus,
    "stay of descent beside the fifth saddle over that beside the fourth, at L = 1",
    stated=2.71,
    within=about(2.7095, rel=0.05),  # stays are whole steps, and a start has its own first one
    source="derived: 1 + ln 2/ln 1.5; measured as in Du et al. 2017, figures 3 and 4",
)
def growth_at_1(problem: Octopus) -> float:
    stays = _median_stays(_original(problem, 1.0, 5))
    return (stays[4] / stays[3]).item()


@claim(
    Octopus,
    "stay of descent beside the fourth saddle over that beside the third, at L = 2",
    stated=4.11,
    within=about(4.106, rel=0.05),  # as above
    source="derived: 1 + ln 2/ln 1.25; measured as in Du et al. 2017, figures 3 and 4",
    slow=True,
)
def growth_at_2(problem: Octopus) -> float:
    stays = _median_stays(_original(problem, 2.0, 4))
    return (stays[3] / stays[2]).item()


@claim(
    Octopus,
    "steps of descent to the minimum past 5 saddles, at L = 1, median of ten starts",
    stated=497,
    within=about(
        497, rel=0.1
    ),  # ten starts: the first stay, and all others with it, vary by as much
    source="measured, in the experiment of Du et al. 2017, figure 3",
)
def steps_of_descent_at_1(problem: Octopus) -> float:
    return steps_down(_original(problem, 1.0, 5), False, 2000).median().item()


@claim(
    Octopus,
    "steps of descent to the minimum past 5 saddles, at L = 2, median of ten starts",
    stated=3747,
    within=about(3747, rel=0.1),  # as above
    source="measured, in the experiment of Du et al. 2017, figure 3",
    slow=True,
)
def steps_of_descent_at_2(problem: Octopus) -> float:
    return steps_down(_original(problem, 2.0, 5), False, 6000).median().item()


@claim(
    Octopus,
    "runs of descent, of ten, that are past 5 saddles after 20,000 steps, at L = 3",
    stated=0,
    within=(0, 0),
    source="measured, in the experiment of Du et al. 2017, figure 3",
    slow=True,
)
def arrivals_of_descent_at_3(problem: Octopus) -> float:
    return steps_down(_original(problem, 3.0, 5), False, 20_000).isfinite().sum().item()


@claim(
    Octopus,
    "steps of perturbed descent to the minimum past 5 saddles, at L = 3, median of ten starts",
    stated=219,
    within=(0, 250),
    source="measured, in the experiment of Du et al. 2017, figure 3",
)
def steps_of_perturbed_descent(problem: Octopus) -> float:
    return steps_down(_original(problem, 3.0, 5), True, 2000).median().item()


@claim(
    Octopus,
    "steps of perturbed descent to the minimum past 10 saddles, at L = 3, median of ten starts",
    stated=496,
    within=about(496, rel=0.1),  # ten starts
    source="measured, in the experiment of Du et al. 2017, figure 4",
)
def steps_of_perturbed_descent_past_10(problem: Octopus) -> float:
    return steps_down(_original(problem, 3.0, 10), True, 2000).median().item()


@claim(
    Octopus,
    "runs of descent, of ten, that are past 10 saddles after 3000 steps, at L = 1",
    stated=0,
    within=(0, 0),
    source="measured, in the experiment of Du et al. 2017, figure 4",
    slow=True,
)
def arrivals_of_descent_past_10(problem: Octopus) -> float:
    return steps_down(_original(problem, 1.0, 10), False, 3000).isfinite().sum().item()


def _original(problem: Octopus, steepness: float, saddles: int) -> Octopus:
    return replace(problem, steepness=steepness, saddles=saddles, guard=1.0)


def _median_stays(problem: Octopus) -> torch.Tensor:
    starts = _starts(problem, torch.Generator().manual_seed(0))
    return problem.stays(starts, PATIENCE).median(0).values


def _starts(problem: Octopus, generator: torch.Generator) -> torch.Tensor:
    return torch.stack([problem.instance(generator)["start"] for _ in range(10)])
