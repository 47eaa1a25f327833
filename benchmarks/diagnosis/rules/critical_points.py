"""Rules for critical points and flat regions: minima, saddles, plateaus, no signal."""

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
from benchmarks.diagnosis.run_features import TINY, RunFeatures
from benchmarks.diagnosis.verdict import Evidence


def critical_points(features: RunFeatures) -> Iterator[Finding]:
    """Test for a run at rest: signed curvature tells a minimum, a saddle and a plateau apart; else no signal."""
    record, limits = features.record, features.limits
    rows = features.curved[features.near[features.curved]]
    end = len(features.steps) - 1
    curved_end = len(features.curved) and features.curved[-1] == end
    spent = features.exhausted(end) if curved_end else math.nan
    # A run that jitters about a minimum has nothing left to gain; so has one in a bent valley, with more slope.
    jitters = spent <= limits.exhausted and features.shrunk <= limits.flat_slope
    quiet = bool(features.near[end]) or (
        jitters and not features.slope[end] > 3 * limits.flat_slope
    )
    level = _at_level(features)
    # A run that bounces about a minimum may be anywhere near it, but has nothing left to gain.
    known = record.gap is not None or record.excess is not None
    bounces = known and record.status == "missed" and spent <= limits.exhausted
    bounces = bool(bounces and record.lambda_min[end] > features.floor(end))
    stuck = max(features.share(features.near), level if quiet or bounces else 0.0)
    slope = float(features.slope[end])
    by_slope = not math.isnan(slope)
    zero = record.grad_sq == 0
    signal = _no_signal(features, zero)
    if curved_end and (bounces or (not len(rows) and quiet)):
        rows = np.array([end])
    row = int(rows[-1]) if len(rows) else None

    def rest(cause: str) -> Evidence:
        return Evidence(
            cause, "the slope is next to nothing, for a share of the steps",
            "share of steps with |g| · distance/(f − f*) below a tenth" if by_slope
            else "share of steps with |g|/max |g| below a thousandth",
            stuck, limits.stuck_share, stuck >= limits.stuck_share,
            "convexity: gᵀ(x − x*) ≥ f − f*" if by_slope else f"{BOOK}.3",
        )  # fmt: skip

    low = float(record.lambda_min[row]) if row is not None else math.nan
    high = float(record.lambda_max[row]) if row is not None else math.nan
    floor = features.floor(row) if row is not None else math.nan
    size, flat_below = (
        features.relative(max(abs(low), abs(high)), row) if row is not None else (math.nan,) * 2
    )
    flat = size <= flat_below
    growth = features.rate * -low * features.total
    escapes = low < -floor and growth >= limits.escape
    # A minimum.
    at_end = row == end and (quiet or bounces)
    convex = Evidence(
        "local_minimum", "the least curvature is positive beyond rounding and its residual",
        "λmin", low, floor, None if row is None else low > floor, f"{BOOK}.2",
    )  # fmt: skip
    nothing_left = Evidence(
        "local_minimum", "nothing is left to gain here to second order", "½gᵀ|H|⁻¹g/(f − f*)",
        spent, limits.exhausted, None if math.isnan(spent) else spent <= limits.exhausted, "Newton's decrement",
    )  # fmt: skip
    minimum = bool(at_end and convex.holds and nothing_left.holds is not False and not flat)
    strength = (
        min(surely(low, floor), surely(limits.exhausted, max(spent, TINY))) if minimum else 0.0
    )
    shown, allowed = _norm_stays(features)
    texts = []
    if minimum and not known:
        texts.append("This is a minimum; a lower one may exist.")
    if shown.holds and not allowed:
        texts.append(
            "The gradient is not small, but the learning rate may be near its stability limit: "
            "this does not rule out a critical point."
        )
    last = features.curved[-1] if len(features.curved) else None
    negative = last is not None and record.lambda_min[last] < -features.floor(int(last))
    moving = bool(shown.holds and allowed)
    yield Finding(
        "local_minimum", max(0.5, stuck) * strength if minimum else 0.0, moving or bool(negative),
        (rest("local_minimum"), convex, nothing_left, shown), tuple(texts),
    )  # fmt: skip
    # A saddle.
    below = Evidence(
        "saddle", "the least curvature is negative beyond rounding and its residual", "−λmin",
        -low, floor, None if row is None else low < -floor, f"{BOOK}.3; Dauphin et al. 2014, arXiv:1406.2572",
    )  # fmt: skip
    horizon = Evidence(
        "saddle", "it leads away within the horizon", "lr |λmin| N",
        growth, limits.escape, None if math.isnan(growth) else growth >= limits.escape,
        "Du et al. 2017, arXiv:1705.10412",
    )  # fmt: skip
    curvature = Evidence(
        "saddle", "the point is not flat",
        "|λ|max distance²/2(f − f*), or over the largest so far", size, flat_below,
        None if row is None else not flat, f"{BOOK}.3",
    )  # fmt: skip
    steep, enough = features.relative(-low, row) if row is not None else (math.nan, math.nan)
    stuck_enough = stuck >= limits.stuck_share
    saddle = bool(stuck_enough and below.holds and escapes and not flat and steep > enough)
    strength = stuck * min(surely(-low, floor), surely(growth, limits.escape)) if saddle else 0.0
    # After a run has left the saddle, it is slow because of it as long as its gain lies along negative curvature.
    lost, share = features.lost, features.downward
    leaving = Evidence(
        "saddle", "most of the gain that is left lies along negative curvature",
        "(½gᵀ|H|⁻¹g along λ < 0)/½gᵀ|H|⁻¹g, if G is large", share if lost > limits.lost_gain else math.nan,
        limits.downward, share > limits.downward if lost > limits.lost_gain else None,
        "Dauphin et al. 2014, arXiv:1406.2572",
    )  # fmt: skip
    near_it = stuck >= limits.passed
    if leaving.holds and near_it and not saddle and not progressing(features):
        saddle, strength = True, features.moving * share * surely(lost, limits.lost_gain)
    only_up = bool(len(features.curved)) and not any(
        record.lambda_min[each] < -features.floor(int(each)) for each in features.curved
    )
    yield Finding(
        "saddle", strength, moving or only_up, (rest("saddle"), below, horizon, curvature, leaving)
    )  # fmt: skip
    # A plateau.
    tiny = Evidence(
        "plateau", "curvature is next to nothing at both ends of the spectrum",
        "|λ|max distance²/2(f − f*), or over the largest so far", size, flat_below,
        None if row is None else flat, f"{BOOK}.3",
    )  # fmt: skip
    empty = bool(signal.strength) or bool(zero.all())
    plateau = bool(stuck_enough and row is not None and not minimum and not saddle and not empty)
    strength = surely(flat_below, max(size, TINY)) if flat else WEAK
    texts = []
    if plateau and not flat:
        texts.append(
            "Some directions are flat to second order: this may be a degenerate saddle or a plateau."
        )
    if row is None and quiet:
        texts.append(
            "The run is nearly at rest, and curvature was not measured: this may be a minimum, a saddle or a plateau."
        )
    if low < -floor and stuck_enough and not escapes:
        texts.append(
            f"To leave along negative curvature would take {1 / max(growth, TINY):.2g} times as many steps: "
            "at this horizon a saddle is a plateau."
        )
    yield Finding(
        "plateau",
        stuck * strength if plateau else 0.0,
        moving,
        (rest("plateau"), tiny),
        tuple(texts),
    )
    yield signal


def _at_level(features: RunFeatures) -> float:
    """Return the share of the steps at which |f − f(end)| is at most a tenth of the gain that is left."""
    loss = features.record.loss
    return features.share(np.abs(loss - loss[-1]) <= 0.1 * features.scale)


def _norm_stays(features: RunFeatures) -> tuple[Evidence, bool]:
    """Return the test that the gradient did not shrink, and whether it rules out a critical point.

    It does if |m|² is exact or unbiased and the step is below half of its limit. At the edge of stability a run
    bounces over a critical point without a smaller gradient.
    """
    limits = features.limits
    stays = Evidence(
        "local_minimum", "the gradient did not shrink", "late median |g|/max |g|",
        features.shrunk, limits.vanished, exceeds(features.shrunk, limits.vanished), f"{BOOK}.2",
    )  # fmt: skip
    used = largest(features.stability)
    return stays, used < limits.stability_half and not features.noise_ratio > 1


def _no_signal(features: RunFeatures, zero: np.ndarray) -> Finding:
    """Test for no signal: the gradient is exactly 0, and so is curvature if it is known."""
    record, limits = features.record, features.limits
    share = features.share(zero)
    nothing = Evidence(
        "no_signal", "the gradient is exactly 0 for a share of the steps", "share of steps with gᵀg = 0",
        share, limits.stuck_share, bool(zero[-1]) and share >= limits.stuck_share, f"{BOOK}.2 and 8.2.3",
    )  # fmt: skip
    last = features.curved[-1] if len(features.curved) else None
    curvature = math.nan
    if last is not None:
        curvature = float(max(abs(record.lambda_min[last]), abs(record.lambda_max[last])))
    level = Evidence(
        "no_signal", "and so is curvature", "|λ|max", curvature, 0.0,
        None if math.isnan(curvature) else curvature == 0, f"{BOOK}.3",
    )  # fmt: skip
    holds = bool(nothing.holds) and level.holds is not False
    return Finding(
        "no_signal", (share if level.holds else WEAK * share) if holds else 0.0, not zero.any(), (nothing, level),
        ("The gradient is exactly 0, and curvature was not measured: a minimum that was hit exactly is not ruled out.",)
        if holds and level.holds is None else (),
    )  # fmt: skip
