"""The evidence for `step_units`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.limits.step_units import SILENT, STEP, StepUnits
from problems.portrait import Curves

REACH = 2 * math.acosh(SILENT**-0.5)  # of β|z|, where the slope is that


@claim(
    StepUnits,
    "with steps, this share of 1000 points has a gradient of exactly zero",
    stated=1.0,
    within=(1.0, 1.0),
    source="derived",
)
def no_gradient(problem: StepUnits) -> float:
    problem = replace(problem, sharpness=STEP)
    data = problem.example()
    x = torch.randn(1000, len(data["start"]), generator=torch.Generator().manual_seed(0))
    gradients = problem.value_and_gradient(x, data)[1]
    return (gradients == 0).all(-1).double().mean().item()


@claim(
    StepUnits,
    "slope of a unit far from its plane, over β e^(−β|z|), at β = 10 and |z| = 1",
    stated=1.0,
    within=about(1.0, rel=2e-4),
    source="derived",
)
def saturation(problem: StepUnits) -> float:
    """One example x = 1 of a wanted answer 1, seen from w = −1; the rest is (1 − σ)² (1 + …)."""
    unit = StepUnits(inputs=1, hidden=1, examples=1, sharpness=10.0)
    data = {"inputs": torch.ones(1, 1), "outputs": torch.ones(1)}
    gradient = unit.value_and_gradient(-torch.ones(1), data)[1]
    return gradient.abs().item() / (10 * math.exp(-10))


@claim(
    StepUnits,
    "share of silent answers at the start, for β = 10, on 50 instances",
    stated=math.erfc(REACH / (10 * math.sqrt(2))),
    within=about(math.erfc(REACH / (10 * math.sqrt(2))), abs=0.012),
    source="derived",
)
def silence(problem: StepUnits) -> float:
    """z ~ N(0, 1), and β|z| > 2 arcosh 10 leaves 4σ' < 0.01; 15,000 answers: three standard errors."""
    problem = replace(problem, sharpness=10.0)
    return sum(problem.signature(problem.example(seed)) for seed in range(50)) / 50


@claim(
    StepUnits,
    "mistakes of a perceptron until it makes none, over Novikoff's bound, at most, on 5 instances",
    stated="at most 1",
    within=(0.0, 1.0),
    source="Novikoff 1962",
)
def mistakes(problem: StepUnits) -> float:
    """One step unit learns what it can represent without a gradient: (R/margin)² mistakes at most."""
    problem = replace(problem, hidden=1)
    worst = 0.0
    for seed in range(5):
        data = problem.example(seed)
        inputs, planted = data["inputs"], data["planted"]
        signed = inputs * (inputs @ planted).sign()[:, None]
        bound = (inputs.norm(dim=-1).max() / (signed @ planted).min()).item() ** 2
        weights, count = torch.zeros_like(planted), 0
        while (wrong := signed @ weights <= 0).any():
            weights = weights + signed[wrong.to(torch.int8).argmax()]
            count += 1
            assert count <= bound
        worst = max(worst, count / bound)
    return worst


def portrait(problem: StepUnits) -> Curves:
    sharpness = torch.logspace(0, 4, 33)
    heard = [math.erf(REACH / (beta * math.sqrt(2))) for beta in sharpness.tolist()]
    some, shares, gaps = sharpness[::4], [], []
    for beta in some.tolist():
        variant = replace(problem, sharpness=beta)
        trees = [variant.example(seed) for seed in range(5)]
        data = {name: torch.stack([tree[name] for tree in trees]) for name in trees[0]}
        shares.append(1 - sum(map(variant.signature, trees)) / len(trees))
        *_, x = islice(descent(variant, data, data["start"], 0.1, momentum=0.9), 300)
        gap = variant.loss(x, data) / variant.loss(data["start"], data)
        gaps.append(gap.median().item())
    return Curves(
        caption="The sharper the sigmoids, the fewer answers have a slope, and the more of the gap gradient descent "
        "leaves: all of it where they are steps.",
        x_label="sharpness β of the sigmoids",
        y_label="share",
        lines={"answers with a slope": (sharpness, torch.tensor(heard))},
        dots={
            "answers with a slope": (some, torch.tensor(shares)),
            "gap left after 300 steps": (some, torch.tensor(gaps)),
        },
        x_scale="log",
    )
