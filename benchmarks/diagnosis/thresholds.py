"""The numbers that the evidence is compared with, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """Thresholds of the tests; those marked "chosen" may be moved by a calibration.

    Symbols are those of `Record`; r_noise and r_curv are the shares of a step's gain that noise and curvature take.

    Attributes:
        lost_gain: G, the gain of a saddle-free Newton step over the gain of the run's own step, above which the
            gain counts as lost: at ten, tuning the learning rate alone cannot make up for it; chosen.
        stability_used: q above which the learning rate is as large as curvature allows: at a fifth it cannot be
            raised fivefold.
        stability_unused: q below which the step is too small: at a tenth, ten times the rate is still stable.
            Between this and `stability_used` the rate can be raised, but by less than would be worth it:
            ill-conditioning and too small a step both fit.
        stability_near: q above which the step is at its limit; chosen, because runs at the edge of stability hover
            within a tenth of it (Cohen et al. 2021, figure 1).
        stability_half: q below which a gradient norm that does not shrink rules out a critical point. At q = 0.5 a
            step goes exactly to the minimum along the sharpest direction; above it, the run bounces.
        rising: Share of the late steps that increase the loss, above which steps are too large; 0 for a stable
            descent on a quadratic; chosen.
        stalled: Share of the excess f − f* at half of the steps that the second half gains, below which a run is
            at a standstill; chosen.
        halved: The same share, above which a run that goes on is healthy: the excess halves in half of its steps.
        curvature_growth: Factor by which gᵀHg grows while gᵀg holds: the book's tenfold (Deep Learning,
            section 8.2.1).
        gradient_holds: Factor within which gᵀg counts as held: half a decade; chosen.
        sharper: Factor by which λmax itself must grow as well: on a quadratic it is constant, and any run that
            begins to diverge passes the book's test alone.
        noise_share: r_noise = η tr(HS)/2|m|² above which noise takes half of what the gradient gains.
        aimless: Share of |s|² made up by noise, above which the step is mostly noise.
        descent_cosine: Steps do not descend if the mean cosine of step and gradient exceeds minus this; chosen.
        bias: Relative squared bias |E[ĝ] − g|²/|g|² above which a run counts as biased (0.5; it is 1 at a biased
            fixed point, where E[ĝ] = 0).
        flat_slope: |g| · distance/(f − f*), the slope over the mean slope to the solutions, below which a point is
            nearly critical; at least 1 on a convex loss; a tenth is chosen.
        flat_gradient: |g| over its largest value so far, used instead if no solution is known; chosen.
        exhausted: ½gᵀ|H|⁻¹g/(f − f*) below which nothing is left to gain to second order; 1 on a quadratic.
        flat_curvature: |λ|max · distance²/2(f − f*), the largest curvature over the mean curvature to the
            solutions, below which a point is flat: a tenth; chosen.
        flat_curvature_start: |λ|max over the largest curvature so far, used instead if no solution is known; chosen.
        rounding: Curvature over the largest one, below which it counts as 0 (Hessians are float64 or float32).
        escape: lr |λmin| N, the e-folds by which negative curvature multiplies a distance within the run; below
            one, the horizon cannot tell a saddle from a plateau.
        stuck_share: Share of the steps near critical points, above which these are the run's trouble.
        downward: Share of the gain left that lies along negative curvature, above which a saddle slows the run.
        passed: Least share of its steps that such a run has spent near a critical point; chosen.
        jump: Factor by which the gradient exceeds its trend at a cliff; chosen.
        leap: Factor by which the gradient grows in one step; chosen. On a parabola it is lr λ − 1, and the limit is
            lr λ = 2.
        thrown: Factor by which a step exceeds the usual one, or travel between two rows exceeds what the steps
            explain; chosen.
        unseen: Travel between two rows over what the longest recorded step explains. Above 1 a longer step was
            taken; 2 is on the safe side.
        chain_gain: Factor by which the gradient grows or vanishes along a chain; chosen, like `jump`, far above what
            few layers do to a gradient that learns.
        chain_fit: R² of a line through the log norms along a chain; chosen.
        steady: Factor within which speed and slope are constant along a long path; chosen.
        runaway_fit: R² of the distance on log t for a run to infinity; chosen.
        runaway_growth: Least share of the distance gained in the second half of the steps. If the distance grows
            like log t the share is ln 2/ln N, a tenth at N = 1000.
        vanished: |g| over its first value, below which the gradient vanishes on the way to infinity; chosen.
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
