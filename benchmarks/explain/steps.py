"""Views of an optimizer: it sees other gradients, or its steps are changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch

from benchmarks.explain.curvature import along, into, modes
from optimizers.optimizer import Oracle, Point, State
from optimizers.wrapper import OracleView, PointView, Wrapper
from problems import Problem, Tree

# In units of the distance from the start to the solutions.
LEASH = 0.27  # longest step; no whole number of them is the whole way
KICK = 0.1  # distance from a ridge after a kick

# δ/λmax of a conditioned gradient: exact for a constant Hessian, careful for one that may change within the step.
EXACT, CAREFUL = 1e-12, 1e-2
EVERY = 5  # steps for which a curvature is used
TINY = 1e-100  # avoids a division by zero

Multiplied: TypeAlias = "Callable[[torch.Tensor], torch.Tensor]"
Modes: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"


class Changed(Wrapper):
    """An optimizer that is changed; what it is changed by are no hyperparameters."""

    @property
    def own(self) -> dict[str, Any]:
        """None."""
        return {}


@dataclass(frozen=True)
class Shown(Changed):
    """An optimizer that sees A g and A H instead of g and H, and A JᵀJ instead of JᵀJ.

    matrix: of points and gradients, both (*runs, dim), the matrix A as a function that multiplies vectors.
    """

    matrix: Callable[[torch.Tensor, torch.Tensor], Multiplied]

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step for A g and A H."""
        return self.inner.update(_ShownOracle(oracle, self.matrix), state)


class _ShownPoint(PointView):
    def __init__(self, point: Point, matrix: Callable[[torch.Tensor, torch.Tensor], Multiplied]):
        super().__init__(point)
        self._matrix = matrix

    @property
    def gradient(self) -> torch.Tensor:
        seen = self._point.gradient
        return self._matrix(self.x, seen)(seen)

    def hvp(self, vector: torch.Tensor, who: torch.Tensor | None = None) -> torch.Tensor:
        return self._matrix(self.x, self._point.gradient)(self._point.hvp(vector, who))

    @property
    def hessian(self) -> torch.Tensor:
        return self._multiplied(self._point.hessian)

    @property
    def gauss_newton(self) -> torch.Tensor:
        return self._multiplied(self._point.gauss_newton)

    def _multiplied(self, matrix: torch.Tensor) -> torch.Tensor:
        columns = matrix.movedim(-1, 0)
        return self._matrix(self.x, self._point.gradient)(columns).movedim(0, -1)


class _ShownOracle(OracleView):
    def __init__(self, oracle: Oracle, matrix: Callable[[torch.Tensor, torch.Tensor], Multiplied]):
        super().__init__(oracle, _ShownPoint(oracle, matrix))
        self._matrix = matrix

    def at(self, x: torch.Tensor, who: torch.Tensor | None = None) -> Point:
        return _ShownPoint(self._oracle.at(x, who), self._matrix)

    def single(
        self, instance: int, trial: int, x: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self._oracle.single(instance, trial, x)
        seen = gradient.expand_as(self.x)
        return value, self._matrix(x.expand_as(self.x), seen)(seen)[instance, trial]


def raised(problem: Problem, data: Tree, away: torch.Tensor):
    """Return A that makes no gradient shorter than (f − f*)/away, the mean slope to the solutions.

    away: distance from the start to the solutions (*runs). On a convex function, at points no farther from the
    solutions than the start, no gradient is shorter: A is the identity.
    """

    def matrix(x: torch.Tensor, gradient: torch.Tensor) -> Multiplied:
        slope = ((problem.loss(x, data) - problem.floor(data)) / away).unsqueeze(-1)
        norm = gradient.norm(dim=-1, keepdim=True)
        factor = (slope / norm.clamp(min=TINY)).clamp(min=1.0, max=1 / TINY)
        return lambda vector: factor * vector

    return matrix


@dataclass(frozen=True)
class Leashed(Changed):
    """An optimizer whose steps are at most this long (*runs, 1)."""

    longest: torch.Tensor

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step, shortened."""
        step, state = self.inner.update(oracle, state)
        norm = step.norm(dim=-1, keepdim=True)
        return step * (self.longest / norm.clamp(min=TINY)).clamp(max=1.0), state


@dataclass(frozen=True)
class WithCurvature(Changed):
    """An optimizer that is changed by the exact loss's curvature, which is measured every `EVERY` steps.

    problem, data: The problem, and its instances.
    constant: True if the Hessian is; it is then diagonalized once.
    """

    problem: Problem
    data: Tree
    constant: bool

    def init(self, x: torch.Tensor) -> State:
        """Return the number of steps, what was measured at the start, what was measured last, and the inner state."""
        first = modes(self.problem, self.data["start"], self.data)
        return 0, first, first, self.inner.init(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the changed step."""
        count, first, last, inner = state
        fresh = count % EVERY == 0
        if count and fresh and not self.constant:
            last = modes(self.problem, oracle.x, self.data)
        step, inner = self.changed(oracle, inner, first, last, fresh)
        return step, (count + 1, first, last, inner)

    def changed(
        self, oracle: Oracle, inner: State, first: Modes, last: Modes, fresh: bool
    ) -> tuple[torch.Tensor, State]:
        """Return the step and the inner optimizer's next state.

        first, last: The curvatures (*runs, dim), ascending, and their directions as columns (*runs, dim, dim), at the
            start and where they were measured last.
        fresh: True if that is here.
        """
        raise NotImplementedError

    def stability(
        self, state: State, gradient: torch.Tensor, progress: float | torch.Tensor
    ) -> torch.Tensor | None:
        """None: the limit of the changed method is not known."""
        return None

    def vectors(self, dim: int) -> int:
        """Return how many numbers per coordinate the largest tensor has."""
        return dim


def conditioning(measured: Modes, constant: bool) -> Multiplied:
    """Return the function that multiplies gᵢ, the part of a vector along a curvature λᵢ > 0, by λmax/(λᵢ + δ).

    Where no curvature is positive, a vector stays as it is, to the bit.
    """
    curvatures, basis = measured
    top = curvatures.amax(-1, keepdim=True).clamp(min=0)
    damping = (EXACT if constant else CAREFUL) * top
    factors = top / (curvatures + damping).clamp(min=TINY)
    factors = torch.where(curvatures > 0, factors, 1.0)
    some = (curvatures > 0).any(-1, keepdim=True)
    return lambda vector: torch.where(some, along(basis, factors * into(basis, vector)), vector)


@dataclass(frozen=True)
class Conditioned(WithCurvature):
    """An optimizer to which all positive curvatures are as large as the largest: it sees gᵢ λmax/(λᵢ + δ).

    Along negative curvature the gradient is as it was.
    """

    def changed(
        self, oracle: Oracle, inner: State, first: Modes, last: Modes, fresh: bool
    ) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step for the conditioned gradient."""
        even = conditioning(last, self.constant)

        def matrix(x: torch.Tensor, gradient: torch.Tensor) -> Multiplied:
            return even

        return self.inner.update(_ShownOracle(oracle, matrix), inner)


@dataclass(frozen=True)
class Held(WithCurvature):
    """An optimizer whose steps are multiplied by min(1, λmax(start)/λmax): they shrink as the curvature grows."""

    def changed(
        self, oracle: Oracle, inner: State, first: Modes, last: Modes, fresh: bool
    ) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step, shortened."""
        step, inner = self.inner.update(oracle, inner)
        before, now = (each[0][..., -1:].clamp(min=TINY) for each in (first, last))
        return step * (before / now).clamp(max=1.0), inner


@dataclass(frozen=True)
class Kicked(WithCurvature):
    """An optimizer that jumps from near a saddle to `KICK` from its ridge, on the side where it is.

    A point is near if |H|⁻¹g is at most half as long as the kick and something curves downwards; the jump follows the
    most negative curvature. It looks whenever the curvature has just been measured.

    longest: The distance from the ridge after a kick, (*runs, 1).
    """

    longest: torch.Tensor

    def changed(
        self, oracle: Oracle, inner: State, first: Modes, last: Modes, fresh: bool
    ) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step, or the kick."""
        step, inner = self.inner.update(oracle, inner)
        if not fresh:
            return step, inner
        curvatures, basis = last
        rounding = 1e-9 * curvatures.abs().amax(-1, keepdim=True)
        slope = self.problem.value_and_gradient(oracle.x, self.data)[1]
        way = into(basis, slope) / (curvatures.abs() + rounding).clamp(min=TINY)
        near = way.norm(dim=-1, keepdim=True) < self.longest / 2
        near &= curvatures[..., :1] < -rounding
        away = -way[..., :1]  # from the ridge
        there = torch.where(away < 0, -self.longest, self.longest)
        return torch.where(near, (there - away) * basis[..., 0], step), inner
