"""What linear chains have in common: the loss of what comes out at their end, and the lengths that theory allows."""

from __future__ import annotations

import bisect
import math
from abc import abstractmethod
from collections.abc import Callable

import torch

from problems.ill_conditioning.quadratic import breaking_point_of_newton
from problems.problem import Tree
from problems.quadratic_form import QuadraticForm, gap_left_by_descent, gap_left_by_momentum


class LinearChain(QuadraticForm):
    """f(x) = ½ |M (x − m)|², M the product of all steps: `data` has the "map" M, MᵀM as "hessian", and m."""

    @abstractmethod
    def curvatures(self, length: int) -> torch.Tensor:
        """Return the curvatures (dim,) that theory assumes of a chain of this length."""

    @abstractmethod
    def longest(self) -> int:
        """Return the largest length at which float64 still resolves the curvatures."""

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * self.outputs(x, data).square().sum(-1)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.outputs(x, data)
        gradient = torch.einsum("...i,...ij->...j", outputs, data["map"])
        return 0.5 * outputs.square().sum(-1), gradient

    def outputs(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return M (x − m): (*runs, dim)."""
        return torch.einsum("...j,...ij->...i", x - data["minimizer"], data["map"])


def _length_where(
    left: Callable[[torch.Tensor, int], float],
) -> Callable[[LinearChain, float], float]:
    """Return the theory of half a step past the longest chain on which `budget` steps reach the target."""

    def breaking_point(problem: LinearChain, budget: float) -> float:
        def fails(length: int) -> bool:
            return left(problem.curvatures(length), int(budget)) > problem.card.target

        lengths = range(1, problem.longest() + 1)
        solved = bisect.bisect_left(lengths, True, key=fails)
        return solved + 0.5 if solved < len(lengths) else math.inf

    return breaking_point


THEORY = {
    "sgd": _length_where(gap_left_by_descent),
    "momentum": _length_where(gap_left_by_momentum),
    "newton": breaking_point_of_newton,
}
