"""Rules for cliffs, and for gradients that vanish or explode along a chain."""

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

HIGHER = 10.0  # a leap is measured against at least 1/HIGHER of the largest norm before it
BEFORE = 7  # rows before, whose median is the usual value
DECADES = 300.0  # 10 to a higher power overflows


def cliff(features: RunFeatures) -> Iterator[Finding]:
    """Test for a cliff: the gradient and the step leap above their trends, or the run is suddenly far away."""
    record, limits = features.record, features.limits
    leap, row = _leap(features)
    leaps = Evidence(
        "cliff", "the gradient leaps above its trend",
        "max |g|/max(median of the last 7, trend of the last 3, a tenth of the largest before)", leap, limits.jump,
        exceeds(leap, limits.jump), f"{BOOK}.4; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063",
    )  # fmt: skip
    longer = math.nan
    if row is not None:
        usual = middle(finite(record.step_norm[max(0, row - BEFORE) : row]))
        longer = float(record.step_norm[row]) / usual if usual > 0 else math.nan
    unseen, beyond = _travel(features)
    thrown = largest(np.array([longer, unseen]))
    throws = Evidence(
        "cliff", "and the step throws the run", "|s|/median of the last 7, or travel to a higher loss/travel that "
        "the steps before and after explain", thrown, limits.thrown, exceeds(thrown, limits.thrown), "the same",
    )  # fmt: skip
    far = Evidence(
        "cliff", "or the run is thrown between two records", "travel/travel that the longest recorded step explains",
        beyond, limits.unseen, exceeds(beyond, limits.unseen), "a longer step was taken and not recorded",
    )  # fmt: skip
    sudden = Evidence(
        "cliff", "or gradient and step leap from one step to the next, to a loss that is no new low",
        "max |g|/max(the three before, a tenth of the largest before)", features.leap, limits.leap,
        exceeds(features.leap, limits.leap), "the same; the curvature in between is 5 times the stability limit",
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
    # If ten times the rate was stable at the start, the rate is not too large: the curvature ahead is larger.
    first = features.first_stability
    gentle = Evidence(
        "cliff", "or the run was thrown by a rate that was small at the start", "q at the start",
        first if features.thrown else math.nan, limits.stability_unused,
        abs(first) < limits.stability_unused
        if features.thrown and not features.noisy and not math.isnan(first) else None,
        "the curvature at a cliff is far above that at the start",
    )  # fmt: skip
    if gentle.holds and not progressing(features):
        found.append(surely(limits.stability_unused, abs(first)))
    quiet = not (throws.holds or far.holds or sudden.holds)
    calm = leap < math.sqrt(limits.jump) and quiet
    yield Finding("cliff", max(found), calm, (leaps, throws, far, sudden, gentle))


def _leap(features: RunFeatures) -> tuple[float, int | None]:
    """Return the largest ratio of |g| to its usual and its predicted value, and its row."""
    known = np.flatnonzero(np.isfinite(features.gradient))
    if len(known) < 5:
        return math.nan, None
    logs, steps = np.log(np.maximum(features.gradient[known], TINY)), features.steps[known]
    windows = np.lib.stride_tricks.sliding_window_view(
        np.concatenate([np.full(BEFORE, np.nan), logs[:-1]]), BEFORE
    )
    before = np.minimum(np.arange(3, len(logs)), BEFORE)  # NaNs are sorted last
    usual = np.sort(windows[3:], axis=1)[np.arange(len(before)), before // 2]
    rise = (logs[2:-1] - logs[:-3]) / np.maximum(steps[2:-1] - steps[:-3], 1.0)
    foretold = logs[2:-1] + np.maximum(rise, 0.0) * (steps[3:] - steps[2:-1])
    # The gradient also leaps when a run leaves a saddle or a plateau, but not far above its earlier values.
    highest = np.maximum.accumulate(logs)[2:-1] - math.log(HIGHER)
    above = logs[3:] - np.maximum(np.maximum(usual, foretold), highest)
    k = int(np.argmax(above))
    best, at = float(above[k]), int(known[3 + k])
    return math.exp(min(best, 700.0)), at


def _travel(features: RunFeatures) -> tuple[float, float]:
    """Return two largest ratios of the distance between two records to the distance that recorded steps explain.

    The first counts the steps before and after, and only records between which the loss increased: a run that
    leaves a saddle also gets farther than these steps explain, but downhill. The second counts the longest of all
    recorded steps.
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
    """Test for gradients that grow or vanish by a constant factor per position along depth or time."""
    record, limits = features.record, features.limits
    lines = []
    if record.chain is not None and record.chain.shape[1] > 2:
        lines = sorted(filter(None, map(_along, record.chain)))
    for cause, sign in (("exploding_gradient", 1.0), ("vanishing_gradient", -1.0)):
        total, fit = math.nan, math.nan
        if lines:  # it may explode once, and must vanish for most of the run
            total, fit = lines[-1 if sign > 0 else len(lines) // 2]
        gain, ratio = 10 ** min(sign * total, DECADES), 10 ** min(total, DECADES)
        factor = Evidence(
            cause, "the gradient at the input's end is many times that at the output's end" if sign > 0
            else "the gradient at the input's end is a small part of that at the output's end",
            "10^(slope of log₁₀|g| per position × positions)", ratio, limits.chain_gain**sign,
            exceeds(gain, limits.chain_gain), f"{BOOK}.5; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063",
        )  # fmt: skip
        line = Evidence(
            cause, "by a constant factor from one position to the next", "R² of log|g| on position",
            fit, limits.chain_fit, exceeds(fit, limits.chain_fit), "the same",
        )  # fmt: skip
        holds = bool(factor.holds and line.holds) and not progressing(features)
        # If heights are known: an exploding gradient throws a run, a vanishing one does not.
        holds = holds and (record.gap is None or features.thrown == (sign > 0))
        yield Finding(
            cause, surely(math.log(gain), math.log(limits.chain_gain)) if holds else 0.0,
            gain < math.sqrt(limits.chain_gain), (factor, line),
        )  # fmt: skip


def _along(norms: np.ndarray) -> tuple[float, float] | None:
    """Return the change of log₁₀|g| along a line fitted to a chain, and its R²; None if no line can be fitted.

    Norms of 0 and ∞ have left the range of floats: the line is fitted to the others, and ends at the last of them. Two
    norms always lie on a line; then the norms that underflow or overflow beside them are the evidence.
    """
    at = np.flatnonzero((norms > 0) & (norms < np.inf))
    if len(at) < 2 or np.isnan(norms).any():
        return None
    x, y = at - at.mean(), np.log10(norms[at])
    y = y - y.mean()
    xx, xy, yy = float(x @ x), float(x @ y), float(y @ y)
    return xy / xx * float(at[-1] - at[0]), xy * xy / (xx * yy) if yy > 0 else 0.0
