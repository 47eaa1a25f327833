"""Two optimizers side by side: both are given the same point and the same gradient, and their steps are compared."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import torch

from benchmarks.checks.same_inputs import LONG, Inputs, Loss
from optimizers import NotApplicable, Optimizer
from optimizers.adopted import shaped, told
from optimizers.operations import watching
from optimizers.optimizer import Fault, RunAgain
from optimizers.oracle import CountingOracle
from ravine import Refused

REFUSALS = (
    NotApplicable, Refused, ValueError, AssertionError, NotImplementedError, ImportError, SystemExit,
)  # fmt: skip
FAR = 1e30  # a path that is farther out has ended


def tolerance(unit: float) -> float:
    """Return up to which share of a step two ways to compute it may differ: 2e-12 in float64, 6e-6 in float32.

    Args:
        unit: The rounding unit of what they compute with.
    """
    return unit**0.75


class Fails(Exception):
    """One of the two cannot be used on some inputs, or at some setting.

    Attributes:
        side: Which, 0 or 1.
        is_fault: True if it does not refuse in words of its own, as by a ValueError, but breaks.
    """

    def __init__(self, side: int, error: BaseException):
        said = isinstance(error, (NotApplicable, Refused, Fault))
        words = " ".join(str(error).split())
        super().__init__(words if said else f"{type(error).__name__}: {words}")
        cause = error.__cause__ if said and error.__cause__ else error
        self.side, self.is_fault = side, not isinstance(cause, REFUSALS)


@dataclass
class Watch:
    """What the operations of an optimizer are made of.

    Attributes:
        coarsest: The largest rounding unit of a tensor that it computes with.
        random: True if it draws random numbers.
        operations: How many there were.
    """

    coarsest: float = 0.0
    random: bool = False
    operations: int = 0

    def __call__(self, func: Any, args: Sequence[Any], result: Any) -> None:
        """Look at an operation, its arguments and its result."""
        self.operations += 1
        self.random |= torch.Tag.nondeterministic_seeded in func.tags
        for each in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(each, torch.Tensor) and each.is_floating_point() and each.dim():
                self.coarsest = max(self.coarsest, torch.finfo(each.dtype).eps)


@dataclass(frozen=True)
class Steps:
    """The steps of both at the points of the first one's path.

    Attributes:
        inputs: The inputs.
        points: Where both were, (steps, inputs, dim).
        first: The steps of the first, (steps, inputs, dim).
        second: Those of the second.
        valid: The steps before a path ended, bool (steps, inputs).
    """

    inputs: Inputs
    points: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    valid: torch.Tensor

    def scaled(self, factor: float) -> Steps:
        """Return the same with the second's steps times a factor."""
        return Steps(self.inputs, self.points, self.first, factor * self.second, self.valid)

    def only(self, name: str) -> Steps:
        """Return those on one input."""
        k = [self.inputs.names.index(name)]
        return Steps(
            self.inputs.only(k),
            self.points[:, k],
            self.first[:, k],
            self.second[:, k],
            self.valid[:, k],
        )

    @property
    def scale(self) -> torch.Tensor:
        """The longest coordinate of a step so far, (steps, inputs)."""
        sizes = torch.maximum(self.first.abs(), self.second.abs()).nan_to_num(0.0).amax(-1)
        return sizes.cummax(0).values

    @property
    def difference(self) -> torch.Tensor:
        """The largest difference of a coordinate, of the longest coordinate of a step so far; (steps, inputs)."""
        gap = (self.first - self.second).abs()
        alike = (self.first == self.second) | (self.first.isnan() & self.second.isnan())
        gap = torch.where(alike, 0.0, gap.nan_to_num(torch.inf, posinf=torch.inf)).amax(-1)
        relative = gap / self.scale.clamp(min=torch.finfo(gap.dtype).tiny)
        return torch.where(self.valid, torch.where(gap == 0, 0.0, relative), 0.0)

    def differs(self, unit: float) -> torch.Tensor:
        """Return where they differ by more than rounding, bool (steps, inputs).

        Args:
            unit: The rounding unit of what they compute with.
        """
        reach = self.points.abs().amax(-1) * torch.finfo(self.points.dtype).eps
        lost = 4 * reach / self.scale.clamp(min=torch.finfo(reach.dtype).tiny)
        return self.difference > tolerance(unit) + lost


class _Normals:
    """The normal numbers of a step, the same for both optimizers."""

    def __init__(self, inputs: Inputs):
        self._inputs = inputs

    def begin(self, step: int) -> None:
        self._numbers = itertools.count(step)

    def __call__(self) -> torch.Tensor:
        return self._inputs.normals[next(self._numbers) % len(self._inputs.normals)]


def lockstep(
    pair: tuple[Optimizer, Optimizer],
    inputs: Inputs,
    steps: int,
    watches: tuple[Watch, Watch] | None = None,
    free: bool = False,
) -> Steps:
    """Let two optimizers take steps side by side, at the points of the first one's path.

    Args:
        pair: The two.
        inputs: The inputs.
        steps: The number of steps.
        watches: What looks at the operations of each, if anything does.
        free: True if the second walks a path of its own; its points are then compared, not its steps.

    Returns:
        The steps of both.

    Raises:
        Fails: If one of the two cannot be used.
    """
    first, second = (told(shaped(each, inputs.shapes), LONG) for each in pair)
    while True:
        try:
            return _lockstep((first, second), inputs, steps, watches, free)
        except RunAgain:
            continue


def _lockstep(
    pair: tuple[Optimizer, Optimizer],
    inputs: Inputs,
    steps: int,
    watches: tuple[Watch, Watch] | None,
    free: bool,
) -> Steps:
    normals, oracles, states = [], [], []
    start = inputs.data["start"]
    for side, each in enumerate(pair):
        normals.append(_Normals(inputs))
        oracles.append(
            CountingOracle(Loss(), inputs.data, start.shape[:2], normals[side], start.device)
        )
        with failing(side):
            states.append(each.init(start.clone()))
    points, taken = [start.clone(), start.clone()], ([], [])
    seen, valid, alive = [], [], torch.ones(start.shape[:2], dtype=torch.bool)
    for t in range(steps):
        draw = None if inputs.tilts is None else {"tilt": inputs.tilts[t]}
        seen.append(points[0])
        for side, each in enumerate(pair):
            normals[side].begin(7 * t)
            oracles[side].move(points[side], draw, alive, t / steps)
            with (
                failing(side),
                _seeded(t),
                nullcontext() if watches is None else watching(watches[side]),
            ):
                step, states[side] = each.update(oracles[side], states[side])
            taken[side].append(step.detach().to(start.dtype))
        valid.append(alive)
        mine, other = (
            torch.where(alive.unsqueeze(-1), points[side] + taken[side][-1], points[side])
            for side in (0, 1)
        )
        points = [mine, other if free else mine]
        reached = torch.maximum(mine.abs().amax(-1), points[1].abs().amax(-1))
        alive = alive & (reached < FAR) & ~oracles[0].broken & ~oracles[1].broken
        points = [torch.where(alive.unsqueeze(-1), each, start) for each in points]
    first, second = (torch.stack(each).squeeze(1) for each in taken)
    return Steps(inputs, torch.stack(seen).squeeze(1), first, second, torch.stack(valid).squeeze(1))


@contextmanager
def failing(side: int) -> Iterator[None]:
    """Turn what a class raises into Fails.

    Args:
        side: Which of the two it is, 0 or 1.
    """
    try:
        yield
    except RunAgain:
        raise
    except (Exception, SystemExit) as error:  # a class may raise anything, and some call exit()
        raise Fails(side, error) from error


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Give both the same random numbers at a step; `torch.manual_seed` takes longer than a step."""
    before = torch.get_rng_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(before)


class Difference(NamedTuple):
    """Where the two differ first on an input: at which step, and by which share of a step."""

    name: str
    step: int
    amount: float


@dataclass(frozen=True)
class Trial:
    """What was seen at one setting.

    Attributes:
        changed: What differs from the base, by common names.
        steps: The steps on each group of inputs.
        unit: The rounding unit.
        fault: What one of the two raises there where the other does not; then there are no steps.
    """

    changed: Mapping[str, Any]
    steps: Sequence[Steps]
    unit: float
    fault: str = ""

    @cached_property
    def differs(self) -> list[Difference]:
        """The inputs that differ."""
        found = [Difference(self.fault, 1, 1.0)] if self.fault else []
        for each in self.steps:
            where, amount = each.differs(self.unit), each.difference
            for k, name in enumerate(each.inputs.names):
                if where[:, k].any():
                    first = int(where[:, k].to(torch.int8).argmax())
                    named = f"{name} ({each.inputs.what})"
                    found.append(Difference(named, first + 1, float(amount[first, k])))
        return found

    @property
    def first(self) -> Difference:
        """The one that differs first; of several, by most."""
        return min(self.differs, key=lambda each: (each.step, -each.amount))

    @property
    def largest(self) -> float:
        """The largest difference, of a step."""
        return max((float(each.difference.max()) for each in self.steps), default=0.0)

    @property
    def words(self) -> str:
        """The setting in words."""
        return ", ".join(f"{name}={short(value)}" for name, value in self.changed.items())


def short(value: Any) -> str:
    """Return a value in few digits."""
    return f"{value:g}" if isinstance(value, float) else str(value)
