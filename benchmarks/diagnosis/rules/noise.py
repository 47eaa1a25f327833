"""Rules for noise and biased directions."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.diagnosis.rules.finding import (
    WEAK,
    Finding,
    exceeds,
    progressing,
    surely,
)
from benchmarks.diagnosis.run_features import RunFeatures, finite
from benchmarks.diagnosis.verdict import Evidence


def noise(features: RunFeatures) -> Iterator[Finding]:
    """Test whether noise takes the gradient's gain: E[Δf] = −η|m|²(1 − r_curv − r_noise)."""
    limits = features.limits
    ratio, share = features.noise_ratio, features.noise_share
    taken = Evidence(
        "noise", "noise takes away what the gradient gains", "r_noise = η tr(HS)/2|m|²",
        share, limits.noise_share, exceeds(share, limits.noise_share),
        "Bottou, Curtis & Nocedal 2018, section 4; |m|² exact or unbiased, never |g_B|²",
    )  # fmt: skip
    larger = Evidence(
        "noise", "and more of it than curvature does", "r_noise/r_curv = tr(HS)/mᵀHm",
        ratio, 1.0, exceeds(ratio, 1.0), "the same",
    )  # fmt: skip
    shown = bool(taken.holds and larger.holds) and features.drowned
    strength = surely(
        share if not features.stalled else ratio, 1.0 if features.stalled else limits.noise_share
    )
    # Within the stability limit curvature alone does not increase the loss: r_curv ≤ q.
    tossed = features.tossed
    up = Evidence(
        "noise", "or late steps go up well within the limit of stability",
        "share of late steps with a higher loss after", tossed, limits.rising,
        exceeds(tossed, limits.rising), "r_curv ≤ q",
    )  # fmt: skip
    turned = Evidence(
        "noise", "or most of a step is noise", "1 − median cos²(s, g)", features.aimless, limits.aimless,
        exceeds(features.aimless, limits.aimless), "|E g_B|²/E|g_B|² = |m|²/(|m|² + tr S)",
    )  # fmt: skip
    aimless = surely(1 - limits.aimless, 1 - features.aimless)
    found = max(  # if there is a bias, it may be what turns the steps
        strength if shown else 0.0,
        surely(tossed, limits.rising) if up.holds else 0.0,
        (WEAK if features.bias > limits.bias else 1.0) * aimless if turned.holds else 0.0,
    )
    yield Finding(
        "noise", 0.0 if progressing(features) else found,
        share < 0.2 * limits.noise_share and not up.holds and not turned.holds, (taken, larger, up, turned),
    )  # fmt: skip


def wrong_direction(features: RunFeatures) -> Iterator[Finding]:
    """Test for a wrong direction: the mean step does not descend, or E[ĝ] differs from g."""
    record, limits = features.record, features.limits
    lengths = np.where(
        features.gradient * record.step_norm > 0, features.gradient * record.step_norm, np.nan
    )
    cosines = features.late(record.g_s / lengths)
    mean, error = math.nan, math.nan
    if len(cosines) > 2:
        mean = float(cosines.mean())
        error = float(cosines.std(ddof=1)) / math.sqrt(len(cosines))
    descends = Evidence(
        "wrong_direction", "late steps do not descend on average, by three standard errors",
        "mean gᵀs/|g||s| − 3 se", mean - 3 * error, -limits.descent_cosine,
        None if math.isnan(mean) else mean - 3 * error > -limits.descent_cosine,
        "descent directions: Nocedal & Wright 2006, section 2.2",
    )  # fmt: skip
    loss, steps = record.loss, features.steps
    span = float(steps[-1] - steps[features.half])
    bends = features.late(record.s_h_s)
    drift = math.nan
    slopes = np.abs(features.late(record.g_s))
    if span > 0 and len(slopes) and slopes.mean() > 0:
        rise = float(loss[-1] - loss[features.half]) / span - (
            float(bends.mean()) / 2 if len(bends) else 0
        )
        drift = rise / float(slopes.mean())
    drift = (
        drift if drift <= 1.5 else math.nan
    )  # at most 1 if the records represent the steps between them
    uphill = Evidence(
        "wrong_direction", "the loss increases by more than curvature explains",
        "(f(N) − f(N/2) − Σ ½sᵀHs)/Σ |gᵀs|", drift, limits.descent_cosine * 10,
        exceeds(drift, limits.descent_cosine * 10), "Reddi, Kale & Kumar 2018, arXiv:1904.09237",
    )  # fmt: skip
    cosine = finite(record.bias)
    pointing = float(cosine[-1]) if len(cosine) else math.nan
    turned = Evidence(
        "wrong_direction", "the optimizer's mean gradient E[ĝ] points 90° or more away from g", "cos(E[ĝ], g)",
        pointing, 0.0, None if math.isnan(pointing) else pointing <= 0, "Ajalloeian & Stich 2020, arXiv:2008.00051",
    )  # fmt: skip
    off = features.bias
    biased = Evidence(
        "wrong_direction", "its bias is as large as the gradient, and larger than sampling explains",
        "|E[ĝ] − g|²/max(|g|², 4 tr S)",
        off, limits.bias, exceeds(off, limits.bias), "the same",
    )  # fmt: skip
    at_rest = bool(features.near[-1]) and record.gap is None
    found = [
        surely(off, limits.bias) if turned.holds and off > limits.bias else 0.0,
        surely(off, limits.bias) if biased.holds else 0.0,
        surely(drift, limits.descent_cosine * 10) if uphill.holds and record.status != "diverged" else 0.0,
        WEAK if descends.holds and features.stalled and not at_rest else 0.0,
    ]  # fmt: skip
    exact = not finite(record.noise_sq).any() and record.bias_sq is None
    clearly = not math.isnan(mean) and mean + 2 * error < -limits.descent_cosine
    clearly = clearly and not turned.holds and not biased.holds and not uphill.holds
    strength = (0.0 if progressing(features) else WEAK * max(found)) if exact else max(found)
    yield Finding("wrong_direction", strength, clearly, (descends, uphill, turned, biased))
