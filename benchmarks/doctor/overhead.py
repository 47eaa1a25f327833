"""Decide when to measure: at steps evenly spaced on a logarithmic axis and at events, as the budget allows."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from statistics import median

PER_DECADE = 8  # scheduled measurements per decade of steps
RECENT = 64  # recent steps from which usual values are computed
USUAL = 16  # least number of them before a jump can be detected
JUMP = 10.0  # a jump is this many times the median gradient norm, or the losses' median deviation
REFRESH = 8  # observations between updates of the medians
EVENTS_PER_DECADE = 10  # at most, per decade of steps


class Budget:
    """Limit measuring to a share of the run's own gradients; the wall time only caps it.

    A measurement is affordable if what was spent so far + its own price ≤ overhead · (gradients of the training) +
    loan; its own price is that of the last measurement of its kind, in gradients. The loan allows measurements at the
    beginning: allowance · min(1, (1 + log₁₀(step + 1))/4) gradients. What is measured then depends on the run alone,
    and not on how busy the machine is, unless measuring takes more than `seconds` + overhead · (time since the
    first step).
    """

    def __init__(self, overhead: float, allowance: float, seconds: float):
        self.overhead, self.allowance, self.seconds = overhead, allowance, seconds
        self.began: float | None = None
        self.ended: float | None = None  # the end of the last step
        self.capped: int | None = None  # the first step at which the seconds were used up
        self._step = 0
        self.training = 0.0  # gradients
        self.spent = 0.0  # gradients
        self.by_kind: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._pending: dict[str, float] = {}
        self.seconds_spent = 0.0

    @property
    def share(self) -> float:
        """Return the share of measuring in the time from the first step to the end of the last."""
        if self.began is None or self.ended is None:
            return 0.0
        return self.seconds_spent / (self.ended - self.began)

    @property
    def allowed(self) -> str:
        """Return a sentence on how much measuring may cost."""
        if math.isinf(self.overhead):
            return "Its cost is not limited (overhead=inf)."
        return (
            f"Allowed: {self.overhead:.0%} of the run's own {self.training:.0f} gradients (overhead=), and up to "
            f"{self.allowance:g} more (allowance=), so the share of a short run is large."
        )

    def start(self, step: int) -> float:
        """Begin a step, and with the first one the run; return the time."""
        now, self._step = time.perf_counter(), step
        if self.began is None:
            self.began = now
        return now

    def affords(self, kind: str, share: float = 1.0, guess: float = 0.0) -> bool:
        """True if one more measurement of this kind is affordable.

        share: share of the gradients for measuring that this kind may take.
        guess: price of a kind that was never measured, in gradients.
        """
        loan = self.allowance * min(1.0, (1 + math.log10(self._step + 1)) / 4)
        if math.isinf(self.overhead):
            return True
        earned, more = loan + self.overhead * self.training, self._last.get(kind, guess)
        if self.spent + more > earned or self.by_kind.get(kind, 0.0) + more > share * earned:
            return False
        elapsed = 0.0 if self.began is None else time.perf_counter() - self.began
        if self.seconds_spent <= self.seconds + self.overhead * elapsed:
            return True
        self.capped = self._step if self.capped is None else self.capped
        return False

    def spend(self, kind: str, gradients: float) -> None:
        """Count these gradients as a part of a measurement of this kind; a negative number gives some back."""
        self.spent += gradients
        self.by_kind[kind] = self.by_kind.get(kind, 0.0) + gradients
        self._pending[kind] = self._pending.get(kind, 0.0) + gradients

    def close(self, kind: str) -> None:
        """End a measurement: all of its parts are done."""
        self._last[kind] = self._pending.pop(kind, 0.0)

    def passed(self, gradients: float) -> None:
        """End a step of so many gradients in which nothing was measured."""
        self.ended = time.perf_counter()
        self.training += gradients

    def end(self, began: float, trained: float, gradients: float) -> None:
        """End a step of so many gradients; its time besides `trained` counts as measuring."""
        self.ended = time.perf_counter()
        self.training += gradients
        self.seconds_spent += self.ended - began - trained


class Schedule:
    """Steps evenly spaced on a logarithmic axis, from 0; a late measurement shifts the following ones."""

    def __init__(self, per_decade: int = PER_DECADE):
        self._factor = 10 ** (1 / per_decade)
        self._next = 0

    def due(self, step: int) -> bool:
        return step >= self._next

    def done(self, step: int) -> None:
        """Note that a measurement was taken at this step, and schedule the next."""
        self._next = max(step + 1, math.ceil((step + 1) * self._factor) - 1)


class Watch:
    """Detect jumps of the loss or the gradient norm, and stalls of the loss, in constant memory."""

    def __init__(self) -> None:
        self._norms: deque[float] = deque(maxlen=RECENT)
        self._losses: deque[tuple[int, float]] = deque(maxlen=RECENT)
        self.usual_norm = math.nan  # the running median of the gradient norm
        self._usual_loss = self._spread = math.nan
        self._seen = 0
        self.jumps = 0  # of the gradient's norm
        self.jumped: list[int] = []  # steps of events, of the loss, too
        self._events = Schedule(EVENTS_PER_DECADE)
        self._smooth: float | None = None
        self._best, self._best_at, self._stalled = math.inf, 0, False

    def recent(self, step: int) -> list[float]:
        """Return the losses of the last twentieth of the run, before this step."""
        return [loss for at, loss in self._losses if 0.95 * step < at < step]

    def event(self, step: int, losses: Sequence[float], norm: float | None) -> bool:
        """True if this step is worth a measurement; at most EVENTS_PER_DECADE times per decade of steps.

        Args:
            step: The step.
            losses: Its loss, behind those of the steps since the last call.
            norm: The norm of its gradient; None if there is none.
        """
        happened = jumped = self._steep(norm)
        for at, loss in enumerate(losses, step + 1 - len(losses)):
            above = self._above(loss)
            jumped |= above
            happened |= above | self._stalls(at, loss)
            if math.isfinite(loss):
                self._losses.append((at, loss))
        if norm is not None and math.isfinite(norm):
            self._norms.append(norm)
        self._seen += 1
        if self._seen % REFRESH == 0 or self._seen < REFRESH or len(losses) > 1:
            self.usual_norm = median(self._norms) if self._norms else math.nan
            recent = [each for _, each in self._losses] or [math.nan]
            self._usual_loss = median(recent)
            self._spread = median(abs(each - self._usual_loss) for each in recent)
        if happened and self._events.due(step):
            self._events.done(step)
            if jumped:
                self.jumped.append(step)
            return True
        return False

    def _steep(self, norm: float | None) -> bool:
        """True if the gradient norm jumps; comparisons with NaN are false."""
        steep = self._seen >= USUAL and norm is not None and norm > JUMP * self.usual_norm
        self.jumps += steep
        return steep

    def _above(self, loss: float) -> bool:
        """True if the loss jumps; comparisons with NaN are false."""
        spread = max(self._spread, 0.01 * abs(self._usual_loss))
        return self._seen >= USUAL and loss - self._usual_loss > JUMP * spread

    def _stalls(self, step: int, loss: float) -> bool:
        """True, once, if the smoothed loss has had no new low for a quarter of the run (50 steps at least)."""
        if not math.isfinite(loss):
            return False
        before = loss if self._smooth is None else self._smooth
        self._smooth = before + (loss - before) / 10
        if self._smooth < self._best - 1e-3 * (abs(self._best) if self._best < math.inf else 0.0):
            self._best, self._best_at, self._stalled = self._smooth, step, False
            return False
        if self._stalled or step - self._best_at < max(50, step / 4):
            return False
        self._stalled = True
        return True
