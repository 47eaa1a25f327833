"""Watch a training loop that someone else runs: evidence of first order, without a closure.

A trainer that takes the steps itself gives no loss that could be evaluated again. What passes by is kept: the loss
of each `backward`, the gradients at each step of the optimizer, its learning rate and its steps.
"""

from __future__ import annotations

import functools
import math
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from torch.nn.modules.module import register_module_forward_hook

from benchmarks.diagnosis import Record
from benchmarks.doctor.judge import Run
from benchmarks.doctor.layers import dead_units
from benchmarks.doctor.logs import Log, Series, readings
from benchmarks.doctor.losses import Losses
from benchmarks.doctor.measurement import DRAWS, Measured, Patient
from benchmarks.doctor.overhead import RECENT, Schedule
from benchmarks.doctor.program import Fault, NotFinite, Program, fault
from benchmarks.doctor.records import record_of
from ravine import Refused

if TYPE_CHECKING:
    from benchmarks.doctor.report import Report

BEFORE_SCALING = "_ravine_before_scaling"  # of a scaled loss: the loss itself, and its scale
SHOWN = (  # what can be told without a closure; the table in docs/doctor.md has the same words
    "numbers that are not finite",
    "a forgotten zero_grad",
    "frozen weights",
    "a loss that stalls or diverges",
    "a learning rate that decays too fast or warms up too slowly",
    "dead units",
    "a gradient that is 0, vanishes, explodes or leaps",
)
NOT_SHOWN = (
    "constant steps that are too small, or too large without divergence",
    "ill-conditioning and sharpening",
    "saddles, minima and plateaus",
    "what noise costs",
    "wrong directions",
    "output units, shapes, scales and labels that do not fit",
)
LIMITS = (
    "Watched without a closure, so this is evidence of first order. It can show "
    f"{', '.join(SHOWN[:-1])}, and {SHOWN[-1]}. Only doctor.step(closure) shows {'; '.join(NOT_SHOWN)}."
)
ASSUMED = (
    f"|m|² and tr S are from the gradients of {DRAWS} successive steps, as the optimizer gets them, after clipping. "
    "This assumes that the mean gradient hardly changes over them: a run that goes to and fro counts as noisy."
)


def watch(
    model: torch.nn.Module, optimizer: torch.optim.Optimizer, *, floor: float | None = 0.0
) -> Watched:
    """Watch a training loop that someone else runs, from now until it is closed.

        with watch(model, optimizer) as watched:
            trainer.fit(...)
        print(watched.report())

    Until then `torch.autograd.backward` and `GradScaler.scale` are wrapped, and the optimizer has two hooks; on some
    steps a hook on all modules' forward passes follows the gradient along depth. Weights, the optimizer's state and
    random states are bitwise those of the same loop without it. Each step costs a norm of the gradients and three
    numbers that are kept. On 4 of the steps after each of the scheduled ones, eight per decade, the gradients are also
    summed. The weights are kept in two copies, and the sum of the gradients is a third vector of that size.

    Args:
        model: The network.
        optimizer: Its optimizer; those of Accelerate and Lightning are unwrapped. Others that step meanwhile do not
            count, nor do losses that its parameters get no gradient from.
        floor: Lower bound of the loss; None if it has none. It is ignored after a loss below it.

    Returns:
        The watch, which is also a context manager: call `close()` or leave the context to end it.

    Raises:
        Refused: If the optimizer holds none of the model's parameters that require gradients.
    """
    return Watched(model, optimizer, floor)


class Watched:
    """A loop that is watched; see `watch`."""

    def __init__(
        self, model: torch.nn.Module, optimizer: torch.optim.Optimizer, floor: float | None
    ):
        inner = getattr(optimizer, "optimizer", None)
        self._optimizer = inner if isinstance(inner, torch.optim.Optimizer) else optimizer
        self._model, self._floor, self._program = model, floor, Program(model)
        self._names = {p: name for name, p in model.named_parameters()}
        if not {p for p in self._names if p.requires_grad} & {*self._parameters}:
            raise Refused(
                "the optimizer holds none of the model's parameters that require gradients: give the one that "
                "trains this model, after the model has been moved and wrapped"
            )
        self.steps = 0
        self._loss_steps, self._losses = array("d"), array("d")
        self._rates, self._norms = array("d"), array("d")
        self._starts = {p: p.detach().clone() for p in self._parameters}
        self._schedule = Schedule()
        self._window: _Window | None = None
        self._measured: list[Measured] = []
        self._pending: list[float] = []  # losses that the present gradients are of
        self._busy = False  # within backward, or within a step whose gradients were seen
        self._begun = False  # a backward has added to the gradients since the last step
        self._uncleared = False  # the first one met the gradients of that step
        self._uncleared_steps: list[int] = []
        self._broken: dict[str, str] = {}  # what was first not finite, a sentence each
        self._broken_at = 0  # the step
        self._chain: dict[str, torch.Tensor | float] = {}
        self._called: list[str] = []
        self._listening: Any = None
        self._hooks = [
            self._optimizer.register_step_pre_hook(self._before_step),
            self._optimizer.register_step_post_hook(self._after_step),
        ]
        _attach(self)
        self._listen()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the watch: remove all hooks. The report stays available."""
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        self._deafen()
        _detach(self)

    @property
    def log(self) -> Log:
        """Return loss, learning rate and norm of the gradient, step by step."""
        steps = np.arange(len(self._norms), dtype=float)
        return Log(
            Series(np.array(self._loss_steps), np.array(self._losses)),
            Series(steps, np.array(self._rates)),
            Series(steps, np.array(self._norms)),
        )

    @property
    def measured(self) -> list[Measured]:
        """Return all measurements in order, the unfinished one included if it has two steps."""
        window = self._window
        return [*self._measured, *([self._result(window)] if window and window.draws > 1 else [])]

    @property
    def record(self) -> Record:
        """Return what was seen as input for `diagnose`: one row per scheduled step, and one for the end."""
        last = self._losses[-1] if self._losses else math.nan
        status = "diverged" if self._broken else "running"
        return record_of(self.measured, self.steps, last, self.floor, status, self._optimizer)

    @property
    def floor(self) -> float | None:
        """Return the lower bound of the loss; None if there is none, or a loss was below it."""
        below = self._floor is not None and any(each < self._floor for each in self._losses)
        return None if below else self._floor

    def report(self) -> Report:
        """Diagnose the loop so far.

        Returns:
            The report: what is wrong, on what evidence, what to try, and which causes cannot be told without a closure.
        """
        from benchmarks.doctor.report import Report

        recent = [each for each in self._norms[-RECENT:] if math.isfinite(each)]
        usual = float(np.median(recent)) if recent else math.nan
        losses, program = Losses(), self._program
        for loss in self._losses:
            losses.add(loss)
        layers = [each.layers for each in self.measured]
        faults = [*self._faults(), *program.faults(self._patient, layers, losses.lowest)]
        return Report.of(
            Run(
                self.record,
                self.measured,
                losses,
                self.floor,
                faults,
                (),
                self._not_finite_at,
                math.nan,
                usual,
            ),
            self._remarks(),
        )

    def _faults(self) -> Iterator[Fault]:
        """Yield the fault that only a loop of its own can have."""
        if self._uncleared_steps:
            count = len(self._uncleared_steps)
            yield fault(
                "gradients_not_zeroed",
                f"{count} of {self.steps} steps added their gradients to those of the step before, first step "
                f"{self._uncleared_steps[0]}",
                "Call optimizer.zero_grad() before the backward of a new step.",
                "steps whose gradients were added to older ones/all steps", count / max(self.steps, 1), 0.0,
            )  # fmt: skip

    @property
    def _not_finite_at(self) -> NotFinite | None:
        said = [each for each in self._broken.values() if each]
        if not said:
            return None
        kind = next(iter(self._broken))
        return NotFinite(
            self._broken_at,
            f"the {kind} {'are' if kind == 'weights' else 'is'} not finite",
            " ".join(said),
            kind,
        )

    def _remarks(self) -> Iterator[str]:
        if not self.steps:
            yield "No step of this optimizer was seen: is it the one that the loop steps?"
        if self._losses:
            log = self.log  # what is not finite has been said
            yield from readings(Log(log.loss.finite, log.lr, log.grad_norm.finite))
        if self._program.pace:
            yield self._program.pace
        yield from self._noise()
        yield LIMITS
        if self._measured:
            yield ASSUMED

    def _noise(self) -> Iterator[str]:
        """Say how large the noise is, if it exceeds the mean: the gradient's noise scale, tr S/|m|²."""
        rows = [each.row for each in self._measured[-5:]]
        slope, noise = (sum(row[name] for row in rows) for name in ("grad_sq", "noise_sq"))
        if rows and 0 < slope < noise:
            yield (
                f"A step's gradient is mostly noise: tr S is {noise / slope:.2g} times |m|² in the last {len(rows)} "
                "measurements. A batch that many times as large has as much noise as mean (McCandlish et al. 2018, "
                "arXiv:1812.06162)."
            )

    @property
    def _parameters(self) -> list[torch.nn.Parameter]:
        groups = self._optimizer.param_groups
        return [p for group in groups for p in group["params"] if p.requires_grad]

    @property
    def _patient(self) -> Patient:
        names = [self._names.get(p, f"parameter {k}") for k, p in enumerate(self._parameters)]
        return Patient(self._model, names, self._parameters)

    # Backward.

    @contextmanager
    def _around_backward(self, loss: object) -> Iterator[None]:
        """Keep the loss of a backward pass that reaches the optimizer's parameters."""
        if self._busy:  # a checkpoint inside a backward, or an evaluation inside a step
            yield
            return
        self._busy = True
        try:
            if self._cleared():
                self._pending, self._uncleared = [], False
            elif not self._begun and self.steps:
                self._uncleared = True
            before = self._grads()
            yield
            if self._grads() != before:
                self._begun = True
                self._keep(loss)
            self._called = []
        finally:
            self._busy = False

    def _keep(self, loss: object) -> None:
        loss, scale = getattr(loss, BEFORE_SCALING, (loss, 1.0))
        if self._listening:
            self._chain = {
                name: norm.item() / scale  # type: ignore[union-attr]
                for name in reversed(self._called)
                if (norm := self._chain.get(name)) is not None
            }
            self._deafen()
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            return
        value = loss.item()
        self._pending.append(value)
        if not math.isfinite(value) and "loss" not in self._broken:
            broken = self._not_finite(self._parameters)
            why = (
                f"the weights of {broken} are not finite then"
                if broken
                else "all weights are finite, so look at the batch of that step, a logarithm or root of 0, or "
                "activations that overflow"
            )
            if broken:
                self._broken["weights"] = ""  # said here
            self._broken["loss"] = f"The loss is {value} at step {self.steps}: {why}."

    def _grads(self) -> list[tuple[int, int] | None]:
        """Return a mark of each gradient, which changes where backward adds to it."""
        return [p.grad if p.grad is None else (id(p.grad), p.grad._version) for p in self._parameters]  # fmt: skip

    def _cleared(self) -> bool:
        gradients = self._gradients()
        return not gradients or _length(gradients) == 0

    def _gradients(self) -> list[torch.Tensor]:
        grads = [p.grad for p in self._parameters]
        return [each for each in grads if each is not None and each.layout == torch.strided]

    def _not_finite(self, parameters: Sequence[torch.nn.Parameter], grads: bool = False) -> str:
        """Return the first parameter that is not finite, or whose gradient is not, and the number of others."""
        given = {p: p.grad if grads else p for p in parameters}
        bad = [p for p, each in given.items() if each is not None and not torch.isfinite(each).all()]  # fmt: skip
        if not bad:
            return ""
        name = self._names.get(bad[0], "a parameter")
        return name + (f" and {len(bad) - 1} more" if len(bad) > 1 else "")

    # The gradient along depth.

    def _listen(self) -> None:
        """Follow the gradient along the layers' outputs at the next step, if it is a scheduled one."""
        self._chain, self._called = {}, []
        if self._window is not None or not self._schedule.due(self.steps):
            return
        modules = list(self._model.named_modules())
        if any(each._compiled_call_impl is not None or hasattr(each, "_orig_mod") for _, each in modules):  # fmt: skip
            return  # a compiled model would be compiled again
        layers = {
            module: name or type(module).__name__
            for name, module in modules
            if any(each.ndim >= 2 for each in module.parameters(recurse=False))
        }

        def hook(module: torch.nn.Module, given: object, out: Any) -> None:
            if torch.compiler.is_compiling() or module not in layers or self._listening is None:
                return
            out = out[0] if isinstance(out, (tuple, list)) and out else out
            if not isinstance(out, torch.Tensor) or not out.requires_grad:
                return
            times = sum(each.partition(" ")[0] == layers[module] for each in self._called)
            name = layers[module] + (f" (call {times + 1})" if times else "")
            self._called.append(name)

            def arrived(gradient: torch.Tensor) -> None:
                if self._listening is not None:
                    self._chain[name] = gradient.detach().double().norm()

            out.register_hook(arrived)

        # On all modules, because a hook of the model's own would be saved with it.
        self._listening = register_module_forward_hook(hook)

    def _deafen(self) -> None:
        if self._listening is not None:
            self._listening.remove()
            self._listening = None

    # The optimizer's step.

    def _before_step(self, _: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """See the gradients: now, or, if the optimizer calls a closure, after its first call."""
        self._busy = False
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._arrived()
            return None

        @functools.wraps(closure)
        def seen(*given: Any, **named: Any) -> Any:
            result = closure(*given, **named)
            if not self._busy:
                self._arrived()
            return result

        if "closure" in kwargs:
            return args, {**kwargs, "closure": seen}
        return (*args[:1], seen, *args[2:]), kwargs

    def _arrived(self) -> None:
        """Keep what is known when the gradients of a step are complete."""
        losses, self._pending, self._begun = self._pending, [], False
        found_inf = getattr(self._optimizer, "found_inf", None)  # of fused optimizers
        if found_inf is not None and found_inf.item():
            return
        self._busy = True
        scale = getattr(self._optimizer, "grad_scale", None)
        scale = 1.0 if scale is None else float(scale)
        norm = _length(self._gradients()) / scale
        self._norms.append(norm)
        rate = self._optimizer.param_groups[0].get("lr")
        self._rates.append(math.nan if rate is None else float(rate))  # Adafactor may have none
        if self.steps == 0:
            self._program.begin(self._patient)
        given = self._optimizer.param_groups[0].get("initial_lr", math.nan)
        self._program.note(self._rates[-1], 1, float(given))
        if losses:
            self._loss_steps.append(self.steps)
            self._losses.append(sum(losses))
        if self._uncleared:
            self._uncleared_steps.append(self.steps)
            self._uncleared = False
        if not math.isfinite(norm) and "gradient" not in self._broken:
            where = self._not_finite(self._parameters, grads=True)
            text = f"The gradient of {where} is not finite at step {self.steps}."
            self._broken |= {"gradient": text} if where else {}
        self._draw(scale)

    def _draw(self, scale: float) -> None:
        parameters = self._parameters
        if self._window is not None and [*map(id, self._window.parameters)] != [*map(id, parameters)]:  # fmt: skip
            self._window = None  # a group was added, or layers were frozen
        if self._window is None and self._schedule.due(self.steps) and self._gradients():
            self._schedule.done(self.steps)
            for p in parameters:
                self._starts.setdefault(p, p.detach().clone())
            distance = _length(p.detach() - self._starts[p] for p in parameters)
            self._window = _Window(parameters, self.steps, distance, dict(self._chain))
        if self._window is not None:
            self._window.add(scale)

    def _after_step(self, *_: object) -> None:
        if not self._busy:  # a step that was skipped
            return
        self._busy = False
        window = self._window
        if window is not None:
            window.moved()
            if window.draws >= DRAWS:
                self._measured.append(self._result(window))
                self._window = None
        if not self._broken:
            self._broken_at = self.steps + 1
        elif "weights" not in self._broken:
            where = self._not_finite(self._parameters)
            text = f"The weights of {where} are not finite after step {self.steps}."
            self._broken |= {"weights": text} if where else {}
        self.steps += 1
        self._listen()

    def _result(self, window: _Window) -> Measured:
        first = np.searchsorted(self._loss_steps, 0.95 * window.step, side="right")
        first = min(int(first), int(np.searchsorted(self._loss_steps, window.step)))
        losses = self._losses[first : np.searchsorted(self._loss_steps, window.step + window.draws)]
        loss = sum(losses) / len(losses) if losses else math.nan
        names = [self._names.get(p, f"parameter {k}") for k, p in enumerate(window.parameters)]
        return window.result(loss, names, self._model)


class _Window:
    """Successive steps from one on: the step itself, and the sum of their gradients.

    With K gradients gᵢ, |m|² ≈ (|Σgᵢ|² − Σ|gᵢ|²)/K(K − 1) and tr S ≈ (Σ|gᵢ|² − |Σgᵢ|²/K)/(K − 1), if their mean m is
    the same at all K steps.
    """

    def __init__(
        self, parameters: list[torch.nn.Parameter], step: int, distance: float, chain: dict[str, Any]
    ):  # fmt: skip
        self.parameters, self.step, self.draws = parameters, step, 0
        self._distance, self._chain = distance, chain
        self._start: list[torch.Tensor] = [p.detach().clone() for p in parameters]
        self._weights = [p.detach().norm().item() for p in parameters]
        self._moves: list[float] = []
        self._sum = [torch.zeros_like(p) for p in parameters]
        self._squares = 0.0

    def add(self, scale: float) -> None:
        """Add the present gradients, which are `scale` times too large."""
        pairs = zip(self._sum, (p.grad for p in self.parameters), strict=True)
        found = [(total, g.detach().to_dense()) for total, g in pairs if g is not None]
        self._squares += (_length(g for _, g in found) / scale) ** 2
        for total, g in found:
            total.add_(g, alpha=1 / scale)
        self.draws += 1

    def moved(self) -> None:
        """Measure the first step, after the optimizer has taken it."""
        if not self._moves:
            pairs = zip(self.parameters, self._start, strict=True)
            self._moves = [(p.detach() - old).norm().item() for p, old in pairs]
            self._start = []

    def result(self, loss: float, names: list[str], model: torch.nn.Module) -> Measured:
        """Return the numbers of the measurement."""
        count, total = self.draws, _length(self._sum) ** 2
        row = {
            "step": float(self.step), "loss": loss,
            "grad_sq": (total - self._squares) / (count * (count - 1)),
            "noise_sq": (self._squares - total / count) / (count - 1),
            "step_norm": math.hypot(*self._moves), "distance_start": self._distance,
        }  # fmt: skip
        dead = dead_units(model, names, self._sum)
        numbers = zip(names, self._weights, self._sum, self._moves, strict=True)
        layers = {
            name: {
                "weight": weight,
                "gradient": gradient.norm().item() / count,
                "step": move,
                "step / weight": move / weight if weight > 0 else math.nan,
                "dead units": dead.get(name, math.nan),
            }
            for name, weight, gradient, move in numbers
        }
        return Measured(row, {}, list(self._chain), list(self._chain.values()), layers)


def _length(parts: Iterable[torch.Tensor]) -> float:
    """Return the norm of tensors as one vector; NaN if there are none."""
    parts = list(parts)
    return torch.nn.utils.get_total_norm(parts).item() if parts else math.nan


# What is wrapped while anything is watched; the functions are put back when the last watch closes.
_WATCHING: list[Watched] = []
_PLAIN: dict[str, Callable[..., Any]] = {}


def _attach(watched: Watched) -> None:
    if not _WATCHING:
        _PLAIN["backward"] = torch.autograd.backward
        _PLAIN["scale"] = torch.amp.GradScaler.scale
        torch.autograd.backward = functools.wraps(_PLAIN["backward"])(_backward)
        torch.amp.GradScaler.scale = functools.wraps(_PLAIN["scale"])(_scale)  # type: ignore[method-assign]
    _WATCHING.append(watched)


def _detach(watched: Watched) -> None:
    if watched in _WATCHING:
        _WATCHING.remove(watched)
        if not _WATCHING:
            torch.autograd.backward = _PLAIN["backward"]
            torch.amp.GradScaler.scale = _PLAIN["scale"]  # type: ignore[method-assign]


def _backward(tensors: Any, grad_tensors: Any = None, *args: Any, **kwargs: Any) -> None:
    loss = tensors if isinstance(tensors, torch.Tensor) and grad_tensors is None else None
    with ExitStack() as stack:
        for each in _WATCHING:
            stack.enter_context(each._around_backward(loss))
        _PLAIN["backward"](tensors, grad_tensors, *args, **kwargs)


def _scale(scaler: torch.amp.GradScaler, outputs: Any) -> Any:
    scaled = _PLAIN["scale"](scaler, outputs)
    if isinstance(scaled, torch.Tensor):
        setattr(scaled, BEFORE_SCALING, (outputs.detach(), scaler.get_scale()))
    return scaled
