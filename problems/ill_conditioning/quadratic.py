"""A quadratic bowl, and how far gradient descent and heavy ball get on one."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.geometry import random_rotation
from problems.portrait import Curves
from problems.problem import Card, CriticalPoint, Tree
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import Refused, nearest, require

Spectrum = Literal["loguniform", "linear", "two_cluster", "power_law", "outliers"]


def gap_left(
    curvatures: torch.Tensor, lr: torch.Tensor, momentum: torch.Tensor, steps: int
) -> torch.Tensor:
    """The share of the gap that heavy ball leaves, on average over whitened starts.

    On a mode of curvature λ the error obeys e[t+1] = (1 + β − lr·λ) e[t] − β e[t−1], e[−1] = e[0]:
    a power of a 2 × 2 matrix. A whitened start gives every mode the same expected share of the gap,
    so what is left is the mean of (e[t]/e[0])² over the modes. β = 0 is gradient descent, which
    leaves (1 − lr·λ)^2t.

    `curvatures` is (dim,); `lr` and `momentum` are (*settings), and so is the answer.
    """
    slope = 1 + momentum[..., None] - lr[..., None] * curvatures
    lag = -momentum[..., None].expand_as(slope)
    one, zero = torch.ones_like(slope), torch.zeros_like(slope)
    step = torch.stack([torch.stack([slope, lag], -1), torch.stack([one, zero], -1)], -2)
    error = torch.linalg.matrix_power(step, steps)[..., 0, :].sum(-1)
    return error.square().mean(-1)


def gap_left_by_descent(curvatures: torch.Tensor, steps: int) -> float:
    """The same for gradient descent at the best constant rate, 2/(L + μ)."""
    lr = 2 / (curvatures.max() + curvatures.min())
    return gap_left(curvatures, lr, torch.zeros_like(lr), steps).item()


def gap_left_by_momentum(curvatures: torch.Tensor, steps: int) -> float:
    """The same for heavy ball at the best of Polyak's constants.

    For curvatures in [m, L] they are lr = 4/(√L + √m)² and β = ((√L − √m)/(√L + √m))². In the long
    run m = μ is best; within few steps a larger m gains more on all the other modes than it loses
    on the slowest. So this is the best of 64 values of m from μ to L. Polyak 1964.
    """
    largest, smallest = curvatures.max().sqrt(), curvatures.min().sqrt()
    assumed = smallest * (largest / smallest) ** torch.linspace(0, 1, 64, dtype=curvatures.dtype)
    lr = 4 / (largest + assumed) ** 2
    momentum = ((largest - assumed) / (largest + assumed)) ** 2
    return gap_left(curvatures, lr, momentum, steps).min().item()


def _condition_where(
    left: Callable[[torch.Tensor, int], float],
) -> Callable[[Quadratic, float], float]:
    """The smallest condition, to 2 %, at which that many steps leave more than the target.

    Were all modes as slow as the slowest, descent would leave ((κ − 1)/(κ + 1))^2B ≈ e^(−4B/κ), and
    break at κ = 4B/ln(1/target): 434 for B = 1000 and 1e-4. Where most modes are faster, it is
    more: 676 for the log-uniform spectrum. Heavy ball's slowest modes keep e^(−4B/√κ) times the
    square of a factor that grows like B/√κ: 76,000.
    """

    def breaking_point(problem: Quadratic, budget: float) -> float:
        def fails(exponent: float) -> bool:
            curvatures = replace(problem, condition=10**exponent).curvatures()
            return left(curvatures, int(budget)) > problem.card.target

        exponents = [each / 100 for each in range(1201)]
        first = bisect.bisect_left(exponents, True, key=fails)
        return 10 ** exponents[first] if first < len(exponents) else math.inf

    return breaking_point


def breaking_point_of_newton(problem: Any, budget: float) -> float:
    """Never, on a quadratic, where there is the budget for one step: a gradient and a Hessian."""
    return math.inf if budget >= 1 + 2 * problem.dim else 1.0


@register("quadratic")
@dataclass(frozen=True)
class Quadratic(QuadraticForm):
    """A rotated bowl with a chosen condition number κ.

    f(x) = ½ (x − m)ᵀ H (x − m), H = Q diag(λ) Qᵀ, λ from 1/κ to 1.

    A step that suits the steepest direction is κ times too short for the flattest: a step of
    gradient descent leaves at best (κ − 1)/(κ + 1) of the error, one of heavy ball
    (√κ − 1)/(√κ + 1), one of Newton nothing. The start is m + H^-½ z with Gaussian z, so that every
    mode counts alike in the gap; from a start that ignores the curvature, flat directions hold no
    loss, and beyond some κ nothing gets harder.

    dim: x is (dim,).
    condition: κ, at most 1e12. Beyond it float64 rounds the small eigenvalues of H to noise;
        float32 does from about 1e6.
    spectrum: "loguniform"; "linear"; "two_cluster", half the modes at each end; "power_law",
        λ_i = i^-a; "outliers", ten large modes above a bulk of small ones, as in the Hessians of
        networks (Sagun, Bottou & LeCun 2016, arXiv:1611.07476).
    rotated: False leaves the modes along the axes, where a diagonal preconditioner is all it takes.

    Deep Learning, section 8.2.1; Polyak 1964; Nesterov 2004, chapter 2.
    """

    dim: int = 100
    condition: float = 1e3
    spectrum: Spectrum = "loguniform"
    rotated: bool = True

    card = Card(
        dial="condition",
        scale="log",
        ladder=(1.0, 1e3, 1e5),
        quick={"dim": 20},
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"condition": 1.0},
        signature="largest over smallest curvature at the start",
        threshold=10.0,
        truth="One minimum, 0 at m, and no other critical point; the Hessian is H everywhere.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.1; Polyak 1964",
        theory={
            "sgd": _condition_where(gap_left_by_descent),
            "momentum": _condition_where(gap_left_by_momentum),
            "newton": breaking_point_of_newton,
        },
    )

    def __post_init__(self) -> None:
        require("quadratic", "dim", self.dim, low=1, whole=True)
        require("quadratic", "condition", self.condition, low=1, high=1e12)
        if self.spectrum not in get_args(Spectrum):
            allowed = nearest(str(self.spectrum), get_args(Spectrum))
            raise Refused(f"quadratic.spectrum is {self.spectrum!r}: {allowed}")
        if self.dim == 1 and self.condition != 1:
            raise Refused(
                f"quadratic.condition is {self.condition!r}, but must be 1 where dim is 1: "
                "one direction has one curvature"
            )

    def curvatures(self) -> torch.Tensor:
        """The eigenvalues of H, the smallest exactly 1/condition and the largest 1: (dim,)."""
        low, half, few = 1 / self.condition, self.dim // 2, min(10, self.dim // 2)
        spread = partial(torch.linspace, dtype=torch.float64)
        match self.spectrum:
            case "linear":
                return spread(low, 1, self.dim)
            case "two_cluster":
                return torch.cat([low * spread(1, 1, half), spread(1, 1, self.dim - half)])
            case "power_law":
                return low ** (spread(self.dim, 1, self.dim).log() / math.log(max(self.dim, 2)))
            case "outliers":
                bulk = low * min(10, self.condition) ** spread(0, 1, self.dim - few)
                return torch.cat([bulk, 1 - min(0.5, 1 - low) * spread(1, 0, few + 1)[1:]])
            case _:
                return low ** spread(1, 0, self.dim)

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        whitened = torch.randn(self.dim, generator=generator)
        basis = random_rotation(self.dim, generator) if self.rotated else torch.eye(self.dim)
        curvatures = self.curvatures()
        return {
            "start": minimizer + basis @ (whitened / curvatures.sqrt()),
            "minimizer": minimizer,
            "hessian": (basis * curvatures) @ basis.T,
        }

    def signature(self, data: Tree) -> float:
        curvatures = torch.linalg.eigvalsh(self.hessian(data["start"], data))
        return (curvatures[-1] / curvatures[0]).item()

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """The minimum."""
        return (CriticalPoint(data["minimizer"], 0.0, index=0),)

    # What is known of methods on it, at κ = 1000.

    def _errors(self, count: int, lr: float, momentum: float = 0.0) -> torch.Tensor:
        """Distances to the minimizer at count + 1 points of heavy ball, from an error of 1 in every mode."""
        problem = replace(self, rotated=False)
        data = problem.example()
        points = descent(problem, data, data["minimizer"] + 1, lr, momentum)
        return problem.distance(torch.stack(list(itertools.islice(points, count + 1))), data)

    def _polyak(self) -> tuple[float, float]:
        """Heavy ball's lr and momentum, the best in the long run."""
        root = math.sqrt(1 / self.condition)
        return 4 / (1 + root) ** 2, ((1 - root) / (1 + root)) ** 2

    def _chebyshev(self, steps: int) -> tuple[float, float]:
        """The share of the error that Chebyshev's iteration leaves, and the bound 2/(Rᵗ + R⁻ᵗ) on it.

        Of all polynomials of that degree with p(0) = 1 it takes that which is least on [1/κ, 1]:
        e[t] = T_t((middle − H)/half)/T_t(middle/half) e[0], by the recursion of the T_t. The
        iteration is linear, so it is run on the error: beside the minimizer digits would be lost.
        """
        data = self.example()
        low = 1 / self.condition
        middle, half = (1 + low) / 2, (1 - low) / 2
        start = data["start"] - data["minimizer"]

        def turned(error: torch.Tensor) -> torch.Tensor:
            return (middle * error - self.hvp(error, data, error)) / half

        growth = middle / half
        before, error, weight = start, turned(start) / growth, growth
        for _ in range(steps - 1):
            after = 2 * growth - 1 / weight  # T_{t+1}/T_t at middle/half
            error, before = (2 * turned(error) - before / weight) / after, error
            weight = after
        root = math.sqrt(self.condition)
        ratio = (root + 1) / (root - 1)
        return (error.norm() / start.norm()).item(), 2 / (ratio**steps + ratio**-steps)

    @Claim(
        "what a step of gradient descent leaves of the error, in the long run, on a linear spectrum",
        stated=0.998002,
        within=about(0.998002, abs=1e-6),
        source="Cauchy 1847: (κ − 1)/(κ + 1) at lr 2/(L + μ)",
    )
    def rate_of_descent(self) -> float:
        left = replace(self, spectrum="linear")._errors(3000, 2 / (1 + 1 / self.condition))
        return (left[3000] / left[2000]).item() ** (1 / 1000)

    @Claim(
        "what a step of heavy ball leaves, read off steps 150 to 400: more than its radius, 0.93869",
        stated=0.94238,
        within=about(0.94238, abs=3e-5),  # at 150 and 400 steps the other modes are not quite gone
        source="Polyak 1964; derived",
    )
    def rate_of_heavy_ball(self) -> float:
        """The radius is (√κ − 1)/(√κ + 1), but both roots coincide at λ = L, and at μ: the error is ~ t ρᵗ.

        So the slope between 150 and 400 reads ρ (400/150)^(1/250) = 0.93869 · 1.00393.
        """
        left = replace(self, spectrum="linear")._errors(400, *self._polyak())
        return (left[400] / left[150]).item() ** (1 / 250)

    @Claim(
        "how far heavy ball overshoots from an error that is 1 in every mode of two clusters",
        stated=8.25,
        within=about(8.25, abs=0.005),
        source="Goh 2017, Why Momentum Really Works: transients; computed",
    )
    def overshoot_of_heavy_ball(self) -> float:
        left = replace(self, spectrum="two_cluster")._errors(100, *self._polyak())
        return (left.max() / left[0]).item()

    @Claim(
        "what 400 steps of Chebyshev's iteration leave of the error on two clusters, over the bound 2.044e-11",
        stated=1.0,
        within=about(1.0, rel=1e-9),  # 400 steps of rounding
        source="Golub & Varga 1961: 2/(Rᵗ + R⁻ᵗ), R = (√κ + 1)/(√κ − 1)",
    )
    def chebyshev_on_two_clusters(self) -> float:
        left, bound = replace(self, spectrum="two_cluster", rotated=False)._chebyshev(400)
        return left / bound

    @Claim(
        "the same on a log-uniform spectrum: the bound is not met",
        stated="below 0.9",
        within=(0.3, 0.9),
        source="Golub & Varga 1961",
    )
    def chebyshev_on_loguniform(self) -> float:
        left, bound = replace(self, rotated=False)._chebyshev(400)
        return left / bound

    @Claim(
        "what each exact line search from (κ, 1) leaves of the loss: a zig-zag for ever",
        stated=0.996007988,
        within=about(0.996007988, abs=1e-9),  # 50 steps of rounding
        source="Akaike 1959: ((κ − 1)/(κ + 1))² = 1 − 4κ/(κ + 1)²",
    )
    def zigzag(self) -> float:
        problem = replace(self, dim=2, rotated=False)
        data = problem.example()
        x = data["minimizer"] + torch.tensor([self.condition, 1.0])
        losses = []
        for _ in range(51):
            value, gradient = problem.value_and_gradient(x, data)
            losses.append(value)
            curved = gradient @ problem.hvp(x, data, gradient)
            x = x - gradient.square().sum() / curved * gradient
        return (losses[50] / losses[0]).item() ** (1 / 50)

    @Claim(
        "conjugate gradients' steps to 1e-16 of the loss on two clusters: the condition is not all",
        stated=2.0,
        within=(2.0, 2.0),
        source="Hestenes & Stiefel 1952: one for each distinct curvature",
    )
    def conjugate_gradients_on_two_clusters(self) -> float:
        problem = replace(self, spectrum="two_cluster")
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

    @Claim(
        "the condition at which 1000 steps of descent miss the target of 1e-4, were all modes at the ends",
        stated=434.0,
        within=about(434.0, rel=0.02),  # the grid of conditions
        source="derived: 4B/ln(1/target)",
    )
    def breaking_point_of_descent(self) -> float:
        return self.card.theory["sgd"](replace(self, spectrum="two_cluster"), 1000)

    def portrait(self) -> Curves:
        curvatures = self.curvatures()
        steps = torch.arange(0, 1001, 20)
        zero = torch.zeros((), dtype=torch.float64)
        ball = [torch.tensor(each, dtype=torch.float64) for each in self._polyak()]
        rate = 2 / (curvatures.max() + curvatures.min())
        predicted = {
            "gradient descent, predicted": (rate, zero),
            "heavy ball, predicted": (ball[0], ball[1]),
        }
        data, dots = self.example(), {}
        for name, (lr, momentum) in zip(
            ("gradient descent", "heavy ball"), predicted.values(), strict=True
        ):
            points = itertools.islice(descent(self, data, data["start"], lr, momentum), 0, 1001, 20)
            losses = self.loss(torch.stack(list(points)), data)
            dots[name] = (steps, losses / losses[0])
        return Curves(
            caption="What is left of the gap: descent keeps the slow modes, heavy ball needs the root of "
            "the steps.",
            x_label="step",
            y_label="gap",
            lines={
                name: (steps, torch.stack([gap_left(curvatures, *each, int(t)) for t in steps]))
                for name, each in predicted.items()
            },
            dots=dots,
            y_scale="log",
        )
