"""A quadratic bowl with a chosen condition number."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import torch

from problems.geometry import random_rotation, random_signs, rotated
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.quadratic_form import QuadraticForm, gap_left_by_descent, gap_left_by_momentum
from problems.registry import register
from ravine import Refused, bounded

DENSE_UP_TO = 1024  # dimensions up to which a rotated Hessian is written out
Spectrum = Literal["loguniform", "linear", "two_cluster", "power_law", "outliers"]


def _condition_where(
    left: Callable[[torch.Tensor, int], float],
) -> Callable[[Quadratic, float], float]:
    """Return the function that finds the least condition, to 2 %, at which `budget` steps miss the target.

    For 1000 steps and the log-uniform spectrum it is 676 for descent and 76,000 for heavy ball.
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
    """Return infinity where the budget is enough for one step, a gradient and a Hessian."""
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
        True is a uniform Q up to dimension 1024, and beyond a product of Fourier transforms and random signs.

    Deep Learning, section 8.2.1; Polyak 1964; Nesterov 2004, chapter 2.
    """

    dim: int = bounded(100, low=1)
    condition: float = dial(1e3, low=1, high=1e12)
    spectrum: Spectrum = bounded("loguniform", choices=get_args(Spectrum))
    rotated: bool = True

    card = Card(
        scale="log",
        ladder=(1.0, 1e3, 1e5),
        quick={"dim": 20},
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"condition": 1.0},
        breaks=("sgd", "ill_conditioning"),
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
        super().__post_init__()
        if self.dim == 1 and self.condition != 1:
            raise Refused(
                f"quadratic.condition is {self.condition!r}, but must be 1 where dim is 1: "
                "one direction has one curvature"
            )

    def curvatures(self) -> torch.Tensor:
        """Return the eigenvalues of H, the smallest exactly 1/condition and the largest 1: (dim,)."""
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
        curvatures = self.curvatures()
        if not self.rotated:  # its Hessian is never written out, so that dim may be 100,000
            start = minimizer + whitened / curvatures.sqrt()
            return {"start": start, "minimizer": minimizer, "curvatures": curvatures}
        if self.dim > DENSE_UP_TO:
            signs = random_signs(self.dim, generator)
            start = minimizer + rotated(whitened / curvatures.sqrt(), signs)
            return {
                "start": start, "minimizer": minimizer, "curvatures": curvatures, "signs": signs
            }  # fmt: skip
        basis = random_rotation(self.dim, generator)
        return {
            "start": minimizer + basis @ (whitened / curvatures.sqrt()),
            "minimizer": minimizer,
            "hessian": (basis * curvatures) @ basis.T,
        }

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        if "signs" not in data:
            return super().hvp(x, data, vector)
        along = rotated(vector, data["signs"], back=True)
        return rotated(along * data["curvatures"], data["signs"])

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        if "signs" not in data:
            return super().hessian(x, data)
        columns = torch.eye(self.dim, dtype=x.dtype, device=x.device).expand(*x.shape, self.dim)
        one = {name: each.unsqueeze(-2 - (name == "signs")) for name, each in data.items()}
        return self.hvp(x, one, columns)

    def signature(self, data: Tree) -> float:
        curvatures = data.get("curvatures")
        if curvatures is None:
            curvatures = torch.linalg.eigvalsh(self.hessian(data["start"], data))
        return (curvatures.max() / curvatures.min()).item()

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, index=0),)
