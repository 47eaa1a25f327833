"""What several tests ask of a record, computed once: rates, shares of the run, where it is nearly at rest."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np

from benchmarks.diagnosis.record import Record
from benchmarks.diagnosis.thresholds import Thresholds

WINDOW = 1.3  # a gain per step is measured from a step divided by this to the step times it
TINY = 1e-300
SET_BACK = 10.0  # times as high as before: thrown, and not a step that went a little too far
CHEAPER = 5.0  # times: what makes a cause one
AHEAD = 18  # halves of a run that nine more of its length have
SAMPLE = (
    4.0  # times tr S: a loss measured on twice as many examples as a step sees is off by half of it
)


class RunFeatures:
    """A record and what follows from it.

    half: the first row of the second half of the steps; curved: the rows where curvatures are known.
    """

    def __init__(self, record: Record, thresholds: Thresholds):
        self.record = record
        self.limits = thresholds
        self.steps = record.step
        self.total = max(float(self.steps[-1]), 1.0)
        self.half = min(int(np.searchsorted(self.steps, self.total / 2)), len(self.steps) - 1)
        self.gradient = np.sqrt(np.maximum(record.grad_sq, 0.0))
        self.curved = np.flatnonzero(np.isfinite(record.lambda_min))

    # Of rows.

    def late(self, values: np.ndarray) -> np.ndarray:
        """What was measured in the second half of the steps."""
        return finite(values[self.half :])

    def share(self, rows: np.ndarray) -> float:
        """Of the steps: a row (bool) stands for those up to the next one, the last for itself."""
        if len(rows) < 2:
            return float(rows[-1])
        spans = self.steps[1:] - self.steps[:-1]
        return (
            float((spans * rows[:-1]).sum() / max(spans.sum(), 1.0))
            if rows[-1] or rows.any()
            else 0.0
        )

    @cached_property
    def shrunk(self) -> float:
        """The late gradient's median norm over the largest."""
        norms, late = finite(self.gradient), self.late(self.gradient)
        largest = norms.max() if len(norms) else 0.0
        return middle(late) / largest if len(late) and largest > 0 else math.nan

    # Of the loss.

    @cached_property
    def excess(self) -> np.ndarray:
        """f − f* at each row, NaN where f* is unknown."""
        record = self.record
        last = record.excess
        if last is None:
            if record.gap is None or not math.isfinite(record.gap) or abs(1 - record.gap) < 1e-3:
                return np.full(len(self.steps), np.nan)
            fallen = float(record.loss[0] - record.loss[-1])
            last = record.gap * fallen / (1 - record.gap)
        return np.maximum(record.loss - record.loss[-1] + last, 0.0)

    @cached_property
    def peaks(self) -> np.ndarray:
        """How high f was on the way to each row from the one before, as far as it was watched."""
        highest = self.record.loss_highest
        return self.record.loss if highest is None else np.fmax(self.record.loss, highest)

    @cached_property
    def scale(self) -> float:
        """What there is to gain at the last point: f − f*, or else what has been gained so far."""
        left = float(self.excess[-1])
        if not math.isnan(left):
            return left
        seen = finite(self.record.loss)
        return float(seen.max() - self.record.loss[-1]) if len(seen) else math.nan

    @cached_property
    def gained_late(self) -> float:
        """What the second half of the steps gained, over what was left at its beginning.

        Where f* is unknown, over what the whole run has gained.
        """
        if self.half == len(self.steps) - 1:
            return math.nan
        middle_loss, last = self._level(self.half), self._level(len(self.steps) - 1)
        gained = middle_loss - last
        if math.isnan(float(self.excess[-1])):
            left = float(finite(self.record.loss).max()) - last
        else:
            left = middle_loss - float(self.record.loss[-1] - self.excess[-1])
        return gained / left if left > 0 else 0.0

    @cached_property
    def progress(self) -> float:
        """What the second half gained of what was left, or all steps where they are too few to be halved."""
        if self.half < len(self.steps) - 1 or len(self.steps) < 2:
            return self.gained_late
        left = float(self.excess[0])
        gained = float(self.record.loss[0] - self.record.loss[-1])
        return gained / left if left > 0 else float(gained > 0)

    @property
    def thrown(self) -> bool:
        """Whether the run was ever seen ten times as high as its start."""
        return self.record.status == "diverged" or self.highest > SET_BACK

    @cached_property
    def risen(self) -> bool:
        """Whether the run was ever above its start: by a tenth of what there was to gain, if losses are inexact."""
        seen, squares = finite(self.peaks), finite(self.record.noise_sq)
        if self.record.status == "diverged" or len(seen) < 2:
            return self.record.status == "diverged"
        exact = len(squares) > 0 and (self.record.gap is not None or not squares.any())
        lowest = finite(self.record.loss).min()
        bottom = lowest if math.isnan(self.excess[0]) else seen[0] - self.excess[0]
        allowed = 0.0 if exact else 0.1 * (seen[0] - bottom)
        return bool(seen.max() > seen[0] + allowed)

    @cached_property
    def highest(self) -> float:
        """How high the run was seen, over its start: (f − f*)/(f₀ − f*), or losses without a known f*."""
        known = not math.isnan(self.excess[0])
        start = float(self.excess[0] if known else self.record.loss[0])
        seen = finite(self.peaks)
        if not len(seen) or not start > 0:
            return math.nan
        return float(seen.max() - self.record.loss[0] + start) / start

    @property
    def begins_too_large(self) -> bool:
        """Whether the first step was past its limit, or where that is unknown, past twice the way to the bottom."""
        first = self.first_stability
        if math.isnan(first):
            upwards = self.ratio[self.ratio > 0]
            first = float(upwards[0]) if len(upwards) else math.nan
        return first > 1

    @property
    def first_stability(self) -> float:
        """q where the run began."""
        return float(self.stability[0]) if len(self.stability) else math.nan

    @cached_property
    def set_back(self) -> bool:
        """Whether the run was ever ten times as high as it had been at some row before, or as its start."""
        height = self.excess + (self.peaks - self.record.loss)
        return self.thrown or bool(
            (height[1:] > SET_BACK * np.fmin.accumulate(self.excess)[:-1]).any()
        )

    @cached_property
    def leap(self) -> float:
        """How far |g| leapt at most from one step to the next, where that led to no new low; NaN if not watched.

        Only where steps are proportional to gradients, so that the step leapt too. Who leaves a plateau meets steep
        ground as well, but on the way down.
        """
        leaps = self.record.grad_leap
        rates = np.sort(finite(self.record.step_norm / self.gradient))
        if leaps is None or not np.isfinite(leaps).any() or not len(rates):
            return math.nan
        tenth = len(rates) // 10
        if not rates[-1 - tenth] < self.limits.steady * rates[tenth]:
            return math.nan
        lowest = np.fmin.accumulate(self.record.loss)
        nowhere = ~(self.record.loss[1:] < lowest[:-1])
        return float(np.fmax.reduce(leaps[1:][nowhere], initial=0.0))

    @cached_property
    def fewest(self) -> float:
        """Steps in which no rate does what this run did: with momentum β a loss falls by β a step at best."""
        beta = self.momentum
        left, all_ = float(self.excess[-1]), float(self.excess[0])
        if not 0 < beta < 1 or not 0 < left < all_:
            return 1.0
        return max(math.log(all_ / left) / -math.log(beta), 1.0)

    @property
    def momentum(self) -> float:
        """β, by which the velocity decays."""
        settings = self.record.settings
        return float(settings.get("momentum", settings.get("beta1", 0.0)) or 0.0)

    @property
    def drowned(self) -> bool:
        """Whether noise takes what the gradient gains, and some late step was seen to go up, if any was watched."""
        return self.noise_share > self.limits.noise_share and self.rises != 0

    @cached_property
    def noisy(self) -> bool:
        """Whether noise was measured."""
        return bool(finite(self.record.noise_sq).any())

    @cached_property
    def tossed(self) -> float:
        """The share of late steps that go up, where noise is there and each step well within its limit; else NaN.

        Only on an exact loss, which is one of which the gap is known: one that is estimated goes up by itself.
        """
        inside = self.noisy and self.record.gap is not None and len(self.stability) > 0
        inside = inside and float(self.stability.max()) < self.limits.stability_half
        return self.rises if inside else math.nan

    @cached_property
    def aimless(self) -> float:
        """The share of a step's square that is not along the gradient, 1 − cos²: its late median; NaN without noise.

        Momentum alone turns steps too, so that with it noise has to be comparable to the gradient; and so does the
        error of a gradient that is estimated, so that it is NaN there.
        """
        record = self.record
        lengths = self.gradient * record.step_norm
        cosines = record.g_s / np.where(lengths > 0, lengths, np.nan)
        rows = finite(cosines) if record.status == "diverged" else self.late(cosines)
        if not self.noisy or record.gap is None or not len(rows):
            return math.nan
        squares = self.late(record.grad_sq)
        drowns = len(squares) and SAMPLE * finite(record.noise_sq)[-1] > middle(squares)
        if self.momentum and not drowns:
            return math.nan
        return 1 - min(middle(-rows), 1.0) ** 2 if middle(rows) < 0 else 1.0

    @property
    def lost_in_noise(self) -> bool:
        """Whether noise tosses the run about, or turns its steps."""
        return self.tossed > self.limits.rising or self.aimless > self.limits.aimless

    @cached_property
    def faster(self) -> float:
        """The gap, over the target's, that ten times as many steps would leave: at most 1 where they reach it.

        As if each half of the steps went on to leave the same share. Of a run that goes on it is five times the fewest
        steps in which any rate does it, over its steps: who has made fewer cannot be five times as fast.
        """
        record = self.record
        if record.status == "running":
            return CHEAPER * self.fewest / self.total
        if record.gap is None or record.target is None or math.isnan(self.gained_late):
            return math.nan
        kept = min(max(1 - self.gained_late, 0.0), 1.0)
        return record.gap * kept**AHEAD / record.target

    def _level(self, row: int) -> float:
        """The loss at a row; under noise its mean over the rows around it, for there each one is a matter of chance."""
        squares = finite(self.record.noise_sq)
        if not len(squares) or not squares.any():
            return float(self.record.loss[row])
        at = self.steps[row]
        around = (self.steps >= at / WINDOW) & (self.steps <= at * WINDOW)
        return float(self.record.loss[around].mean())

    @property
    def stalled(self) -> bool:
        """Whether the second half of the steps gained next to nothing."""
        return not self.gained_late > self.limits.stalled

    def gain(self, row: int) -> float:
        """f's fall per step around a row: −gᵀs − ½sᵀHs on the average, however a run oscillates."""
        first, last = 0, len(self.steps) - 1
        at = self.steps[row]
        low = max(int(np.searchsorted(self.steps, at / WINDOW, side="right")) - 1, first)
        high = min(int(np.searchsorted(self.steps, at * WINDOW)), last)
        if low == high:
            low, high = max(row - 1, first), min(row + 1, last)
        span = self.steps[high] - self.steps[low]
        return (
            float(self.record.loss[low] - self.record.loss[high]) / span if span > 0 else math.nan
        )

    # Of steps.

    @cached_property
    def rate(self) -> float:
        """|s|/|g| in the second half: the learning rate as it acts."""
        moved = self.gradient > 0
        ratios = self.record.step_norm[moved] / self.gradient[moved]
        late = finite(ratios[self.steps[moved] >= self.steps[self.half]])
        return middle(late) if len(late) else middle(finite(ratios))

    @cached_property
    def stability(self) -> np.ndarray:
        """q where it was measured."""
        return finite(self.record.stability)

    @cached_property
    def ratio(self) -> np.ndarray:
        """r = sᵀHs/(−2gᵀs) at each row: above 1 the loss goes up; infinite where gᵀs does not descend."""
        slope, bend = self.record.g_s, self.record.s_h_s
        down = slope < 0
        return np.where(
            down, bend / np.where(down, -2 * slope, 1.0), np.where(bend > 0, np.inf, np.nan)
        )

    @cached_property
    def rises(self) -> float:
        """The share of the late rows from which the loss went up."""
        late = self.late(self.record.change)
        return float((late > 0).mean()) if len(late) else math.nan

    @cached_property
    def up(self) -> float:
        """The share of late steps that go up: with r > 1, or a higher loss after; of all, where they are few."""
        ratios = self.ratio[0 if self.record.status == "diverged" else self.half :]
        ratios = ratios[~np.isnan(ratios)]
        over = float((ratios > 1).mean()) if len(ratios) else math.nan
        return float(np.fmax(over, self.rises))

    # Of what is left to gain, and what takes it away.

    @cached_property
    def lost(self) -> float:
        """The median of G over the rows past the start where curvatures are known; 0 where a run is at rest in all.

        At rest nothing is left to gain to second order, and what slows a run there is not its step.
        """
        record = self.record
        rows = np.flatnonzero(np.isfinite(record.decrease))
        rows = rows[1:] if len(rows) > 1 else rows
        if not len(rows):
            return math.nan
        found = []
        for row in rows:
            best, left = float(record.decrease[row]), float(self.excess[row])
            known = not math.isnan(left)
            if self.near[row] or (known and best <= self.limits.exhausted * left):
                continue
            gain = self.gain(int(row))
            if gain > 0:  # who gains nothing does not descend slowly
                found.append((min(best, left) if known else best) / gain)
        return middle(np.array(found)) if found else 0.0

    @cached_property
    def downward(self) -> float:
        """The share of ½gᵀ|H|⁻¹g that lies along negative curvature, past the start: its median, 0 if unknown."""
        rows = np.flatnonzero(np.isfinite(self.record.decrease))
        rows = rows[1:] if len(rows) > 1 else rows
        shares = self.record.decrease_negative[rows] / self.record.decrease[rows]
        return min(max(middle(finite(shares)), 0.0), 1.0) if len(finite(shares)) else 0.0

    @cached_property
    def noise_ratio(self) -> float:
        """tr(HS)/mᵀHm in the second half: r_noise/r_curv whatever the rate is; 0 without noise, NaN if unknown."""
        record = self.record
        spread, bend = finite(record.noise_h), self.late(record.g_h_g)
        squares = finite(record.noise_sq)
        if len(squares) and not squares.any():
            return 0.0
        if not len(spread) or not len(bend):
            return math.nan
        along = float(bend.mean())
        last = float(spread[-1])
        return max(last, 0.0) / along if along > 0 else math.inf if last > 0 else 0.0

    @cached_property
    def noise_share(self) -> float:
        """r_noise: what noise takes of the gain of a step; NaN where it is unknown.

        At a standstill r_curv + r_noise = 1 whatever η is, and so their ratio tells. On the way η is the step's length
        over √(|m|² + tr S), times √((1 + β)/(1 − β)) with momentum β, for then noises add up along the velocity.
        """
        record = self.record
        ratio = self.noise_ratio
        if ratio == 0:
            return 0.0
        if self.stalled and not math.isnan(ratio):
            return ratio / (1 + ratio) if math.isfinite(ratio) else 1.0
        square, spread = finite(record.noise_sq), finite(record.noise_h)
        mean_sq, lengths = self.late(record.grad_sq), self.late(record.step_norm)
        if not (len(square) and len(spread) and len(mean_sq)):
            return math.nan
        beta = self.momentum
        rate = middle(lengths) / math.sqrt(max(mean_sq.mean(), 0.0) + square[-1] + TINY)
        rate *= math.sqrt((1 + beta) / max(1 - beta, 1e-6))
        return rate * float(spread[-1]) / max(2 * float(mean_sq.mean()), TINY)

    @cached_property
    def bias(self) -> float:
        """|E seen − g|²/|g|² where it was last measured, less what a loss measured on a sample may be off; or NaN."""
        record = self.record
        if record.bias_sq is None:
            return math.nan
        known = np.flatnonzero(np.isfinite(record.bias_sq))
        if not len(known):
            return math.nan
        k = known[-1]
        return float(record.bias_sq[k] / max(record.grad_sq[k], SAMPLE * record.noise_sq[k], TINY))

    # Near critical points.

    @cached_property
    def slope(self) -> np.ndarray:
        """|g| · distance/(f − f*), the slope here over the mean slope from here to the solutions."""
        if self.record.distance is None:
            return np.full(len(self.steps), np.nan)
        excess = np.where(np.isfinite(self.excess), self.excess, np.nan)
        return self.gradient * self.record.distance / np.maximum(excess, TINY)

    @cached_property
    def near(self) -> np.ndarray:
        """Rows at which the slope is next to nothing.

        Where no solution is known, against the largest slope so far; and between two rows of known curvature
        at which nothing is left to gain to second order although the step is too short to feel it.
        """
        norms = finite(self.gradient)
        largest = norms.max() if len(norms) else 0.0
        small = self.gradient <= self.limits.flat_gradient * largest
        small |= self._between_quiet()
        known = np.isfinite(self.slope)
        return np.where(known, self.slope <= self.limits.flat_slope, small)

    def _between_quiet(self) -> np.ndarray:
        rows = np.zeros(len(self.steps), dtype=bool)
        quiet = [
            self.exhausted(row) <= self.limits.exhausted
            and self.record.stability[row] < self.limits.stability_unused
            and not np.isnan(self.excess[row])
            for row in self.curved.tolist()
        ]
        for k in range(len(quiet) - 1):
            if quiet[k] and quiet[k + 1]:
                rows[self.curved[k] : self.curved[k + 1] + 1] = True
        return rows

    @cached_property
    def moving(self) -> float:
        """The share of the steps that are not made near a critical point."""
        return 1 - self.share(self.near)

    def exhausted(self, row: int) -> float:
        """½gᵀ|H|⁻¹g over what there is to gain."""
        left = float(self.excess[row])
        left = self.scale if math.isnan(left) else left
        return float(self.record.decrease[row]) / left if left > 0 else math.nan

    def floor(self, row: int) -> float:
        """The least curvature that is told apart from 0."""
        low, high = self.record.lambda_min[row], self.record.lambda_max[row]
        residual = self.record.residual[row]
        rounding = self.limits.rounding * max(abs(low), abs(high))
        return max(float(rounding), float(residual) if residual > 0 else 0.0)

    def relative(self, curvature: float, row: int) -> tuple[float, float]:
        """A curvature over the mean one between here and the solutions, or over the largest; and the limit."""
        excess = float(self.excess[row])
        distance = math.nan if self.record.distance is None else float(self.record.distance[row])
        if excess > 0 and math.isfinite(distance):
            return curvature * distance**2 / (2 * excess), self.limits.flat_curvature
        ends = self.record.lambda_min[self.curved], self.record.lambda_max[self.curved]
        largest = float(np.abs(ends).max())
        return curvature / largest if largest > 0 else 0.0, self.limits.flat_curvature_start


def finite(values: np.ndarray) -> np.ndarray:
    """Those that are numbers."""
    return values[np.isfinite(values)]


def middle(values: np.ndarray) -> float:
    """The median; NaN of nothing."""
    if not len(values):
        return math.nan
    ordered = np.sort(values)
    k = len(ordered) // 2
    return float(ordered[k] if len(ordered) % 2 else 0.5 * (ordered[k - 1] + ordered[k]))


def straight(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """The slope of y on x by least squares, and the share R² of y's variance that it explains."""
    if len(x) < 3:
        return math.nan, math.nan
    dx, dy = x - x.mean(), y - y.mean()
    xx, yy, xy = float(dx @ dx), float(dy @ dy), float(dx @ dy)
    if xx == 0 or yy == 0:
        return 0.0 if xx else math.nan, math.nan
    return xy / xx, xy * xy / (xx * yy)
