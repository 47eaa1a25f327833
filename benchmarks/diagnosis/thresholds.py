"""The numbers that evidence is held against, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Numbers that decide, with where they are from; "chosen" ones are what a calibration may move.

    lost_gain: G, what a step that knows all curvatures gains over what a step gained. Ten, so that a target is
        missed by a factor that no tuning of the rate alone makes up; chosen.
    stability_used: q above which the rate is what curvature allows. A fifth: the rate cannot be raised fivefold.
    stability_unused: q below which the step is too small. A tenth: ten times the rate is stable still. Between the two
        the rate can be raised, but by less than would be worth it: ill-conditioning fits, and so does a small step.
    stability_near: q above which the step is at its limit; chosen, for runs at the edge hover within a tenth of it
        (Cohen et al. 2021, figure 1).
    stability_half: q below which a norm that does not shrink speaks against a critical point: at half its limit a
        step goes exactly to the minimum along the sharpest direction, and above it bounces.
    rising: share of the late steps that go up, from which steps are too large; on a quadratic a stable descent
        has none; chosen.
    stalled: share of what was left at half of the steps that is gained in the second half, below which a run is
        at a standstill; chosen.
    halved: the same share above which a run that goes on is healthy: what is left halves in half of its steps.
    curvature_growth: the book's tenfold growth of gᵀHg while gᵀg holds (Deep Learning, section 8.2.1).
    gradient_holds: factor within which gᵀg is said to hold; chosen, half a decade.
    sharper: factor by which the largest curvature itself grew; twice, for on a quadratic it is constant and the
        book's test alone is met by any run that begins to diverge.
    noise_share: r_noise = η tr(HS)/2|m|² from which noise eats half of what the gradient gains.
    aimless: share of a step's square that noise makes up, from which it goes its own way; a half.
    descent_cosine: cosine of step and gradient down to which the steps count as going nowhere; chosen.
    bias: |E seen − g|²/|g|² from which the mean gradient that is seen is a matter of chance. Where a biased run
        comes to rest it is 1, for there E seen = 0; a half.
    flat_slope: |g| · (distance to the solutions) / (f − f*), the slope here over the mean slope between here and
        there, below which a point is nearly critical. On a convex loss it is never below 1; a tenth is chosen.
    flat_gradient: |g| over the largest so far, which takes its place where no solution is known; chosen.
    exhausted: ½gᵀ|H|⁻¹g over f − f*, below which nothing is left to gain here to second order; on a quadratic 1.
    flat_curvature: |λ| · distance² / 2(f − f*), the largest curvature over the mean curvature between here and
        the solutions, below which a point is flat; chosen, a tenth.
    flat_curvature_start: the same over the largest curvature so far, where no solution is known; chosen.
    rounding: curvature over the largest that counts as zero. Hessians come in float64 or float32: 1e-6.
    escape: e-folds that negative curvature multiplies a distance by within the run, lr |λmin| N; at least one, or
        the horizon cannot tell a saddle from a plateau.
    stuck_share: share of the run's steps spent near critical points from which they are its trouble; a half.
    downward: share of what is left to gain that lies along negative curvature, from which a slow run is slow because of
        a saddle; a half. passed: least share of its steps that it has spent near one, a tenth; chosen.
    jump: factor by which the gradient leaps above its trend, and chain_gain by which it grows or vanishes along
        a chain; chosen, as far above what few layers do to a gradient that learns.
    leap: factor by which the gradient grows in one step; chosen. On a parabola it is lr λ − 1, and the limit lr λ = 2.
    thrown: factor by which a step is longer than usual, or travel between two records than steps explain; chosen.
    unseen: the same over what the longest recorded step explains, at which 1 would be a proof that a longer one was
        taken; twice.
    chain_fit: share of the variance of log norms that a straight line explains (R²); chosen.
    steady: factor within which speed and slope are constant along a long path; chosen.
    runaway_fit: R² of the distance on log t where a run goes to infinity; chosen.
    runaway_growth: least share of the distance gained in the second half of the steps. At log t it is
        ln 2/ln N, a tenth at N = 1000.
    vanished: |g| over the first from which a gradient vanishes along a way to infinity; chosen.
    """

    lost_gain: float = 10.0
    stability_used: float = 0.2
    stability_unused: float = 0.1
    stability_near: float = 0.9
    stability_half: float = 0.5
    rising: float = 0.25
    stalled: float = 0.05
    halved: float = 0.5
    curvature_growth: float = 10.0
    gradient_holds: float = 3.2
    sharper: float = 2.0
    noise_share: float = 0.5
    aimless: float = 0.5
    descent_cosine: float = 0.02
    bias: float = 0.5
    flat_slope: float = 0.1
    flat_gradient: float = 1e-3
    exhausted: float = 0.1
    flat_curvature: float = 0.1
    flat_curvature_start: float = 1e-3
    rounding: float = 1e-6
    escape: float = 1.0
    stuck_share: float = 0.5
    downward: float = 0.5
    passed: float = 0.1
    jump: float = 30.0
    leap: float = 10.0
    thrown: float = 10.0
    unseen: float = 2.0
    chain_gain: float = 100.0
    chain_fit: float = 0.8
    steady: float = 2.0
    runaway_fit: float = 0.9
    runaway_growth: float = 0.03
    vanished: float = 0.3
