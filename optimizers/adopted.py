"""Any torch.optim.Optimizer as it is: one instance of it per run."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import torch

from optimizers.learning_rate_unit import measured_unit
from optimizers.optimizer import Optimizer, Oracle, State, log_uniform
from ravine import Refused, nearest

# How torch computes a step, and not which.
IMPLEMENTATION = {"foreach", "fused", "capturable", "differentiable"}


@dataclass(frozen=True, repr=False)
class Adopted(Optimizer):
    """A class from torch.optim, or of the same kind, unchanged.

    Each run has its own instance and its own parameter, a row of one tensor that holds x; gradients
    come from the oracle's one answer for all runs. Where `step` needs a closure, it gets one that
    asks for its run alone and is charged for each call.

    The hyperparameters are the arguments of `__init__` that are numbers, words, truth values or
    tuples; `values` holds those that differ from the class's defaults. One that has no default is
    None until it is given. The learning rate is searched in the unit that `measured_unit` finds.
    Raises Refused where the class does not accept its arguments, or cannot step on a vector.
    """

    method: type[torch.optim.Optimizer]
    values: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        owner, defaults = self.method.__name__, default_hyperparameters(self.method)
        for name in self.values:
            if name not in defaults:
                raise Refused(f"unknown hyperparameter {owner}.{name}: {nearest(name, defaults)}")
        space = {}
        try:
            if not self.missing_defaults:
                self._instance(torch.zeros(1), self.values)  # refuses what is out of its range
            if "lr" in defaults and not set(self.missing_defaults) - {"lr"}:
                unit = measured_unit(self)
                # Where the step knows its length, the rate is the share of it that is taken.
                low, high = (1e-3, 2.0) if unit == "none" else (1e-5, 1e1)
                space["lr"] = log_uniform(low, high, unit)
        except Exception as error:  # whatever the class raises
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            reason = " ".join(str(error).split())
            raise Refused(f"{owner} cannot be used: {kind}{reason}") from error
        object.__setattr__(self, "space", space)

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
        return type(self)(self.method, {**self.values, **values})

    def batched(self, values: Mapping[str, torch.Tensor]) -> Self:
        """The same class with a tensor, one value a trial, for each argument named."""
        other = super().batched({})
        object.__setattr__(other, "values", {**self.values, **values})
        return other

    def init(self, x: torch.Tensor) -> State:
        """A copy of x, a row a run, and for each run its row, its parameter and its step."""
        if self.missing_defaults:
            missing = f"{self.method.__name__}.{self.missing_defaults[0]}"
            raise Refused(f"{missing} has no default: give it a value")
        rows = x.detach().reshape(-1, x.shape[-1]).clone()
        runs = []
        for row, values in zip(rows.unbind(), _by_run(self.values, x.shape[:-1]), strict=True):
            parameter, instance = self._instance(row, values)
            runs.append((row, parameter, _step_of(instance)))
        return rows, runs

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """What the instances did to their parameters; they change, so a state is used once."""
        rows, runs = state
        living = oracle.alive.flatten().tolist()
        rows.copy_(oracle.x.reshape(rows.shape))  # a point may have been frozen or projected
        if _needs_closure(self.method):
            instances, trials, _ = oracle.x.shape
            indices = itertools.product(range(instances), range(trials))
            for (instance, trial), (_, parameter, step), alive in zip(
                indices, runs, living, strict=True
            ):
                if alive:
                    step(_closure(oracle, instance, trial, parameter))
        else:
            gradients = oracle.gradient.reshape(rows.shape).clone()  # some classes change theirs
            for (_, parameter, step), gradient, alive in zip(
                runs, gradients.unbind(), living, strict=True
            ):
                if alive:
                    parameter.grad = gradient
                    step()
        for row, parameter, _ in runs:
            if parameter.data_ptr() != row.data_ptr():  # the class has assigned to parameter.data
                row.copy_(parameter.data)
                parameter.data = row
        return rows.reshape(oracle.x.shape) - oracle.x, state

    def _instance(
        self, row: torch.Tensor, values: Mapping[str, Any]
    ) -> tuple[torch.nn.Parameter, torch.optim.Optimizer]:
        """A parameter that shares the row's memory, and an instance that optimizes it."""
        parameter = torch.nn.Parameter(row)
        return parameter, self.method([parameter], **_single_tensor(self.method), **values)


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


def _needs_closure(method: type[torch.optim.Optimizer]) -> bool:
    """Whether `step` has an argument without a default, as that of torch.optim.LBFGS has."""
    _, *arguments = inspect.signature(method.step).parameters.values()
    return any(each.default is each.empty and not _variadic(each) for each in arguments)


def _closure(
    oracle: Oracle, instance: int, trial: int, parameter: torch.nn.Parameter
) -> Callable[[], torch.Tensor]:
    """What `step` calls: it gives one run's loss, and its parameter the gradient there."""

    def closure() -> torch.Tensor:
        value, gradient = oracle.single(instance, trial, parameter.detach().clone())
        parameter.grad = gradient.clone()
        return value

    return closure


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
