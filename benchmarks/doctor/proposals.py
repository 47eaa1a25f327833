"""Propose changes to try: the evidence calls for them, the trials decide."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch

from benchmarks.diagnosis import Record, diagnose
from benchmarks.doctor.losses import Losses
from benchmarks.doctor.measurement import Closure, Measured, Patient
from benchmarks.doctor.no_side_effects import RandomState, randomness_restored
from benchmarks.doctor.overhead import Schedule
from benchmarks.doctor.program import DEAD
from benchmarks.doctor.trials import (
    BATCHES,
    Change,
    Shadow,
    Tried,
    Whitening,
    added,
    bypassed,
    hidden,
    orthogonal,
    restarted,
    standardized,
)

# Steps of a trial from the start, of a later one, and of a larger batch.
FIRST, LATER, LONG = 100, 200, 640
REPLAYED = 60  # steps of a trial after the run has diverged, on its last minibatch
ROUNDS = 2  # times per decade of steps that trials begin
CHAIN = 100.0  # factor by which the gradient grows or vanishes along the layers
RECENT = 3  # last measurements from which noise is seen
JUMPS = 2  # jumps of the gradient's norm that may be single accidents
DECAY = 1e-3  # weight decay from which it is tried to do without
STEEP = 10.0  # norm of the first gradient from which clipping is tried from the start on
CLIP = 1.0  # largest norm at which a trial clips


@dataclass(frozen=True)
class Proposal:
    """What a proposal is made from.

    patient: the parameters that the optimizer moves; missing: those that it does not. activation: the module behind the
    last layer, if it is an activation. closure: of this step. measured: the measurements so far; record: the same
    as a record, None at the start. usual_norm: the median norm of the gradient; jumps: how often it was
    far above that. alike: True if units of a layer began with the same weights.
    """

    patient: Patient
    missing: Sequence[torch.nn.Parameter]
    activation: torch.nn.Module | None
    closure: Closure
    measured: Sequence[Measured]
    record: Record | None
    usual_norm: float
    jumps: int
    alike: bool


class Trials:
    """All trials of a run, those that go on and those that are over.

    Args:
        when: "auto": not if the run has arrived; True: also then; False: never.
        model: The network.
        optimizer: Its optimizer.
    """

    def __init__(
        self, when: bool | Literal["auto"], model: torch.nn.Module, optimizer: torch.optim.Optimizer
    ):
        self._when, self._model, self._optimizer = when, model, optimizer
        self._schedule = Schedule(ROUNDS)
        self._going: list[Shadow] = []
        self._over: list[Shadow] = []
        self._fresh: Shadow | None = None  # the start itself, for a run that diverges at once
        self.failures: set[str] = set()

    def due(self, step: int) -> bool:
        """True if trials may begin at this step: 0, 100, 300, 1000, …"""
        return self._when is not False and (step == 0 or step >= FIRST) and self._schedule.due(step)

    @property
    def going(self) -> bool:
        """True if some go on."""
        return bool(self._going)

    def busy(self, step: int) -> bool:
        """True if some go on, or may begin."""
        return self.going or self.due(step)

    @property
    def remarks(self) -> Iterator[str]:
        """Yield why some trials could not be made."""
        for each in sorted(self.failures):
            yield f"Some changes could not be tried: {each}"

    def changes(
        self, step: int, given: Proposal, arrived: bool, run: Losses, floor: float | None
    ) -> list[Change]:
        """Return the changes to try from this step on."""
        self._schedule.done(step)
        told = self._told(run, floor)
        if self._when is not True and (arrived or any(each.helps for each in told)):
            return []
        going = {each.change.cause for each in self._going}
        # A rate that gets clearly lower, and not far, is still too small.
        larger = [each.change.factor for each in told if each.change.factor > 1 and each.clear]
        factors = [10.0] if not larger else [10 * max(larger), 100 * max(larger)]
        found = [*self._simple(step, given, factors), *self._structural(step, given)]
        return [each for each in found if each.cause not in going]

    def begin(self, change: Change, step: int, patient: Patient) -> None:
        """Begin a trial at the present weights."""
        parameters = patient.parameters if change.start is None else self._all(patient)
        try:
            self._going.append(Shadow(change, step, parameters, self._optimizer))
        except (RuntimeError, TypeError, AttributeError, ValueError) as error:
            self.failures.add(str(error).partition("\n")[0])

    def keep_start(self, patient: Patient) -> None:
        """Keep the weights and the optimizer of the start, in case that the run diverges before a trial tells."""
        try:
            self._fresh = Shadow(
                Change("nothing", "", REPLAYED), 0, patient.parameters, self._optimizer
            )
        except (RuntimeError, TypeError, AttributeError, ValueError) as error:
            self.failures.add(str(error).partition("\n")[0])

    def _all(self, patient: Patient) -> list[torch.nn.Parameter]:
        known = {id(each) for each in patient.parameters}
        return [
            *patient.parameters,
            *(each for each in self._model.parameters() if id(each) not in known),
        ]

    def step(
        self, closures: Sequence[Closure], beginning: RandomState, devices: Sequence[torch.device],
        before_update, run: Losses,
    ) -> float:  # fmt: skip
        """Let all trials that go on take the run's step; return their price in gradients, less what is given back."""
        price = 0.0
        going = list(self._going)
        with randomness_restored(devices):
            for shadow in going:
                shadow.step(self._model, closures, beginning, before_update)
        for shadow in going:
            behind = (
                len(self._going) > 1 and shadow.change.batches == 1 and shadow.clearly_behind(run)
            )
            if shadow.done or behind:
                self._going.remove(shadow)
                self._over.append(shadow)
                shadow.release()
                price -= (shadow.change.steps - len(shadow.losses)) * len(closures)
            if shadow.failure is not None:
                self.failures.add(shadow.failure)
        return price

    def _told(self, run: Losses, floor: float | None) -> list[Tried]:
        found = [each.tried(run, floor) for each in (*self._over, *self._going)]
        return [each for each in found if each is not None]

    def results(
        self, run: Losses, floor: float | None, closures: Sequence[Closure], devices: Sequence[torch.device],
        before_update: Callable[[], object] | None, diverged: bool,
    ) -> tuple[list[Tried], float]:  # fmt: skip
        """Return what all trials did, and the price of those that are made now.

        A run that diverged at once is tried from its start, on its last minibatch.
        """
        told = self._told(run, floor)
        if not diverged or self._when is False or any(each.helps for each in told):
            return told, 0.0
        replayed, price = self._replayed(closures, devices, before_update, floor)
        return [*told, *replayed], price

    def _replayed(
        self, closures: Sequence[Closure], devices: Sequence[torch.device],
        before_update: Callable[[], object] | None, floor: float | None,
    ) -> tuple[list[Tried], float]:  # fmt: skip
        fresh, price = self._fresh, 0.0
        if fresh is None:
            return [], price
        rate = float(self._optimizer.param_groups[0].get("lr", math.nan))
        base, *others = (
            fresh.again(each)
            for each in (
                Change("nothing", "", REPLAYED),
                _rate(rate, 0.1, REPLAYED),
                _rate(rate, 1e-3, REPLAYED),
                _clipped(CLIP, REPLAYED),
            )
        )
        own = Losses()
        with randomness_restored(devices) as state:
            for _ in range(REPLAYED):
                for shadow in (base, *others):
                    if not shadow.done:
                        price += shadow.step(self._model, closures, state, before_update)
                if base.failure is not None:
                    self.failures.add(base.failure)
                    return [], price
                own.add(base.losses[-1] if base.alive else math.inf)
        found = [each.tried(own, floor) for each in others if each.failure is None]
        return [each for each in found if each is not None], price

    def _simple(self, step: int, given: Proposal, larger: Sequence[float]) -> Iterator[Change]:
        length = FIRST if step == 0 else LATER
        rate = float(self._optimizer.param_groups[0].get("lr", math.nan))
        if not math.isnan(rate):
            yield _rate(rate, 0.1, length)
            yield from (_rate(rate, factor, length) for factor in larger)
        if given.record is None:
            if given.usual_norm > STEEP:
                yield _clipped(CLIP, length)
            return
        causes = dict(diagnose(given.record).causes)
        if (
            {"cliff", "exploding_gradient"} & {*causes}
            or chain(given.measured) > CHAIN
            or given.jumps > JUMPS
        ):
            yield _clipped(min(CLIP, given.usual_norm), length)
        rows = [each.row for each in given.measured if "noise_sq" in each.row][-RECENT:]
        if sum(each["noise_sq"] - each["grad_sq"] for each in rows) > 0:
            yield Change(f"batches {BATCHES} times as large", "noise", LONG, batches=BATCHES)

    def _structural(self, step: int, given: Proposal) -> Iterator[Change]:
        length = FIRST if step == 0 else LATER
        if given.missing:
            yield Change(
                "all weights in the optimizer",
                "frozen_weights",
                length,
                start=added(given.missing),
                structural=True,
            )
        if given.activation is not None:
            name = type(given.activation).__name__
            yield Change(
                f"no {name} behind the last layer", "output_unit", length, model=bypassed(given.activation),
                structural=True,
            )  # fmt: skip
        if given.alike:
            yield Change(
                "another start", "saddle", length, start=restarted(self._model), structural=True
            )
        decays = max(
            (group.get("weight_decay", 0.0) for group in self._optimizer.param_groups), default=0.0
        )
        if decays >= DECAY:
            yield Change(
                "no weight decay", "weight_decay", length, start=_without_decay, structural=True
            )
        if given.record is None:
            return
        first = given.measured[0] if given.measured else None
        if first is not None and any(row["dead units"] >= DEAD for row in first.layers.values()):
            yield Change(
                "another start", "no_signal", length, start=restarted(self._model), structural=True
            )
        growth = chain(given.measured)
        if growth < 1 / CHAIN:
            once, square = hidden(self._model, given.closure)
            if square:
                yield Change(
                    "orthogonal recurrent weights", "vanishing_gradient", length, start=orthogonal(square),
                    structural=True,
                )  # fmt: skip
            elif once:
                yield Change(
                    "hidden layers standardized", "vanishing_gradient", length, model=standardized(once),
                    structural=True,
                )  # fmt: skip
        if "ill_conditioning" in dict(diagnose(given.record).causes):
            layers = [each for each in self._model.modules() if isinstance(each, torch.nn.Linear)]
            if layers:
                whitening = Whitening(layers)
                yield Change(
                    "whitened inputs of the layers", "ill_conditioning", length, model=whitening.watching,
                    precondition=whitening.precondition, structural=True,
                )  # fmt: skip


def chain(measured: Sequence[Measured]) -> float:
    """Return the gradient at the first layer (or time) over that at the last, when first measured; NaN if unknown."""
    norms = measured[0].chain if measured else []
    if len(norms) < 3 or not norms[0] > 0 or not all(map(math.isfinite, norms)):
        return math.nan
    return norms[-1] / norms[0]


def _without_decay(shadow: Shadow) -> None:
    for group in shadow.optimizer.param_groups:
        group["weight_decay"] = 0.0


def _rate(rate: float, factor: float, steps: int) -> Change:
    cause = "step_too_large" if factor < 1 else "step_too_small"
    return Change(f"learning rate {factor * rate:.2g} for {rate:.2g}", cause, steps, factor=factor)


def _clipped(norm: float, steps: int) -> Change:
    norm = CLIP if math.isnan(norm) else norm
    return Change(f"gradients clipped at norm {norm:.2g}", "exploding_gradient", steps, clip=norm)
