"""Features of a run that several rules use, computed once: rates, shares of the steps, rows nearly at rest."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import numpy as np

from benchmarks.diagnosis.record import Record
from benchmarks.diagnosis.thresholds import Thresholds

WINDOW = 1.3  # the gain per step at step t is measured from t/WINDOW to t·WINDOW
TINY = 1e-300  # avoids a division by zero
SET_BACK = 10.0  # ratio of heights above which a run was thrown; a step a little too far gives less
MIN_SPEEDUP = 5.0  # a removal must make the run 5x cheaper to count
EXTRA_HALF_RUNS = 18  # ten times the budget = 20 half-runs, 2 of which are done
SAMPLE = (
    4.0  # least |g|² in units of tr S: a reference gradient from twice a batch is off by tr S/2
)


class RunFeatures:
    """A record and the features that follow from it.

    half: the first row of the second half of the steps; curved: the rows with known curvatures. "Late" means
    the second half of the steps. Features that were not measured are NaN.
    """

    def __init__(self, record: Record, thresholds: Thresholds):
        arrays = {name: each for name, each in vars(record).items() if isinstance(each, np.ndarray)}
        # Products and ratios of numbers that float32 can hold overflow there, but not in float64.
        record = replace(record, **{name: each.astype(float) for name, each in arrays.items()})
        self.record = record
        self.limits = thresholds
        self.steps = record.step
        self.total = max(float(self.steps[-1]), 1.0)
        self.half = min(int(np.searchsorted(self.steps, self.total / 2)), len(self.steps) - 1)
        norms = np.sqrt(np.maximum(record.grad_sq, 0.0))
        self.gradient = np.where(np.isfinite(norms), norms, np.nan)  # an overflow is no number
        self.curved = np.flatnonzero(np.isfinite(record.lambda_min))

    # Rows.

    def late(self, values: np.ndarray) -> np.ndarray:
        """Return the finite values of the second half of the steps."""
        return finite(values[self.half :])

    def share(self, rows: np.ndarray) -> float:
        """Return the share of the steps in these rows (bool); a row covers the steps up to the next row."""
        if len(rows) < 2:
            return float(rows[-1])
        spans = self.steps[1:] - self.steps[:-1]
        return float((spans * rows[:-1]).sum() / max(spans.sum(), 1.0))

    @cached_property
    def shrunk(self) -> float:
        """Return the late median of |g| over the largest |g|."""
        norms, late = finite(self.gradient), self.late(self.gradient)
        largest = float(norms.max()) if len(norms) else 0.0
        return middle(late) / largest if len(late) and largest > 0 else math.nan

    # The loss.

    @cached_property
    def excess(self) -> np.ndarray:
        """Return f − f* at each row; NaN if f* is unknown."""
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
        """Return the highest loss between the previous row and each row, as far as it was recorded."""
        highest = self.record.loss_highest
        return self.record.loss if highest is None else np.fmax(self.record.loss, highest)

    @cached_property
    def scale(self) -> float:
        """Return f − f* at the last point, or the gain so far if f* is unknown."""
        left = float(self.excess[-1])
        if not math.isnan(left):
            return left
        seen = finite(self.record.loss)
        return float(seen.max() - self.record.loss[-1]) if len(seen) else math.nan

    @cached_property
    def gained_late(self) -> float:
        """Return the gain of the second half of the steps over the excess f − f* at its beginning.

        If f* is unknown, it is relative to the gain of the whole run. NaN if the loss is not finite at either end of
        the second half: traces are float32, in which 1e40 is infinite.
        """
        if self.half == len(self.steps) - 1:
            return math.nan
        middle_loss, last = self._level(self.half), self._level(len(self.steps) - 1)
        if not (math.isfinite(middle_loss) and math.isfinite(last)):
            return math.nan
        gained = middle_loss - last
        if math.isnan(float(self.excess[-1])):
            left = float(finite(self.record.loss).max()) - last
        else:
            left = middle_loss - float(self.record.loss[-1] - self.excess[-1])
        return gained / left if left > 0 else 0.0

    @cached_property
    def progress(self) -> float:
        """Return `gained_late`, or the same ratio for all steps if they are too few to be halved."""
        if self.half < len(self.steps) - 1 or len(self.steps) < 2:
            return self.gained_late
        left = float(self.excess[0])
        gained = float(self.record.loss[0] - self.record.loss[-1])
        return gained / left if left > 0 else float(gained > 0)

    @property
    def thrown(self) -> bool:
        """True if the run diverged or was ever ten times as high as its start."""
        return self.record.status == "diverged" or self.highest > SET_BACK

    @cached_property
    def risen(self) -> bool:
        """True if the run was ever above its start; by 0.1 (f₀ − f*) at least, if losses are inexact."""
        seen, squares = finite(self.peaks), finite(self.record.noise_sq)
        if self.record.status == "diverged" or len(seen) < 2:
            return self.record.status == "diverged"
        exact = len(squares) > 0 and (self.record.gap is not None or not squares.any())
        lowest = finite(self.record.loss).min(initial=math.inf)
        bottom = lowest if math.isnan(self.excess[0]) else seen[0] - self.excess[0]
        allowed = 0.0 if exact else 0.1 * (seen[0] - bottom)
        return bool(seen.max() > seen[0] + allowed)

    @cached_property
    def highest(self) -> float:
        """Return max (f − f*)/(f₀ − f*), or max f/f₀ if f* is unknown."""
        known = not math.isnan(self.excess[0])
        start = float(self.excess[0] if known else self.record.loss[0])
        seen = finite(self.peaks)
        if not len(seen) or not start > 0:
            return math.nan
        return float(seen.max() - self.record.loss[0] + start) / start

    @property
    def begins_too_large(self) -> bool:
        """True if the first step exceeded its stability limit, q > 1, or if q is unknown, r > 1."""
        first = self.first_stability
        if math.isnan(first):
            upwards = self.ratio[self.ratio > 0]
            first = float(upwards[0]) if len(upwards) else math.nan
        return first > 1

    @property
    def first_stability(self) -> float:
        """Return q at the start of the run."""
        return float(self.stability[0]) if len(self.stability) else math.nan

    @cached_property
    def set_back(self) -> bool:
        """True if the run was ever ten times as high as at an earlier row or at its start, or diverged."""
        height = self.excess + (self.peaks - self.record.loss)
        return self.thrown or bool(
            (height[1:] > SET_BACK * np.fmin.accumulate(self.excess)[:-1]).any()
        )

    @cached_property
    def leap(self) -> float:
        """Return the largest leap of |g| from one step to the next that led to no new lowest loss; NaN if unknown.

        It is known only if steps are proportional to gradients, so that the step leapt as well. Leaps that lead to
        a new lowest loss do not count: a run that leaves a plateau meets them on its way down.
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
        """Return the least steps to this run's loss at any rate: momentum β takes f − f* to β(f − f*) at best."""
        beta = self.momentum
        left, all_ = float(self.excess[-1]), float(self.excess[0])
        if not 0 < beta < 1 or not 0 < left < all_:
            return 1.0
        return max(math.log(all_ / left) / -math.log(beta), 1.0)

    @property
    def momentum(self) -> float:
        """Return β, the factor by which the velocity decays per step."""
        settings = self.record.settings
        return float(settings.get("momentum", settings.get("beta1", 0.0)) or 0.0)

    @property
    def drowned(self) -> bool:
        """True if noise takes the gradient's gain and some late step increased the loss (or none was recorded)."""
        return self.noise_share > self.limits.noise_share and self.rises != 0

    @cached_property
    def noisy(self) -> bool:
        """True if noise was measured."""
        return bool(finite(self.record.noise_sq).any())

    @cached_property
    def tossed(self) -> float:
        """Return the share of late steps that increase the loss, under noise and with q < `stability_half`; else NaN.

        It needs the exact loss, that is, a known gap: an estimated loss also increases by chance.
        """
        inside = self.noisy and self.record.gap is not None and len(self.stability) > 0
        inside = inside and float(self.stability.max()) < self.limits.stability_half
        return self.rises if inside else math.nan

    @cached_property
    def aimless(self) -> float:
        """Return the late median of 1 − cos²(s, g), the share of |s|² that is not along g; NaN without noise.

        Momentum turns steps as well, so that with momentum it is NaN unless noise is comparable to the gradient. The
        error of an estimated gradient does, too, so that it is NaN without a known gap.
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
        """True if noise makes late steps increase the loss, or makes up most of a step."""
        return self.tossed > self.limits.rising or self.aimless > self.limits.aimless

    @cached_property
    def faster(self) -> float:
        """Return the gap after ten times as many steps over the target: at most 1 if they would reach it.

        It assumes that each further half-run leaves the same share of the gap. For a run that goes on it is
        MIN_SPEEDUP · `fewest`/steps: above 1 the run is too short to be made that much faster.
        """
        record = self.record
        if record.status == "running":
            return MIN_SPEEDUP * self.fewest / self.total
        if record.gap is None or record.target is None or math.isnan(self.gained_late):
            return math.nan
        kept = min(max(1 - self.gained_late, 0.0), 1.0)
        return record.gap * kept**EXTRA_HALF_RUNS / record.target

    def _level(self, row: int) -> float:
        """Return the loss at a row; under noise, its mean over the rows around it."""
        squares = finite(self.record.noise_sq)
        if not len(squares) or not squares.any():
            return float(self.record.loss[row])
        at = self.steps[row]
        around = (self.steps >= at / WINDOW) & (self.steps <= at * WINDOW)
        return float(self.record.loss[around].mean())

    @property
    def stalled(self) -> bool:
        """True if the second half of the steps gained next to nothing."""
        return not self.gained_late > self.limits.stalled

    def gain(self, row: int) -> float:
        """Return the mean fall of f per step around a row, −gᵀs − ½sᵀHs averaged over oscillations."""
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

    # Steps.

    @cached_property
    def rate(self) -> float:
        """Return the late median of |s|/|g|, the effective learning rate."""
        moved = self.gradient > 0
        ratios = self.record.step_norm[moved] / self.gradient[moved]
        late = finite(ratios[self.steps[moved] >= self.steps[self.half]])
        return middle(late) if len(late) else middle(finite(ratios))

    @cached_property
    def stability(self) -> np.ndarray:
        """Return the measured values of q."""
        return finite(self.record.stability)

    @cached_property
    def ratio(self) -> np.ndarray:
        """Return r = sᵀHs/(−2gᵀs) at each row: above 1 the loss increases; infinite if gᵀs ≥ 0 and sᵀHs > 0."""
        slope, bend = self.record.g_s, self.record.s_h_s
        down = slope < 0
        return np.where(
            down, bend / np.where(down, -2 * slope, 1.0), np.where(bend > 0, np.inf, np.nan)
        )

    @cached_property
    def rises(self) -> float:
        """Return the share of the late recorded steps that increased the loss."""
        late = self.late(self.record.change)
        return float((late > 0).mean()) if len(late) else math.nan

    @cached_property
    def up(self) -> float:
        """Return the share of late steps with r > 1 or with an increased loss, the larger; all steps if it diverged."""
        ratios = self.ratio[0 if self.record.status == "diverged" else self.half :]
        ratios = ratios[~np.isnan(ratios)]
        over = float((ratios > 1).mean()) if len(ratios) else math.nan
        return float(np.fmax(over, self.rises))

    # The gain that is left, and what takes it away.

    @cached_property
    def lost(self) -> float:
        """Return the median of G over the rows after the start with known curvatures; 0 if the run is at rest in all.

        Rows at rest do not count: nothing is left to gain there to second order, and the step does not slow the run.
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
            if gain > 0:  # a run without gain does not descend slowly
                found.append((min(best, left) if known else best) / gain)
        return middle(np.array(found)) if found else 0.0

    @cached_property
    def condition(self) -> float:
        """Return the largest |λ|max/|λ|min of all rows; infinite if the signs differ, NaN if no curvature is known."""
        low, high = self.record.lambda_min[self.curved], self.record.lambda_max[self.curved]
        ends = np.sort(np.abs([low, high]), axis=0)
        bent = ends[1] > 0  # a row without curvature says nothing
        sure = np.array([self.floor(row) for row in self.curved.tolist()])
        definite = (low * high > 0) & (ends[0] > sure)
        ratios = np.where(definite, ends[1] / np.where(definite, ends[0], 1.0), np.inf)[bent]
        return float(ratios.max()) if len(ratios) else math.nan

    @cached_property
    def downward(self) -> float:
        """Return the median share of ½gᵀ|H|⁻¹g along negative curvature, after the start; 0 if unknown."""
        rows = np.flatnonzero(np.isfinite(self.record.decrease))
        rows = rows[1:] if len(rows) > 1 else rows
        shares = self.record.decrease_negative[rows] / self.record.decrease[rows]
        return min(max(middle(finite(shares)), 0.0), 1.0) if len(finite(shares)) else 0.0

    @cached_property
    def noise_ratio(self) -> float:
        """Return the late tr(HS)/mᵀHm = r_noise/r_curv, which no rate changes; 0 without noise, NaN if unknown."""
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
        """Return r_noise = η tr(HS)/2|m|², the share of a step's gain that noise takes; NaN if unknown.

        At a standstill r_curv + r_noise = 1 for any η, so that their ratio gives r_noise. Otherwise η is estimated as
        |s|/√(|m|² + tr S), times √((1 + β)/(1 − β)) with momentum β, because noise adds up in the velocity.
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
        rate = middle(lengths) / math.sqrt(max(mean_sq.mean(), 0.0) + max(square[-1], 0.0) + TINY)
        rate *= math.sqrt((1 + beta) / max(1 - beta, 1e-6))
        return rate * float(spread[-1]) / max(2 * float(mean_sq.mean()), TINY)

    @cached_property
    def bias(self) -> float:
        """Return the last measured |E[ĝ] − g|²/max(|g|², SAMPLE · tr S), which allows for a g estimated on a sample."""
        record = self.record
        if record.bias_sq is None:
            return math.nan
        known = np.flatnonzero(np.isfinite(record.bias_sq))
        if not len(known):
            return math.nan
        k = known[-1]
        return float(record.bias_sq[k] / max(record.grad_sq[k], SAMPLE * record.noise_sq[k], TINY))

    # Critical points.

    @cached_property
    def slope(self) -> np.ndarray:
        """Return |g| · distance/(f − f*) at each row, the slope over the mean slope to the solutions."""
        if self.record.distance is None:
            return np.full(len(self.steps), np.nan)
        excess = np.where(np.isfinite(self.excess), self.excess, np.nan)
        return self.gradient * self.record.distance / np.maximum(excess, TINY)

    @cached_property
    def near(self) -> np.ndarray:
        """Return the rows (bool) at which the slope is next to nothing.

        If no solution is known, |g| is compared with its largest value; rows also count if they lie between two rows
        of known curvature at which nothing is left to gain to second order and the step is far below its limit.
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
        """Return the share of the steps that are not near a critical point."""
        return 1 - self.share(self.near)

    def exhausted(self, row: int) -> float:
        """Return ½gᵀ|H|⁻¹g/(f − f*) at a row; if f* is unknown, relative to the gain so far."""
        left = float(self.excess[row])
        left = self.scale if math.isnan(left) else left
        return float(self.record.decrease[row]) / left if left > 0 else math.nan

    def floor(self, row: int) -> float:
        """Return the least curvature that differs from 0 beyond rounding and residual."""
        low, high = self.record.lambda_min[row], self.record.lambda_max[row]
        residual = self.record.residual[row]
        rounding = self.limits.rounding * max(abs(low), abs(high))
        return max(float(rounding), float(residual) if residual > 0 else 0.0)

    def relative(self, curvature: float, row: int) -> tuple[float, float]:
        """Return a curvature over the mean curvature to the solutions (or over the largest), and its threshold."""
        excess = float(self.excess[row])
        distance = math.nan if self.record.distance is None else float(self.record.distance[row])
        if excess > 0 and math.isfinite(distance):
            return curvature * distance * distance / (2 * excess), self.limits.flat_curvature
        ends = self.record.lambda_min[self.curved], self.record.lambda_max[self.curved]
        largest = float(np.abs(ends).max())
        return curvature / largest if largest > 0 else 0.0, self.limits.flat_curvature_start


def finite(values: np.ndarray) -> np.ndarray:
    """Return the finite values."""
    return values[np.isfinite(values)]


def middle(values: np.ndarray) -> float:
    """Return the median, or NaN if there are no values."""
    if not len(values):
        return math.nan
    ordered = np.sort(values)
    k = len(ordered) // 2
    return float(ordered[k] if len(ordered) % 2 else 0.5 * (ordered[k - 1] + ordered[k]))


def straight(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Return the least-squares slope of y on x, and R²."""
    if len(x) < 3:
        return math.nan, math.nan
    dx, dy = x - x.mean(), y - y.mean()
    xx, yy, xy = float(dx @ dx), float(dy @ dy), float(dx @ dy)
    if xx == 0 or yy == 0:
        return 0.0 if xx else math.nan, math.nan
    return xy / xx, xy * xy / (xx * yy)
