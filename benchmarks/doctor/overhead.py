"""Decide when to measure: at steps evenly spaced on a logarithmic axis and at events, as the time budget allows."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

PER_DECADE = 8  # scheduled measurements per decade of steps
RECENT = 64  # recent steps from which usual values are computed
USUAL = 16  # least number of them before a jump can be detected
JUMP = 10.0  # a jump is this many times the median gradient norm, or the losses' median deviation
REFRESH = 8  # observations between updates of the medians
EVENTS_PER_DECADE = 10  # at most, per decade of steps


class Clock:
    """Limit measuring to a share of the wall time.

    A measurement is affordable if time spent so far + its own time ≤ overhead · (time since the first step)
    + loan; its own time is that of the last measurement of its kind. The loan allows measurements at the
    beginning: allowance · min(1, (1 + log₁₀(step + 1))/4) seconds.
    """

    def __init__(self, overhead: float, allowance: float):
        self.overhead, self.allowance = overhead, allowance
        self.began: float | None = None
        self.ended: float | None = None  # the end of the last step
        self._step = 0
        self.spent = 0.0
        self.training = 0.0  # seconds of closures, backward and optimizer
        self.by_kind: dict[str, float] = {}
        self._last: dict[str, float] = {}
        self._pending: dict[str, float] = {}

    @property
    def elapsed(self) -> float:
        """Return the seconds since the first step began."""
        return 0.0 if self.began is None else time.perf_counter() - self.began

    @property
    def share(self) -> float:
        """Return the share of measuring in the time from the first step to the end of the last."""
        if self.began is None or self.ended is None:
            return 0.0
        return self.spent / (self.ended - self.began)

    def start(self, step: int) -> float:
        """Begin a step, and with the first one the run; return the time."""
        now, self._step = time.perf_counter(), step
        if self.began is None:
            self.began = now
        return now

    def affords(self, kind: str, share: float = 1.0, guess: float = 0.0) -> bool:
        """True if one more measurement of this kind is affordable.

        share: share of the time for measuring that this kind may take.
        guess: seconds that a kind takes which was never measured.
        """
        loan = self.allowance * min(1.0, (1 + math.log10(self._step + 1)) / 4)
        earned, more = loan + self.overhead * self.elapsed, self._last.get(kind, guess)
        return self.spent + more <= earned and self.by_kind.get(kind, 0.0) + more <= share * earned

    @contextmanager
    def measuring(self, kind: str) -> Iterator[None]:
        """Count the time inside the context as a part of a measurement of this kind."""
        began = time.perf_counter()
        try:
            yield
        finally:
            took = time.perf_counter() - began
            self.by_kind[kind] = self.by_kind.get(kind, 0.0) + took
            self._pending[kind] = self._pending.get(kind, 0.0) + took

    def close(self, kind: str) -> None:
        """End a measurement: all of its parts are done."""
        self._last[kind] = self._pending.pop(kind)

    def end(self, began: float, trained: float) -> None:
        """End a step; its time besides `trained` counts as measuring, the decision to measure included."""
        self.ended = time.perf_counter()
        self.training += trained
        self.spent += self.ended - began - trained


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
        self._events = Schedule(EVENTS_PER_DECADE)
        self._smooth: float | None = None
        self._best, self._best_at, self._stalled = math.inf, 0, False

    def recent(self, step: int) -> list[float]:
        """Return the losses of the last twentieth of the run, before this step."""
        return [loss for at, loss in self._losses if 0.95 * step < at < step]

    def event(self, step: int, loss: float, norm: float | None) -> bool:
        """True if this step is worth a measurement; at most EVENTS_PER_DECADE times per decade of steps."""
        happened = self._jumped(loss, norm) | self._stalls(step, loss)
        if math.isfinite(loss):
            self._losses.append((step, loss))
        if norm is not None and math.isfinite(norm):
            self._norms.append(norm)
        self._seen += 1
        if self._seen % REFRESH == 0 or self._seen < REFRESH:
            self.usual_norm = median(self._norms) if self._norms else math.nan
            losses = [each for _, each in self._losses] or [math.nan]
            self._usual_loss = median(losses)
            self._spread = median(abs(each - self._usual_loss) for each in losses)
        if happened and self._events.due(step):
            self._events.done(step)
            return True
        return False

    def _jumped(self, loss: float, norm: float | None) -> bool:
        """True if the loss or the gradient norm jumps; comparisons with NaN are false."""
        if self._seen < USUAL:
            return False
        spread = max(self._spread, 0.01 * abs(self._usual_loss))
        steep = norm is not None and norm > JUMP * self.usual_norm
        return steep or loss - self._usual_loss > JUMP * spread

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
