"""Diagnose one training run: take its steps, measure between them, and report what is wrong."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from benchmarks.diagnosis import Record
from benchmarks.doctor.measurement import Closure, Measured, Patient, Window, parted
from benchmarks.doctor.no_side_effects import RandomState
from benchmarks.doctor.overhead import Clock, Schedule, Watch
from benchmarks.doctor.stability import stability
from optimizers._training import AsTorch
from ravine import Refused, require

if TYPE_CHECKING:
    from benchmarks.doctor.report import Report

COLUMNS = (
    "step", "loss", "change", "grad_sq", "g_h_g", "g_s", "s_h_s", "step_norm", "distance_start",
    "lambda_min", "lambda_max", "residual", "decrease", "decrease_negative", "stability", "noise_sq",
    "noise_h", "bias",
)  # fmt: skip
# Kinds of measurement, the most thorough first: duration in training steps, a guess until one was taken; and the
# share of the time for measuring that the kind may take, so that cheap kinds leave time for thorough ones.
KINDS = {"full": (100.0, 1.0), "slope": (30.0, 0.4), "gradients": (12.0, 0.2)}
RETRY = 10  # steps to wait after there was no time to measure: asking takes time, too
WATCHING = 0.1  # share of the time for measuring, at most, that goes into watching for events


class Doctor:
    """Train a model as a plain loop does, and diagnose the run meanwhile.

        doctor = Doctor(model, optimizer)
        for inputs, targets in loader:
            loss = doctor.step(lambda: criterion(model(inputs), targets))
        print(doctor.report())

    The weights are bitwise those of the same loop without the doctor: measurements call the closure again
    and restore parameters, buffers and random states; the model keeps no hooks. They take place about eight
    times per decade of steps and at events (a jump, a stall), within `overhead` of the wall time.

    Args:
        model: The network, in training mode.
        optimizer: Its optimizer, already given the model's parameters.
        overhead: Share of the wall time that measuring may take; inf for no limit.
        allowance: Seconds beyond that share that measuring may take in the first 1000 steps, so that the
            beginning of the run is measured.
        floor: Lower bound of the loss; None if it has none. It is ignored after a loss below it.
        scaler: The GradScaler of a run in mixed precision; the doctor then scales, steps and updates with it.

    Raises:
        Refused: If the optimizer holds none of the model's parameters that require gradients, or maximizes,
            if the parameters are on several devices, or if `overhead` or `allowance` is negative.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        overhead: float = 0.1,
        allowance: float = 2.0,
        floor: float | None = 0.0,
        scaler: torch.amp.GradScaler | None = None,
    ):
        for name, value in (("overhead", overhead), ("allowance", allowance)):
            if value != math.inf:
                require("Doctor", name, value, low=0)
        self._model, self._optimizer, self._scaler = model, optimizer, scaler
        self._floor = floor
        self._clock, self._schedule = Clock(overhead, allowance), Schedule()
        self._watch = Watch()
        self._generator = torch.Generator().manual_seed(0)
        self._starts: dict[torch.nn.Parameter, torch.Tensor] = {}
        self._window: Window | None = None
        self._measured: list[Measured] = []
        self._kind_open = ""
        self._verified = False  # True after second derivatives were checked
        self._takes_closures = _takes_closures(optimizer)
        self.steps = 0
        self.first_order_only: str | None = None  # why second derivatives fail
        self._open_from = self._look_from = 0  # the next steps at which to ask for time
        self._last: torch.Tensor | float = math.nan
        self._patient()  # refuse bad input before anything is trained

    def step(
        self,
        closure: Closure | Sequence[Closure] | None = None,
        *,
        before_update: Callable[[], object] | None = None,
    ) -> torch.Tensor:
        """Take one training step: zero the gradients, go backward, let the optimizer step.

        Learning-rate schedules step afterwards, as they do after an optimizer's step.

        Args:
            closure: Computes and returns the loss of a batch that is drawn outside of it, and does not call
                backward(). For a recurrent network it may return (loss, [h₁, h₂, …]) with the hidden
                states in the order of time, so that gradients are followed along time. Autocast goes
                inside. Several closures accumulate: the loss is their mean.
            before_update: Called between backward and the optimizer's step, for instance to clip. In mixed
                precision gradients are still scaled then: call `scaler.unscale_(optimizer)` first.

        Returns:
            The loss, a tensor of one number without graph.

        Raises:
            Refused: If the model is in evaluation mode, the closure returns no loss with a graph, calls
                backward() or draws its own batch, or the first loss is not finite.
        """
        closures = [closure] if callable(closure) else _checked(closure)
        if not self._model.training:
            raise Refused(
                "the model is in evaluation mode, where it does not learn: call model.train() before the step"
            )
        clock, step = self._clock, self.steps
        began = clock.start(step)
        kind = None
        if self._window is None and step >= self._open_from and self._schedule.due(step):
            kind = self._kind(clock.training / step) if step else "unknown"
            if kind is None:
                self._open_from = step + RETRY
        before = RandomState.now(self._devices) if kind is not None else None
        trains = time.perf_counter()
        self._optimizer.zero_grad()
        loss = None if self._takes_closures else self._backward(closures)
        trained = time.perf_counter() - trains
        if kind == "unknown":  # the duration of a step is known only now
            kind = self._kind(trained)
        happens = False
        if loss is not None and step >= self._look_from:
            if clock.affords("watch", WATCHING):
                happens = self._looks(loss)
            else:
                self._look_from = step + RETRY
        if happens and kind is None and self._window is None:
            kind = self._kind(clock.training / max(step, 1))
        start = None
        if kind is not None:
            start = self._patient().vector
        trains = time.perf_counter()
        if before_update is not None:
            before_update()
        self._last = loss = self._update(closures, loss)
        trained += time.perf_counter() - trains
        if self._window is not None:
            self._draw(self._window, closures)
        elif kind is not None and start is not None:
            known = None if before is None or self._takes_closures else (before, loss.item())
            self._open(kind, start, known, closures)
        self.steps += 1
        clock.end(began, trained)
        return loss

    def report(self) -> Report:
        """Diagnose the run so far.

        Returns:
            The report: what is wrong, on what evidence, and what to try.
        """
        from benchmarks.doctor.report import Report

        record, measured = self.record, self.measured
        return Report.of(record, measured, self.usual_norm, self._remarks(record, len(measured)))

    def _remarks(self, record: Record, measurements: int) -> Iterator[str]:
        """Yield remarks about the measuring: its cost, and what could not be measured."""
        kinds = "1 measurement" if measurements == 1 else f"{measurements} measurements"
        yield (
            f"{self.steps} steps, {kinds}; measuring took {self.overhead:.1%} of the wall time"
            f" ({self.seconds:.2g} s)."
        )
        if self.first_order_only is not None:
            yield (
                "Second derivatives of this network fail, so this is first-order evidence alone: "
                f"{self.first_order_only}"
            )
        elif not np.isfinite(record.lambda_max).any():
            yield (
                "There was no time to measure curvatures, so ill-conditioning, saddles and too small a learning rate "
                "cannot be found: train longer, or allow more time (overhead=, allowance=)."
            )

    @property
    def record(self) -> Record:
        """Return the measurements so far as input for `diagnose`: one row per measurement."""
        measured, last = self.measured, self.loss
        rows = [each.row for each in measured]
        if not rows or rows[-1]["step"] < self.steps / 2:  # too old to represent the end
            rows.append({"step": float(self.steps), "loss": last})
        positions = measured[-1].positions if measured else []
        chain = np.full((len(rows), len(positions)), math.nan)
        for row, each in zip(chain, measured, strict=False):
            if each.positions == positions:
                row[:] = each.chain
        columns: dict[str, Any] = {
            name: np.array([row.get(name, math.nan) for row in rows], dtype=float)
            for name in COLUMNS
        }
        floor = self._floor
        if floor is not None and (columns["loss"] < floor).any():
            floor = None
        return Record(
            status="running" if math.isfinite(last) else "diverged",
            **columns,
            chain=chain if len(positions) > 1 else None,
            layers=tuple(positions),
            settings=self._settings(),
            excess=None if floor is None else rows[-1]["loss"] - floor,
        )

    @property
    def measured(self) -> list[Measured]:
        """Return all measurements in order, the unfinished one included."""
        return [*self._measured, *([] if self._window is None else [self._window.result()])]

    @property
    def loss(self) -> float:
        """Return the loss of the last step."""
        return self._last.item() if isinstance(self._last, torch.Tensor) else self._last

    @property
    def overhead(self) -> float:
        """Return the share of the wall time that measuring has taken."""
        return self._clock.share

    @property
    def seconds(self) -> float:
        """Return the seconds that measuring has taken."""
        return self._clock.spent

    @property
    def usual_norm(self) -> float:
        """Return the running median of the norm of the optimizer's gradients; NaN if none was watched."""
        return self._watch.usual_norm

    @property
    def _devices(self) -> list[torch.device]:
        kinds = {p.device for group in self._optimizer.param_groups for p in group["params"]}
        return [each for each in kinds if each.type != "cpu"]

    def _patient(self) -> Patient:
        """Return the parameters that the optimizer moves at present: groups may be added, and layers frozen."""
        names = {p: name for name, p in self._model.named_parameters()}
        wanted = [p for p in names if p.requires_grad]
        if not wanted:
            raise Refused("no parameter of the model requires gradients: there is nothing to train")
        held = [p for group in self._optimizer.param_groups for p in group["params"]]
        if not {*wanted} & {*held}:
            raise Refused(
                "the optimizer holds none of the model's parameters that require gradients: give it "
                "model.parameters(), after the model has been moved and wrapped"
            )
        if any(group.get("maximize") for group in self._optimizer.param_groups):
            raise Refused("the optimizer maximizes, but the doctor needs a descent: minimize -loss")
        moved = [p for p in held if p.requires_grad]
        if len({p.device for p in moved}) > 1:
            raise Refused(
                "the parameters are on several devices, but must be on one to be measured"
            )
        for p in moved:
            if p not in self._starts:
                self._starts[p] = p.detach().clone()
        scaler = self._scaler
        scale = scaler.get_scale() if scaler is not None and scaler.is_enabled() else 1.0
        named = [names.get(p, f"parameter {k}") for k, p in enumerate(moved)]
        return Patient(self._model, named, moved, scale)

    def _backward(self, closures: Sequence[Closure]) -> torch.Tensor:
        """Go backward from the mean loss into the parameters' `grad`; return the loss without its graph."""
        total = None
        for closure in closures:
            loss, _ = parted(closure())
            if self.steps == 0 and not math.isfinite(loss.item()):
                raise Refused(self._why_not_finite(loss.item()))
            if len(closures) > 1:
                loss = loss / len(closures)
            scaled = loss if self._scaler is None else self._scaler.scale(loss)
            try:
                scaled.backward()
            except RuntimeError as error:
                if "backward through the graph a second time" not in str(error):
                    raise
                raise Refused(
                    "the closure must return the loss and not call backward() on it"
                ) from error
            total = loss.detach() if total is None else total + loss.detach()
        assert total is not None
        return total

    def _update(self, closures: Sequence[Closure], loss: torch.Tensor | None) -> torch.Tensor:
        """Let the optimizer step, with closures if it evaluates the loss itself; return the loss."""
        optimizer = self._optimizer
        if loss is not None:
            if self._scaler is None:
                optimizer.step()
            else:
                self._scaler.step(optimizer)
                self._scaler.update()
            return loss
        if isinstance(optimizer, AsTorch):  # goes backward itself
            given = [lambda each=each: parted(each(), graph=False)[0] for each in closures]
            return optimizer.step(lambda: sum(each() for each in given) / len(given)).detach()  # type: ignore[arg-type]

        def evaluate() -> torch.Tensor:
            optimizer.zero_grad()
            return self._backward(closures)

        return optimizer.step(evaluate).detach()  # type: ignore[union-attr, arg-type]

    def _why_not_finite(self, loss: float) -> str:
        broken = [name for name, p in self._model.named_parameters() if not torch.isfinite(p).all()]
        reason = (
            f"{broken[0]} is not finite"
            if broken
            else "the weights are finite, so look for inputs or targets that are not, a logarithm or "
            "root of zero, or activations that overflow"
        )
        return f"the first loss is {loss}: {reason}"

    def _looks(self, loss: torch.Tensor) -> bool:
        """True if an event happens at this step; waiting for the device counts as measuring."""
        with self._clock.measuring("watch"):
            gradients = [
                p.grad
                for group in self._optimizer.param_groups
                for p in group["params"]
                if p.grad is not None and p.grad.layout == torch.strided
            ]
            norm = None
            if gradients:
                norm = torch.nn.utils.get_total_norm(gradients).item()
                if self._scaler is not None and self._scaler.is_enabled():
                    norm /= self._scaler.get_scale()
            happens = self._watch.event(self.steps, loss.item(), norm)
        self._clock.close("watch")
        return happens

    def _kind(self, seconds: float) -> str | None:
        """Return the most thorough affordable kind of measurement, given the seconds of a training step."""
        for kind, (steps, share) in KINDS.items():
            # No limit per kind at the first step: it is slower than others, and a run may explode at once.
            if self._clock.affords(kind, share if self.steps else 1.0, guess=steps * seconds):
                return kind
        return None

    def _open(
        self, kind: str, start: torch.Tensor, before: tuple[RandomState, float] | None,
        closures: Sequence[Closure],
    ) -> None:  # fmt: skip
        with self._clock.measuring(kind):
            patient = self._patient()
            if len(start) != sum(p.numel() for p in patient.parameters):
                return  # the step itself has added or frozen some
            begin = patient.flat([self._starts[p] for p in patient.parameters])
            self._schedule.done(self.steps)
            window = Window(
                patient, self.steps, start, (start - begin).norm().item(),
                self._watch.recent(self.steps), before,
                self.first_order_only is None and kind != "gradients", kind == "full", not self._verified,
                stability(self._optimizer, patient.parameters), self._generator,
            )  # fmt: skip
        self._kind_open = kind
        self._draw(window, closures)

    def _draw(self, window: Window, closures: Sequence[Closure]) -> None:
        self._wait()  # for what belongs to the training
        with self._clock.measuring(self._kind_open):
            window.draw(closures)
            self._verified |= window.verified
            if window.failure is not None:
                self.first_order_only = window.failure
            complete = window.complete
            if complete:
                self._measured.append(window.result())
            self._wait()
        self._window = None if complete else window
        if complete:
            self._clock.close(self._kind_open)

    def _wait(self) -> None:
        for device in self._devices:
            getattr(torch, device.type).synchronize()

    def _settings(self) -> dict[str, Any]:
        """Return the numbers in the optimizer's first parameter group."""
        group = self._optimizer.param_groups[0]
        found = {
            name: float(value)
            for name, value in group.items()
            if isinstance(value, (int, float)) and not isinstance(value, bool)
        }
        if "betas" in group:
            found["momentum"] = float(group["betas"][0])
        return {"optimizer": type(self._optimizer).__name__, **found}


def _takes_closures(optimizer: torch.optim.Optimizer) -> bool:
    """True if the optimizer evaluates the loss itself, as L-BFGS and this project's optimizers do."""
    if isinstance(optimizer, AsTorch):
        return True
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    return closure is not None and closure.default is inspect.Parameter.empty


def _checked(closure: Closure | Sequence[Closure] | None) -> Sequence[Closure]:
    closures = closure if isinstance(closure, (list, tuple)) else [closure]
    if closures and all(map(callable, closures)):
        return closures  # type: ignore[return-value]
    given = "a loss" if isinstance(closure, torch.Tensor) else repr(closure)
    raise Refused(
        f"step() needs a closure, or several, that return the loss, but was given {given}: "
        "doctor.step(lambda: criterion(model(inputs), targets))"
    )
