"""The evidence for `needle`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.descent import descent
from problems.plateaus.needle import Needle, flow_time
from problems.portrait import Curves


def portrait(problem: Needle) -> Curves:
    radii = torch.linspace(1.5, 4.5, 7)
    steps = [time_of_descent(problem, radius, lr=0.5) for radius in radii.tolist()]
    fixed = [time_of_fixed_steps(problem, radius) for radius in radii.tolist()]
    smooth = torch.linspace(1.2, 6, 49)
    return Curves(
        caption="The steps to the well grow like exp(r₀²/2) for gradient descent, as gradient flow predicts, and "
        "like r₀ for steps of a fixed length.",
        x_label="distance r₀ of the start",
        y_label="steps to distance 1",
        lines={
            "gradient descent, rate ½": (
                smooth,
                torch.tensor([2 * flow_time(r, 1.0) for r in smooth.tolist()]),
            ),
            "steps of 0.1": (smooth, (smooth - 1) / 0.1),
        },
        dots={
            "gradient descent, rate ½": (radii, 2 * torch.tensor(steps)),
            "steps of 0.1": (radii, torch.tensor(fixed)),
        },
        y_scale="log",
    )


def time_of_descent(problem: Needle, radius: float, lr: float) -> float:
    """Return lr times the steps that gradient descent takes to r = 1, the last one in proportion."""
    data = replace(problem, radius=radius).example()
    before = radius
    for step, x in enumerate(descent(problem, data, data["start"], lr)):
        now = problem.distance(x, data).item()
        if now <= 1:
            return lr * (step - (1 - now) / (before - now)) if step else 0.0
        before = now
    raise AssertionError("descent has no end")


def time_of_fixed_steps(problem: Needle, radius: float) -> float:
    """Return how many steps of length 0.1 along the gradient lead to r = 1."""
    data = replace(problem, radius=radius).example()
    x, steps = data["start"], 0
    while problem.distance(x, data) > 1 + 1e-9:
        gradient = problem.value_and_gradient(x, data)[1]
        x, steps = x - 0.1 * gradient / gradient.norm(), steps + 1
    return float(steps)


def vanishes(problem: Needle, dtype: torch.dtype) -> float:
    """Return the distance from which on the gradient is exactly zero, to 0.01."""
    data = {"minimizer": torch.zeros(problem.dim, dtype=dtype)}
    x = torch.linspace(0.01, 50, 5000, dtype=dtype)[:, None]
    x = x * torch.eye(problem.dim, dtype=dtype)[0]
    gradient = problem.value_and_gradient(x, data)[1]
    return x[gradient.any(-1), 0].max().item()


@claim(
    Needle,
    "From r₀ = 4 the flow takes so long to r = 1",
    stated=219.963,
    within=about(219.963, rel=2e-3),
    source="½ [Ei(8) − Ei(½)]",
)
def time_from_four(problem: Needle) -> float:
    """Measure by descent at lr = 0.1, which lags by lr/2 times the log of the speedup: by 0.3."""
    return time_of_descent(problem, 4.0, lr=0.1)


@claim(
    Needle,
    "From r₀ = 5 the flow takes so long to r = 1",
    stated=11782.33,
    within=about(11782.33, rel=2e-3),
    source="½ [Ei(12.5) − Ei(½)]; a well half as wide takes a quarter, 2945.6",
    slow=True,
)
def time_from_five(problem: Needle) -> float:
    """Measure by descent at lr = 1, which lags by 6, as above."""
    return time_of_descent(problem, 5.0, lr=1.0)


@claim(
    Needle,
    "Steps of a fixed length from r₀ = 6 to r = 1, over those from 3.5",
    stated=2.0,
    within=(2.0, 2.0),
    source="(6 − 1)/(3.5 − 1)",
)
def fixed_steps_from_six(problem: Needle) -> float:
    return time_of_fixed_steps(problem, 6.0) / time_of_fixed_steps(problem, 3.5)


@claim(
    Needle,
    "The curvatures at the start are e^(−r²/2), and e^(−r²/2) (1 − r²) towards m, but for this share",
    stated=0.0,
    within=(0.0, 1e-9),
    source="the Hessian is e^(−r²/2) (I − (x − m)(x − m)ᵀ)",
)
def error_of_the_curvatures(problem: Needle) -> float:
    data = problem.example()
    curvatures = torch.linalg.eigvalsh(problem.hessian(data["start"], data))
    predicted = torch.ones(problem.dim)
    predicted[0] = 1 - problem.radius**2
    return (curvatures * math.exp(problem.radius**2 / 2) - predicted).abs().max().item()


@claim(
    Needle,
    "In float32 the gradient is exactly zero from here on",
    stated="13.2 to 14.4",
    within=(13.2, 14.5),
    source="e^(−r²/2) below the smallest normal number, 1.2e-38, or the smallest at all, 1.4e-45",
)
def vanishes_in_float32(problem: Needle) -> float:
    """Return the first of the two bounds, or the second if the machine keeps subnormal numbers."""
    return vanishes(problem, torch.float32)


@claim(
    Needle,
    "In float64 the gradient is exactly zero from here on",
    stated=38.6,
    within=(37.6, 38.7),
    source="e^(−r²/2) below 2.2e-308, or 4.9e-324",
)
def vanishes_in_float64(problem: Needle) -> float:
    return vanishes(problem, torch.float64)
