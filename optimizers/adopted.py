"""Use any torch.optim.Optimizer unchanged: one instance of it per run."""

from __future__ import annotations

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple, Self

import torch

from optimizers.failure import Shapes, described, is_own, words
from optimizers.global_generators import seed_of, undisturbed, watched
from optimizers.hyperparameter import Range, log
from optimizers.learning_rate_unit import DIM, LR, STEPS, Bowl, is_learning_rate, measured_unit
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
    wrapped_in_a_file,
)
from optimizers.wrapper import Wrapper
from ravine import Refused, nearest

# The parameters on which a class is tried while no problem is known, on the bowl of `measured_unit`.
VECTOR: Shapes = ((DIM,),)
MATRIX: Shapes = ((2, DIM // 2),)
TOGETHER = 12  # steps for which two instances are compared with one
RETRIED = 200  # steps, at most, for which a class that failed is tried in another precision
MUON = (
    "use_muon"  # the key of parameter groups by which Muon-like classes tell matrices from vectors
)


@dataclass(frozen=True, repr=False)
class Adopted(Optimizer):
    """A class from torch.optim, or one with the same interface, unchanged.

    Each run has its own instance and its own parameters, of the problem's `shapes` or one vector: views of a row of
    one tensor that holds x. The oracle evaluates the gradients of all runs at once. If `step` needs a closure, it gets
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
        if inspect.isabstract(self.method) or self.method.step is torch.optim.Optimizer.step:
            return (
                f"{owner} is an abstract base, without a step: name a class that is derived from it"
            )
        odd = [name for name, each in self._required.items() if not each.settable]
        if odd:
            return (
                f"{owner} needs {odd[0]}, a class or an object: {wrapped_in_a_file(owner, odd[0])}"
            )
        return ""

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
        """Return a copy of x, one row per run; the runs; the values that they began with; the number of steps so far.

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
        if _asks(self.method).shared is None:
            _asks(self.method).shared = alone._shares_state(torch.ones_like(x[:1, :1]))
        if _asks(self.method).shared:
            raise Fault(
                f"{self.method.__name__} steps otherwise if two instances of it step in turn: it keeps state in the "
                "class or the module, or draws from a generator of its own without a seed: keep state in self.state, "
                "and draw from torch's global generator"
            )
        return self._begin(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the change that the instances made to their parameters. They are mutated, so a state is used once."""
        rows, runs, values, steps = state
        asks = _asks(self.method)
        if asks.draws and not steps:
            rows, runs, values, steps = self._begin(oracle.x, self._streams(oracle))
        if self.values is not values:
            self._change_rates(runs, values, oracle.x.shape[:-1])
        point = oracle.at(rows.reshape(oracle.x.shape).clone()) if asks.two_points else oracle
        rows.copy_(point.x.reshape(rows.shape))  # a run may have been frozen or its point projected
        living = oracle.alive.flatten().tolist()
        inputs: Iterator[dict[str, Any]] = itertools.repeat({})
        if not asks.closure or asks.gradients:
            gradients = point.gradient.reshape(rows.shape).clone()  # some classes mutate theirs
            for parameter, gradient in zip(
                runs.parameters, _parts(gradients, self.shapes), strict=True
            ):
                parameter.grad = gradient
            curvatures = self._curvatures(oracle, point, steps) if asks.hessian else None
            if curvatures is not None:
                inputs = ({"hessian": curvatures[k :: len(rows)]} for k in range(len(rows)))
        if asks.closure:
            inputs = self._closures(oracle, point, runs)
        with runs.drawing(self.method) as switch:
            for k, (step, alive, given) in enumerate(zip(runs.steps, living, inputs)):  # noqa: B905
                if alive:
                    if switch is not None:
                        switch(k)
                    try:
                        step(*given.values()) if "closure" in given else step(**given)
                    except Exception as error:
                        raise self._explained(error, oracle.x, steps + 1) from error
        runs.gather(self.method)
        reached = runs.second_points(rows, self.method) if asks.two_points else rows
        return reached.reshape(oracle.x.shape) - oracle.x, (rows, runs, values, steps + 1)

    def _closures(self, oracle: Oracle, point: Point, runs: _Runs) -> Iterator[dict[str, Any]]:
        instances, trials, _ = oracle.x.shape
        known = None
        if _asks(self.method).gradients:
            known = point.x, point.value, point.gradient
        indices = itertools.product(range(instances), range(trials))
        for k, (instance, trial) in enumerate(indices):
            here = None if known is None else tuple(each[instance, trial] for each in known)
            yield {"closure": _closure(oracle, instance, trial, runs.of(k), here)}

    def _begin(self, x: torch.Tensor, streams: list[Any] | None = None) -> State:
        rows = x.detach().reshape(-1, x.shape[-1]).clone()
        parts = _parts(rows, self.shapes)
        parameters = [torch.nn.Parameter(part) for part in parts]
        runs = _Runs(parts, parameters, [], [], streams or [])
        with runs.drawing(self.method) as switch:
            for k, values in enumerate(_by_run(self.values, x.shape[:-1])):
                if switch is not None:
                    switch(k)
                given = _grouped(parameters[k :: len(rows)], _asks(self.method).groups)
                whole = _whole(self.method, values)
                instance = self.method(given, **_single_tensor(self.method), **whole)
                if _asks(self.method).two_points:
                    with suppress(Exception):  # some have no other point before the first step
                        instance.train()  # type: ignore[attr-defined]
                runs.instances.append(instance)
                runs.steps.append(_step_of(instance))
        return rows, runs, self.values, 0

    def _streams(self, oracle: Oracle) -> list[Any]:
        """Return the states of the global generators with which each run begins, the same in all trials."""
        instances, trials, _ = oracle.x.shape
        generators = watched(self.method, oracle.x.device)
        numbers = oracle.normal().expand(instances, 1, -1)
        states = [generators.seeded(seed_of(numbers[k, 0])) for k in range(instances)]
        return [state for state in states for _ in range(trials)]

    def _try(self, x: torch.Tensor, steps: int = 1) -> None:
        """Take one run's first steps on a bowl, which raises what the class raises.

        If it raises, what no signature says is tried: a closure, and parameters in groups. If that helps, it is
        remembered of the class.
        """
        asks = _asks(self.method)
        try:
            self._walk(x, steps)
            return
        except Exception as error:
            first = error
        before = asks.closure, asks.gradients, asks.groups
        ways = [
            (True, True, asks.groups),
            (asks.closure, asks.gradients, _reads_groups(self.method)),
        ]
        for way in ways:
            if way != before:
                asks.closure, asks.gradients, asks.groups = way
                try:
                    self._walk(x, steps)
                    return
                except Exception:  # a class may raise anything
                    asks.closure, asks.gradients, asks.groups = before
        raise first

    def _walk(self, x: torch.Tensor, steps: int) -> torch.Tensor:
        """Return where some steps on a bowl lead from x."""
        with undisturbed():
            while True:  # again once it is known that the class draws
                bowl = Bowl(x, 1.0)
                try:
                    state = self._begin(x)
                    for _ in range(steps):
                        step, state = self._plain_update(bowl, state)
                        bowl = Bowl(bowl.x + step, bowl.steepness)
                    return bowl.x
                except RunAgain:
                    continue

    def _plain_update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return what `update` returns; errors are raised as they are."""
        try:
            return self.update(oracle, state)
        except (Fault, NotApplicable) as error:
            raise error.__cause__ or error from None

    def _shares_state(self, x: torch.Tensor) -> bool:
        """True if a run differs by what other instances do in the meantime."""
        two = torch.cat([x, -0.5 * x])
        try:
            alone, together = (self._walk(each, TOGETHER) for each in (x, two))
        except Exception:  # its runs will end in the same
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
        return (NotApplicable if is_own(error, self.method) else Fault)(said)

    def _needs_float32(self, dim: int, steps: int) -> bool:
        """True if some steps fail in float64 that do not in float32."""
        raised = []
        alone = self.told(PROVISIONAL_STEPS).batched(_by_run(self.values, torch.Size([1, 1]))[0])
        for dtype in (torch.float64, torch.float32):
            try:
                alone._walk(torch.ones(1, 1, dim, dtype=dtype), steps)
                raised.append(False)
            except Exception:  # a class may raise anything
                raised.append(True)
        return raised == [True, False]

    def _curvatures(
        self, oracle: Oracle, point: Point, steps: int
    ) -> Sequence[torch.Tensor] | None:
        """Return Hutchinson's estimate of the Hessian's diagonal, z ⊙ Hz, if it is due, else None."""
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
        """Change the rate of each group by the same factor, as torch's schedulers do."""
        rate, owner = self.rate, self.method.__name__
        rates = (
            _by_run({rate: {**default_hyperparameters(self.method), **values}[rate]}, shape)
            for values in (self.values, first)
        )
        for instance, now, before in zip(runs.instances, *rates, strict=True):
            for group in instance.param_groups:
                key = next((each for each in (rate, "lr") if each in group), None)
                if key is None:
                    raise NotApplicable(f"{owner} has no learning rate that a schedule can change")
                left = now[rate] / before[rate] if before[rate] else 1.0
                group[key] = left * group.setdefault(f"initial_{key}", group[key])


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


class _Runs(NamedTuple):
    """The parameters and instances of all runs; parameters are ordered by tensor, then by run."""

    parts: Sequence[torch.Tensor]  # views of the rows
    parameters: list[torch.nn.Parameter]  # each shares the memory of its part
    instances: list[torch.optim.Optimizer]
    steps: list[Callable[..., Any]]
    streams: list[Any]  # states of the global generators, if the class draws from them

    def of(self, run: int) -> list[torch.nn.Parameter]:
        """Return the parameters of one run."""
        return self.parameters[run :: len(self.instances)]

    @contextmanager
    def drawing(self, method: type) -> Iterator[Callable[[int], None] | None]:
        """Leave the user's random generators as they are, and yield what switches to a run's own, if the class draws.

        Raises:
            RunAgain: If the class has drawn, and was not known to do so.
        """
        generators = watched(method, self.parts[0].device)
        before, current = generators.state(), -1

        def switch(k: int) -> None:
            nonlocal current
            if current >= 0:
                self.streams[current] = generators.state()
            generators.restore(self.streams[k])
            current = k

        try:
            yield switch if self.streams else None
            if current >= 0:
                self.streams[current] = generators.state()
        finally:
            moved = generators.moved_since(before)
            if moved:
                generators.restore(before)
        if moved and not _asks(method).draws:
            _asks(method).draws = True
            raise RunAgain

    def gather(self, method: type) -> None:
        """Copy back what a class has moved elsewhere by assigning to `parameter.data`.

        Raises:
            Fault: If the parameter has another shape there.
        """
        for part, parameter in zip(self.parts, self.parameters, strict=True):
            if parameter.shape != part.shape:
                shapes = f"{tuple(part.shape)} to {tuple(parameter.shape)}"
                raise Fault(f"{method.__name__} changed the shape of a parameter from {shapes}")
            if parameter.data_ptr() != part.data_ptr():
                part.copy_(parameter.data)
                parameter.data = part

    def second_points(self, rows: torch.Tensor, method: type) -> torch.Tensor:
        """Return the points at which the runs would be evaluated, (runs, dim)."""
        for instance in self.instances:
            instance.eval()  # type: ignore[attr-defined]
        self.gather(method)
        points = rows.clone()
        for instance in self.instances:
            instance.train()  # type: ignore[attr-defined]
        self.gather(method)
        return points


@dataclass
class _Asks:
    """What a class asks for in a step, as its signature says and as trials have shown.

    Attributes:
        closure: `step` needs a closure, as torch.optim.LBFGS's does.
        hessian: `step` takes a hessian.
        two_points: It has `train` and `eval`.
        gradients: Although it needs a closure, it also needs the gradients before.
        groups: Its parameters have to come in groups, with the key `use_muon`.
        draws: It draws from a global random generator.
        shared: It keeps state between its instances; None until tried.
    """

    closure: bool
    hessian: bool
    two_points: bool
    gradients: bool = False
    groups: bool = False
    draws: bool = False
    shared: bool | None = None


@functools.cache
def _asks(method: type[torch.optim.Optimizer]) -> _Asks:
    _, *given = inspect.signature(method.step).parameters.values()
    return _Asks(
        any(each.default is each.empty and not _variadic(each) for each in given),
        any(each.name == "hessian" for each in given),
        hasattr(method, "train") and hasattr(method, "eval"),
    )


@functools.cache
def _reads_groups(method: type[torch.optim.Optimizer]) -> bool:
    """True if the source of a class has the key by which Muon-like classes tell matrices from vectors."""
    for each in method.__mro__:
        if each.__module__.partition(".")[0] not in ("torch", "builtins"):
            try:
                if MUON in inspect.getsource(each):
                    return True
            except (OSError, TypeError):  # typed in a notebook
                return True
    return False


def _grouped(parameters: list[torch.nn.Parameter], in_groups: bool) -> list[Any]:
    """Return parameters as a class takes them: plain, or matrices and vectors in groups."""
    if not in_groups:
        return parameters
    groups = [
        {"params": [each for each in parameters if (each.ndim >= 2) is matrices], MUON: matrices}
        for matrices in (True, False)
    ]
    return [each for each in groups if each["params"]]


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


def _variadic(argument: inspect.Parameter) -> bool:
    return argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD)


def _single_tensor(method: type[torch.optim.Optimizer]) -> dict[str, bool]:
    """Return the choice that torch makes for a lone parameter; torch takes a fifth of a step to make it.

    Other packages choose otherwise.
    """
    if not str(method.__init__.__module__).startswith("torch.optim."):
        return {}
    foreach = inspect.signature(method).parameters.get("foreach")
    return {"foreach": False} if foreach is not None and foreach.default is None else {}


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


def _by_run(values: Mapping[str, Any], runs: torch.Size) -> list[dict[str, Any]]:
    """Return the values of each run; those that differ between trials are tensors (trials, 1)."""
    columns = {
        name: value.expand(*runs, 1).flatten().tolist()
        if isinstance(value, torch.Tensor)
        else [value] * runs.numel()
        for name, value in values.items()
    }
    return [{name: column[run] for name, column in columns.items()} for run in range(runs.numel())]


def _step_of(instance: torch.optim.Optimizer) -> Callable[..., Any]:
    """Return the `step` of an instance without torch's label for the profiler, which takes longer than SGD's own step.

    The label is also what calls hooks: if there are any, `step` stays as it is.
    """
    from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

    own = instance._optimizer_step_pre_hooks or instance._optimizer_step_post_hooks
    hooked = own or _global_optimizer_pre_hooks or _global_optimizer_post_hooks
    step = type(instance).step
    if hooked or "step" in vars(instance) or not getattr(step, "hooked", False):
        return instance.step
    return step.__wrapped__.__get__(instance)  # type: ignore[attr-defined]
