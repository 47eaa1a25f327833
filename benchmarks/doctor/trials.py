"""Try what might help: copies of the weights and the optimizer take the run's own steps with one thing changed.

A copy and the run see the same batches and random numbers, step by step, so their losses can be compared in pairs. The
gain of a change is the number of steps that the run needs to get to a loss, over the number that the copy needs.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from benchmarks.doctor.layers import calls
from benchmarks.doctor.losses import LOWER, SURE, Losses, smooth
from benchmarks.doctor.measurement import Closure, parted
from benchmarks.doctor.no_side_effects import RandomState, aside, randomness_restored

HELPS = (
    5.0  # gain from which a change counts: the removals of a sweep count from a fivefold gain, too
)
WORTH = 0.1  # share of what there was to gain that a change must gain
LEAST = 5  # steps before which no level counts: the first losses hardly differ
SIGNS = 10  # differences of one sign by chance in less than one case of a thousand, as beyond three standard errors
CLOSE = 0.95  # two losses are as good as one if their ratio is above this
BEHIND = 0.2  # share of its steps after which a copy that is clearly behind ends
BATCHES = 16  # minibatches a step of the larger batch
KEPT = 0.9  # share of the old covariance of a layer's inputs that is kept at each step
DAMPING = 1e-3  # of that covariance, over its mean eigenvalue
SCHEDULED = ("momentum", "betas")  # settings that schedules change beside the rate
HOOKED = (
    "the optimizer has step hooks, which act on the run's own parameters and not on those of a copy. Do in "
    "before_update what a hook does before the step, for instance clipping: doctor.step(closure, before_update=…)."
)


@dataclass(frozen=True)
class Change:
    """One thing that is changed.

    Attributes:
        name: What the copy has, in words: "learning rate 0.01 for 0.1".
        cause: What is wrong with the run if the change helps.
        steps: Steps that the copy takes, at most.
        factor: Factor on the learning rates.
        clip: Norm at which gradients are clipped; None: not at all.
        batches: Minibatches whose mean gradient makes one step.
        model: A context inside which the model computes what the copy computes; None: what it computes anyway.
        start: Changes the copy's weights and optimizer before its first step.
        precondition: Changes the gradients of one step in place.
        structural: True if the change makes another function or method of it, which makes most runs faster; it must
            then beat the changes that do not.
    """

    name: str
    cause: str
    steps: int
    factor: float = 1.0
    clip: float | None = None
    batches: int = 1
    model: Callable[[], Any] | None = None
    start: Callable[[Shadow], None] | None = None
    precondition: Callable[[Shadow], None] | None = None
    structural: bool = False


@dataclass(frozen=True)
class Tried:
    """What a change did.

    Attributes:
        change: What was changed.
        began: The step from which on.
        steps: Steps taken with it.
        loss: The loss at their end.
        run: The run's own loss there.
        gain: Steps of the run to a loss over those of the copy; a lower bound if the run never got there.
        clear: True if the copy was lower than the run at its end, by more than the errors allow.
        lower: True if it was lower by a tenth, too.
        helps: True if the gain is at least `HELPS` and the copy ended clearly lower than the run; if it takes larger
            batches, not higher than the run did with the same data.
        losses: The losses of its steps.
    """

    change: Change
    began: int
    steps: int
    loss: float
    run: float
    gain: float
    clear: bool
    lower: bool
    helps: bool
    losses: tuple[float, ...] = ()

    @property
    def gained(self) -> str:
        """Return how much sooner the change got to a loss than the run did: a sentence."""
        if math.isinf(self.gain):
            return f"With {self.change.name} the loss reaches a level that this run never does."
        return f"With {self.change.name} the same loss takes {self.gain:.2g} times fewer steps."

    @property
    def sentence(self) -> str:
        """Return what was tried and what came of it, with numbers."""
        where = "the start" if self.began == 0 else f"step {self.began}"
        lost = "not finite" if not math.isfinite(self.loss) else f"{self.loss:.3g}"
        run = "not finite" if not math.isfinite(self.run) else f"{self.run:.3g}"
        return f"Tried: {self.change.name} from {where} on: loss {lost} after {self.steps} steps, this run {run}."


class Shadow:
    """A copy of the weights and of the optimizer that takes the run's steps with one thing changed.

    Args:
        change: What is changed.
        step: Number of the run's step from which it starts.
        parameters: The model's parameters that the optimizer moves, or that the change adds.
        optimizer: The run's optimizer; the copy has its state.
    """

    def __init__(
        self,
        change: Change,
        step: int,
        parameters: Sequence[torch.nn.Parameter],
        optimizer: torch.optim.Optimizer,
    ):
        self.change, self.began = change, step
        self.real = list(parameters)
        self.own = [
            torch.nn.Parameter(each.detach().clone(), each.requires_grad) for each in self.real
        ]
        self._optimizer, self.optimizer = (
            optimizer,
            _copied(optimizer, dict(zip(self.real, self.own, strict=True))),
        )
        self.losses: list[float] = []
        self.failure: str | None = None
        self._sums: list[torch.Tensor] | None = None
        if change.start is not None:
            change.start(self)

    def again(self, change: Change) -> Shadow:
        """Return a copy of this one, before its first step, with another change."""
        made = copy.copy(self)
        made.change, made.losses = change, []
        made.own = [
            torch.nn.Parameter(each.detach().clone(), each.requires_grad) for each in self.own
        ]
        made.optimizer = _copied(self.optimizer, dict(zip(self.own, made.own, strict=True)))
        return made

    def release(self) -> None:
        """Forget the weights and the optimizer, and keep the losses."""
        self.real, self.own, self._sums = [], [], None
        del self._optimizer, self.optimizer
        self.change = dataclasses.replace(self.change, model=None, start=None, precondition=None)

    @property
    def done(self) -> bool:
        return self.failure is not None or len(self.losses) >= self.change.steps or not self.alive

    @property
    def alive(self) -> bool:
        return not self.losses or math.isfinite(self.losses[-1])

    def step(
        self,
        model: torch.nn.Module,
        closures: Sequence[Closure],
        beginning: RandomState,
        before_update: Callable[[], object] | None,
    ) -> float:
        """Take the run's step from its random state; return the price in gradients.

        The model is left as it was found, but random states are not: several copies step in a row.
        """
        beginning.restore()
        try:
            with aside(model, self.real), _training(self.real, self.own):
                self._take(model, closures, before_update)
        except Exception as error:  # whatever a copy does to the optimizer, the model or the closure, the run goes on
            self.failure = str(error).partition("\n")[0] or type(error).__name__
        return float(len(closures))

    def _take(
        self,
        model: torch.nn.Module,
        closures: Sequence[Closure],
        before_update: Callable[[], object] | None,
    ) -> None:
        if _has_step_hooks(self._optimizer):
            raise ValueError(HOOKED)
        place(self.real, self.own)
        changed = self.change.model() if self.change.model is not None else _nothing()
        with changed, torch.enable_grad():
            losses = [parted(each())[0] for each in closures]
            loss = torch.stack(losses).mean()
            moved = [each for each in self.real if each.requires_grad]
            found = torch.autograd.grad(loss, moved, allow_unused=True)
        given = dict(zip(moved, found, strict=True))
        gradients: list[torch.Tensor | None] = [given.get(each) for each in self.real]
        self.losses.append(loss.item())
        if not self.alive:
            return
        if before_update is not None:
            gradients = _after(before_update, self.real, gradients, model)
        if self.change.batches > 1:
            known = [
                torch.zeros_like(p) if g is None else g
                for p, g in zip(self.own, gradients, strict=True)
            ]
            self._sums = (
                known
                if self._sums is None
                else [a + b for a, b in zip(self._sums, known, strict=True)]
            )
            if len(self.losses) % self.change.batches:
                return
            gradients, self._sums = [each / self.change.batches for each in self._sums], None
        for own, gradient in zip(self.own, gradients, strict=True):
            own.grad = gradient
        if self.change.precondition is not None:
            self.change.precondition(self)
        if self.change.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.own, self.change.clip)
        scheduled = self._optimizer.param_groups
        for k, group in enumerate(self.optimizer.param_groups):
            real = scheduled[
                min(k, len(scheduled) - 1)
            ]  # a group that was added follows the last one
            group |= {name: real[name] for name in SCHEDULED if name in real}
            if "lr" in real:
                group["lr"] = real["lr"] * self.change.factor
        self.optimizer.step()

    def clearly_behind(self, run: Losses) -> bool:
        """True if a fifth of its steps are taken and it is clearly above the run; shorter steps may be, at first."""
        taken = len(self.losses)
        if self.change.factor < 1 or taken != max(LEAST, int(BEHIND * self.change.steps)):
            return False
        theirs = run.values[self.began : self.began + taken]
        return _lower(theirs, np.array(self.losses))

    def tried(self, run: Losses, floor: float | None) -> Tried | None:
        """Return what the change did; None if it took too few steps to tell."""
        taken = len(self.losses)
        if taken < 2 * LEAST:
            return None
        values, own = run.values, np.array(self.losses)
        last = max(LEAST, taken // 4)
        width = max(LEAST, taken // 5)
        before = values[max(self.began - width, 0) : self.began + 1]
        start = float(np.mean(before[np.isfinite(before)]))
        levels, reached = smooth(own, width), smooth(values, width)[self.began :]
        levels[: width // 2] = math.inf  # the mean of a few losses is lower or higher by luck
        if self.began < width // 2:
            reached[: width // 2 - self.began] = math.inf
        values = values[self.began :]
        ends, runs = float(np.mean(own[-last:])), float(np.mean(values[:taken][-last:]))
        gain = self.change.batches * _gain(levels, reached, start, 0.0 if floor is None else floor)
        end = run.end[0]
        clear = math.isfinite(ends) and _lower(own, values[:taken])
        if self.change.batches > 1:  # with the same data, in so many fewer steps
            good = math.isfinite(ends) and ends * CLOSE <= runs
        else:
            good = clear and (not math.isfinite(end) or ends < CLOSE * end)
        lower = clear and (not math.isfinite(runs) or ends < LOWER * runs)
        return Tried(
            self.change, self.began, taken, ends, runs, gain, clear, lower, good and gain >= HELPS,
            tuple(self.losses),
        )  # fmt: skip


def _gain(levels: np.ndarray, reached: np.ndarray, start: float, floor: float) -> float:
    """Return the largest ratio of the steps of the run to those of the copy, over all levels that are worth it."""
    gains = [0.0]
    lowest = np.minimum.accumulate(reached)
    worth = start - WORTH * (start - floor)
    for step, level in enumerate(levels):
        if not level <= worth or level > levels[: step + 1].min():
            continue
        there = int(np.searchsorted(-lowest, -level))
        broken = there == len(reached) and not math.isfinite(reached[-1])
        gains.append(math.inf if broken else (there + 1) / (step + 1))
    return max(gains)


def _lower(one: np.ndarray, other: np.ndarray) -> bool:
    """True if the last quarter of one is below that of the other, step by step, beyond its standard error.

    If the other blows up, the error is as large as the difference: then it is lower if it is so in each of ten steps.
    """
    last = max(LEAST, len(one) // 4)
    differences = np.where(np.isfinite(other), other, math.inf)[-last:] - one[-last:]
    if not np.isfinite(differences).all():
        return bool(np.isfinite(one[-last:]).all())
    with np.errstate(over="ignore"):
        error = differences.std() / math.sqrt(last)
        sure = differences.mean() > SURE * error and differences.mean() > 0
    return bool(sure or (last >= SIGNS and (differences > 0).all()))


def place(parameters: Sequence[torch.Tensor], values: Sequence[torch.Tensor]) -> None:
    """Set parameters to these values."""
    with torch.no_grad():
        for parameter, value in zip(parameters, values, strict=True):
            parameter.copy_(value)


def _copied(
    optimizer: torch.optim.Optimizer, own: dict[torch.nn.Parameter, torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """Return a copy of an optimizer and its state that holds other parameters."""
    memo = {id(real): copied for real, copied in own.items()}
    made = copy.deepcopy(optimizer, memo)
    for name, value in vars(optimizer).items():  # an optimizer pickles groups and state alone
        if name not in vars(made) and name != "step":  # schedules put a step of their own there
            setattr(made, name, copy.deepcopy(value, memo))
    return made


def _has_step_hooks(optimizer: torch.optim.Optimizer) -> bool:
    """True if hooks of this optimizer, or of one that it wraps, run at its steps.

    Those that torch runs at the steps of all optimizers run at a copy's steps, too.
    """
    names = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")
    wrapped = (each for each in vars(optimizer).values() if isinstance(each, torch.optim.Optimizer))
    own = any(getattr(optimizer, name, None) for name in names)
    return own or any(map(_has_step_hooks, wrapped))


def _after(
    before_update: Callable[[], object],
    parameters: Sequence[torch.nn.Parameter],
    gradients: Sequence[torch.Tensor | None],
    model: torch.nn.Module,
) -> list[torch.Tensor | None]:
    """Return the gradients as `before_update` leaves them; those of the run, and of other weights, are kept."""
    given = dict(zip(parameters, gradients, strict=True))
    kept = {each: each.grad for each in (*parameters, *model.parameters())}
    try:
        for each, gradient in kept.items():
            each.grad = (
                given[each] if each in given else None if gradient is None else gradient.clone()
            )
        before_update()
        return [each.grad for each in parameters]
    finally:
        for each, gradient in kept.items():
            each.grad = gradient


@contextmanager
def _training(
    parameters: Sequence[torch.nn.Parameter], like: Sequence[torch.nn.Parameter]
) -> Iterator[None]:
    """Let parameters require gradients, inside the context, where their copies do."""
    before = [each.requires_grad for each in parameters]
    try:
        for each, copied in zip(parameters, like, strict=True):
            each.requires_grad_(copied.requires_grad)
        yield
    finally:
        for each, required in zip(parameters, before, strict=True):
            each.requires_grad_(required)


@contextmanager
def _nothing() -> Iterator[None]:
    yield


# The changes that are not numbers.


def bypassed(module: torch.nn.Module) -> Callable[[], Any]:
    """Return a context in which a module returns its input."""
    return lambda: _hooked([(module, lambda inputs, out: inputs[0])])


def standardized(layers: Sequence[torch.nn.Module]) -> Callable[[], Any]:
    """Return a context in which the outputs of layers have mean 0 and variance 1 in each feature, over the batch."""

    def standard(inputs: Any, out: torch.Tensor) -> torch.Tensor:
        if out.ndim < 2 or out.numel() == out.shape[0]:
            return out
        feature = 1 if out.ndim > 3 else out.ndim - 1
        over = [each for each in range(out.ndim) if each != feature]
        mean, variance = out.mean(over, keepdim=True), out.var(over, keepdim=True, unbiased=False)
        return (out - mean) / (variance + 1e-5).sqrt()

    return lambda: _hooked([(each, standard) for each in layers])


@contextmanager
def _hooked(hooks: Sequence[tuple[torch.nn.Module, Callable[[Any, Any], Any]]]) -> Iterator[None]:
    handles = [
        module.register_forward_hook(lambda _, inputs, out, change=change: change(inputs, out))
        for module, change in hooks
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def restarted(model: torch.nn.Module) -> Callable[[Shadow], None]:
    """Return a start at new weights: each module draws them anew."""

    def start(shadow: Shadow) -> None:
        parameters = list(model.parameters())
        with randomness_restored(_devices(shadow.real)), aside(model, parameters):
            for module in model.modules():
                if callable(again := getattr(module, "reset_parameters", None)):
                    again()
            place(shadow.own, shadow.real)
        shadow.optimizer.state.clear()

    return start


def orthogonal(weights: Sequence[torch.nn.Parameter]) -> Callable[[Shadow], None]:
    """Return a start at which these square matrices are orthogonal."""
    wanted = {id(each) for each in weights}

    def start(shadow: Shadow) -> None:
        generator = torch.Generator().manual_seed(0)
        for real, own in zip(shadow.real, shadow.own, strict=True):
            if id(real) in wanted:
                drawn = torch.empty_like(own, device="cpu")
                place([own], [torch.nn.init.orthogonal_(drawn, generator=generator)])

    return start


def added(parameters: Sequence[torch.nn.Parameter]) -> Callable[[Shadow], None]:
    """Return a start at which the optimizer holds these parameters, too, and all of them require gradients.

    The optimizer may hold some of them already: those that did not require gradients.
    """
    wanted = {id(each) for each in parameters}

    def start(shadow: Shadow) -> None:
        held = {id(each) for group in shadow.optimizer.param_groups for each in group["params"]}
        more = [
            each.requires_grad_()
            for real, each in zip(shadow.real, shadow.own, strict=True)
            if id(real) in wanted
        ]
        own = [each for each in more if id(each) not in held]
        if own:
            shadow.optimizer.add_param_group({
                name: value for name, value in shadow.optimizer.param_groups[-1].items() if name != "params"
            } | {"params": own})  # fmt: skip

    return start


@dataclass
class Whitening:
    """Precondition the gradients of linear layers by the covariance of their inputs, Ã = λmax(A) (A + δ)⁻¹.

    A is the second moment of the inputs with a 1 for the bias (dim, dim). Along its steepest direction the step stays
    as it is, so the learning rate stays as stable as it was; along the others it is as long as if the inputs were
    white. δ is a thousandth of the mean eigenvalue.
    """

    layers: list[torch.nn.Linear]
    moments: dict[int, torch.Tensor] = field(default_factory=dict)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note the inputs of the layers inside the context."""

        def keep(module: torch.nn.Module, inputs: Any) -> None:
            x = inputs[0].detach().flatten(0, -2).double()
            x = torch.cat([x, x.new_ones(len(x), 1)], 1)
            now = x.T @ x / len(x)
            before = self.moments.get(id(module), now)
            self.moments[id(module)] = KEPT * before + (1 - KEPT) * now

        handles = [each.register_forward_pre_hook(keep) for each in self.layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def precondition(self, shadow: Shadow) -> None:
        """Change the gradients of one step in place."""
        own = {id(real): each for real, each in zip(shadow.real, shadow.own, strict=True)}
        for layer in self.layers:
            weight, moment = own.get(id(layer.weight)), self.moments.get(id(layer))
            if weight is None or moment is None or weight.grad is None:
                continue
            bias = None if layer.bias is None else own.get(id(layer.bias))
            parts = (
                [weight.grad]
                if bias is None or bias.grad is None
                else [weight.grad, bias.grad[:, None]]
            )
            size = sum(each.shape[1] for each in parts)
            moment = moment[:size, :size]
            damped = moment + DAMPING * moment.diagonal().mean() * torch.eye(size).to(moment)
            largest = torch.linalg.eigvalsh(moment)[-1]
            gradient = torch.linalg.solve(damped, torch.cat(parts, 1).double().T).T * largest
            weight.grad = gradient[:, : weight.shape[1]].to(weight)
            if bias is not None and len(parts) == 2:
                bias.grad = gradient[:, -1].to(bias)


def _devices(parameters: Sequence[torch.Tensor]) -> list[torch.device]:
    return list({each.device for each in parameters if each.device.type != "cpu"})


def hidden(
    model: torch.nn.Module, closure: Closure
) -> tuple[list[torch.nn.Module], list[torch.nn.Parameter]]:
    """Return the layers before the last that are called once a pass, and the square matrices that are called often."""
    made = calls(model, closure)
    order = list(dict.fromkeys(made))
    once = [each for each in order[:-1] if made.count(each) == 1]
    square = [
        weight
        for each in order
        for name, weight in each.named_parameters(recurse=False)
        if weight.ndim == 2 and weight.shape[0] == weight.shape[1]
        and (made.count(each) > 1 or name.startswith("weight_hh"))
    ]  # fmt: skip
    return once, square
