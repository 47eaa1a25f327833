"""Rules for the step and the curvature: ill-conditioning, sharpening, steps too large and too small."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from benchmarks.diagnosis.rules.finding import (
    BOOK,
    COHEN,
    WEAK,
    Finding,
    exceeds,
    largest,
    progressing,
    surely,
)
from benchmarks.diagnosis.run_features import MIN_SPEEDUP, TINY, RunFeatures, finite
from benchmarks.diagnosis.verdict import Evidence


def ill_conditioning(features: RunFeatures) -> Iterator[Finding]:
    """Test for ill-conditioning: a saddle-free Newton step gains far more, at a rate as large as curvature allows.

    Too small a step also has a large lost gain G. Two features tell them apart: the share q of the stability limit
    in use, and whether ten times as many steps would have reached the target. A rate is too small only if ten times
    the rate is stable and would help, or if all curvatures are alike: then nothing else is to blame.
    """
    limits = features.limits
    lost = features.lost
    used = largest(features.stability)
    gain = Evidence(
        "ill_conditioning", "a step that knows all curvatures would gain more",
        "G = min(½gᵀ(|H| + δ)⁻¹g, f − f*)/(fall of f per step)",
        lost, limits.lost_gain, exceeds(lost, limits.lost_gain), f"{BOOK}.1; Newton's decrement",
    )  # fmt: skip
    differ = Evidence(
        "ill_conditioning", "and the curvatures differ", "max |λ|max/|λ|min",
        features.condition, MIN_SPEEDUP, exceeds(features.condition, MIN_SPEEDUP), "less cannot slow a run as much",
    )  # fmt: skip
    measured = not math.isnan(used)
    weaker = largest(finite(features.ratio[np.isfinite(features.ratio)]))
    if measured:
        large = Evidence(
            "ill_conditioning", "the rate is as large as curvature allows",
            "q = lr λmax(P⁻¹H)/limit", used, limits.stability_used, used > limits.stability_used, COHEN,
        )  # fmt: skip
    else:
        large = Evidence(
            "ill_conditioning", "some steps are as long as the curvature along them allows",
            "max r, r = sᵀHs/(−2gᵀs)", weaker, limits.stability_used,
            exceeds(weaker, limits.stability_used), f"{BOOK}.1",
        )  # fmt: skip
    to_and_fro = features.stalled and features.rises > limits.rising
    # If noise or a bias takes the gain, a large G only shows how little they leave.
    drowned = features.drowned or features.bias > limits.bias
    slow = not to_and_fro and not drowned and not progressing(features) and not features.thrown
    bounded = bool(large.holds) or (features.record.status != "running" and features.faster > 1)
    holds = bool(gain.holds and bounded and slow) and differ.holds is not False
    strength = surely(lost, limits.lost_gain)
    if large.holds:
        strength = min(strength, surely(large.value, limits.stability_used))
    yield Finding(
        "ill_conditioning",
        features.moving * (1 - features.downward / 2) * (strength if measured else WEAK * strength)
        if holds
        else 0.0,
        gain.holds is False or differ.holds is False,
        (gain, large, differ),
        () if measured or not gain.holds or differ.holds is False else (
            "The optimizer's stability limit is not known: whether its rate is as large as curvature allows "
            "is judged by r = sᵀHs/(−2gᵀs) and by oscillation alone.",),
    )  # fmt: skip
    yield _step_too_small(features, lost, used, weaker)


def _step_too_small(features: RunFeatures, lost: float, used: float, weaker: float) -> Finding:
    limits = features.limits
    measured = not math.isnan(used)
    value = used if measured else weaker
    round_bowl = 1 / (4 * limits.stability_unused)
    small = Evidence(
        "step_too_small",
        "ten times the rate is still stable" if measured else "no step comes near the minimum along its direction",
        "q = lr λmax(P⁻¹H)/limit" if measured else "max r, r = sᵀHs/(−2gᵀs)",
        value, limits.stability_unused, None if math.isnan(value) else value < limits.stability_unused,
        COHEN if measured else f"{BOOK}.1",
    )  # fmt: skip
    gain = Evidence(
        "step_too_small", "a step that knows all curvatures would gain more",
        "G = min(½gᵀ(|H| + δ)⁻¹g, f − f*)/(fall of f per step)",
        lost, round_bowl, exceeds(lost, round_bowl), "Newton's decrement; 1/(4q) on a round bowl",
    )  # fmt: skip
    taken = features.noise_share
    drowns = features.rises != 0 and (10 * taken > 1 or features.lost_in_noise)
    quiet = Evidence(
        "step_too_small", "and its gain exceeds the noise", "10 r_noise", 10 * taken, 1.0,
        None if math.isnan(taken) else not drowns, "Bottou, Curtis & Nocedal 2018, section 4",
    )  # fmt: skip
    near = Evidence(
        "step_too_small", "and ten times as many steps would have reached the target",
        "gap (1 − late gain)¹⁸/target, or 5 least steps/steps if the run goes on", features.faster, 1.0,
        None if math.isnan(features.faster) else features.faster <= 1, "ten steps stand for one at ten times the rate",
    )  # fmt: skip
    falls = (
        features.record.loss[-1] < features.record.loss[0] and features.record.status != "diverged"
    )
    falls = falls and quiet.holds is not False and not features.bias > limits.bias
    alike = features.condition <= MIN_SPEEDUP
    gains = (near.holds is not False or alike) and gain.holds is not False
    # Between the rows with known curvature a step may still have come near its limit.
    felt = not features.momentum and not features.noisy and weaker > limits.stability_used
    holds = bool(small.holds and gains and falls) and not felt
    strength = surely(limits.stability_unused, max(value, TINY)) if holds else 0.0
    flat = bool(small.holds) and features.moving < 0.5
    between = (
        measured
        and gain.holds
        and not alike
        and limits.stability_unused <= used <= limits.stability_used
    )
    texts = []
    if flat:
        texts.append(
            "This may be a plateau or too small a step: no step was long enough to feel the curvature."
        )
    if between:
        texts.append(
            "The learning rate could be raised a little: ill-conditioning and too small a step both fit."
        )
    return Finding(
        "step_too_small", features.moving * (strength if measured else WEAK * strength),
        measured and used > limits.stability_used, (small, gain, quiet, near), tuple(texts),
    )  # fmt: skip


def sharpening(features: RunFeatures) -> Iterator[Finding]:
    """Test for sharpening: gᵀg holds while gᵀHg grows more than tenfold (the book's test), and λmax grew.

    The second condition is needed because on a quadratic, whose curvature is constant, gᵀHg outgrows gᵀg in any run
    that begins to diverge along its sharpest direction.
    """
    record, limits = features.record, features.limits
    growth = _growth_where_held(record.grad_sq, record.g_h_g, limits.gradient_holds)
    book = Evidence(
        "sharpening", "gᵀHg grows while gᵀg holds", "max gᵀHg(t₂)/gᵀHg(t₁), t₁ < t₂, at similar gᵀg",
        growth, limits.curvature_growth, exceeds(growth, limits.curvature_growth), f"{BOOK}.1",
    )  # fmt: skip
    ends = finite(record.lambda_max[features.curved])
    sharper = float(ends[1:].max() / ends[0]) if len(ends) > 1 and ends[0] > 0 else math.nan
    if len(ends) > 1 and ends[0] <= 0 < ends[1:].max():
        sharper = math.inf
    curved = Evidence(
        "sharpening", "the largest curvature grew", "max λmax/λmax at the start",
        sharper, limits.sharper, exceeds(sharper, limits.sharper), COHEN,
    )  # fmt: skip
    used = largest(features.stability[1:] if len(features.stability) > 1 else features.stability)
    at_limit = Evidence(
        "sharpening", "so that the step comes near its limit", "q = lr λmax(P⁻¹H)/limit",
        used, limits.stability_half, exceeds(used, limits.stability_half), COHEN,
    )  # fmt: skip
    holds = bool(book.holds) and curved.holds is not False and at_limit.holds is not False
    if curved.holds is None and at_limit.holds is None:  # then the run must at least oscillate
        holds = holds and features.rises > limits.rising and not features.noise_ratio > 1
    holds = holds and (features.risen or features.up > limits.rising) and not progressing(features)
    margins = [surely(growth, limits.curvature_growth)]
    margins.append(surely(sharper, limits.sharper) if curved.holds else WEAK)
    yield Finding(
        "sharpening", min(margins) * (1.0 if curved.holds else WEAK) if holds else 0.0,
        curved.holds is False or book.holds is False,
        (book, curved, at_limit),
    )  # fmt: skip


def _growth_where_held(square: np.ndarray, curved: np.ndarray, factor: float) -> float:
    """Return the largest ratio of gᵀHg at a row to an earlier row whose gᵀg is within `factor` of it."""
    known = np.isfinite(square) & np.isfinite(curved) & (square > 0) & (curved > 0)
    if known.sum() < 2:
        return math.nan
    log_square, log_curved = np.log(square[known]), np.log(curved[known])
    grown = log_curved[None, :] - log_curved[:, None]
    held = np.abs(log_square[None, :] - log_square[:, None]) <= math.log(factor)
    later = np.triu(held, 1)
    return float(np.exp(grown[later].max())) if later.any() else 0.0


def step_too_large(features: RunFeatures) -> Iterator[Finding]:
    """Test for too large a step: late steps increase the loss, or the run oscillates without gain."""
    record, limits = features.record, features.limits
    diverged = record.status == "diverged"
    up = features.up
    rising = Evidence(
        "step_too_large", "late steps go up", "share of late steps with r > 1 or a higher loss after",
        up, limits.rising, exceeds(up, limits.rising), f"{BOOK}.1",
    )  # fmt: skip
    used = largest(features.stability)
    near = Evidence(
        "step_too_large", "the step is at its limit", "q = lr λmax(P⁻¹H)/limit",
        used, limits.stability_near, exceeds(used, limits.stability_near), COHEN,
    )  # fmt: skip
    gains = Evidence(
        "step_too_large", "the second half of the steps gains next to nothing",
        "(f(N/2) − f(N))/(f(N/2) − f*)", features.gained_late, limits.stalled, features.stalled or diverged,
        "the edge of stability: a run that oscillates may still descend",
    )  # fmt: skip
    noisy = features.noise_ratio > 1 or features.lost_in_noise
    # At a standstill under noise r_curv + r_noise = 1: if r_curv is the larger, the step is to blame.
    bends = bool(finite(record.noise_sq).any()) and features.noise_ratio <= 1
    bends = bends and not used < limits.stability_half
    large = near.holds is not False or used > limits.stability_half or diverged or bends
    holds = bool(rising.holds and gains.holds and large and not noisy)
    strength = surely(up, limits.rising) if math.isnan(used) else max(
        surely(used, limits.stability_near), surely(up, limits.rising))  # fmt: skip
    # A run that an unstable step has thrown above its start may still be on its way back.
    highest, past = features.highest, largest(np.array([used, largest(features.ratio)]))
    above = Evidence(
        "step_too_large", "the run was above its start", "max (f − f*)/(f₀ − f*)",
        highest, 1.0, features.risen, "within its stability limit gradient descent never increases the loss",
    )  # fmt: skip
    beyond = Evidence(
        "step_too_large", "and some step exceeded the stability limit or twice the way to the minimum along it",
        "max(q, r)", past, 1.0, exceeds(past, 1.0), f"{BOOK}.1",
    )  # fmt: skip
    back = bool(above.holds and beyond.holds) and not noisy and not progressing(features)
    quiet = not math.isnan(used) and used < limits.stability_half and not rising.holds
    strength = strength if holds else WEAK * surely(past, 1.0) if back else 0.0
    yield Finding(
        "step_too_large", strength, quiet and not diverged, (rising, near, gains, above, beyond)
    )
