"""The tests, one function a cause: what each asks of a run, what it finds, and whether it speaks for or against.

The strength of a cause that holds is the share of the run's steps for which it does (1 for what is true of the
end) times how surely: ½ where the weakest of its tests is at its threshold, .95 a decade past it. So strengths of
different causes compare: both how long, and how far beyond doubt.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.diagnosis.course import TINY, Course, finite, middle, straight
from benchmarks.diagnosis.record import Record
from benchmarks.diagnosis.thresholds import Thresholds
from benchmarks.diagnosis.verdict import Evidence, Verdict

BOOK = "Deep Learning, section 8.2"
COHEN = "Cohen et al. 2021, arXiv:2103.00065, and 2022, arXiv:2207.14484"
CONSEQUENCES = {
    "sharpening", "saddle", "plateau", "local_minimum", "no_signal", "vanishing_gradient", "step_too_small",
    "ill_conditioning",
}  # fmt: skip
OF_A_THROW = {"cliff", "exploding_gradient", "plateau", "saddle", "sharpening"}
OF_THE_STEP = {"ill_conditioning", "sharpening", "step_too_large", "step_too_small"}
WEAK = 0.5  # times the strength: of what a substitute for a measurement says, and of what is a consequence
CHOSEN = Thresholds()
HIGHER = 10.0  # a leap above all norms before counts this many times
BEFORE = 7  # rows whose median says what is usual


@dataclass(frozen=True)
class Finding:
    """What a test says of its cause: how strongly it holds (0: not), whether it is ruled out, and on what."""

    cause: str
    strength: float
    ruled_out: bool
    evidence: tuple[Evidence, ...]
    unresolved: tuple[str, ...] = ()


def diagnose(record: Record, thresholds: Thresholds = CHOSEN) -> Verdict:
    """Which causes hold for a run, on what evidence, and what is ruled out.

    A run that solved its problem has nothing wrong with it; ask with the status "running" what slowed it.
    """
    if record.status == "solved" or not len(record.step):
        return Verdict("solved" if record.status == "solved" else "not_sure", (), (), (), ())
    with np.errstate(all="ignore"):  # what was not measured is NaN, and stays so
        course = Course(record, thresholds)
        findings = [finding for test in TESTS for finding in test(course)]
        findings = _in_a_basin(_after_a_throw(findings))
        findings = _too_large_from_the_start(findings, course)
    # What a substitute or a consequence says is not enough to call a run sick that halves what is left.
    least = WEAK if _progressing(course) else 0.0
    holding = sorted((f for f in findings if f.strength > least), key=lambda f: -f.strength)
    causes = tuple((each.cause, each.strength) for each in holding)
    progresses = record.status == "running" and course.progress > thresholds.stalled
    return Verdict(
        cause=causes[0][0] if causes else "healthy" if progresses else "not_sure",
        causes=causes,
        ruled_out=tuple(each.cause for each in findings if each.ruled_out and not each.strength),
        unresolved=tuple(dict.fromkeys(text for each in findings for text in each.unresolved)),
        evidence=tuple(row for each in findings for row in each.evidence),
    )


def _after_a_throw(findings: list[Finding]) -> list[Finding]:
    """What is found where a throw has led is its consequence, and counts less."""
    thrown = any(each.cause == "cliff" and each.strength > WEAK for each in findings)
    if not thrown:
        return findings
    return [
        replace(each, strength=WEAK * each.strength) if each.cause in CONSEQUENCES else each
        for each in findings
    ]


def _too_large_from_the_start(findings: list[Finding], course: Course) -> list[Finding]:
    """Where the first step was past its limit already, what is found where it led is its consequence."""
    large = any(each.cause == "step_too_large" and each.strength > 0 for each in findings)
    if not (large and course.begins_too_large):
        return findings
    return [
        replace(each, strength=WEAK * each.strength) if each.cause in OF_A_THROW else each
        for each in findings
    ]


def _in_a_basin(findings: list[Finding]) -> list[Finding]:
    """In a minimum whose bottom is too high, what a step alone changes does not lead out, and counts less."""
    if not any(each.cause == "local_minimum" and each.strength > 0 for each in findings):
        return findings
    return [
        replace(each, strength=WEAK * each.strength) if each.cause in OF_THE_STEP else each
        for each in findings
    ]


# Curvature and the step.


def ill_conditioning(course: Course) -> Iterator[Finding]:
    """A step that knew all curvatures would gain much more, although the rate is as large as curvature allows.

    Of the causes that share the lost gain G the share q of stability in use tells which it is, and whether ten
    times as many steps would have arrived: a rate of which ten times is stable is too small only if that helps.
    """
    limits = course.limits
    lost = course.lost
    used = _max(course.stability)
    gain = Evidence(
        "ill_conditioning", "a step that knows all curvatures would gain more",
        "G = min(½gᵀ(|H| + δ)⁻¹g, f − f*)/(fall of f per step)",
        lost, limits.lost_gain, _above(lost, limits.lost_gain), f"{BOOK}.1; Newton's decrement",
    )  # fmt: skip
    measured = not math.isnan(used)
    weaker = _max(finite(course.ratio[np.isfinite(course.ratio)]))
    if measured:
        large = Evidence(
            "ill_conditioning", "the rate is as large as curvature allows",
            "q = lr λmax(P⁻¹H)/limit", used, limits.stability_used, used > limits.stability_used, COHEN,
        )  # fmt: skip
    else:
        large = Evidence(
            "ill_conditioning", "some steps go as far as the curvature along them allows",
            "max r, r = sᵀHs/(−2gᵀs)", weaker, limits.stability_used,
            _above(weaker, limits.stability_used), f"{BOOK}.1",
        )  # fmt: skip
    to_and_fro = course.stalled and course.rises > limits.rising
    # Where noise or a bias takes the gain, G says how little they leave, and no more.
    drowned = course.drowned or course.bias > limits.bias
    slow = not to_and_fro and not drowned and not _progressing(course) and not course.thrown
    bounded = bool(large.holds) or (course.record.status != "running" and course.faster > 1)
    holds = bool(gain.holds and bounded and slow)
    strength = _surely(lost, limits.lost_gain)
    if large.holds:
        strength = min(strength, _surely(large.value, limits.stability_used))
    yield Finding(
        "ill_conditioning",
        course.moving * (1 - course.downward / 2) * (strength if measured else WEAK * strength)
        if holds
        else 0.0,
        gain.holds is False,
        (gain, large),
        () if measured or not gain.holds else (
            "The optimizer's stability limit is not known: that its rate is as large as curvature allows "
            "is judged by r = sᵀHs/(−2gᵀs) and by oscillation alone.",),
    )  # fmt: skip
    yield _step_too_small(course, lost, used, weaker)


def _step_too_small(course: Course, lost: float, used: float, weaker: float) -> Finding:
    limits = course.limits
    measured = not math.isnan(used)
    value = used if measured else weaker
    round_bowl = 1 / (4 * limits.stability_unused)
    small = Evidence(
        "step_too_small",
        "ten times the rate is stable still" if measured else "no step comes near the bottom along it",
        "q = lr λmax(P⁻¹H)/limit" if measured else "max r, r = sᵀHs/(−2gᵀs)",
        value, limits.stability_unused, None if math.isnan(value) else value < limits.stability_unused,
        COHEN if measured else f"{BOOK}.1",
    )  # fmt: skip
    gain = Evidence(
        "step_too_small", "a step that knows all curvatures would gain more",
        "G = min(½gᵀ(|H| + δ)⁻¹g, f − f*)/(fall of f per step)",
        lost, round_bowl, _above(lost, round_bowl), "Newton's decrement; 1/4q on a round bowl",
    )  # fmt: skip
    taken = course.noise_share
    drowns = course.rises != 0 and (10 * taken > 1 or course.lost_in_noise)
    quiet = Evidence(
        "step_too_small", "and does not drown in noise", "10 r_noise", 10 * taken, 1.0,
        None if math.isnan(taken) else not drowns, "Bottou, Curtis & Nocedal 2018, section 4",
    )  # fmt: skip
    near = Evidence(
        "step_too_small", "and ten times as many steps would have reached the target",
        "gap (1 − late gain)¹⁸/target, or 5/steps where it is reached", course.faster, 1.0,
        None if math.isnan(course.faster) else course.faster <= 1, "as if each step were ten",
    )  # fmt: skip
    falls = course.record.loss[-1] < course.record.loss[0] and course.record.status != "diverged"
    falls = falls and quiet.holds is not False and not course.bias > limits.bias
    gains = near.holds is not False and gain.holds is not False
    # Between the rows at which curvature is known a step may have come near its limit all the same.
    felt = not course.momentum and not course.noisy and weaker > limits.stability_used
    holds = bool(small.holds and gains and falls) and not felt
    strength = _surely(limits.stability_unused, max(value, TINY)) if holds else 0.0
    flat = bool(small.holds) and course.moving < 0.5
    between = measured and gain.holds and limits.stability_unused <= used <= limits.stability_used
    texts = []
    if flat:
        texts.append(
            "A plateau and a step that is too small are not told apart: curvature was never felt."
        )
    if between:
        texts.append(
            "The rate could be raised a little: ill-conditioning and too small a step both fit."
        )
    return Finding(
        "step_too_small", course.moving * (strength if measured else WEAK * strength),
        measured and used > limits.stability_used, (small, gain, quiet, near), tuple(texts),
    )  # fmt: skip


def sharpening(course: Course) -> Iterator[Finding]:
    """The book's own test: gᵀg holds while gᵀHg grows more than tenfold; and the curvature itself grew.

    The second half is needed: on a quadratic, where no curvature changes, gᵀHg outgrows gᵀg in any run that
    begins to diverge along its sharpest direction.
    """
    record, limits = course.record, course.limits
    growth = _growth_where_held(record.grad_sq, record.g_h_g, limits.gradient_holds)
    book = Evidence(
        "sharpening", "gᵀHg grows while gᵀg holds", "max gᵀHg(t₂)/gᵀHg(t₁), t₁ < t₂, at like gᵀg",
        growth, limits.curvature_growth, _above(growth, limits.curvature_growth), f"{BOOK}.1",
    )  # fmt: skip
    ends = finite(record.lambda_max[course.curved])
    sharper = float(ends[1:].max() / ends[0]) if len(ends) > 1 and ends[0] > 0 else math.nan
    if len(ends) > 1 and ends[0] <= 0 < ends[1:].max():
        sharper = math.inf
    curved = Evidence(
        "sharpening", "the largest curvature grew", "max λmax/λmax at the start",
        sharper, limits.sharper, _above(sharper, limits.sharper), COHEN,
    )  # fmt: skip
    used = _max(course.stability[1:] if len(course.stability) > 1 else course.stability)
    at_limit = Evidence(
        "sharpening", "so that the step comes near its limit", "q = lr λmax(P⁻¹H)/limit",
        used, limits.stability_half, _above(used, limits.stability_half), COHEN,
    )  # fmt: skip
    holds = bool(book.holds) and curved.holds is not False and at_limit.holds is not False
    if curved.holds is None and at_limit.holds is None:  # then it must at least go to and fro
        holds = holds and course.rises > limits.rising and not course.noise_ratio > 1
    holds = holds and (course.risen or course.up > limits.rising) and not _progressing(course)
    margins = [_surely(growth, limits.curvature_growth)]
    margins.append(_surely(sharper, limits.sharper) if curved.holds else WEAK)
    yield Finding(
        "sharpening", min(margins) * (1.0 if curved.holds else WEAK) if holds else 0.0,
        curved.holds is False or book.holds is False,
        (book, curved, at_limit),
    )  # fmt: skip


def _growth_where_held(square: np.ndarray, curved: np.ndarray, factor: float) -> float:
    """The largest ratio of gᵀHg at a later row to an earlier one with gᵀg within a factor of it."""
    known = np.isfinite(square) & np.isfinite(curved) & (square > 0) & (curved > 0)
    if known.sum() < 2:
        return math.nan
    log_square, log_curved = np.log(square[known]), np.log(curved[known])
    grown = log_curved[None, :] - log_curved[:, None]
    held = np.abs(log_square[None, :] - log_square[:, None]) <= math.log(factor)
    later = np.triu(held, 1)
    return float(np.exp(grown[later].max())) if later.any() else 0.0


def step_too_large(course: Course) -> Iterator[Finding]:
    """Steps past the bottom along them: the loss goes up, or to and fro without gain."""
    record, limits = course.record, course.limits
    diverged = record.status == "diverged"
    up = course.up
    rising = Evidence(
        "step_too_large", "late steps go up", "share of late steps with r > 1 or a higher loss after",
        up, limits.rising, _above(up, limits.rising), f"{BOOK}.1",
    )  # fmt: skip
    used = _max(course.stability)
    near = Evidence(
        "step_too_large", "the step is at its limit", "q = lr λmax(P⁻¹H)/limit",
        used, limits.stability_near, _above(used, limits.stability_near), COHEN,
    )  # fmt: skip
    gains = Evidence(
        "step_too_large", "the second half of the steps gains next to nothing",
        "(f(N/2) − f(N))/(f(N/2) − f*)", course.gained_late, limits.stalled, course.stalled or diverged,
        "the edge of stability: what oscillates may still descend",
    )  # fmt: skip
    noisy = course.noise_ratio > 1 or course.lost_in_noise
    # At a standstill under noise r_curv + r_noise = 1: where the first is the larger, the step is to blame.
    bends = bool(finite(record.noise_sq).any()) and course.noise_ratio <= 1
    bends = bends and not used < limits.stability_half
    large = near.holds is not False or used > limits.stability_half or diverged or bends
    holds = bool(rising.holds and gains.holds and large and not noisy)
    strength = _surely(up, limits.rising) if math.isnan(used) else max(
        _surely(used, limits.stability_near), _surely(up, limits.rising))  # fmt: skip
    # Who was thrown above his start by a step that curvature forbids may still be on his way back.
    highest, past = course.highest, _max(np.array([used, _max(course.ratio)]))
    above = Evidence(
        "step_too_large", "the run was seen above its start", "max (f − f*)/(f₀ − f*)",
        highest, 1.0, course.risen, "gradient descent within its limit never rises",
    )  # fmt: skip
    beyond = Evidence(
        "step_too_large", "where some step went more than twice as far as to the bottom along it", "max q, r",
        past, 1.0, _above(past, 1.0), f"{BOOK}.1",
    )  # fmt: skip
    back = bool(above.holds and beyond.holds) and not noisy and not _progressing(course)
    quiet = not math.isnan(used) and used < limits.stability_half and not rising.holds
    strength = strength if holds else WEAK * _surely(past, 1.0) if back else 0.0
    yield Finding(
        "step_too_large", strength, quiet and not diverged, (rising, near, gains, above, beyond)
    )


# Noise and direction.


def noise(course: Course) -> Iterator[Finding]:
    """What the gradient gains, noise takes away: E[Δf] = −η|m|²(1 − r_curv − r_noise)."""
    limits = course.limits
    ratio, share = course.noise_ratio, course.noise_share
    taken = Evidence(
        "noise", "noise takes away what the gradient gains", "r_noise = η tr(HS)/2|m|²",
        share, limits.noise_share, _above(share, limits.noise_share),
        "Bottou, Curtis & Nocedal 2018, section 4; |m|² exact or without bias, never |g_B|²",
    )  # fmt: skip
    larger = Evidence(
        "noise", "and more of it than curvature does", "r_noise/r_curv = tr(HS)/mᵀHm",
        ratio, 1.0, _above(ratio, 1.0), "the same",
    )  # fmt: skip
    shown = bool(taken.holds and larger.holds) and course.drowned
    strength = _surely(
        share if not course.stalled else ratio, 1.0 if course.stalled else limits.noise_share
    )
    # Within its limit no step goes up by curvature: r_curv ≤ q.
    tossed = course.tossed
    up = Evidence(
        "noise", "or late steps go up well within the limit of stability",
        "share of late steps with a higher loss after", tossed, limits.rising,
        _above(tossed, limits.rising), "r_curv ≤ q",
    )  # fmt: skip
    turned = Evidence(
        "noise", "or most of a step is noise", "1 − median cos²(s, g)", course.aimless, limits.aimless,
        _above(course.aimless, limits.aimless), "|E g_B|²/E|g_B|² = |m|²/(|m|² + tr S)",
    )  # fmt: skip
    aimless = _surely(1 - limits.aimless, 1 - course.aimless)
    found = max(  # what turns a step where there is a bias may be that
        strength if shown else 0.0,
        _surely(tossed, limits.rising) if up.holds else 0.0,
        (WEAK if course.bias > limits.bias else 1.0) * aimless if turned.holds else 0.0,
    )
    yield Finding(
        "noise", 0.0 if _progressing(course) else found,
        share < 0.2 * limits.noise_share and not up.holds and not turned.holds, (taken, larger, up, turned),
    )  # fmt: skip


def wrong_direction(course: Course) -> Iterator[Finding]:
    """The mean step does not descend, or the mean of the gradients that are seen is not the gradient."""
    record, limits = course.record, course.limits
    lengths = np.where(
        course.gradient * record.step_norm > 0, course.gradient * record.step_norm, np.nan
    )
    cosines = course.late(record.g_s / lengths)
    mean, error = math.nan, math.nan
    if len(cosines) > 2:
        mean = float(cosines.mean())
        error = float(cosines.std(ddof=1)) / math.sqrt(len(cosines))
    descends = Evidence(
        "wrong_direction", "late steps do not descend on the average, by three standard errors",
        "mean gᵀs/|g||s| − 3 se", mean - 3 * error, -limits.descent_cosine,
        None if math.isnan(mean) else mean - 3 * error > -limits.descent_cosine,
        "descent directions: Nocedal & Wright 2006, section 2.2",
    )  # fmt: skip
    loss, steps = record.loss, course.steps
    span = float(steps[-1] - steps[course.half])
    bends = course.late(record.s_h_s)
    drift = math.nan
    slopes = np.abs(course.late(record.g_s))
    if span > 0 and len(slopes) and slopes.mean() > 0:
        rise = float(loss[-1] - loss[course.half]) / span - (
            float(bends.mean()) / 2 if len(bends) else 0
        )
        drift = rise / float(slopes.mean())
    drift = (
        drift if drift <= 1.5 else math.nan
    )  # at most 1 if the records speak for the steps between them
    uphill = Evidence(
        "wrong_direction", "the loss drifts up, by more than curvature explains",
        "(f(N) − f(N/2) − Σ ½sᵀHs)/Σ |gᵀs|", drift, limits.descent_cosine * 10,
        _above(drift, limits.descent_cosine * 10), "Reddi, Kale & Kumar 2018, arXiv:1904.09237",
    )  # fmt: skip
    cosine = finite(record.bias)
    pointing = float(cosine[-1]) if len(cosine) else math.nan
    turned = Evidence(
        "wrong_direction", "the mean gradient that is seen points elsewhere", "cos(E seen, g)",
        pointing, 0.0, None if math.isnan(pointing) else pointing <= 0, "Ajalloeian & Stich 2020, arXiv:2008.00051",
    )  # fmt: skip
    off = course.bias
    biased = Evidence(
        "wrong_direction", "its bias is as large as the gradient, and not that of a sample",
        "|E seen − g|²/max(|g|², 4 tr S)",
        off, limits.bias, _above(off, limits.bias), "the same",
    )  # fmt: skip
    at_rest = bool(course.near[-1]) and record.gap is None
    found = [
        _surely(off, limits.bias) if turned.holds and off > limits.bias else 0.0,
        _surely(off, limits.bias) if biased.holds else 0.0,
        _surely(drift, limits.descent_cosine * 10) if uphill.holds and record.status != "diverged" else 0.0,
        WEAK if descends.holds and course.stalled and not at_rest else 0.0,
    ]  # fmt: skip
    exact = not finite(record.noise_sq).any() and record.bias_sq is None
    clearly = not math.isnan(mean) and mean + 2 * error < -limits.descent_cosine
    clearly = clearly and not turned.holds and not biased.holds and not uphill.holds
    strength = (0.0 if _progressing(course) else WEAK * max(found)) if exact else max(found)
    yield Finding("wrong_direction", strength, clearly, (descends, uphill, turned, biased))


# Critical points and flat land.


def critical_points(course: Course) -> Iterator[Finding]:
    """At rest: in a minimum, on a saddle or on a plateau, which signed curvature tells apart, or without signal."""
    record, limits = course.record, course.limits
    rows = course.curved[course.near[course.curved]]
    end = len(course.steps) - 1
    curved_end = len(course.curved) and course.curved[-1] == end
    spent = course.exhausted(end) if curved_end else math.nan
    # Who jitters about a minimum has a slope, but nothing left to gain; a bent valley has both but slope.
    jitters = spent <= limits.exhausted and course.shrunk <= limits.flat_slope
    quiet = bool(course.near[end]) or (jitters and not course.slope[end] > 3 * limits.flat_slope)
    level = _at_level(course)
    # Who bounces about a minimum may be anywhere near it, but has nothing left to gain.
    known = record.gap is not None or record.excess is not None
    bounces = known and record.status == "missed" and spent <= limits.exhausted
    bounces = bool(bounces and record.lambda_min[end] > course.floor(end))
    stuck = max(course.share(course.near), level if quiet or bounces else 0.0)
    slope = float(course.slope[end])
    by_slope = not math.isnan(slope)
    zero = record.grad_sq == 0
    signal = _no_signal(course, zero)
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
    floor = course.floor(row) if row is not None else math.nan
    size, flat_below = (
        course.relative(max(abs(low), abs(high)), row) if row is not None else (math.nan,) * 2
    )
    flat = size <= flat_below
    growth = course.rate * -low * course.total
    escapes = low < -floor and growth >= limits.escape
    # A minimum.
    at_end = row == end and (quiet or bounces)
    convex = Evidence(
        "local_minimum", "the least curvature is above what rounding or its residual can make",
        "λmin", low, floor, None if row is None else low > floor, f"{BOOK}.2",
    )  # fmt: skip
    nothing_left = Evidence(
        "local_minimum", "nothing is left to gain here to second order", "½gᵀ|H|⁻¹g/(f − f*)",
        spent, limits.exhausted, None if math.isnan(spent) else spent <= limits.exhausted, "Newton's decrement",
    )  # fmt: skip
    minimum = bool(at_end and convex.holds and nothing_left.holds is not False and not flat)
    strength = (
        min(_surely(low, floor), _surely(limits.exhausted, max(spent, TINY))) if minimum else 0.0
    )
    shown, allowed = _norm_stays(course)
    texts = []
    if minimum and not known:
        texts.append("This is a minimum; whether there is a lower one is not known.")
    if shown.holds and not allowed:
        texts.append(
            "The gradient did not shrink, but its step is above half of its limit, or the limit is not known: "
            "that does not rule out a critical point."
        )
    last = course.curved[-1] if len(course.curved) else None
    negative = last is not None and record.lambda_min[last] < -course.floor(int(last))
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
        "saddle", "there is curvature here to speak of",
        "|λ|max distance²/2(f − f*), or over the largest so far", size, flat_below,
        None if row is None else not flat, f"{BOOK}.3",
    )  # fmt: skip
    steep, enough = course.relative(-low, row) if row is not None else (math.nan, math.nan)
    stuck_enough = stuck >= limits.stuck_share
    saddle = bool(stuck_enough and below.holds and escapes and not flat and steep > enough)
    strength = stuck * min(_surely(-low, floor), _surely(growth, limits.escape)) if saddle else 0.0
    # Past the saddle itself a run is slow because of it as long as what is left to gain lies that way.
    lost, share = course.lost, course.downward
    leaving = Evidence(
        "saddle", "what is left to gain lies along negative curvature",
        "½gᵀ|H|⁻¹g along λ < 0/½gᵀ|H|⁻¹g, where G is large", share if lost > limits.lost_gain else math.nan,
        limits.downward, share > limits.downward if lost > limits.lost_gain else None,
        "Dauphin et al. 2014, arXiv:1406.2572",
    )  # fmt: skip
    near_it = stuck >= limits.passed
    if leaving.holds and near_it and not saddle and not _progressing(course):
        saddle, strength = True, course.moving * share * _surely(lost, limits.lost_gain)
    only_up = bool(len(course.curved)) and not any(
        record.lambda_min[each] < -course.floor(int(each)) for each in course.curved
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
    strength = _surely(flat_below, max(size, TINY)) if flat else WEAK
    texts = []
    if plateau and not flat:
        texts.append(
            "Flat to second order in some directions: a degenerate saddle and a plateau are not told apart."
        )
    if row is None and quiet:
        texts.append(
            "Nearly at rest, with curvature not measured: minimum, saddle and plateau are not told apart."
        )
    if low < -floor and stuck_enough and not escapes:
        texts.append(
            f"Negative curvature would take {1 / max(growth, TINY):.2g} times the run to lead away: "
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


def _at_level(course: Course) -> float:
    """The share of the steps at which the loss is, within a tenth of what there is to gain, what it ends with."""
    loss = course.record.loss
    return course.share(np.abs(loss - loss[-1]) <= 0.1 * course.scale)


def _norm_stays(course: Course) -> tuple[Evidence, bool]:
    """Whether the gradient did not shrink, and whether that speaks against a critical point.

    It does on the exact |m|² or one without bias, and where a step is below half of its limit: at the edge of
    stability a run bounces to and fro over a critical point with a gradient as large as ever.
    """
    limits = course.limits
    stays = Evidence(
        "local_minimum", "the gradient did not shrink", "late median |g|/max |g|",
        course.shrunk, limits.vanished, _above(course.shrunk, limits.vanished), f"{BOOK}.2",
    )  # fmt: skip
    used = _max(course.stability)
    return stays, used < limits.stability_half and not course.noise_ratio > 1


def _no_signal(course: Course, zero: np.ndarray) -> Finding:
    """The gradient is exactly 0, and so are curvatures where they are known."""
    record, limits = course.record, course.limits
    share = course.share(zero)
    nothing = Evidence(
        "no_signal", "the gradient is exactly 0 for a share of the steps", "share of steps with gᵀg = 0",
        share, limits.stuck_share, bool(zero[-1]) and share >= limits.stuck_share, f"{BOOK}.2 and 8.2.3",
    )  # fmt: skip
    last = course.curved[-1] if len(course.curved) else None
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
        ("Exactly no gradient, with curvature not measured: a minimum that was hit exactly is not ruled out.",)
        if holds and level.holds is None else (),
    )  # fmt: skip


# Cliffs and chains.


def cliff(course: Course) -> Iterator[Finding]:
    """The gradient leaps above its trend, and the step with it, or the run is suddenly far away."""
    record, limits = course.record, course.limits
    leap, row = _leap(course)
    leaps = Evidence(
        "cliff", "the gradient leaps above its trend",
        "max |g|/max(median of the last 7, what the last 3 foretell, a tenth of the largest before)", leap, limits.jump,
        _above(leap, limits.jump), f"{BOOK}.4; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063",
    )  # fmt: skip
    longer = math.nan
    if row is not None:
        usual = middle(finite(record.step_norm[max(0, row - BEFORE) : row]))
        longer = float(record.step_norm[row]) / usual if usual > 0 else math.nan
    unseen, beyond = _travel(course)
    thrown = _max(np.array([longer, unseen]))
    throws = Evidence(
        "cliff", "and throws the run", "step over the median of the last 7, or travel to where it is worse over what "
        "the steps before and after explain", thrown, limits.thrown, _above(thrown, limits.thrown), "the same",
    )  # fmt: skip
    far = Evidence(
        "cliff", "or it is thrown between two records", "travel over what the longest recorded step explains",
        beyond, limits.unseen, _above(beyond, limits.unseen), "a step that long was taken, and not recorded",
    )  # fmt: skip
    sudden = Evidence(
        "cliff", "or the gradient leaps from one step to the next, and with it the step, and not down",
        "max |g|/max(the three before, a tenth of the largest before)", course.leap, limits.leap,
        _above(course.leap, limits.leap), "the same; a curvature on the way of 5 times the limit of stability",
    )  # fmt: skip
    found = [0.0]
    worse = course.set_back or course.risen
    if leaps.holds and worse and not _progressing(course):
        found.append(WEAK * _surely(leap, limits.jump) if course.set_back else 0.0)
        if throws.holds:
            found.append(min(_surely(leap, limits.jump), _surely(thrown, limits.thrown)))
    if unseen > limits.thrown:
        found.append(_surely(unseen, limits.thrown))
    if sudden.holds and worse and not _progressing(course):
        found.append(_surely(course.leap, limits.leap))
    if far.holds and worse:
        found.append(_surely(beyond, limits.unseen))
    # A rate of which ten times is stable where the run began is not too large: the land ahead is steeper.
    first = course.first_stability
    gentle = Evidence(
        "cliff", "or it was thrown by a rate that was small for where it began", "q at the start",
        first if course.thrown else math.nan, limits.stability_unused,
        abs(first) < limits.stability_unused if course.thrown and not course.noisy and not math.isnan(first) else None,
        "a cliff: the curvature ahead is not that here",
    )  # fmt: skip
    if gentle.holds and not _progressing(course):
        found.append(_surely(limits.stability_unused, abs(first)))
    quiet = not (throws.holds or far.holds or sudden.holds)
    calm = leap < math.sqrt(limits.jump) and quiet
    yield Finding("cliff", max(found), calm, (leaps, throws, far, sudden, gentle))


def _leap(course: Course) -> tuple[float, int | None]:
    """How far |g| leaps above its usual and its foretold value at most, and at which row."""
    known = np.flatnonzero(np.isfinite(course.gradient))
    if len(known) < 5:
        return math.nan, None
    logs, steps = np.log(np.maximum(course.gradient[known], TINY)), course.steps[known]
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


def _travel(course: Course) -> tuple[float, float]:
    """How much farther a run got between two records than their steps explain, where it got worse by it; and than
    the longest of all its recorded steps explains, at most.

    Who leaves a saddle between two records gets farther than the short steps before and after explain, but down.
    """
    record = course.record
    apart = course.steps[1:] - course.steps[:-1]
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


def chains(course: Course) -> Iterator[Finding]:
    """Along depth or time, the gradient grows or vanishes from one position to the next by a constant factor."""
    record, limits = course.record, course.limits
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
            _above(gain, limits.chain_gain), f"{BOOK}.5; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063",
        )  # fmt: skip
        line = Evidence(
            cause, "by a constant factor from one position to the next", "R² of log|g| on position",
            fit, limits.chain_fit, _above(fit, limits.chain_fit), "the same",
        )  # fmt: skip
        holds = bool(factor.holds and line.holds) and not _progressing(course)
        # What explodes throws a run and what vanishes does not, where it is known how high a run was.
        holds = holds and (record.gap is None or course.thrown == (sign > 0))
        yield Finding(
            cause, _surely(math.log(gain), math.log(limits.chain_gain)) if holds else 0.0,
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


# Far away.


def no_critical_point(course: Course) -> Iterator[Finding]:
    """Downhill without end: the distance grows like log t, the gradient vanishes, and no point is the last."""
    record, limits = course.record, course.limits
    far = record.distance_start
    rows = np.flatnonzero(np.isfinite(far) & (course.steps >= max(10.0, course.total / 100)))
    slope, fit = straight(np.log(course.steps[rows]), far[rows])
    line = Evidence(
        "no_critical_point", "the distance from the start grows with the logarithm of time",
        "R² of |x − x₀| on ln t", fit if slope > 0 else 0.0 if slope <= 0 else math.nan, limits.runaway_fit,
        None if math.isnan(fit) else slope > 0 and fit > limits.runaway_fit,
        "Soudry et al. 2018, arXiv:1710.10345, theorem 3",
    )  # fmt: skip
    later = float((far[-1] - far[course.half]) / far[-1]) if far[-1] > 0 else 0.0
    grows = Evidence(
        "no_critical_point", "and does not come to an end", "growth in the second half of the steps",
        later, limits.runaway_growth, later > limits.runaway_growth, "the same",
    )  # fmt: skip
    norms = finite(course.gradient)
    fallen = float(norms[-1] / norms[0]) if len(norms) > 1 and norms[0] > 0 else math.nan
    fades = Evidence(
        "no_critical_point", "while the gradient vanishes", "|g| at the end/at the start",
        fallen, limits.vanished, None if math.isnan(fallen) else fallen < limits.vanished, f"{BOOK}.7",
    )  # fmt: skip
    end = len(course.steps) - 1
    left = course.exhausted(end) if len(course.curved) and course.curved[-1] == end else math.nan
    goes_on = Evidence(
        "no_critical_point", "and something is left to gain", "½gᵀ|H|⁻¹g/(f − f*)",
        left, limits.exhausted, _above(left, limits.exhausted), "½ on an exponential tail, 1 on a quadratic",
    )  # fmt: skip
    attained = record.floor_attained
    # How the distance grows is the method's affair where it is known that no point is the last.
    away = bool(line.holds) or (attained is False and course.record.status == "missed")
    holds = bool(away and grows.holds and fades.holds) and goes_on.holds is not False
    holds = holds and attained is not True and not _progressing(course)
    strength = min(
        _surely(1 - limits.runaway_fit, max(1 - line.value, TINY)) if line.holds else WEAK,
        _surely(later, limits.runaway_growth),
    )
    yield Finding(
        "no_critical_point", (strength if attained is False else WEAK * strength) if holds else 0.0,
        attained is True or grows.holds is False or slope <= 0, (line, grows, fades, goes_on),
        ("Whether the loss has a minimum is not known: a run to infinity and slow descent to a far one both fit.",)
        if holds and attained is None else (),
    )  # fmt: skip


def long_path(course: Course) -> Iterator[Finding]:
    """Steady descent at a constant speed on a constant slope, and the budget ends."""
    record, limits = course.record, course.limits
    loss, steps = record.loss, course.steps
    early = min(int(np.searchsorted(steps, course.total / 10)), course.half)
    before, after = steps[course.half] - steps[early], steps[-1] - steps[course.half]
    pace = math.nan
    if before > 0 and after > 0:
        first = float(loss[early] - loss[course.half]) / before
        second = float(loss[course.half] - loss[-1]) / after
        pace = second / first if first > 0 else math.nan
    steady = Evidence(
        "long_path", "the loss falls as fast in the second half as before", "fall per step late/earlier",
        pace, 1 / limits.steady, None if math.isnan(pace) else 1 / limits.steady < pace < limits.steady,
        f"{BOOK}.7",
    )  # fmt: skip
    kept, speed = (_lasting(course, each, early) for each in (course.gradient, record.step_norm))
    slope = Evidence(
        "long_path", "on a slope that does not vanish", "median |g| late/earlier",
        kept, 1 / limits.steady, None if math.isnan(kept) else kept > 1 / limits.steady, f"{BOOK}.7",
    )  # fmt: skip
    linear = Evidence(
        "long_path", "its path grows linearly", "median |s| late/earlier", speed, 1 / limits.steady,
        None if math.isnan(speed) else 1 / limits.steady < speed < limits.steady, f"{BOOK}.7",
    )  # fmt: skip
    used = _max(course.stability)
    allowed = not used < limits.stability_unused and not used > 1
    moving = not course.near[course.half :].any()
    holds = (
        bool(steady.holds and slope.holds and linear.holds)
        and allowed
        and moving
        and not course.stalled
    )
    holds = holds and not _progressing(course)
    off = max(abs(math.log10(each)) for each in (pace, kept, speed)) if holds else 0.0
    strength = 1 - 0.5 * off / math.log10(limits.steady)
    yield Finding(
        "long_path", strength * (WEAK if math.isnan(used) else 1.0) if holds else 0.0,
        steady.holds is False or slope.holds is False, (steady, slope, linear),
    )  # fmt: skip


def _lasting(course: Course, values: np.ndarray, early: int) -> float:
    """The median of the second half of the steps over that from row `early` to its beginning."""
    before, late = finite(values[early : course.half + 1]), course.late(values)
    return middle(late) / middle(before) if len(before) and middle(before) > 0 else math.nan


TESTS: tuple[Callable[[Course], Iterator[Finding]], ...] = (
    ill_conditioning, sharpening, step_too_large, noise, wrong_direction, critical_points, cliff, chains,
    no_critical_point, long_path,
)  # fmt: skip


def _progressing(course: Course) -> bool:
    """Whether a run that still goes on halves what is left in half of its steps: slow it is not."""
    return course.record.status == "running" and course.gained_late >= course.limits.halved


def _above(value: float, threshold: float) -> bool | None:
    return None if math.isnan(value) else value > threshold


def _surely(value: float, threshold: float) -> float:
    """½ at the threshold, .95 a decade past it."""
    if math.isnan(value) or value <= 0 or threshold < 0:
        return 0.5
    if math.isinf(value) or threshold == 0:
        return 1.0
    return 1 - 0.5 * min(1.0, threshold / value)


def _max(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.max()) if len(values) else math.nan
