"""The runs of an adopted class: an instance of it per run, or one per trial that moves all of the trial's runs.

A class that treats each number of its parameters alike computes for many runs in one step what it computes for each
alone, bit for bit. Whether a class does is tried and not assumed: by `can_stack` before the runs begin, and by two
witnesses, runs that are also stepped alone, until they end.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NoReturn, TypeAlias

import torch

from optimizers.failure import Shapes
from optimizers.global_generators import watched
from optimizers.needs import grouped, needs
from optimizers.operations import watching
from optimizers.optimizer import Fault, NotApplicable, RunAgain

Method: TypeAlias = "type[torch.optim.Optimizer]"
Values = Mapping[str, Any]

PROBED = 3  # runs that are stepped together and alone before a class's runs are stacked
STEPS = 60  # of each probe: some methods change what they do after a while
SMALLEST, LARGEST = 1e-3, 30.0  # of random gradients, and of the distance from the middle of a bowl
LONGEST = 5  # of a parameter's sides in a probe
# Operations on each number alone that IEEE 754 rounds in one way. All others, such as x^(1/3), may round differently by
# where a number lies in memory: the processor takes most of them in fours or eights, and the rest one by one.
EXACT = {
    "abs", "add", "addcdiv", "addcmul", "bitwise_and", "bitwise_not", "bitwise_or", "ceil", "clamp",
    "clamp_max", "clamp_min", "clone", "copy", "copysign", "detach", "div", "eq", "fill", "floor", "ge", "gt",
    "heaviside", "isfinite", "isinf", "isnan", "le", "lerp", "logical_and", "logical_not", "logical_or", "lt",
    "masked_fill", "maximum", "minimum", "mul", "nan_to_num", "ne", "neg", "reciprocal", "relu", "round",
    "rsqrt", "rsub", "sgn", "sign", "signbit", "sqrt", "square", "sub", "trunc", "where", "zero",
}  # fmt: skip
EXACT_POWERS = (-2, -1, -0.5, 0.5, 1, 2, 3)

_probed: dict[tuple[Any, ...], bool] = {}


class Runs:
    """The parameters of runs at x (instances, trials, dim), and one instance of the class per run to move them.

    Args:
        method: The class.
        values: The arguments of each of its instances, in the order of x.
        shapes: The shapes of the parameters that a row of x concatenates; None for one vector.
        x: Where the runs start, (instances, trials, dim).
        streams: For a class that draws, the states of the global generators with which each run begins.
    """

    def __init__(
        self, method: Method, values: Sequence[Values], shapes: Shapes | None, x: torch.Tensor,
        streams: Sequence[Any] = (),
    ):  # fmt: skip
        self.method = method
        self.streams = list(streams)
        self.shape = x.shape
        self.shapes = shapes or (tuple(x.shape[-1:]),)
        self.sizes = [math.prod(each) for each in self.shapes]
        self._memory = self._copied(x)
        self._parts = self._cut(self._memory)
        self._parameters = [[torch.nn.Parameter(part) for part in own] for own in self._parts]
        self.instances: list[torch.optim.Optimizer] = []
        with self._drawing() as switch:
            for k, given in enumerate(values):
                switch(k)
                parameters = grouped(self._parameters[k], needs(method).groups)
                self.instances.append(method(parameters, **_single_tensor(method), **given))
                if needs(method).two_points:
                    with suppress(Exception):  # some have no other point before the first step
                        self.instances[k].train()  # type: ignore[attr-defined]
        self.steps = [_step_of(each) for each in self.instances]

    def place(self, x: torch.Tensor) -> None:
        """Move the parameters to x (instances, trials, dim)."""
        for memory, given in zip(self._memory, self._split(x), strict=True):
            memory.copy_(given)

    def give(self, gradient: torch.Tensor) -> None:
        """Give the parameters their gradient (instances, trials, dim), in new memory: some classes change theirs."""
        gradients = self._cut(self._copied(gradient))
        for parameters, own in zip(self._parameters, gradients, strict=True):
            for parameter, part in zip(parameters, own, strict=True):
                parameter.grad = part

    def step(self, alive: torch.Tensor, given: Sequence[Mapping[str, Any]] = ()) -> None:
        """Step the runs that have not ended.

        Args:
            alive: These runs, a mask (instances, trials).
            given: A closure or a hessian for `step` of each instance of the class, if it takes one.

        Raises:
            RunAgain: If the class has drawn random numbers, and was not known to.
        """
        with self._drawing() as switch:
            for k, moves in enumerate(self._moving(alive).tolist()):
                if moves:
                    switch(k)
                    words = given[k] if given else {}
                    # The closure goes by position: it has any name.
                    self.steps[k](*words.values()) if "closure" in words else self.steps[k](**words)

    def points(self) -> torch.Tensor:
        """Return where the runs are, (instances, trials, dim)."""
        self._gather()
        return self._joined().clone()

    def second_points(self) -> torch.Tensor:
        """Return the points at which the runs would be evaluated, (instances, trials, dim)."""
        for instance in self.instances:
            instance.eval()  # type: ignore[attr-defined]
        self._gather()
        points = self._joined().clone()
        for instance in self.instances:
            instance.train()  # type: ignore[attr-defined]
        self._gather()
        return points

    def change_rates(self, rate: str, factors: torch.Tensor) -> None:
        """Multiply the first learning rate of each run's groups by its factor (instances, trials), as schedulers do.

        Raises:
            NotApplicable: If a group has no learning rate, neither under its own name nor as `lr`.
        """
        for instance, factor in zip(self.instances, factors.flatten().tolist(), strict=True):
            for group in instance.param_groups:
                key = next((each for each in (rate, "lr") if each in group), None)
                if key is None:
                    owner = self.method.__name__
                    raise NotApplicable(f"{owner} has no learning rate that a schedule can change")
                group[key] = factor * group.setdefault(f"initial_{key}", group[key])

    def of(self, run: int) -> list[torch.nn.Parameter]:
        """Return the parameters of one run."""
        return self._parameters[run]

    def by_instance(self, x: torch.Tensor) -> list[list[torch.Tensor]]:
        """Return x (instances, trials, dim) in the shapes of the parameters, for each instance of the class."""
        return self._cut(self._copied(x))

    @contextmanager
    def _drawing(self) -> Iterator[Callable[[int], None]]:
        """Yield what switches to a run's own stream of random numbers; leave the user's generators as they are."""
        generators = watched(self.method, self._memory[0].device)
        before, current = generators.state(), -1

        def switch(k: int) -> None:
            nonlocal current
            if self.streams:
                if current >= 0:
                    self.streams[current] = generators.state()
                generators.restore(self.streams[k])
                current = k

        try:
            yield switch
            if current >= 0:
                self.streams[current] = generators.state()
        finally:
            moved = generators.moved_since(before)
            if moved:
                generators.restore(before)
        if moved and not needs(self.method).draws:
            needs(self.method).draws = True
            raise RunAgain

    def _gather(self) -> None:
        """Copy back what a class has moved elsewhere by assigning to `parameter.data`."""
        for parts, parameters in zip(self._parts, self._parameters, strict=True):
            for part, parameter in zip(parts, parameters, strict=True):
                if parameter.shape != part.shape:
                    shapes = f"{tuple(part.shape)} to {tuple(parameter.shape)}"
                    raise Fault(
                        f"{self.method.__name__} changed the shape of a parameter from {shapes}"
                    )
                if parameter.data_ptr() != part.data_ptr():
                    part.copy_(parameter.data)
                    parameter.data = part

    def _copied(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [each.clone(memory_format=torch.contiguous_format) for each in self._split(x)]

    def _split(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return x as it lies in memory."""
        return [x.reshape(-1, x.shape[-1])]

    def _joined(self) -> torch.Tensor:
        """Return the memory as x."""
        return self._memory[0].view(self.shape)

    def _cut(self, memory: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
        """Return such memory as parameters, by instance of the class."""
        blocks = memory[0].split(self.sizes, -1)
        return _by_instance(
            block.view(-1, *shape) for block, shape in zip(blocks, self.shapes, strict=True)
        )

    def _moving(self, alive: torch.Tensor) -> torch.Tensor:
        """Return which instances of the class have a run that has not ended."""
        return alive.flatten()


class StackedRuns(Runs):
    """One instance of the class per trial: a parameter holds those of all runs of the trial.

    They follow in the first dimension, so that a parameter has as many dimensions as that of one run. Two of the runs,
    the witnesses, are stepped alone as well.

    Args:
        method: The class.
        values: The arguments of each trial.
        shapes: The shapes of the parameters that a row of x concatenates; None for one vector.
        x: Where the runs start, (instances, trials, dim).

    Raises:
        RunAgain: From `points` and `second_points`, if a witness is elsewhere alone.
    """

    def __init__(
        self, method: Method, values: Sequence[Values], shapes: Shapes | None, x: torch.Tensor
    ):
        super().__init__(method, values, shapes, x)
        self._witnesses = Runs(method, [values[0], values[-1]], shapes, _first_and_last(x))
        self._seen = torch.zeros(
            2, 1, dtype=torch.bool, device=x.device
        )  # the witnesses that have not ended

    def place(self, x: torch.Tensor) -> None:
        super().place(x)
        self._witnesses.place(_first_and_last(x))

    def give(self, gradient: torch.Tensor) -> None:
        super().give(gradient)
        self._witnesses.give(_first_and_last(gradient))

    def change_rates(self, rate: str, factors: torch.Tensor) -> None:
        if not (factors == factors[:1]).all():
            self._run_again()  # an instance of the class has one rate
        super().change_rates(rate, factors[:1])
        self._witnesses.change_rates(rate, _first_and_last(factors))

    def step(self, alive: torch.Tensor, given: Sequence[Mapping[str, Any]] = ()) -> None:
        super().step(alive, given)
        self._seen = _first_and_last(alive)
        self._witnesses.step(self._seen)

    def points(self) -> torch.Tensor:
        points = super().points()
        return self._witnessed(points, self._witnesses.points())

    def second_points(self) -> torch.Tensor:
        points = super().second_points()
        return self._witnessed(points, self._witnesses.second_points())

    def _witnessed(self, points: torch.Tensor, alone: torch.Tensor) -> torch.Tensor:
        """Return the points, or begin again if a witness that has not ended is elsewhere alone."""
        if not _same_bits(_first_and_last(points)[self._seen], alone[self._seen]):
            self._run_again()
        return points

    def _run_again(self) -> NoReturn:
        needs(self.method).coupled = True
        raise RunAgain

    def _split(self, x: torch.Tensor) -> list[torch.Tensor]:
        return [each.transpose(0, 1) for each in x.split(self.sizes, -1)]

    def _joined(self) -> torch.Tensor:
        return torch.cat(self._memory, -1).transpose(0, 1)

    def _cut(self, memory: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
        instances, trials, _ = self.shape
        return _by_instance(
            block.view(trials, instances * shape[0], *shape[1:])
            if shape
            else block.view(trials, instances)
            for block, shape in zip(memory, self.shapes, strict=True)
        )

    def _moving(self, alive: torch.Tensor) -> torch.Tensor:
        return alive.any(0)


def can_stack(
    method: Method, values: Sequence[Values], shapes: Shapes | None, x: torch.Tensor
) -> bool:
    """True if a class moves all runs of a trial at once as it moves each alone, to the bit, as far as is known.

    Args:
        method: The class.
        values: The arguments of each trial.
        shapes: The shapes of the parameters that a row of x concatenates; None for one vector.
        x: Where the runs start, (instances, trials, dim).

    Returns:
        False for one instance of the problem, for a class that draws random numbers or needs more than gradients, for
        one whose witness was elsewhere before, and where runs differ, on random gradients or on a bowl.
    """
    asks = needs(method)
    more = asks.closure or asks.hessian or asks.groups or asks.draws or asks.coupled
    if len(x) == 1 or more:
        return False
    # A class may treat vectors, matrices and sides of 1 in their own ways; not sides of 7 and of 70.
    small = tuple(
        tuple(min(side, LONGEST) for side in shape) for shape in shapes or (tuple(x.shape[-1:]),)
    )
    fixed = {
        name: each for name, each in values[0].items() if all(each == of[name] for of in values)
    }
    key = (method, repr(fixed), small, x.dtype, x.device)
    if key not in _probed:
        _probed[key] = all(_agrees(method, each, small, x) for each in (values[0], values[-1]))
    return _probed[key]


def _agrees(method: Method, values: Values, shapes: Shapes, like: torch.Tensor) -> bool:
    """True if runs that are stepped together and alone are at the same points on random gradients and on a bowl."""
    dim = sum(math.prod(shape) for shape in shapes)
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64).to(like)

    sizes = torch.logspace(math.log10(SMALLEST), math.log10(LARGEST), PROBED).to(like)
    start = normal(PROBED, 1, dim) * sizes.view(-1, 1, 1)
    curvature = normal(dim).exp()
    noise = normal(STEPS, PROBED, 1, dim) * sizes[torch.arange(STEPS) % PROBED].view(-1, 1, 1, 1)
    rounding = _Rounding()
    operations = watching(rounding)
    try:
        for on_bowl in (False, True):
            together = StackedRuns(method, [values], shapes, start)
            alone = Runs(method, [values] * PROBED, shapes, start)
            x = start
            all_runs = torch.ones(PROBED, 1, dtype=torch.bool, device=x.device)
            for step in range(STEPS):
                for runs in (together, alone):
                    runs.give(curvature * x if on_bowl else noise[step])
                alone.step(all_runs)
                with operations:
                    Runs.step(together, all_runs)
                x = alone.points()
                if not _same_bits(x, Runs.points(together)):
                    return False
    except Exception:  # it may raise anything, and will again when the runs begin
        return False
    return rounding.exact


class _Rounding:
    """Whether the operations that were looked at round a number as they would anywhere else in memory."""

    def __init__(self) -> None:
        self.exact = True

    def __call__(self, func: Any, args: Sequence[Any], result: Any) -> None:
        name = func._schema.name.removeprefix("aten::")
        own = name.removeprefix("_foreach_").strip("_")
        of_each_number = torch.Tag.pointwise in func.tags or name.startswith("_foreach_")
        single = isinstance(result, (torch.Tensor, bool)) and torch.as_tensor(result).numel() == 1
        exact_power = own == "pow" and isinstance(args[1], (int, float)) and args[1] in EXACT_POWERS
        if of_each_number and not single and own not in EXACT and not exact_power:
            self.exact = False


def _same_bits(first: torch.Tensor, second: torch.Tensor) -> bool:
    """True if all numbers are equal; NaN equals NaN."""
    return bool(((first == second) | (first.isnan() & second.isnan())).all())


def _first_and_last(of_runs: torch.Tensor) -> torch.Tensor:
    """Return what belongs to the first and the last of the runs (instances, trials, …), (2, 1, …)."""
    return torch.stack([of_runs[0, 0], of_runs[-1, -1]]).unsqueeze(1)


def _by_instance(blocks: Iterable[torch.Tensor]) -> list[list[torch.Tensor]]:
    """Return the parameters of each instance of the class, from blocks (instances of the class, *shape)."""
    return [list(own) for own in zip(*(block.unbind() for block in blocks), strict=True)]


def _single_tensor(method: type[torch.optim.Optimizer]) -> dict[str, bool]:
    """Return the choice that torch makes for a lone parameter; torch takes a fifth of a step to make it.

    Other packages choose otherwise.
    """
    if not str(method.__init__.__module__).startswith("torch.optim."):
        return {}
    foreach = inspect.signature(method).parameters.get("foreach")
    return {"foreach": False} if foreach is not None and foreach.default is None else {}


def _step_of(instance: torch.optim.Optimizer) -> Callable[..., Any]:
    """Return the `step` of an instance without torch's label for the profiler, which takes longer than SGD's own step.

    The label is also what calls hooks: if there are any, `step` stays as it is.
    """
    from torch.optim.optimizer import _global_optimizer_post_hooks, _global_optimizer_pre_hooks

    its = vars(instance)  # empty if a class does not call its base's `__init__`
    own = its.get("_optimizer_step_pre_hooks") or its.get("_optimizer_step_post_hooks")
    hooked = own or _global_optimizer_pre_hooks or _global_optimizer_post_hooks
    step = type(instance).step
    if hooked or "step" in vars(instance) or not getattr(step, "hooked", False):
        return instance.step
    return step.__wrapped__.__get__(instance)  # type: ignore[attr-defined]
