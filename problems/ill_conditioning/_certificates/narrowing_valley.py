"""The evidence for `narrowing_valley`: claims and portrait."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.ill_conditioning.narrowing_valley import NarrowingValley, _breaking_point_of_descent
from problems.portrait import Curves
from problems.problem import Tree


def _steep(problem: NarrowingValley) -> NarrowingValley:
    """Return the valley of the stated figures: k = 1 and 20 walls."""
    return replace(problem, narrowing=problem.length, walls=20)


def _growth(problem: NarrowingValley) -> list[float]:
    """Return the factors by which gᵀg and gᵀHg grow while the walls' curvature goes from 1 to 25, at η = 0.01."""
    problem = _steep(problem)
    data = problem.example()
    points = list(itertools.islice(problem.noisy_descent(data, 0.01, 64), 345))
    early, late = (
        problem.squares(torch.stack(part), data).mean((0, 1))
        for part in (points[:10], points[-20:])
    )
    return (late / early).tolist()


def _parked(problem: NarrowingValley, lr: float) -> tuple[NarrowingValley, Tree, torch.Tensor]:
    """Return the valley, its data and the points (400, 16, dim) where descent at this rate is parked."""
    problem = _steep(problem)
    data = problem.example()
    settled = int(8 / lr)  # it takes ln(2/η) of x, at a speed of η
    points = itertools.islice(problem.noisy_descent(data, lr), settled, settled + 400)
    return problem, data, torch.stack(list(points))


@claim(
    NarrowingValley,
    "gᵀg changes by this factor while the walls' curvature grows 25-fold",
    stated=1.13,
    within=(0.5, 1.3),
    source="derived; Goodfellow, Bengio & Courville 2016, section 8.2.1: it does not shrink significantly",
)
def gradient_growth(problem: NarrowingValley) -> float:
    """Measure it: from 1 to (1 − x/X)² + 25 m η σ²/(2 − 25η) = 0.876 + 0.257."""
    return _growth(problem)[0]


@claim(
    NarrowingValley,
    "gᵀHg grows by this factor on the same way",
    stated="above 10",
    within=(100.0, 1000.0),  # by how much: measured here
    source="Goodfellow, Bengio & Courville 2016, section 8.2.1: by more than an order of magnitude; the accepted range "
    "is measured here",
)
def curvature_growth(problem: NarrowingValley) -> float:
    return _growth(problem)[1]


@claim(
    NarrowingValley,
    "the walls' curvature where descent is parked, over (2 − k m η σ²/2(1 − x/X))/η, at η = 0.01",
    stated=1.0,
    within=about(1.0, rel=0.05),
    source="derived; the edge of stability of Cohen et al. 2021",
)
def parked_curvature(problem: NarrowingValley) -> float:
    """Compare with the balance along: 1 − x/X = ½ k h m s, s = η σ²/(h (2 − η h)) being the mean square of each y.

    The mean field is 1 % off where η h is so near 2 and the tails of |y|² are heavy; so is the figure.
    """
    problem, data, x = _parked(problem, 0.01)
    along = 1 + (x - data["minimizer"])[..., 0].mean().item() / problem.length
    back = problem.rate * problem.walls * 0.01 * problem.noise**2 / (2 * (1 - along))
    return problem.stiffness(x, data).mean().item() / ((2 - back) / 0.01)


@claim(
    NarrowingValley,
    "half the rate is parked farther by this much, times k",
    stated=math.log(2),
    within=about(math.log(2), abs=0.05),  # the parked curvatures' 5 %
    source="derived: ln(2/η)/k",
)
def gain_by_half_the_rate(problem: NarrowingValley) -> float:
    whole, half = (
        (variant.rate * x[..., 0]).mean().item()
        for variant, _, x in (_parked(problem, 0.01), _parked(problem, 0.005))
    )
    return half - whole


@claim(
    NarrowingValley,
    "the book's ratio ½η gᵀHg/gᵀg where descent is parked",
    stated="at least 1",
    within=(1.0, 1.16),  # by how much: measured here
    source="Goodfellow, Bengio & Courville 2016, section 8.2.1: from 1 on a step no longer descends; the accepted "
    "range is measured here",
)
def book_ratio(problem: NarrowingValley) -> float:
    problem, data, x = _parked(problem, 0.01)
    gradients, curved = problem.squares(x[::10], data).mean((0, 1)).tolist()
    return 0.01 / 2 * curved / gradients


@claim(
    NarrowingValley,
    "the loss where descent is parked, at η = 0.01, of 25 at the start",
    stated=20.881,
    within=about(20.881, rel=0.01),
    source="derived",
)
def parked_loss(problem: NarrowingValley) -> float:
    """Measure ½ X (1 − x/X)² + (1 − x/X)/k: the walls hold what the balance along, as above, asks.

    It has e^(kx) = h at x = 5.2933, a little before ln(2/η)/k = 5.2983.
    """
    problem, data, x = _parked(problem, 0.01)
    return problem.loss(x, data).mean().item()


@claim(
    NarrowingValley,
    "without narrowing descent ends at the noise's floor, over m η σ²/2(2 − η)",
    stated=1.0,
    within=about(1.0, rel=0.05),  # five standard errors: 2000 independent χ² of 20 each
    source="derived: the stationary variance of each y",
    slow=True,
)
def floor_of_control(problem: NarrowingValley) -> float:
    problem = replace(_steep(problem), narrowing=0.0)
    data = problem.example()
    points = itertools.islice(problem.noisy_descent(data, 0.01), 30000, 45000, 20)
    floor = problem.walls * 0.01 * problem.noise**2 / (2 * (2 - 0.01))
    return problem.loss(torch.stack(list(points)), data).mean().item() / floor


@claim(
    NarrowingValley,
    "the narrowing at which the best constant rate misses the target, over that of the mean field",
    stated=1.0,
    within=about(1.0, rel=0.05),
    source="derived: the mean field of noisy gradient descent",
    slow=True,
)
def breaking_point_of_descent(problem: NarrowingValley) -> float:
    data, steps = problem.example(), int(problem.budget)
    lr = torch.logspace(-1.5, -0.5, 16)[:, None, None]

    def solves(narrowing: float) -> bool:
        rung = replace(problem, narrowing=narrowing)
        points = itertools.islice(rung.noisy_descent(data, lr, 4), steps * 9 // 10, steps, 5)
        loss = rung.loss(torch.stack(list(points)), data).mean((0, -1))
        return bool((loss <= problem.card.target * problem.length / 2).any())

    low, high = 2.0, 6.0
    for _ in range(6):
        middle = (low + high) / 2
        low, high = (middle, high) if solves(middle) else (low, middle)
    return (low + high) / 2 / _breaking_point_of_descent(problem, problem.budget)


def portrait(problem: NarrowingValley) -> Curves:
    problem, lr = _steep(problem), torch.tensor(0.01)
    data = problem.example()
    points = itertools.islice(problem.noisy_descent(data, lr), 0, 900, 25)
    squares = problem.squares(torch.stack(list(points)), data).mean(1)
    steps, every = torch.arange(0.0, 900, 25), torch.arange(900.0)
    rate = torch.tensor(problem.rate)
    places = itertools.islice(problem.mean_field(rate, lr), 900)
    x, stiffness, square = (torch.stack(each) for each in zip(*places, strict=True))
    wall = stiffness * problem.walls * square / 2
    slope = rate * wall - (1 - x / problem.length)
    gradients = slope.square() + 2 * stiffness * wall
    curved = (
        (1 / problem.length + rate.square() * wall) * slope.square()
        + 4 * rate * slope * stiffness * wall
        + 2 * stiffness.square() * wall
    )
    return Curves(
        caption="gᵀHg grows a hundredfold while gᵀg stays, until ½η² gᵀHg = η gᵀg: there gradient descent is parked, "
        "at four fifths of the loss. The lines are a mean-field theory.",
        x_label="step of gradient descent",
        y_label="of the exact gradient and Hessian",
        lines={"gᵀg": (every, gradients), "gᵀHg": (every, curved)},
        dots={"gᵀg": (steps, squares[:, 0]), "gᵀHg": (steps, squares[:, 1])},
        y_scale="log",
    )
