"""Rules about cliffs, and about gradients that vanish or explode along a chain."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.diagnosis.rules.finding import (
    BOOK,
    WEAK,
    Finding,
    exceeds,
    largest,
    progressing,
    surely,
)
from benchmarks.diagnosis.run_features import TINY, RunFeatures, finite, middle
from benchmarks.diagnosis.verdict import Evidence

HIGHER = 10.0  # a leap above all norms before counts this many times
BEFORE = 7  # rows whose median says what is usual


def cliff(features: RunFeatures) -> Iterator[Finding]:
    """The gradient leaps above its trend, and the step with it, or the run is suddenly far away."""
    record, limits = features.record, features.limits
    leap, row = _leap(features)
    leaps = Evidence(
        "cliff", "the gradient leaps above its trend",
        "max |g|/max(median of the last 7, what the last 3 foretell, a tenth of the largest before)", leap, limits.jump,
        exceeds(leap, limits.jump), f"{BOOK}.4; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063",
    )  # fmt: skip
    longer = math.nan
    if row is not None:
        usual = middle(finite(record.step_norm[max(0, row - BEFORE) : row]))
        longer = float(record.step_norm[row]) / usual if usual > 0 else math.nan
    unseen, beyond = _travel(features)
    thrown = largest(np.array([longer, unseen]))
    throws = Evidence(
        "cliff", "and throws the run", "step over the median of the last 7, or travel to where it is worse over what "
        "the steps before and after explain", thrown, limits.thrown, exceeds(thrown, limits.thrown), "the same",
    )  # fmt: skip
    far = Evidence(
        "cliff", "or it is thrown between two records", "travel over what the longest recorded step explains",
        beyond, limits.unseen, exceeds(beyond, limits.unseen), "a step that long was taken, and not recorded",
    )  # fmt: skip
    sudden = Evidence(
        "cliff", "or the gradient leaps from one step to the next, and with it the step, and not down",
        "max |g|/max(the three before, a tenth of the largest before)", features.leap, limits.leap,
        exceeds(features.leap, limits.leap), "the same; a curvature on the way of 5 times the limit of stability",
    )  # fmt: skip
    found = [0.0]
    worse = features.set_back or features.risen
    if leaps.holds and worse and not progressing(features):
        found.append(WEAK * surely(leap, limits.jump) if features.set_back else 0.0)
        if throws.holds:
            found.append(min(surely(leap, limits.jump), surely(thrown, limits.thrown)))
    if unseen > limits.thrown:
        found.append(surely(unseen, limits.thrown))
    if sudden.holds and worse and not progressing(features):
        found.append(surely(features.leap, limits.leap))
    if far.holds and worse:
        found.append(surely(beyond, limits.unseen))
    # A rate of which ten times is stable where the run began is not too large: the land ahead is steeper.
    first = features.first_stability
    gentle = Evidence(
        "cliff", "or it was thrown by a rate that was small for where it began", "q at the start",
        first if features.thrown else math.nan, limits.stability_unused,
        abs(first) < limits.stability_unused
        if features.thrown and not features.noisy and not math.isnan(first) else None,
        "a cliff: the curvature ahead is not that here",
    )  # fmt: skip
    if gentle.holds and not progressing(features):
        found.append(surely(limits.stability_unused, abs(first)))
    quiet = not (throws.holds or far.holds or sudden.holds)
    calm = leap < math.sqrt(limits.jump) and quiet
    yield Finding("cliff", max(found), calm, (leaps, throws, far, sudden, gentle))


def _leap(features: RunFeatures) -> tuple[float, int | None]:
    """How far |g| leaps above its usual and its foretold value at most, and at which row."""
    known = np.flatnonzero(np.isfinite(features.gradient))
    if len(known) < 5:
        return math.nan, None
    logs, steps = np.log(np.maximum(features.gradient[known], TINY)), features.steps[known]
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([np.full(BEFORE, np.nan), logs[:-1]]), BEFORE
    )
    before = np.minimum(np.arange(3, len(logs)), BEFORE)  # NaN are sorted last
    usual = np.sort(windows[3:], axis=1)[np.arange(len(before)), before // 2]
    rise = (logs[2:-1] - logs[:-3]) / np.maximum(steps[2:-1] - steps[:-3], 1.0)
    foretold = logs[2:-1] + np.maximum(rise, 0.0) * (steps[3:] - steps[2:-1])
    # Who leaves a saddle or a plateau leaps too, but not far above where it has been before.
    highest = np.maximum.accumulate(logs)[2:-1] - math.log(HIGHER)
    above = logs[3:] - np.maximum(np.maximum(usual, foretold), highest)
    k = int(np.argmax(above))
    best, at = float(above[k]), int(known[3 + k])
    return math.exp(min(best, 700.0)), at


def _travel(features: RunFeatures) -> tuple[float, float]:
    """How much farther a run got between two records than their steps explain, where it got worse by it; and than
    the longest of all its recorded steps explains, at most.

    Who leaves a saddle between two records gets farther than the short steps before and after explain, but down.
    """
    record = features.record
    apart = features.steps[1:] - features.steps[:-1]
    between = np.isfinite(record.step_norm[:-1]) & (apart > 1)
    if between.sum() < 2:
        return math.nan, math.nan
    after = np.where(np.isfinite(record.step_norm[1:]), record.step_norm[1:], record.step_norm[:-1])
    near = np.maximum(record.step_norm[:-1], after) * apart
    moved = np.abs(record.distance_start[1:] - record.distance_start[:-1])
    worse = between & (record.loss[1:] > record.loss[:-1])
    unseen = finite(moved[worse] / np.maximum(near[worse], TINY))
    longest = finite(record.step_norm).max()
    beyond = finite(moved[between] / np.maximum(apart[between] * longest, TINY))
    return float(unseen.max()) if len(unseen) else 0.0, float(beyond.max()) if len(beyond) else 0.0


def chains(features: RunFeatures) -> Iterator[Finding]:
    """Along depth or time, the gradient grows or vanishes from one position to the next by a constant factor."""
    record, limits = features.record, features.limits
    totals, fits = np.zeros(0), np.zeros(0)
    if record.chain is not None and record.chain.shape[1] > 2:
        rows = record.chain[np.isfinite(record.chain).all(1)]
        if len(rows):
            totals, fits = _along(np.log10(np.maximum(rows.astype(float), TINY)))
    for cause, sign, pick in (
        ("exploding_gradient", 1.0, np.argmax),
        ("vanishing_gradient", -1.0, np.argmax),
    ):
        k = int(pick(sign * totals)) if len(totals) else None
        if k is not None and sign < 0:  # what vanishes must do so for most of the run
            k = int(np.argsort(totals)[len(totals) // 2])
        gain = 10 ** (sign * float(totals[k])) if k is not None else math.nan
        fit = float(fits[k]) if k is not None else math.nan
        factor = Evidence(
            cause, "from the output's end to the other the gradient grows" if sign > 0
            else "from the output's end to the other the gradient vanishes",
            "10^(±slope of log₁₀|g| per position × positions)", gain, limits.chain_gain,
            exceeds(gain, limits.chain_gain), f"{BOOK}.5; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063",
        )  # fmt: skip
        line = Evidence(
            cause, "by a constant factor from one position to the next", "R² of log|g| on position",
            fit, limits.chain_fit, exceeds(fit, limits.chain_fit), "the same",
        )  # fmt: skip
        holds = bool(factor.holds and line.holds) and not progressing(features)
        # What explodes throws a run and what vanishes does not, where it is known how high a run was.
        holds = holds and (record.gap is None or features.thrown == (sign > 0))
        yield Finding(
            cause, surely(math.log(gain), math.log(limits.chain_gain)) if holds else 0.0,
            k is not None and gain < math.sqrt(limits.chain_gain), (factor, line),
        )  # fmt: skip


def _along(logs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each row (rows, length): the fall of a straight line over its length, and R²."""
    x = np.arange(logs.shape[1]) - (logs.shape[1] - 1) / 2
    y = logs - logs.mean(1, keepdims=True)
    xx, xy, yy = float(x @ x), y @ x, (y * y).sum(1)
    return xy / xx * (logs.shape[1] - 1), np.where(
        yy > 0, xy * xy / (xx * np.where(yy > 0, yy, 1.0)), 0.0
    )
