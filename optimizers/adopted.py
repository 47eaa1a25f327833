"""Any torch.optim.Optimizer as it is: one instance of it per run."""

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

from optimizers.hyperparameter import Range, Unit, log
from optimizers.learning_rate_unit import DIM, LR, Bowl, measured_unit
from optimizers.optimizer import NotApplicable, Optimizer, Oracle, Point, State
from optimizers.wrapper import Wrapper
from ravine import Refused, nearest

Shapes = tuple[tuple[int, ...], ...]

# How torch computes a step, and not which.
IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable"}
# What a class is tried on while nothing is known of a problem: the bowl of `measured_unit`.
VECTOR: Shapes = ((DIM,),)
MATRIX: Shapes = ((2, DIM // 2),)


@dataclass(frozen=True, repr=False)
class Adopted(Optimizer):
    """A class from torch.optim, or of the same kind, unchanged.

    Each run has its own instance and its own parameters, of the problem's `shapes` or one vector:
    views of a row of one tensor that holds x. Gradients come from the oracle's one answer for all
    runs. Where `step` needs a closure, it gets one that asks for its run alone and is charged for
    each call. Where it takes a `hessian`, as in pytorch_optimizer, it gets an estimate of the
    diagonal every `update_period` steps. Where the class has `train` and `eval`, gradients are asked
    at the first of its two points, and the run is at the second.

    The hyperparameters are the arguments of `__init__` that are numbers, words, truth values or
    tuples; `values` holds those that differ from the class's defaults. One that has no default is
    None until it is given. The learning rate is searched in the unit that `measured_unit` finds, on
    a vector, or on a matrix where the class cannot step on a vector.

    Raises Refused where the class does not accept its values, or fails. What it rejects with a
    `raise` of its own, whatever its values, it was not made for: that is no fault, and `init` says
    NotApplicable, as it does on a problem whose shapes the class cannot take.
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
                    # Where the step knows its length, the rate is the share of it that is taken.
                    low, high = (1e-3, 2.0) if unit == "none" else (1e-5, 1e1)
                    space["lr"] = log(low, high, unit)
            except Exception as error:  # whatever the class raises
                reason = type(self)(self.method).reason if self.values else _words(error)
                if not reason or not _is_said(error):
                    raise Refused(f"{owner} cannot be used: {_words(error)}") from error
        vars(self).update(space=space, reason=reason)  # found out, and not given

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return f"{self.method.__name__}({given})"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The class's defaults, and what was given instead."""
        return {**default_hyperparameters(self.method), **self.values}

    @property
    def missing_defaults(self) -> tuple[str, ...]:
        """The arguments that the class requires and that are not given: it cannot run without."""
        return tuple(name for name, value in self.hyperparameters.items() if value is None)

    def replace(self, **values: Any) -> Self:
        """The same class with other arguments."""
        return type(self)(self.method, {**self.values, **values}, self.shapes)

    def batched(self, values: Mapping[str, Any]) -> Self:
        """The same class with a tensor, one value a trial, for each argument named."""
        return self._changed(values={**self.values, **values})

    def on(self, shapes: Shapes | None) -> Self:
        """The same class for parameters of these shapes."""
        return self._changed(shapes=shapes)

    def searched(self, ranges: Mapping[str, Range]) -> Self:
        """The same class, with these ranges of its hyperparameters besides."""
        return self._changed(space={**self.space, **ranges})

    def init(self, x: torch.Tensor) -> State:
        """A copy of x, a row a run; the runs; the values that they began with; the steps so far.

        Raises NotApplicable where the class cannot step on such parameters.
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
        """What the instances did to their parameters; they change, so a state is used once."""
        rows, runs, values, steps = state
        asks = _asks(self.method)
        if self.values is not values:
            self._change_rates(runs, values, oracle.x.shape[:-1])
        point = oracle.at(rows.reshape(oracle.x.shape).clone()) if asks.two_points else oracle
        rows.copy_(point.x.reshape(rows.shape))  # a point may have been frozen or projected
        living = oracle.alive.flatten().tolist()
        if asks.closure:
            instances, trials, _ = oracle.x.shape
            indices = itertools.product(range(instances), range(trials))
            for k, ((instance, trial), alive) in enumerate(zip(indices, living, strict=True)):
                if alive:
                    runs.steps[k](_closure(oracle, instance, trial, runs.of(k)))
        else:
            gradients = point.gradient.reshape(rows.shape).clone()  # some classes change theirs
            for parameter, gradient in zip(
                runs.parameters, _parts(gradients, self.shapes), strict=True
            ):
                parameter.grad = gradient
            curvatures = self._curvatures(oracle, point, steps) if asks.hessian else None
            for k, (step, alive) in enumerate(zip(runs.steps, living, strict=True)):
                if alive:
                    step() if curvatures is None else step(hessian=curvatures[k :: len(rows)])
        runs.gather()
        reached = runs.second_points(rows) if asks.two_points else rows
        return reached.reshape(oracle.x.shape) - oracle.x, (rows, runs, values, steps + 1)

    def _begin(self, x: torch.Tensor) -> State:
        rows = x.detach().reshape(-1, x.shape[-1]).clone()
        parts = _parts(rows, self.shapes)
        parameters = [torch.nn.Parameter(part) for part in parts]
        instances = [
            self.method(parameters[k :: len(rows)], **_single_tensor(self.method), **values)
            for k, values in enumerate(_by_run(self.values, x.shape[:-1]))
        ]
        runs = _Runs(parts, parameters, instances, [_step_of(each) for each in instances])
        return rows, runs, self.values, 0

    def _try(self, x: torch.Tensor) -> None:
        """One run's first step on a bowl: raises what the class raises."""
        self.update(Bowl(x, 1.0), self._begin(x))

    def _unit(self) -> Unit:
        """The unit of the learning rate where the class can step; what it raised where it cannot."""
        given = {"lr": LR} if self.missing_defaults else {}
        for shapes in (VECTOR, MATRIX):
            alone = self.on(shapes)
            try:
                alone.batched(given)._try(torch.ones(1, 1, DIM))
                return measured_unit(alone)
            except Exception as error:
                raised = error
        raise raised

    def _curvatures(
        self, oracle: Oracle, point: Point, steps: int
    ) -> Sequence[torch.Tensor] | None:
        """Hutchinson's estimate of the Hessian's diagonal, z ⊙ Hz, when it is due."""
        given = self.hyperparameters
        if steps % given.get("update_period", 1):
            return None
        total, samples = torch.zeros_like(oracle.x), given.get("num_samples", 1)
        for _ in range(samples):
            z = oracle.normal().expand_as(oracle.x)
            z = z.sign() if given.get("hessian_distribution") == "rademacher" else z
            total = total + z * point.hvp(z) / samples
        return _parts(total.reshape(-1, total.shape[-1]), self.shapes)

    def _change_rates(self, runs: _Runs, first: Mapping[str, Any], shape: torch.Size) -> None:
        """As torch's schedulers do: the same share is left of the rate of each group."""
        rates = (
            _by_run({"lr": {**default_hyperparameters(self.method), **values}["lr"]}, shape)
            for values in (self.values, first)
        )
        for instance, now, before in zip(runs.instances, *rates, strict=True):
            for group in instance.param_groups:
                if "lr" not in group:
                    owner = self.method.__name__
                    raise NotApplicable(f"{owner} has no learning rate that a schedule can change")
                left = now["lr"] / before["lr"] if before["lr"] else 1.0
                group["lr"] = left * group.setdefault("initial_lr", group["lr"])


def shaped(optimizer: Optimizer, shapes: Shapes | None) -> Optimizer:
    """The same method where x is these parameters, one behind the other: it is told to what is adopted."""
    if isinstance(optimizer, Adopted):
        return optimizer.on(shapes)
    if isinstance(optimizer, Wrapper):
        return optimizer.around(shaped(optimizer.inner, shapes))
    return optimizer


class _Runs(NamedTuple):
    """What stands for the runs; parameters go tensor by tensor, and in each run by run."""

    parts: Sequence[torch.Tensor]  # of the rows
    parameters: list[torch.nn.Parameter]  # each in the memory of its part
    instances: list[torch.optim.Optimizer]
    steps: list[Callable[..., Any]]

    def of(self, run: int) -> list[torch.nn.Parameter]:
        """The parameters of one run."""
        return self.parameters[run :: len(self.instances)]

    def gather(self) -> None:
        """Bring back what a class has put elsewhere by an assignment to `parameter.data`."""
        for part, parameter in zip(self.parts, self.parameters, strict=True):
            if parameter.data_ptr() != part.data_ptr():
                part.copy_(parameter.data)
                parameter.data = part

    def second_points(self, rows: torch.Tensor) -> torch.Tensor:
        """Where each run would be evaluated."""
        for instance in self.instances:
            instance.eval()  # type: ignore[attr-defined]
        self.gather()
        points = rows.clone()
        for instance in self.instances:
            instance.train()  # type: ignore[attr-defined]
        self.gather()
        return points


class _Asks(NamedTuple):
    """What a class wants to be given."""

    closure: bool  # `step` has an argument without a default, as that of torch.optim.LBFGS
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
    """The arguments that are float, int, bool, str or tuple, with their defaults.

    Those without a default are None. A whole number becomes a float where it stands for one: where
    its annotation says so, or where there is none and it is 0 or 1, as in `momentum=0`.

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


def _single_tensor(method: type[torch.optim.Optimizer]) -> dict[str, bool]:
    """What torch chooses for a lone parameter, said at once: choosing takes a fifth of a step."""
    foreach = inspect.signature(method).parameters.get("foreach")
    return {"foreach": False} if foreach is not None and foreach.default is None else {}


def _closure(
    oracle: Oracle, instance: int, trial: int, parameters: Sequence[torch.nn.Parameter]
) -> Callable[[], torch.Tensor]:
    """What `step` calls: it gives one run's loss, and its parameters the gradient there."""
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
    """Rows as parameters of these shapes that share their memory: the first of each row, the second …"""
    if shapes is None:
        return rows.unbind()
    blocks = rows.split([math.prod(shape) for shape in shapes], dim=-1)
    tensors = (block.view(len(rows), *shape) for block, shape in zip(blocks, shapes, strict=True))
    return [part for each in tensors for part in each.unbind()]


def _line(error: Exception) -> str:
    """The line of code that raised it."""
    return traceback.extract_tb(error.__traceback__)[-1].line or ""


def _is_said(error: Exception) -> bool:
    """Whether it comes from a `raise`, and not from a fault in what was tried."""
    return _line(error).startswith(("raise", "assert"))


def _words(error: Exception) -> str:
    """What was raised, in a line."""
    kind = type(error).__name__
    words = " ".join(str(error).split()) or _line(error) or kind
    return words if _is_said(error) else f"{kind}: {words}"


def _by_run(values: Mapping[str, Any], runs: torch.Size) -> list[dict[str, Any]]:
    """Each run's values, where those that differ between trials are tensors (trials, 1)."""
    columns = {
        name: value.expand(*runs, 1).flatten().tolist()
        if isinstance(value, torch.Tensor)
        else [value] * runs.numel()
        for name, value in values.items()
    }
    return [{name: column[run] for name, column in columns.items()} for run in range(runs.numel())]


def _step_of(instance: torch.optim.Optimizer) -> Callable[..., Any]:
    """Its `step` without torch's label for the profiler, which takes longer than SGD's own step.

    The label is also what calls hooks: where there are any, `step` stays as it is.
    """
    from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

    own = instance._optimizer_step_pre_hooks or instance._optimizer_step_post_hooks
    hooked = own or _global_optimizer_pre_hooks or _global_optimizer_post_hooks
    step = type(instance).step
    if hooked or "step" in vars(instance) or not getattr(step, "hooked", False):
        return instance.step
    return step.__wrapped__.__get__(instance)  # type: ignore[attr-defined]
