"""What was measured along one run, by whoever measured it: a sweep's trace, or the doctor of a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Status = Literal["solved", "missed", "diverged", "running"]


@dataclass(frozen=True)
class Record:
    """One run. Each array has one entry a recorded step, in order; NaN where it was not measured there.

    With f the loss, g its gradient and H its Hessian at the point, s the step taken from there, all of
    the exact loss where that is known, and else estimates without bias of it (never |minibatch g|²):

    step: the number of the step; loss: f; change: f(x + s) − f(x) of the whole step.
    grad_sq: |g|², which as an estimate may be negative; g_h_g: gᵀHg; g_s: gᵀs; s_h_s: sᵀHs.
    step_norm: |s|; distance_start: |x − x₀|.
    lambda_min, lambda_max: the ends of H's spectrum; residual: how far off either may be, 0 where dense.
    decrease: ½ gᵀ(|H| + δ)⁻¹g, what a step that knows all curvatures would gain.
    decrease_negative: the part of it that lies along negative curvature.
    stability: the share q of the stability limit that is in use, lr · λmax(P⁻¹H) / limit, where the
        optimizer's limit is known.
    noise_sq: tr S, with S the covariance of the gradients that the optimizer sees; noise_h: tr(HS).
    bias: the cosine of the mean gradient that the optimizer sees with g.

    chain: by position along depth or time, the norms of the gradient that arrives there, (steps, length),
        the output's first; None where there is no such axis. layers: the names of the positions, if any.
    gap: of the last point, (f − f*)/(f₀ − f*), and target: the gap at which it is solved; None without f*.
    floor_attained: whether f* is a minimum that some point has; None where nothing is known.
    excess: f − f* of the last point, or f itself where the loss is known to be never negative; None
        where nothing is known below it. distance: |x − x*| to the nearest solution; None without.
    bias_sq: |E seen − g|², of the mean gradient that the optimizer sees; None where it was not measured.
    grad_leap: of the steps from the row before on, how far |g| leapt above its three values before, or a tenth of all
        before, at most; loss_highest: of the points from there to here. None where only recorded steps are known.
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
    settings: Mapping[str, Any] = field(default_factory=dict)  # lr, momentum, …: for what to try
    excess: float | None = None
    distance: np.ndarray | None = None
    bias_sq: np.ndarray | None = None
    grad_leap: np.ndarray | None = None
    loss_highest: np.ndarray | None = None
