"""What linear chains have in common: the loss of what comes out at their end, and the length at which methods break."""

from __future__ import annotations

import bisect
import math
from abc import abstractmethod
from collections.abc import Callable

import torch

from problems.ill_conditioning.quadratic import breaking_point_of_newton
from problems.quadratic_form import RootForm, gap_left_by_descent, gap_left_by_momentum


class LinearChain(RootForm):
    """f(x) = ½ |R (x − m)|², with the product R of all steps of the chain."""

    @abstractmethod
    def curvatures(self, length: int) -> torch.Tensor:
        """Return the curvatures (dim,) that theory assumes of a chain of this length."""

    @abstractmethod
    def longest(self) -> int:
        """Return the largest length at which float64 still resolves the curvatures."""


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
