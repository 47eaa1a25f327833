"""Diagnose one training run: take its steps, measure between them, and report what is wrong."""

from __future__ import annotations

import inspect
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch

from benchmarks.diagnosis import Record
from benchmarks.doctor.judge import Run, blown_up
from benchmarks.doctor.losses import Losses
from benchmarks.doctor.measurement import Closure, Measured, Patient, Window, parted
from benchmarks.doctor.no_side_effects import Buffers, RandomState, aside, randomness_restored
from benchmarks.doctor.overhead import Budget, Schedule, Watch
from benchmarks.doctor.program import ASKED, FITTING, NotFinite, Program, not_finite
from benchmarks.doctor.proposals import Proposal, Trials
from benchmarks.doctor.records import record_of
from benchmarks.doctor.stability import stability
from benchmarks.doctor.trials import Tried
from optimizers._training import AsTorch
from ravine import Refused, require

if TYPE_CHECKING:
    from benchmarks.doctor.report import Report

# Kinds of measurement, the most thorough first: price in gradients, a guess until one was taken; and the share of the
# gradients for measuring that the kind may take, so that cheap kinds leave some for thorough ones.
KINDS = {"full": (100.0, 1.0), "slope": (30.0, 0.4), "gradients": (12.0, 0.2)}
TRYING = 0.6  # the same share, of trials
RETRY = 10  # steps to wait after a measurement was too dear
WATCHED = 1000  # first steps all of which are looked at
RARELY = 16  # later, one step in so many, unless a measurement or a trial goes on


class Doctor:
    """Train a model as a plain loop does, and diagnose the run meanwhile.

        doctor = Doctor(model, optimizer)
        for inputs, targets in loader:
            loss = doctor.step(lambda: criterion(model(inputs), targets))
        print(doctor.report())

    The weights are bitwise those of the same loop without the doctor: measurements and trials call the closure again
    and restore parameters, buffers and random states; the model keeps no hooks. Measurements take place about eight
    times per decade of steps and at events (a jump, a stall); trials of one change each begin at steps 0, 100, 300,
    1000, …, unless the run has arrived. When and what is measured depends on the run alone, not on the clock.

    Args:
        model: The network, in training mode.
        optimizer: Its optimizer, already given the model's parameters.
        overhead: What measuring may cost: a share of the run's own gradients; inf for no limit.
        allowance: Gradients beyond that share that measuring may cost in the first 1000 steps, so that the
            beginning of the run is measured.
        seconds: Cap of the time for measuring, beyond that share of the wall time; the report says if it is reached.
        trials: "auto": copies of the weights try changes unless the run has arrived; True: also then; False: never.
        floor: Lower bound of the loss; None if it has none. It is ignored after a loss below it.
        scaler: The GradScaler of a run in mixed precision; the doctor then scales, steps and updates with it.

    Raises:
        Refused: If the optimizer holds none of the model's parameters that require gradients, or maximizes,
            if the parameters are complex or on several devices, if `overhead`, `allowance` or `seconds` is
            negative, or `trials` is something else.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        *,
        overhead: float = 0.05,
        allowance: float = 4000.0,
        seconds: float = 300.0,
        trials: bool | Literal["auto"] = "auto",
        floor: float | None = 0.0,
        scaler: torch.amp.GradScaler | None = None,
    ):
        given = {"overhead": overhead, "allowance": allowance, "seconds": seconds}
        for name, value in given.items():
            if value != math.inf:
                require("Doctor", name, value, low=0)
        if trials not in (True, False, "auto"):
            raise Refused(f"Doctor: trials is {trials!r}, but must be 'auto', True or False")
        self._model, self._optimizer, self._scaler = model, optimizer, scaler
        self._floor = floor
        self._budget, self._schedule = Budget(overhead, allowance, seconds), Schedule()
        self._watch, self.losses, self._program = Watch(), Losses(), Program(model)
        self._generator = torch.Generator().manual_seed(0)
        self._starts: dict[torch.nn.Parameter, torch.Tensor] = {}
        self._window: Window | None = None
        self._measured: list[Measured] = []
        self._kind_open = ""
        self._verified = False  # True after second derivatives were checked
        self._takes_closures = _takes_closures(optimizer)
        mixed = scaler is not None and scaler.is_enabled()
        self._trials = (
            Trials(trials, model, optimizer) if not self._takes_closures and not mixed else None
        )
        self.steps = 0
        self.not_finite: NotFinite | None = (
            None  # where the run first met a number that is not finite
        )
        self.first_order_only: str | None = None  # why second derivatives fail
        self._open_from = 0  # the next step at which to ask for a measurement
        self._looked_at = 0  # the step behind the last that was looked at
        self._finite_at = -1  # the last step whose gradient was seen to be finite
        self._last: torch.Tensor | float = math.nan
        self._closures: Sequence[Closure] = ()  # of the last step
        self._before_update: Callable[[], object] | None = None
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
        if self._only_notes_the_loss:
            return self._plain_step(closures, before_update)
        budget, step = self._budget, self.steps
        began = budget.start(step)
        if step == 0:
            self._program.begin(self._patient())
        kind = None
        if self._window is None and step >= self._open_from and self._schedule.due(step):
            kind = self._kind()
            if kind is None:
                self._open_from = step + RETRY
        asks = kind is not None or step < ASKED
        tries = self._trials is not None and self._trials.busy(step)
        before = RandomState.now(self._devices) if asks or tries else None
        buffers = None if before is None else Buffers.now(self._model)
        trains = time.perf_counter()
        self._optimizer.zero_grad()
        loss = None if self._takes_closures else self._backward(closures)
        trained = time.perf_counter() - trains
        if loss is not None:
            if self._looks(loss, closures, before) and kind is None and self._window is None:
                kind = self._kind()
            self._asks(asks and budget.affords("program", guess=FITTING), closures, before)
            if self._trials is not None and tries and before is not None:
                self._proposes(closures)
        start = None
        if kind is not None:
            start = self._patient().vector
        trains = time.perf_counter()
        if before_update is not None:
            before_update()
        self._last = loss = self._update(closures, loss)
        trained += time.perf_counter() - trains
        if len(self.losses) == step:  # the optimizer has evaluated it
            self.losses.add(loss.item())
        if self._trials is not None and before is not None:
            price = self._trials.step(closures, before, self._devices, before_update, self.losses)
            budget.spend("trials", price)
        if self._window is not None:
            self._draw(self._window, closures)
        elif kind is not None and start is not None:
            known = None
            if before is not None and buffers is not None and not self._takes_closures:
                known = before, buffers, loss.item()
            self._open(kind, start, known, closures)
        self._done(closures, before_update)
        budget.end(began, trained, float(len(closures)))
        return loss

    def _done(
        self, closures: Sequence[Closure], before_update: Callable[[], object] | None
    ) -> None:
        """Count a step, and keep what it was taken with."""
        self.steps += 1
        self._closures, self._before_update = closures, before_update

    @property
    def _only_notes_the_loss(self) -> bool:
        """True if this step needs no gradient norm, measurement or trial, as most late steps."""
        return (
            not self._watches
            and self._window is None
            and not self._takes_closures
            and not (self._trials is not None and self._trials.going)
        )

    @property
    def _watches(self) -> bool:
        """True if this step's gradient is looked at, and the losses since the last look."""
        return self.steps < WATCHED or self.steps % RARELY == 0

    def _plain_step(
        self, closures: Sequence[Closure], before_update: Callable[[], object] | None
    ) -> torch.Tensor:
        """Take one training step, and note its loss."""
        self._optimizer.zero_grad()
        loss = self._backward(closures)
        self._notes(loss, closures, None)
        if before_update is not None:
            before_update()
        self._last = self._update(closures, loss)
        self._done(closures, before_update)
        self._budget.passed(float(len(closures)))
        return loss

    def report(self) -> Report:
        """Diagnose the run so far.

        Returns:
            The report: what is wrong, on what evidence, what was tried, and what to try.
        """
        from benchmarks.doctor.report import Report

        measured = self.measured
        tried: list[Tried] = []
        if self._trials is not None and self.steps:
            diverged = self.not_finite is not None or blown_up(self.losses, None)
            tried, price = self._trials.results(
                self.losses,
                self.floor,
                self._closures,
                self._devices,
                self._before_update,
                diverged,
            )
            self._budget.spend("trials", price)
        patient = self._patient()
        if not self._program.not_held(
            patient
        ):  # another optimizer moves what was missing at the start
            tried = [each for each in tried if each.change.cause != "frozen_weights"]
        faults = self._program.faults(
            patient, [each.layers for each in measured], self.losses.lowest
        )
        run = Run(
            self.record, measured, self.losses, self.floor, tuple(faults), tuple(tried), self.not_finite,
            self._program.constant, self.usual_norm, self._program.moving, tuple(self._watch.jumped),
            self._program.fitted, self._program.heeds,
        )  # fmt: skip
        return Report.of(run, self._remarks(run.record, len(measured)))

    def _remarks(self, record: Record, measurements: int) -> Iterator[str]:
        """Yield remarks about the measuring: its cost, and what could not be measured."""
        kinds = "1 measurement" if measurements == 1 else f"{measurements} measurements"
        yield (
            f"{self.steps} steps, {kinds}; measuring took {self._budget.spent:.0f} gradients and {self.overhead:.0%} "
            f"of the wall time ({self.seconds:.2g} s). {self._budget.allowed}"
        )
        if self._budget.capped is not None:
            yield (
                f"From step {self._budget.capped} on there was not always time to measure: allow more (seconds=) for "
                "the same report on every machine."
            )
        if self.first_order_only is not None:
            yield (
                "Second derivatives of this network fail, so this is first-order evidence alone: "
                f"{self.first_order_only}"
            )
        elif not np.isfinite(record.lambda_max).any():
            yield (
                "No curvature was measured, so ill-conditioning, saddles and too small a learning rate are not seen: "
                "train longer, or allow more (overhead=, allowance=)."
            )
        if self._trials is None:
            yield "Nothing was tried: this optimizer evaluates the loss itself, or gradients are scaled."
        else:
            yield from self._trials.remarks
        if self._program.pace:
            yield self._program.pace
        yield "This is about the training loss alone: whether the model generalizes is another question."

    @property
    def record(self) -> Record:
        """Return the measurements so far as input for `diagnose`: one row per measurement."""
        status = "running" if math.isfinite(self.loss) else "diverged"
        return record_of(self.measured, self.steps, self.loss, self.floor, status, self._optimizer)

    @property
    def measured(self) -> list[Measured]:
        """Return all measurements in order, the unfinished one included."""
        return [*self._measured, *([] if self._window is None else [self._window.result()])]

    @property
    def floor(self) -> float | None:
        """Return the lower bound of the loss; None if there is none, or a loss was below it."""
        return None if self._floor is not None and self.losses.lowest < self._floor else self._floor

    @property
    def loss(self) -> float:
        """Return the loss of the last step."""
        return self._last.item() if isinstance(self._last, torch.Tensor) else self._last

    @property
    def overhead(self) -> float:
        """Return the share of the wall time that measuring has taken."""
        return self._budget.share

    @property
    def seconds(self) -> float:
        """Return the seconds that measuring has taken."""
        return self._budget.seconds_spent

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
        if any(p.is_complex() for p in moved):
            raise Refused("some parameters are complex, but must be real to be measured")
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
                    "the closure must compute the loss at each call, and not call backward() on it"
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

        evaluated: list[torch.Tensor] = []

        def evaluate() -> torch.Tensor:
            optimizer.zero_grad()
            evaluated.append(self._backward(closures))
            return evaluated[-1]

        optimizer.step(evaluate)  # type: ignore[arg-type]
        if not evaluated:
            raise Refused(
                f"{type(optimizer).__name__} takes a closure, but its step did not call it: let it evaluate the loss, "
                "or give the closure a default (step(self, closure=None)) and use the gradients that are there"
            )
        return evaluated[0]  # at the weights before the step

    def _why_not_finite(self, loss: float) -> str:
        broken = [name for name, p in self._model.named_parameters() if not torch.isfinite(p).all()]
        reason = (
            f"{broken[0]} is not finite"
            if broken
            else "the weights are finite, so look for inputs or targets that are not, a logarithm or "
            "root of zero, or activations that overflow"
        )
        return f"the first loss is {loss}: {reason}"

    def _looks(
        self, loss: torch.Tensor, closures: Sequence[Closure], before: RandomState | None
    ) -> bool:
        """Note the loss and the gradient of a step; return True if an event happened since the last look."""
        self._notes(loss, closures, before)
        if not self._watches:
            return False
        norm = self._norm()
        skips = self._scaler is not None and self._scaler.is_enabled()  # steps that overflow
        if norm is not None and not math.isfinite(norm) and not skips:
            self._breaks(closures, before)
        elif norm is not None:
            self._finite_at = self.steps
        rates = [float(group["lr"]) for group in self._optimizer.param_groups if "lr" in group]
        given = [float(group.get("initial_lr", math.nan)) for group in self._optimizer.param_groups]
        since = self.losses.since(self._looked_at)
        self._looked_at = len(self.losses)
        self._program.note(max(rates, default=math.nan), len(since), max(given))
        return self._watch.event(self.steps, since, norm)

    def _notes(
        self, loss: torch.Tensor, closures: Sequence[Closure], before: RandomState | None
    ) -> None:
        """Note the loss of a step."""
        value = loss.item()
        self.losses.add(value)
        if not math.isfinite(value):
            self._breaks(closures, before)

    def _breaks(self, closures: Sequence[Closure], before: RandomState | None) -> None:
        """Find out what is not finite, the first time that something is not."""
        if self.not_finite is None:
            self.not_finite = not_finite(
                self.steps, self._model, self._patient(), closures, self.losses.last, before,
                self._finite_at == self.steps - 1,
            )  # fmt: skip

    def _norm(self) -> float | None:
        """Return the norm of the gradient in the parameters' `grad`; None if there is none."""
        gradients = [
            p.grad
            for group in self._optimizer.param_groups
            for p in group["params"]
            if p.grad is not None and p.grad.layout == torch.strided
        ]
        if not gradients:
            return None
        norm = torch.linalg.vector_norm(
            torch.stack([torch.linalg.vector_norm(each) for each in gradients])
        ).item()
        if self._scaler is not None and self._scaler.is_enabled():
            norm /= self._scaler.get_scale()
        return norm

    def _asks(self, wanted: bool, closures: Sequence[Closure], before: RandomState | None) -> None:
        """Look at the program, at the weights from which this step is taken."""
        if not wanted and self.steps >= ASKED:
            return
        patient, program = self._patient(), self._program
        if self.steps < ASKED:
            program.without(patient)
        if wanted and self.not_finite is None:
            spent = program.cost
            program.whole &= len(closures) == 1
            program.ask(self.steps, patient, closures[0], before)
            self._budget.spend("program", program.cost - spent)
            self._budget.close("program")

    def _proposes(self, closures: Sequence[Closure]) -> None:
        """Begin trials of what the evidence calls for, if it is time and the run has not arrived."""
        trials, patient = self._trials, self._patient()
        assert trials is not None
        if not trials.due(self.steps) or self.not_finite is not None:
            return
        with randomness_restored(patient.devices), aside(self._model, patient.parameters):
            self._begins(trials, patient, closures)

    def _begins(self, trials: Trials, patient: Patient, closures: Sequence[Closure]) -> None:
        """Begin the trials that the evidence calls for, as far as the budget goes."""
        program = self._program
        arrived = self.steps > 0 and self.losses.arrived(self.floor, program.constant)
        evidence = Proposal(
            patient, [p for _, p in program.not_held(patient)], program.activation, closures[0],
            self.measured, self.record if self.steps else None, self.usual_norm, self._watch.jumps,
            program.first is not None and bool(program.first.alike),
        )  # fmt: skip
        if self.steps == 0:
            trials.keep_start(patient)
        for change in trials.changes(self.steps, evidence, arrived, self.losses, self.floor):
            price = float(change.steps * len(closures))
            if self._budget.affords("trials", TRYING, guess=price):
                self._budget.spend("trials", price)
                trials.begin(change, self.steps, patient)

    def _kind(self) -> str | None:
        """Return the most thorough affordable kind of measurement."""
        for kind, (gradients, share) in KINDS.items():
            # No limit per kind at the first step: a run may explode at once.
            if self._budget.affords(kind, share if self.steps else 1.0, guess=gradients):
                return kind
        return None

    def _open(
        self, kind: str, start: torch.Tensor, before: tuple[RandomState, Buffers, float] | None,
        closures: Sequence[Closure],
    ) -> None:  # fmt: skip
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
        spent = window.cost.gradients
        window.draw(closures)
        self._budget.spend(self._kind_open, window.cost.gradients - spent)
        self._verified |= window.verified
        if window.failure is not None:
            self.first_order_only = window.failure
        self._window = None if window.complete else window
        if window.complete:
            self._measured.append(window.result())
            self._budget.close(self._kind_open)
        self._wait()

    def _wait(self) -> None:
        for device in self._devices:
            getattr(torch, device.type).synchronize()


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
