"""The evidence for `random_walk_depth`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.long_term_dependencies.gain_law import log_gain_law
from problems.long_term_dependencies.random_walk_depth import RandomWalkDepth
from problems.portrait import Curves

# What is known: of nets 100 wide and 200 deep, in 500 of them.


def walk_law(problem: RandomWalkDepth) -> tuple[float, float]:
    """Return the mean and the standard deviation of ln γ for one layer."""
    mean, spread = log_gain_law(problem.width, problem.activation)
    return math.log(problem.layer_gain()) + mean, spread


def _walks(problem: RandomWalkDepth, **fields) -> torch.Tensor:
    problem = replace(problem, width=100, depth=200, **fields)
    return problem.log_gains(500, torch.Generator().manual_seed(0))


@claim(
    RandomWalkDepth,
    "the mean of ln γ over 200 linear layers, N = 100, with g = 1",
    stated=-1.003,
    within=about(-1.0033, abs=3 * 1.005 / math.sqrt(500)),  # three standard errors
    source="Sussillo & Abbott 2014, equation 8: D/2 (digamma(N/2) + ln(2/N))",
)
def drift_at_unit_gain(problem: RandomWalkDepth) -> float:
    return _walks(problem, gain=math.exp(-1 / 200)).mean().item()


@claim(
    RandomWalkDepth,
    "the standard deviation of ln γ over 200 linear layers, N = 100",
    stated=1.005,
    within=about(1.005, abs=3 * 1.005 / math.sqrt(2 * 500)),  # three standard errors
    source="√(D trigamma(N/2))/2, about √(D/2N)",
)
def spread(problem: RandomWalkDepth) -> float:
    return _walks(problem).std().item()


@claim(
    RandomWalkDepth,
    "the mean of ln γ over 200 linear layers, N = 100, with g = e^(1/2N)",
    stated=-0.003,
    within=about(-0.0033, abs=3 * 1.005 / math.sqrt(500)),
    source="Sussillo & Abbott 2014, equation 9",
)
def drift_corrected(problem: RandomWalkDepth) -> float:
    return _walks(problem, gain=1.0).mean().item()


@claim(
    RandomWalkDepth,
    "the mean of ln γ over 200 rectified layers, N = 100, with g = √2",
    stated=-2.542,
    within=about(-2.542, abs=3 * 1.61 / math.sqrt(500)),
    source="walk_law",
)
def relu_drift_at_the_usual_gain(problem: RandomWalkDepth) -> float:
    usual = math.exp(-1.2 / 97.6)
    return _walks(problem, gain=usual, activation="relu").mean().item()


@claim(
    RandomWalkDepth,
    "the mean of ln γ over 200 rectified layers, N = 100, with g = √2 e^(1.2/(N − 2.4))",
    stated=-0.083,
    within=about(-0.083, abs=3 * 1.61 / math.sqrt(500)),
    source="Sussillo & Abbott 2014, equation 12",
)
def relu_drift_corrected(problem: RandomWalkDepth) -> float:
    return _walks(problem, activation="relu").mean().item()


@claim(
    RandomWalkDepth,
    "the mean of ln |W₂₀₀ ⋯ W₁ v| over 100 products of explicit matrices, N = 100, g = 1",
    stated=-1.003,
    within=about(-1.0033, abs=3 * 1.005 / 10),
    source="Sussillo & Abbott 2014, equation 8",
    slow=True,
    formula=True,
)
def drift_of_explicit_products(problem: RandomWalkDepth) -> float:
    generator = torch.Generator().manual_seed(0)
    vectors, logs = torch.full((100, 100, 1), 0.1), torch.zeros(100)
    for _ in range(200):
        vectors = torch.randn(100, 100, 100, generator=generator) / 10 @ vectors
        norms = vectors.norm(dim=1, keepdim=True)
        vectors, logs = vectors / norms, logs + norms.log().flatten()
    return logs.mean().item()


@claim(
    RandomWalkDepth,
    "the exponent of D in the standard deviation of ln γ, from D = 25 to 400, with new matrices",
    stated=0.5,
    within=about(0.5, abs=0.063),  # three standard errors, √(1/300)/ln 16 each
    source="a random walk",
)
def exponent_of_independent_layers(problem: RandomWalkDepth) -> float:
    short, long = (
        replace(problem, width=100, depth=depth).log_gains(300, torch.Generator().manual_seed(0))
        for depth in (25, 400)
    )
    return math.log(long.std() / short.std()) / math.log(16)


@claim(
    RandomWalkDepth,
    "the same exponent with one matrix repeated, from D = 50 to 800",
    stated="1, of D ln ρ",
    within=about(1.0, abs=0.15),  # the offset ln |⟨v, v₁⟩| still counts at D = 50
    source="the power method; Deep Learning, section 8.2.5",
    formula=True,
)
def exponent_of_a_repeated_matrix(problem: RandomWalkDepth) -> float:
    growth = growth_of_repeated(problem, 100, [50, 800])
    short, long = growth.std(dim=0).tolist()
    return math.log(long / short) / math.log(16)


def growth_of_repeated(problem: RandomWalkDepth, count: int, depths: list[int]) -> torch.Tensor:
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


def portrait(problem: RandomWalkDepth) -> Curves:
    depths = [1, 4, 16, 64, 256]
    walks = [
        replace(problem, width=100, depth=depth, activation="linear").log_gains(
            300, torch.Generator().manual_seed(depth)
        )
        for depth in depths
    ]
    at = torch.tensor(depths, dtype=torch.float64)
    return Curves(
        caption="With new weights in each layer the logarithm of a gain γ spreads like a random walk, as √(D/2N); "
        "with the same weights in all of them it spreads as D.",
        x_label="depth D",
        y_label="standard deviation of ln γ",
        lines={"new weights, N = 100": (at, (at / 200).sqrt())},
        dots={
            "new weights, N = 100": (at, torch.stack([each.std() for each in walks])),
            "the same weights": (at, growth_of_repeated(problem, 30, depths).std(dim=0)),
        },
        x_scale="log",
        y_scale="log",
    )
