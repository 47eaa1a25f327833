"""Use any torch.optim.Optimizer unchanged."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch

from optimizers import in_a_file
from optimizers.adopted_runs import Runs, StackedRuns, can_stack
from optimizers.failure import Shapes, described, is_own, remedy_for, words
from optimizers.global_generators import seed_of, undisturbed, watched
from optimizers.hyperparameter import Range, log
from optimizers.learning_rate_unit import DIM, LR, STEPS, Bowl, is_learning_rate, measured_unit
from optimizers.matrices import MatrixOptimizer
from optimizers.needs import needs, reads_groups
from optimizers.optimizer import (
    Fault,
    NotApplicable,
    Optimizer,
    Oracle,
    Point,
    RunAgain,
    State,
)
from optimizers.signature import (
    PROVISIONAL_STEPS,
    RATES,
    Argument,
    arguments,
    default_hyperparameters,
    elements,
)
from optimizers.wrapper import Wrapper
from ravine import Refused, nearest

# The parameters on which a class is tried while no problem is known, on the bowl of `measured_unit`.
VECTOR: Shapes = ((DIM,),)
MATRIX: Shapes = ((2, DIM // 2),)
TOGETHER = 12  # steps for which two instances are compared with one
RETRIED = 200  # steps, at most, for which a class that failed is tried in another precision


@dataclass(frozen=True, repr=False)
class Adopted(Optimizer):
    """A class from torch.optim, or one with the same interface, unchanged.

    Each run has its own instance and its own parameters, of the problem's `shapes` or one vector; if the class moves
    many runs at once as it moves each alone, to the bit, each trial has one instance (see `adopted_runs`). The oracle
    evaluates the gradients of all runs at once. If `step` needs a closure, it gets
    one that evaluates its own run and is charged for each call. If it takes a `hessian`, as in pytorch_optimizer, it
    gets an estimate of the diagonal every `update_period` steps. If the class has `train` and `eval`, it begins with
    `train`, gradients are evaluated at the first of its two points, and the run is at the second. What no signature
    says is found by trial: whether `step(closure=None)` needs its closure, whether parameters have to come in groups
    with the key `use_muon`, and whether it draws from a global random generator; then each run has a stream of its own,
    which all trials of an instance share.

    The hyperparameters are the arguments of `__init__`, and what it takes by `**kwargs`; `values` holds those that
    differ from the class's defaults. A list of numbers is one as a whole, `betas`, and one for each element, `betas.0`.
    One without a default is None until it is given. The learning rate is searched in the unit that `measured_unit`
    finds, on a vector, or on a matrix if the class cannot step on a vector; if it has another name, twice its value
    must make steps twice as long.

    A class that rejects a step by a `raise` of its own, whatever its values, was not made for such parameters. That is
    no fault: `init` raises NotApplicable, as it does for a problem whose shapes the class cannot take. Any other error
    is a fault of the class, in whatever step it comes: Fault.

    Attributes:
        method: The class.
        values: Its arguments that are given.
        shapes: The shapes of the parameters that x concatenates; None for one vector.
        rate: The name of its learning rate.
        works: True if it can step on a vector or on a matrix; None if that is not known for want of arguments.

    Raises:
        Refused: If the class does not accept its values.
    """

    method: type[torch.optim.Optimizer]
    values: Mapping[str, Any] = field(default_factory=dict)
    shapes: Shapes | None = None

    rate = "lr"
    works: ClassVar[bool | None] = None

    def __post_init__(self) -> None:
        owner, settable = self.method.__name__, _with_elements(default_hyperparameters(self.method))
        for name in self.values:
            if name not in settable:
                raise Refused(f"unknown hyperparameter {owner}.{name}: {nearest(name, settable)}")
        candidates = [each for each in RATES if self._is_number(each)]
        rate, space, works = next(iter(candidates), "lr"), {}, None
        vars(self).update(rate=rate, space=space)
        if not self._impossible and not set(self.missing_defaults) - {rate}:
            tried = self._tried()
            works = tried is not None
            if tried is not None:
                alone, precision = tried
                with suppress(Fault):  # its runs fail in the same way
                    rate = self._searched_rate(alone, candidates, precision)
                    if rate is not None:
                        unit = measured_unit(alone._changed(rate=rate), precision)
                        # If the method sets the step's length itself, the rate is the share of it that is taken.
                        low, high = (1e-3, 2.0) if unit == "none" else (1e-5, 1e1)
                        space[rate] = log(low, high, unit)
                        vars(self).update(rate=rate)
        vars(self).update(works=works)  # measured, not given

    def __repr__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.values.items())
        return f"{self.method.__name__}({given})"

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The class's defaults, updated with the given values; a list of numbers also by element."""
        return {**_with_elements(_merged(self.method, self.values)), **self.values}

    @property
    def missing_defaults(self) -> tuple[str, ...]:
        """The arguments that a user must give: the class cannot run without them. The number of steps is told it."""
        if not all(each.settable for each in self._required.values()):
            return ()  # giving the others would not help
        return tuple(name for name, each in self._required.items() if not each.counts_steps)

    def argument(self, name: str) -> Argument | None:
        """Return what is known of an argument, or None for an element of a list."""
        return arguments(self.method).get(name)

    def told(self, steps: int) -> Self:
        """Return the same class with the number of steps of a run in the arguments that mean it, unless given."""
        named = [name for name, each in arguments(self.method).items() if each.counts_steps]
        missing = {name: steps for name in named if name not in self.values}
        return self._changed(values={**self.values, **missing}) if missing else self

    @property
    def _required(self) -> dict[str, Argument]:
        known = arguments(self.method)
        return {n: each for n, each in known.items() if each.required and n not in self.values}

    @property
    def _impossible(self) -> str:
        """Why the class can be used on no problem, as far as its signature says; "" if it may be."""
        owner = self.method.__name__
        no_step = inspect.isabstract(self.method) or self.method.step is torch.optim.Optimizer.step
        if no_step or "defaults" in self._required:
            what = "without a step" if no_step else "which takes `defaults`"
            return f"{owner} is a base, {what}: name a class that is derived from it"
        odd = tuple(name for name, each in self._required.items() if not each.settable)
        return f"{owner} cannot be made: {in_a_file.remedy(self.method, odd)}" if odd else ""

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
            Fault: If it fails on them.
        """
        if self._impossible:
            raise NotApplicable(self._impossible)
        if self.missing_defaults:
            missing = f"{self.method.__name__}.{self.missing_defaults[0]}"
            raise Refused(f"{missing} has no default: give it a value")
        alone = self.told(PROVISIONAL_STEPS).batched(_by_run(self.values, x.shape[:-1])[0])
        try:
            alone._try(torch.ones_like(x[:1, :1]))
        except Exception as error:
            raise alone._explained(error, x, 1) from error
        if needs(self.method).shared is None:
            needs(self.method).shared = alone._shares_state(torch.ones_like(x[:1, :1]))
        if needs(self.method).shared:
            raise Fault(
                f"{self.method.__name__} steps otherwise if two instances of it step in turn: it keeps state in the "
                "class or the module, or draws from a generator of its own without a seed: keep state in self.state, "
                "and draw from torch's global generator"
            )
        return self._begin(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the change that the instances made to their parameters. They are mutated, so a state is used once."""
        try:
            return self._update(oracle, state)
        except (RunAgain, NotApplicable, Fault):
            raise
        except Exception as error:
            raise self._explained(error, oracle.x, state[-1] + 1) from error

    def _update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return what `update` returns; what the class raises is raised as it is."""
        runs, values, steps = state
        asks = needs(self.method)
        if asks.draws and not steps:
            runs, values, steps = self._begin(oracle.x, self._streams(oracle))
        if self.values is not values:
            runs.change_rates(self.rate, self._factors(values, oracle.x.shape[:-1]))
        point = oracle.at(runs.points()) if asks.two_points else oracle
        runs.place(point.x)  # a run may have been frozen or its point projected
        if not asks.closure or asks.gradients:
            runs.give(point.gradient)
        runs.step(oracle.alive, self._given(oracle, point, runs, steps))
        reached = runs.second_points() if asks.two_points else runs.points()
        return reached - oracle.x, (runs, values, steps + 1)

    def _given(self, oracle: Oracle, point: Point, runs: Runs, steps: int) -> list[dict[str, Any]]:
        """Return what `step` of each instance of the class is given besides the gradients: a closure, or a hessian."""
        if needs(self.method).closure:
            return self._closures(oracle, point, runs)
        curvatures = self._curvatures(oracle, point, steps) if needs(self.method).hessian else None
        return (
            []
            if curvatures is None
            else [{"hessian": each} for each in runs.by_instance(curvatures)]
        )

    def _closures(self, oracle: Oracle, point: Point, runs: Runs) -> list[dict[str, Any]]:
        instances, trials, _ = oracle.x.shape
        known = None
        if needs(self.method).gradients:
            known = point.x, point.value, point.gradient
        found = []
        for k, (instance, trial) in enumerate(itertools.product(range(instances), range(trials))):
            here = None if known is None else tuple(each[instance, trial] for each in known)
            found.append({"closure": _closure(oracle, instance, trial, runs.of(k), here)})
        return found

    def _begin(self, x: torch.Tensor, streams: Sequence[Any] = ()) -> State:
        trials = self._of_trials(x)
        if trials and can_stack(self.method, trials, self.shapes, x):
            return StackedRuns(self.method, trials, self.shapes, x), self.values, 0
        values = [_whole(self.method, each) for each in _by_run(self.values, x.shape[:-1])]
        return Runs(self.method, values, self.shapes, x, streams), self.values, 0

    def _of_trials(self, x: torch.Tensor) -> list[dict[str, Any]]:
        """Return the arguments of each trial; none if instances of the problem differ in them."""
        tensors = [each for each in self.values.values() if isinstance(each, torch.Tensor)]
        if any(each.dim() > 2 and len(each) > 1 for each in tensors):
            return []
        return [
            _whole(self.method, each) for each in _by_run(self.values, torch.Size([1, x.shape[-2]]))
        ]

    def _streams(self, oracle: Oracle) -> list[Any]:
        """Return the states of the global generators with which each run begins, the same in all trials."""
        instances, trials, _ = oracle.x.shape
        generators = watched(self.method, oracle.x.device)
        numbers = oracle.normal().expand(instances, -1, -1)
        states = [generators.seeded(seed_of(numbers[k, 0])) for k in range(instances)]
        return [state for state in states for _ in range(trials)]

    def _try(self, x: torch.Tensor, steps: int = 1) -> None:
        """Take one run's first steps on a bowl, which raises what the class raises.

        If it raises, what no signature says is tried: a closure, parameters in groups, and leaving out `train` and
        `eval`. If that helps, it is remembered of the class. Else the first error with a remedy is raised.
        """
        asks = needs(self.method)
        known = asks.closure, asks.gradients, asks.groups, asks.two_points
        grouped = (*known[:2], reads_groups(self.method), asks.two_points)
        ways = [known, (True, True, *known[2:]), grouped, (True, True, asks.groups, False)]
        errors = []
        for way in dict.fromkeys(ways):
            asks.closure, asks.gradients, asks.groups, asks.two_points = way
            try:
                self._walk(x, steps)
                return
            except Exception as error:  # a class may raise anything
                errors.append(error)
        asks.closure, asks.gradients, asks.groups, asks.two_points = known
        raise next((each for each in errors if remedy_for(each, self.method)), errors[0])

    def _walk(self, x: torch.Tensor, steps: int) -> torch.Tensor:
        """Return where some steps on a bowl lead from x."""
        with undisturbed():
            while True:  # again once it is known that the class draws
                bowl = Bowl(x, 1.0)
                try:
                    state = self._begin(x)
                    for _ in range(steps):
                        step, state = self._update(bowl, state)
                        bowl = Bowl(bowl.x + step, bowl.steepness)
                    return bowl.x
                except RunAgain:
                    continue

    def _shares_state(self, x: torch.Tensor) -> bool:
        """True if a run differs by what other instances do in the meantime."""
        two = torch.cat([x, -0.5 * x])
        try:
            alone, together = (self._walk(each, TOGETHER) for each in (x, two))
        except Exception:  # its runs fail in the same way
            return False
        return not torch.equal(alone[0].nan_to_num(), together[0].nan_to_num())

    def _tried(self) -> tuple[Self, torch.dtype] | None:
        """Return the class on a vector or on a matrix, and the precision, in which it can step; None if in none.

        Raises:
            Refused: If it can step with other values than those that it was given.
        """
        given = {self.rate: LR} if self.missing_defaults else {}
        told = self.told(PROVISIONAL_STEPS)
        errors: dict[Any, Exception] = {}
        for dtype in (torch.float64, torch.float32):
            for shapes in (VECTOR, MATRIX):
                alone = told.on(shapes).batched(given)
                try:
                    alone._try(torch.ones(1, 1, DIM, dtype=dtype), STEPS)
                    return told.on(shapes), dtype
                except Exception as error:  # a class may raise anything
                    errors[shapes, dtype] = error
        required = {
            n: v
            for n, v in self.values.items()
            if arguments(self.method)[n.partition(".")[0]].required
        }
        if required != self.values:
            at = type(self)(self.method, required)._tried()
            if at is not None:
                error = errors[at[0].shapes, at[1]]
                raise Refused(
                    f"{self.method.__name__} cannot be used: {_refused(error, self.method)}"
                ) from error
        elif required:
            error = errors[VECTOR, torch.float64]
            if is_own(error, self.method) and not isinstance(error, ImportError):
                raise Refused(
                    f"{self.method.__name__} cannot be used: {_refused(error, self.method)}"
                ) from error
        return None

    def _searched_rate(
        self, alone: Self, candidates: Sequence[str], precision: torch.dtype
    ) -> str | None:
        """Return the name of the learning rate; None if there is none whose range is known."""
        known = arguments(self.method)
        given = [
            each
            for each in candidates
            if self.hyperparameters[each] is not None or known[each].required
        ]
        if "lr" in candidates:
            return "lr" if "lr" in given else None
        return next((each for each in given if is_learning_rate(alone, each, precision)), None)

    def _is_number(self, name: str) -> bool:
        each = self.argument(name)
        return each is not None and each.settable and (not each.kinds or float in each.kinds)

    def _explained(self, error: Exception, x: torch.Tensor, steps: int) -> Exception:
        """Return an error of the class as NotApplicable or as Fault, in one line with its remedy."""
        if isinstance(error, (NotApplicable, Refused, Fault, RunAgain)):
            return error
        said = described(error, self.method, self.shapes, x.shape[-1])
        if x.dtype == torch.float64 and self._needs_float32(x.shape[-1], min(steps, RETRIED)):
            return NotApplicable(f"it computes in float32 only: give dtype=float32 ({said})")
        # A class that has taken steps on such parameters was made for them.
        return (NotApplicable if steps == 1 and is_own(error, self.method) else Fault)(said)

    def _needs_float32(self, dim: int, steps: int) -> bool:
        """True if some steps fail in float64 that do not in float32."""
        raised = []
        alone = self.told(PROVISIONAL_STEPS).batched(_of_first_run(self.values))
        for dtype in (torch.float64, torch.float32):
            try:
                alone._walk(torch.ones(1, 1, dim, dtype=dtype), steps)
                raised.append(False)
            except Exception:  # a class may raise anything
                raised.append(True)
        return raised == [True, False]

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
            torch.as_tensor({**default, **values}[self.rate], dtype=torch.float64).expand(*shape, 1)
            for values in (self.values, first)
        )
        return torch.where(before == 0, 1.0, now / before).squeeze(-1)


def told(optimizer: Optimizer, budget: float) -> Optimizer:
    """Return the same method with the number of steps that fit into a budget, if it is a class that asks for it.

    Args:
        optimizer: The method, with or without wrappers.
        budget: The cost that one run may spend, in gradients; a step is taken to cost one.

    Returns:
        The method.
    """
    if isinstance(optimizer, Adopted):
        return optimizer.told(max(1, int(budget)))
    if isinstance(optimizer, Wrapper):
        return optimizer.around(told(optimizer.inner, budget))
    return optimizer


def shaped(optimizer: Optimizer, shapes: Shapes | None) -> Optimizer:
    """Return the same method for an x that concatenates parameters of these shapes, if it uses them.

    Args:
        optimizer: The method, with or without wrappers.
        shapes: The shapes in order; None for one vector.

    Returns:
        The method.
    """
    if isinstance(optimizer, Adopted | MatrixOptimizer):
        return optimizer.on(shapes)
    if isinstance(optimizer, Wrapper):
        return optimizer.around(shaped(optimizer.inner, shapes))
    return optimizer


def _with_elements(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with the numbers of lists beside them, by name: `betas`, `betas.0`, `betas.1`."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        found |= {name: value, **elements(name, value)}
    return found


def _merged(method: type[torch.optim.Optimizer], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the defaults of a class, updated with values; those of elements are in their lists."""
    whole = {name: value for name, value in values.items() if "." not in name}
    found = {**default_hyperparameters(method), **whole}
    for name, value in values.items():
        if name not in whole:
            owner, _, k = name.rpartition(".")
            parts = [*found[owner]]
            parts[int(k)] = value
            found[owner] = type(found[owner])(parts)
    return found


def _whole(method: type[torch.optim.Optimizer], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments with which an instance is made, lists in one."""
    merged = _merged(method, values)
    return {name: merged[name] for name in dict.fromkeys(each.partition(".")[0] for each in values)}


def _refused(error: Exception, method: type) -> str:
    """Return the words with which a class refuses its values; the error's kind too if it is no `raise` of its own."""
    said = words(error)
    return said.partition(": ")[2] if is_own(error, method) else said


def _closure(
    oracle: Oracle,
    instance: int,
    trial: int,
    parameters: Sequence[torch.nn.Parameter],
    known: tuple[torch.Tensor, ...] | None = None,
) -> Callable[[], torch.Tensor]:
    """Return what `step` calls: it returns one run's loss, and gives its parameters the gradient there.

    `known` are a point, its value and its gradient, which are not charged again.
    """
    shapes = tuple(tuple(each.shape) for each in parameters)

    def closure() -> torch.Tensor:
        x = torch.cat([each.detach().flatten() for each in parameters])
        if known is not None and torch.equal(x, known[0]):
            value, gradient = known[1].reshape(()), known[2]
        else:
            value, gradient = oracle.single(instance, trial, x)
        parts = gradient.clone().split([math.prod(shape) for shape in shapes])
        for parameter, part, shape in zip(parameters, parts, shapes, strict=True):
            parameter.grad = part.view(shape)
        return value

    return closure


def _of_first_run(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of one run, whatever the number of trials."""
    tensors = {
        n: each.flatten()[0].item() for n, each in values.items() if isinstance(each, torch.Tensor)
    }
    return {**values, **tensors}


def _by_run(values: Mapping[str, Any], runs: torch.Size) -> list[dict[str, Any]]:
    """Return the values of each run; those that differ between trials are tensors (trials, 1)."""
    columns = {
        name: value.expand(*runs, 1).flatten().tolist()
        if isinstance(value, torch.Tensor)
        else [value] * runs.numel()
        for name, value in values.items()
    }
    return [{name: column[run] for name, column in columns.items()} for run in range(runs.numel())]
