"""Rules for paths that are long or have no end."""

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
from benchmarks.diagnosis.run_features import TINY, RunFeatures, finite, middle, straight
from benchmarks.diagnosis.verdict import Evidence


def no_critical_point(features: RunFeatures) -> Iterator[Finding]:
    """Test for descent without end: the distance grows like log t, the gradient vanishes, no minimum is attained."""
    record, limits = features.record, features.limits
    far = record.distance_start
    rows = np.flatnonzero(np.isfinite(far) & (features.steps >= max(10.0, features.total / 100)))
    slope, fit = straight(np.log(features.steps[rows]), far[rows])
    line = Evidence(
        "no_critical_point", "the distance from the start grows with the logarithm of time",
        "R² of |x − x₀| on ln t", fit if slope > 0 else 0.0 if slope <= 0 else math.nan, limits.runaway_fit,
        None if math.isnan(fit) else slope > 0 and fit > limits.runaway_fit,
        "Soudry et al. 2018, arXiv:1710.10345, theorem 3",
    )  # fmt: skip
    later = float((far[-1] - far[features.half]) / far[-1]) if far[-1] > 0 else 0.0
    grows = Evidence(
        "no_critical_point", "and goes on growing", "share of the distance gained in the second half of the steps",
        later, limits.runaway_growth, later > limits.runaway_growth, "the same",
    )  # fmt: skip
    norms = finite(features.gradient)
    fallen = float(norms[-1] / norms[0]) if len(norms) > 1 and norms[0] > 0 else math.nan
    fades = Evidence(
        "no_critical_point", "while the gradient vanishes", "|g| at the end/|g| at the start",
        fallen, limits.vanished, None if math.isnan(fallen) else fallen < limits.vanished, f"{BOOK}.7",
    )  # fmt: skip
    end = len(features.steps) - 1
    left = (
        features.exhausted(end) if len(features.curved) and features.curved[-1] == end else math.nan
    )
    goes_on = Evidence(
        "no_critical_point", "and something is left to gain", "½gᵀ|H|⁻¹g/(f − f*)",
        left, limits.exhausted, exceeds(left, limits.exhausted), "0.5 on an exponential tail, 1 on a quadratic",
    )  # fmt: skip
    attained = record.floor_attained
    # If no point attains f*, the law by which the distance grows depends on the method and is not tested.
    away = bool(line.holds) or (attained is False and features.record.status == "missed")
    holds = bool(away and grows.holds and fades.holds) and goes_on.holds is not False
    holds = holds and attained is not True and not progressing(features)
    strength = min(
        surely(1 - limits.runaway_fit, max(1 - line.value, TINY)) if line.holds else WEAK,
        surely(later, limits.runaway_growth),
    )
    yield Finding(
        "no_critical_point", (strength if attained is False else WEAK * strength) if holds else 0.0,
        attained is True or grows.holds is False or slope <= 0, (line, grows, fades, goes_on),
        ("The loss may have no minimum: a run to infinity and slow descent to a far minimum both fit.",)
        if holds and attained is None else (),
    )  # fmt: skip


def long_path(features: RunFeatures) -> Iterator[Finding]:
    """Test for a long path: descent at constant speed on a constant slope until the budget ends."""
    record, limits = features.record, features.limits
    loss, steps = record.loss, features.steps
    early = min(int(np.searchsorted(steps, features.total / 10)), features.half)
    before = float(steps[features.half] - steps[early])
    after = float(steps[-1] - steps[features.half])
    pace = math.nan
    if before > 0 and after > 0:
        first = float(loss[early] - loss[features.half]) / before
        second = float(loss[features.half] - loss[-1]) / after
        pace = second / first if first > 0 else math.nan
    steady = Evidence(
        "long_path", "the loss falls as fast in the second half as before", "late fall per step/earlier fall per step",
        pace, 1 / limits.steady, None if math.isnan(pace) else 1 / limits.steady < pace < limits.steady,
        f"{BOOK}.7",
    )  # fmt: skip
    kept, speed = (
        _lasting(features, each, early) for each in (features.gradient, record.step_norm)
    )
    slope = Evidence(
        "long_path", "on a slope that does not vanish", "late median |g|/earlier median |g|",
        kept, 1 / limits.steady, None if math.isnan(kept) else kept > 1 / limits.steady, f"{BOOK}.7",
    )  # fmt: skip
    linear = Evidence(
        "long_path", "its path grows linearly", "late median |s|/earlier median |s|", speed, 1 / limits.steady,
        None if math.isnan(speed) else 1 / limits.steady < speed < limits.steady, f"{BOOK}.7",
    )  # fmt: skip
    used = largest(features.stability)
    allowed = not used < limits.stability_unused and not used > 1
    moving = not features.near[features.half :].any()
    holds = (
        bool(steady.holds and slope.holds and linear.holds)
        and allowed
        and moving
        and not features.stalled
    )
    holds = holds and not progressing(features)
    off = max(abs(math.log10(each)) for each in (pace, kept, speed)) if holds else 0.0
    strength = 1 - 0.5 * off / math.log10(limits.steady)
    yield Finding(
        "long_path", strength * (WEAK if math.isnan(used) else 1.0) if holds else 0.0,
        steady.holds is False or slope.holds is False, (steady, slope, linear),
    )  # fmt: skip


def _lasting(features: RunFeatures, values: np.ndarray, early: int) -> float:
    """Return the late median over the median from row `early` to the middle of the run."""
    before, late = finite(values[early : features.half + 1]), features.late(values)
    return middle(late) / middle(before) if len(before) and middle(before) > 0 else math.nan
