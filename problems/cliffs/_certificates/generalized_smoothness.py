"""The evidence for `generalized_smoothness`: claims and portrait."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.cliffs.generalized_smoothness import LENGTH, GeneralizedSmoothness
from problems.descent import descent
from problems.portrait import Curves


def measured_steps(
    problem: GeneralizedSmoothness, radii: list[float], clipped: bool
) -> torch.Tensor:
    """Return the steps that descent needs from each of these radii: at 0.98 of the largest rate, or clipped.

    At the largest rate x would not shrink. The clipped one has the rate 0.9 and steps of at most ½.
    """
    data, x, rates = {}, [], []
    for radius in radii:
        variant = replace(problem, radius=radius)
        data = variant.example()
        x.append(data["start"])
        rates.append(0.9 if clipped else 0.98 * variant.largest_rate())
    threshold = 0.5 / 0.9 if clipped else math.inf
    path = descent(problem, data, torch.stack(x), torch.tensor(rates)[:, None], 0.0, threshold)
    steps = torch.full((len(radii),), math.nan)
    for step, point in enumerate(itertools.islice(path, 200_000)):
        solved = problem.solved(point, point[..., 0], None, data) & steps.isnan()
        if solved.any():
            steps[solved] = float(step)
            if not steps.isnan().any():
                break
    return steps


@claim(
    GeneralizedSmoothness,
    "the slope of ln(steps of gradient descent) over R, between 4 and 6",
    stated="1 − ln(6/4)/2 = 0.797, on its way to 1",
    within=about(0.7973, abs=0.005),  # of whole steps, and of some in which x goes to 0
    source="Zhang et al. 2020, theorem 4: M/R, M = sinh R",
)
def slope_of_descent(problem: GeneralizedSmoothness) -> float:
    first, second = measured_steps(problem, [4.0, 6.0], clipped=False).log().tolist()
    return (second - first) / 2


@claim(
    GeneralizedSmoothness,
    "the same between 8 and 10",
    stated="1 − ln(10/8)/2 = 0.888",
    within=about(0.8884, abs=0.005),
    source="Zhang et al. 2020, theorem 4",
    slow=True,
)
def slope_of_descent_farther_out(problem: GeneralizedSmoothness) -> float:
    first, second = measured_steps(problem, [8.0, 10.0], clipped=False).log().tolist()
    return (second - first) / 2


@claim(
    GeneralizedSmoothness,
    "steps of gradient descent from R = 6, over those that its theory foretells at 0.98 of the rate",
    stated=1.0,
    within=about(1.0, abs=0.01),  # a step is 1/2300 of them, and x takes some dozens to settle
    source="steps_of_descent",
)
def steps_over_theory(problem: GeneralizedSmoothness) -> float:
    steps = measured_steps(problem, [6.0], clipped=False).item()
    return 0.98 * steps / replace(problem, radius=6.0).steps_of_descent()


@claim(
    GeneralizedSmoothness,
    "more steps of clipped descent per unit of R, at step lengths of at most γ = ½",
    stated="1/γ = 2",
    within=about(2.0, abs=0.1),  # of whole steps over the ten units from 2 to 12
    source="Zhang et al. 2020, theorem 3: the wall is climbed down in steps of length γ",
)
def slope_of_clipped_descent(problem: GeneralizedSmoothness) -> float:
    first, second = measured_steps(problem, [2.0, 12.0], clipped=True).tolist()
    return (second - first) / 10


@claim(
    GeneralizedSmoothness,
    "the largest curvature over 1 + L |∇f|, among 10,000 points",
    stated="at most 1",
    within=(0.5, 1.0),  # near 1 on the wall; a wall like x⁴ would stay far below
    source="Zhang et al. 2020, definition 1: cosh ≤ 1 + |sinh|, and ψ'' ≤ 3s/2 ≤ 1",
)
def generalized_smoothness(problem: GeneralizedSmoothness) -> float:
    data = problem.example()
    size = torch.tensor([problem.radius, LENGTH])
    points = 2 * torch.rand(10_000, 2, generator=torch.Generator().manual_seed(1)) - 1
    x = data["minimizer"] + (points * size) @ data["axes"].T
    curvature = torch.linalg.eigvalsh(problem.hessian(x, data))[:, -1]
    slope = problem.value_and_gradient(x, data)[1].norm(dim=-1)
    return (curvature / (1 + problem.growth * slope)).max().item()


@claim(
    GeneralizedSmoothness,
    "the largest rate at which descent does not go up from R = 8, over 2R/M",
    stated=1.0,
    within=about(1.0, abs=0.001),  # twice the grid of rates
    source="Zhang et al. 2020, proof of theorem 4",
)
def largest_rate_measured(problem: GeneralizedSmoothness) -> float:
    problem = replace(problem, radius=8.0)
    data = problem.example()
    shares = torch.linspace(0.95, 1.05, 201)
    x = data["start"].expand(201, 2)
    path = descent(problem, data, x, problem.largest_rate() * shares[:, None])
    end = next(itertools.islice(path, 300, None))
    stable = problem.loss(end, data) <= problem.loss(x, data)
    return shares[stable].max().item()


def portrait(problem: GeneralizedSmoothness) -> Curves:
    radii = [1.0, 2.0, 3.0, 4.0, 5.0]
    fine = torch.linspace(1, 12, 100, dtype=torch.float64)
    predicted = [replace(problem, radius=each).steps_of_descent() for each in fine.tolist()]
    far = [*radii, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0]
    clipped = measured_steps(problem, far, clipped=True)
    return Curves(
        caption="From farther up the wall gradient descent at its largest stable rate needs exponentially more "
        "steps; clipped at a step length of ½ it needs 2 more per unit.",
        x_label="distance R of the start",
        y_label="steps to the minimum",
        lines={
            "gradient descent": (fine, torch.tensor(predicted)),
            "2 more per unit of R": (fine, clipped[0] + 2 * (fine - far[0])),
        },
        dots={
            "gradient descent": (
                torch.tensor(radii),
                measured_steps(problem, radii, clipped=False),
            ),
            "clipped descent": (torch.tensor(far), clipped),
        },
        y_scale="log",
    )
