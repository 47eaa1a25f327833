"""The evidence for `quadratic`: claims and portrait."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.ill_conditioning.quadratic import Quadratic
from problems.portrait import Plane

# What is known of methods on it, at κ = 1000.


def _errors(problem: Quadratic, count: int, lr: float, momentum: float = 0.0) -> torch.Tensor:
    """Return distances to the minimizer at count + 1 points of heavy ball, from an error of 1 in every mode."""
    problem = replace(problem, rotated=False)
    data = problem.example()
    points = descent(problem, data, data["minimizer"] + 1, lr, momentum)
    return problem.distance(torch.stack(list(itertools.islice(points, count + 1))), data)


def _polyak(problem: Quadratic) -> tuple[float, float]:
    """Return heavy ball's lr and momentum, the best in the long run."""
    root = math.sqrt(1 / problem.condition)
    return 4 / (1 + root) ** 2, ((1 - root) / (1 + root)) ** 2


def _chebyshev(problem: Quadratic, steps: int) -> tuple[float, float]:
    """Return the share of the error that Chebyshev's iteration leaves, and its bound 2/(Rᵗ + R⁻ᵗ).

    Of all polynomials of that degree with p(0) = 1 it takes the one that is least on [1/κ, 1]:
    e[t] = T_t((middle − H)/half)/T_t(middle/half) e[0], by the recursion of the T_t. The
    iteration is linear, so it is run on the error: beside the minimizer digits would be lost.
    """
    data = problem.example()
    low = 1 / problem.condition
    middle, half = (1 + low) / 2, (1 - low) / 2
    start = data["start"] - data["minimizer"]

    def turned(error: torch.Tensor) -> torch.Tensor:
        return (middle * error - problem.hvp(error, data, error)) / half

    growth = middle / half
    before, error, weight = start, turned(start) / growth, growth
    for _ in range(steps - 1):
        after = 2 * growth - 1 / weight  # T_{t+1}/T_t at middle/half
        error, before = (2 * turned(error) - before / weight) / after, error
        weight = after
    root = math.sqrt(problem.condition)
    ratio = (root + 1) / (root - 1)
    return (error.norm() / start.norm()).item(), 2 / (ratio**steps + ratio**-steps)


@claim(
    Quadratic,
    "what a step of gradient descent leaves of the error, in the long run, on a linear spectrum",
    stated=0.998002,
    within=about(0.998002, abs=1e-6),
    source="Nesterov 2004, theorem 2.1.15: (κ − 1)/(κ + 1) at lr 2/(L + μ)",
)
def rate_of_descent(problem: Quadratic) -> float:
    """Measure it: a step leaves |1 − lr·λ| of each mode, most at both ends, where 1 − lr·μ = lr·L − 1."""
    left = _errors(replace(problem, spectrum="linear"), 3000, 2 / (1 + 1 / problem.condition))
    return (left[3000] / left[2000]).item() ** (1 / 1000)


@claim(
    Quadratic,
    "what a step of heavy ball leaves, read off steps 150 to 400: more than its radius, 0.93869",
    stated=0.94238,
    within=about(0.94238, abs=3e-5),  # at 150 and 400 steps the other modes are not quite gone
    source="Polyak 1964; derived",
)
def rate_of_heavy_ball(problem: Quadratic) -> float:
    """The radius is (√κ − 1)/(√κ + 1), but both roots coincide at λ = L, and at μ: the error is ~ t ρᵗ.

    So the slope between 150 and 400 reads ρ (400/150)^(1/250) = 0.93869 · 1.00393.
    """
    left = _errors(replace(problem, spectrum="linear"), 400, *_polyak(problem))
    return (left[400] / left[150]).item() ** (1 / 250)


@claim(
    Quadratic,
    "how far heavy ball overshoots from an error that is 1 in every mode of two clusters",
    stated=8.25,
    within=about(8.25, abs=0.005),
    source="Goh 2017, Why Momentum Really Works: transients; computed",
)
def overshoot_of_heavy_ball(problem: Quadratic) -> float:
    left = _errors(replace(problem, spectrum="two_cluster"), 100, *_polyak(problem))
    return (left.max() / left[0]).item()


@claim(
    Quadratic,
    "what 400 steps of Chebyshev's iteration leave of the error on two clusters, over the bound 2.044e-11",
    stated=1.0,
    within=about(1.0, rel=1e-9),  # 400 steps of rounding
    source="Golub & Varga 1961: 2/(Rᵗ + R⁻ᵗ), R = (√κ + 1)/(√κ − 1)",
)
def chebyshev_on_two_clusters(problem: Quadratic) -> float:
    left, bound = _chebyshev(replace(problem, spectrum="two_cluster", rotated=False), 400)
    return left / bound


@claim(
    Quadratic,
    "the same on a log-uniform spectrum: the bound is not met",
    stated="below 0.9",
    within=(0.3, 0.9),
    source="Golub & Varga 1961",
)
def chebyshev_on_loguniform(problem: Quadratic) -> float:
    left, bound = _chebyshev(replace(problem, rotated=False), 400)
    return left / bound


@claim(
    Quadratic,
    "what each exact line search from (κ, 1) leaves of the loss: a zig-zag for ever",
    stated=0.996007988,
    within=about(0.996007988, abs=1e-9),  # 50 steps of rounding
    source="Akaike 1959: ((κ − 1)/(κ + 1))² = 1 − 4κ/(κ + 1)²",
)
def zigzag(problem: Quadratic) -> float:
    variant = replace(problem, dim=2, rotated=False)
    data = variant.example()
    x = data["minimizer"] + torch.tensor([problem.condition, 1.0])
    losses = []
    for _ in range(51):
        value, gradient = variant.value_and_gradient(x, data)
        losses.append(value)
        curved = gradient @ variant.hvp(x, data, gradient)
        x = x - gradient.square().sum() / curved * gradient
    return (losses[50] / losses[0]).item() ** (1 / 50)


@claim(
    Quadratic,
    "conjugate gradients' steps to 1e-16 of the loss on two clusters: the condition is not all",
    stated=2.0,
    within=(2.0, 2.0),
    source="Hestenes & Stiefel 1952: one for each distinct curvature",
)
def conjugate_gradients_on_two_clusters(problem: Quadratic) -> float:
    problem = replace(problem, spectrum="two_cluster")
    data = problem.example()
    x, steps = data["start"], 0
    value, gradient = problem.value_and_gradient(x, data)
    direction, enough = -gradient, 1e-16 * value
    while problem.loss(x, data) > enough:
        length = gradient.square().sum() / (direction @ problem.hvp(x, data, direction))
        x, before = x + length * direction, gradient
        gradient = problem.value_and_gradient(x, data)[1]
        direction = -gradient + gradient.square().sum() / before.square().sum() * direction
        steps += 1
    return float(steps)


@claim(
    Quadratic,
    "the condition at which 1000 steps of descent miss the target of 1e-4, were all modes at the ends",
    stated=434.0,
    within=about(434.0, rel=0.02),  # the grid of conditions
    source="derived: 4B/ln(1/target)",
)
def breaking_point_of_descent(problem: Quadratic) -> float:
    return problem.card.theory["sgd"](replace(problem, spectrum="two_cluster"), 1000)


def portrait(problem: Quadratic) -> Plane:
    """Draw two modes of a bowl whose condition number is small enough to see both."""
    bowl = replace(problem, dim=2, condition=min(problem.condition, 20.0), rotated=False)
    minimizer = bowl.example()["minimizer"]
    side = math.sqrt(bowl.condition)
    return Plane(
        caption=f"A bowl with condition number {bowl.condition:g}. Any step that suits the steep direction is too "
        "short for the flat one: gradient descent zig-zags down the valley. Heavy ball gets along it in fewer steps, "
        "and Newton's method is there in one.",
        window=((-0.6 * side, 1.1 * side), (-0.8 * side, 0.8 * side)),
        paths=(
            ("sgd", {"lr": 1.85}),
            ("momentum", {"lr": 0.6, "momentum": 0.6}),
            ("newton", {}),
        ),
        steps=30,
        start=minimizer + torch.tensor([side, 0.6 * side]),
        origin=minimizer,
        axes=torch.eye(2),
        x_label="direction of the least curvature",
        y_label="direction of the largest curvature",
        variant=bowl,
    )
