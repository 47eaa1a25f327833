"""The measurements along one run, from the trace of a sweep or from the doctor of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Status = Literal["solved", "missed", "diverged", "running"]
Quantity = Literal["loss", "gradient", "gradient or curvature", "step"]


@dataclass(frozen=True)
class Record:
    """The measurements along one run.

    Each array has one entry per recorded step, in order; NaN where it was not measured. f is the loss, g its
    gradient and H its Hessian at the point x, s the step taken from there, ĝ the gradient that the optimizer
    sees. All refer to the exact loss if it is known, else they are estimates of it from several minibatches (never
    |ĝ|² of one), unbiased if the number of minibatches is fixed.

    Attributes:
        status: "solved", "missed", "diverged", or "running" for a run that goes on.
        step: Number of the step.
        loss: f.
        change: f(x + s) − f(x).
        grad_sq: |g|²; an estimate may be negative.
        g_h_g: gᵀHg.
        g_s: gᵀs.
        s_h_s: sᵀHs.
        step_norm: |s|.
        distance_start: |x − x₀|.
        lambda_min: Smallest eigenvalue of H.
        lambda_max: Largest eigenvalue of H.
        residual: Error bound of either eigenvalue; 0 if H is diagonalized.
        decrease: ½ gᵀ(|H| + δ)⁻¹g, the gain of a saddle-free Newton step.
        decrease_negative: The part of `decrease` along negative curvature.
        stability: q = lr λmax(P⁻¹H)/limit, the share of the optimizer's stability limit in use.
        noise_sq: tr S, with S the covariance of ĝ.
        noise_h: tr(HS).
        bias: Cosine of E[ĝ] with g.
        chain: Norms of the gradient by position along depth or time (steps, length), from the output's end;
            None if there is no such axis.
        layers: Names of the chain's positions, if any.
        gap: (f − f*)/(f₀ − f*) at the last point; None if f* is unknown.
        target: Gap at which the run is solved; None if f* is unknown.
        floor_attained: True if some point has the value f*; None if that is unknown.
        settings: Hyperparameters, such as lr and momentum; advice refers to them.
        excess: f − f* at the last point, or f itself if the loss is never negative; None if no lower bound
            is known.
        distance: |x − x*| to the nearest solution; None if none is known.
        bias_sq: |E[ĝ] − g|²; None if it was not measured.
        grad_leap: Largest ratio, since the previous row, of |g_t| to max(|g_{t-1}|, |g_{t-2}|, |g_{t-3}|,
            0.1 max_{s<t}|g_s|); None if only recorded steps are known.
        loss_highest: Highest loss since the previous row; None if only recorded steps are known.
        not_finite: Which quantity was first not finite, and in which step; None if all were finite. It is "loss",
            "gradient", "gradient or curvature" if the optimizer also asks for the Hessian, its products or JᵀJ, or
            "step" (its own).
    """

    status: Status
    step: np.ndarray
    loss: np.ndarray
    change: np.ndarray
    grad_sq: np.ndarray
    g_h_g: np.ndarray
    g_s: np.ndarray
    s_h_s: np.ndarray
    step_norm: np.ndarray
    distance_start: np.ndarray
    lambda_min: np.ndarray
    lambda_max: np.ndarray
    residual: np.ndarray
    decrease: np.ndarray
    decrease_negative: np.ndarray
    stability: np.ndarray
    noise_sq: np.ndarray
    noise_h: np.ndarray
    bias: np.ndarray
    chain: np.ndarray | None = None
    layers: tuple[str, ...] = ()
    gap: float | None = None
    target: float | None = None
    floor_attained: bool | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    excess: float | None = None
    distance: np.ndarray | None = None
    bias_sq: np.ndarray | None = None
    grad_leap: np.ndarray | None = None
    loss_highest: np.ndarray | None = None
    not_finite: tuple[Quantity, int] | None = None
