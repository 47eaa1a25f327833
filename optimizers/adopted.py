"""Use any torch.optim.Optimizer unchanged."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import torch

from optimizers.adopted_runs import Runs, Shapes, StackedRuns, can_stack
from optimizers.hyperparameter import Range, Unit, log
from optimizers.learning_rate_unit import DIM, LR, Bowl, measured_unit
from optimizers.optimizer import NotApplicable, Optimizer, Oracle, Point, State
from optimizers.wrapper import Wrapper
from ravine import Refused, nearest

# Arguments that change how torch computes a step, not the step.
IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable"}
# The parameters on which a class is tried while no problem is known, on the bowl of `measured_unit`.
VECTOR: Shapes = ((DIM,),)
MATRIX: Shapes = ((2, DIM // 2),)


@dataclass(frozen=True, repr=False)
class Adopted(Optimizer):
    """A class from torch.optim, or one with the same interface, unchanged.

    Each run has its own instance and its own parameters, of the problem's `shapes` or one vector; if the class moves
    many runs at once as it moves each alone, to the bit, each trial has one instance (see `adopted_runs`). The oracle
    evaluates the gradients of all runs at once. If `step` needs a closure, it gets
    one that evaluates its own run and is charged for each call. If it takes a `hessian`, as in pytorch_optimizer, it
    gets an estimate of the diagonal every `update_period` steps. If the class has `train` and `eval`, gradients are
    evaluated at the first of its two points, and the run is at the second.

    The hyperparameters are the arguments of `__init__` that are numbers, words, truth values or tuples; `values` holds
    those that differ from the class's defaults. One without a default is None until it is given. The learning rate is
    searched in the unit that `measured_unit` finds, on a vector, or on a matrix if the class cannot step on a vector.

    A class that rejects a step by a `raise` of its own, whatever its values, was not made for such parameters. That is
    no fault: `init` raises NotApplicable, as it does for a problem whose shapes the class cannot take.

    Attributes:
        method: The class.
        values: Its arguments that are given.
        shapes: The shapes of the parameters that x concatenates; None for one vector.
        reason: Why the class can be used on no problem; "" if it can.

    Raises:
        Refused: If the class does not accept its values, or fails.
    """

    method: type[torch.optim.Optimizer]
    values: Mapping[str, Any] = field(default_factory=dict)
    shapes: Shapes | None = None

    reason: ClassVar[str] = ""  # why the class can be used on no problem

    def __post_init__(self) -> None:
        owner, defaults = self.method.__name__, default_hyperparameters(self.method)
        for name in self.values:
            if name not in defaults:
                raise Refused(f"unknown hyperparameter {owner}.{name}: {nearest(name, defaults)}")
        space, reason = {}, ""
        if not set(self.missing_defaults) - {"lr"}:
            try:
                unit = self._unit()
                if "lr" in defaults:
                    # If the method sets the step's length itself, the rate is the share of it that is taken.
                    low, high = (1e-3, 2.0) if unit == "none" else (1e-5, 1e1)
                    space["lr"] = log(low, high, unit)
            except Exception as error:  # a class may raise anything
                reason = type(self)(self.method).reason if self.values else _words(error)
                if not reason or not _is_said(error):
                    raise Refused(f"{owner} cannot be used: {_words(error)}") from error
        vars(self).update(space=space, reason=reason)  # measured, not given

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return f"{self.method.__name__}({given})"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The class's defaults, updated with the given values."""
        return {**default_hyperparameters(self.method), **self.values}

    @property
    def missing_defaults(self) -> tuple[str, ...]:
        """The arguments without a default that are not given: the class cannot run without them."""
        return tuple(name for name, value in self.hyperparameters.items() if value is None)

    def replace(self, **values: Any) -> Self:
        """Return the same class with other arguments."""
        return type(self)(self.method, {**self.values, **values}, self.shapes)

    def batched(self, values: Mapping[str, Any]) -> Self:
        """Return the same class with a tensor (trials, 1) for each argument named."""
        return self._changed(values={**self.values, **values})

    def on(self, shapes: Shapes | None) -> Self:
        """Return the same class for parameters of these shapes."""
        return self._changed(shapes=shapes)

    def searched(self, ranges: Mapping[str, Range]) -> Self:
        """Return the same class with further searched ranges, by hyperparameter."""
        return self._changed(space={**self.space, **ranges})

    def init(self, x: torch.Tensor) -> State:
        """Return the runs, the values that they began with, and the number of steps so far.

        Raises:
            Refused: If a required argument has no value.
            NotApplicable: If the class cannot step on such parameters.
        """
        if self.missing_defaults:
            missing = f"{self.method.__name__}.{self.missing_defaults[0]}"
            raise Refused(f"{missing} has no default: give it a value")
        if self.reason:
            raise NotApplicable(self.reason)
        try:
            self.batched(_by_run(self.values, x.shape[:-1])[0])._try(torch.ones_like(x[:1, :1]))
        except Exception as error:
            raise NotApplicable(_words(error)) from error
        return self._begin(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the change that the instances made to their parameters. They are mutated, so a state is used once."""
        runs, values, steps = state
        asks = _asks(self.method)
        if self.values is not values:
            runs.change_rates(self._factors(values, oracle.x.shape[:-1]))
        point = oracle.at(runs.points()) if asks.two_points else oracle
        runs.place(point.x)  # a run may have been frozen or its point projected
        if asks.closure:
            instances, trials, _ = oracle.x.shape
            indices = itertools.product(range(instances), range(trials))
            living = oracle.alive.flatten().tolist()
            for k, ((instance, trial), alive) in enumerate(zip(indices, living, strict=True)):
                if alive:
                    runs.steps[k](_closure(oracle, instance, trial, runs.of(k)))
        else:
            runs.give(point.gradient)
            runs.step(
                oracle.alive, self._curvatures(oracle, point, steps) if asks.hessian else None
            )
        reached = runs.second_points() if asks.two_points else runs.points()
        return reached - oracle.x, (runs, values, steps + 1)

    def _begin(self, x: torch.Tensor) -> State:
        trials = self._of_trials(x)
        if trials and can_stack(self.method, trials, self.shapes, x):
            return StackedRuns(self.method, trials, self.shapes, x), self.values, 0
        return Runs(self.method, _by_run(self.values, x.shape[:-1]), self.shapes, x), self.values, 0

    def _of_trials(self, x: torch.Tensor) -> list[dict[str, Any]]:
        """Return the arguments of each trial; none if runs of a trial differ in them, or in what a step asks for."""
        asks = _asks(self.method)
        tensors = [each for each in self.values.values() if isinstance(each, torch.Tensor)]
        if (
            asks.closure
            or asks.hessian
            or any(each.dim() > 2 and len(each) > 1 for each in tensors)
        ):
            return []
        return _by_run(self.values, torch.Size([1, x.shape[-2]]))

    def _try(self, x: torch.Tensor) -> None:
        """Take one run's first step on a bowl, which raises what the class raises."""
        self.update(Bowl(x, 1.0), self._begin(x))

    def _unit(self) -> Unit:
        """Return the unit of the learning rate, or raise the class's last error if it cannot step."""
        given = {"lr": LR} if self.missing_defaults else {}
        for shapes in (VECTOR, MATRIX):
            alone = self.on(shapes)
            try:
                alone.batched(given)._try(torch.ones(1, 1, DIM))
                return measured_unit(alone)
            except Exception as error:
                raised = error
        raise raised

    def _curvatures(self, oracle: Oracle, point: Point, steps: int) -> torch.Tensor | None:
        """Return Hutchinson's estimate of the Hessian's diagonal, z ⊙ Hz, if it is due, else None."""
        given = self.hyperparameters
        if steps % given.get("update_period", 1):
            return None
        total, samples = torch.zeros_like(oracle.x), given.get("num_samples", 1)
        for _ in range(samples):
            z = oracle.normal().expand_as(oracle.x)
            z = z.sign() if given.get("hessian_distribution") == "rademacher" else z
            total = total + z * point.hvp(z) / samples
        return total

    def _factors(self, first: Mapping[str, Any], shape: torch.Size) -> torch.Tensor:
        """Return the factor of each run's rate since the first step (instances, trials): a schedule changes it."""
        default = default_hyperparameters(self.method)
        now, before = (
            torch.as_tensor({**default, **values}["lr"], dtype=torch.float64).expand(*shape, 1)
            for values in (self.values, first)
        )
        return torch.where(before == 0, 1.0, now / before).squeeze(-1)


def shaped(optimizer: Optimizer, shapes: Shapes | None) -> Optimizer:
    """Return the same method for an x that concatenates parameters of these shapes; only adopted classes use them.

    Args:
        optimizer: The method, with or without wrappers.
        shapes: The shapes in order; None for one vector.

    Returns:
        The method.
    """
    if isinstance(optimizer, Adopted):
        return optimizer.on(shapes)
    if isinstance(optimizer, Wrapper):
        return optimizer.around(shaped(optimizer.inner, shapes))
    return optimizer


class _Asks(NamedTuple):
    """The inputs that a class needs in a step."""

    closure: bool  # `step` has an argument without a default, as torch.optim.LBFGS's has
    hessian: bool
    two_points: bool


@functools.cache
def _asks(method: type[torch.optim.Optimizer]) -> _Asks:
    _, *arguments = inspect.signature(method.step).parameters.values()
    return _Asks(
        any(each.default is each.empty and not _variadic(each) for each in arguments),
        any(each.name == "hessian" for each in arguments),
        hasattr(method, "train") and hasattr(method, "eval"),
    )


def default_hyperparameters(method: type[torch.optim.Optimizer]) -> dict[str, Any]:
    """Return the arguments of a class that are float, int, bool, str or tuple, with their defaults.

    Those without a default are None. A whole number becomes a float if it stands for one: if its annotation says so, or
    if there is none and it is 0 or 1, as in `momentum=0`.

    >>> import torch
    >>> default_hyperparameters(torch.optim.Adagrad)["weight_decay"]
    0.0
    """
    found: dict[str, Any] = {}
    _, *arguments = inspect.signature(method).parameters.values()
    for each in arguments:
        default, annotation = each.default, str(each.annotation)
        if _variadic(each) or each.name in IMPLEMENTATION:
            continue
        if default is each.empty:
            found[each.name] = None
        elif isinstance(default, int) and not isinstance(default, bool):
            unstated = each.annotation is each.empty and default in (0, 1)
            found[each.name] = float(default) if unstated or "float" in annotation else default
        elif isinstance(default, (float, bool, str, tuple)):
            found[each.name] = default
    return found


def _variadic(argument: inspect.Parameter) -> bool:
    return argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)


def _closure(
    oracle: Oracle, instance: int, trial: int, parameters: Sequence[torch.nn.Parameter]
) -> Callable[[], torch.Tensor]:
    """Return what `step` calls: it returns one run's loss, and gives its parameters the gradient there."""
    shapes = tuple(tuple(each.shape) for each in parameters)

    def closure() -> torch.Tensor:
        x = torch.cat([each.detach().flatten() for each in parameters])
        value, gradient = oracle.single(instance, trial, x)
        parts = _parts(gradient.clone()[None], shapes)
        for parameter, part in zip(parameters, parts, strict=True):
            parameter.grad = part
        return value

    return closure


def _parts(rows: torch.Tensor, shapes: Shapes | None) -> Sequence[torch.Tensor]:
    """Return rows as parameters of these shapes that share their memory: the first of each row, the second, …"""
    if shapes is None:
        return rows.unbind()
    blocks = rows.split([math.prod(shape) for shape in shapes], dim=-1)
    tensors = (block.view(len(rows), *shape) for block, shape in zip(blocks, shapes, strict=True))
    return [part for each in tensors for part in each.unbind()]


def _line(error: Exception) -> str:
    """Return the line of code that raised an error."""
    return traceback.extract_tb(error.__traceback__)[-1].line or ""


def _is_said(error: Exception) -> bool:
    """True if an error comes from a `raise` or `assert`, not from a fault in what was tried."""
    return _line(error).startswith(("raise", "assert"))


def _words(error: Exception) -> str:
    """Return an error in one line."""
    kind = type(error).__name__
    words = " ".join(str(error).split()) or _line(error) or kind
    return words if _is_said(error) else f"{kind}: {words}"


def _by_run(values: Mapping[str, Any], runs: torch.Size) -> list[dict[str, Any]]:
    """Return the values of each run; those that differ between trials are tensors (trials, 1)."""
    columns = {
        name: value.expand(*runs, 1).flatten().tolist()
        if isinstance(value, torch.Tensor)
        else [value] * runs.numel()
        for name, value in values.items()
    }
    return [{name: column[run] for name, column in columns.items()} for run in range(runs.numel())]
