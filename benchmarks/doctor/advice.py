"""What to try, with its number: from the verdict and from what was measured."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from benchmarks.diagnosis import Record, Verdict
from benchmarks.doctor.measurement import Measured

LATE = 5  # measurements whose median says what is so now
AIM = 0.5  # of r, and of q: half of what a step can bear goes right to the bottom along it
DEAD = 0.5  # share of units without gradient from which a layer is named
FADED = 1e-3  # of the output's gradient, below which a layer hardly learns


@dataclass(frozen=True)
class Chart:
    """What advice is given from: the record, the measurements, and the usual gradient norm."""

    record: Record
    measured: list[Measured]
    usual_norm: float

    def now(self, values: np.ndarray) -> float:
        """The median of the last few that were measured."""
        known = values[np.isfinite(values)]
        return float(np.median(known[-LATE:])) if len(known) else math.nan

    @property
    def rate(self) -> float:
        """The learning rate, where the optimizer has one."""
        return float(self.record.settings.get("lr", math.nan))

    @property
    def momentum(self) -> float:
        return float(self.record.settings.get("momentum", 0.0))

    @property
    def used(self) -> float:
        """q, the share of the stability limit in use."""
        return self.now(self.record.stability)

    @property
    def ratio(self) -> float:
        """r = sᵀHs/(−2gᵀs) from the sums over the last measurements, for single ones are noisy."""
        slopes, bends = self.record.g_s, self.record.s_h_s
        known = np.isfinite(slopes) & np.isfinite(bends)
        slope, bend = slopes[known][-LATE:].sum(), bends[known][-LATE:].sum()
        return float(bend / (-2 * slope)) if slope < 0 else math.nan

    @property
    def noise_to_curvature(self) -> float:
        """r_noise/r_curv = tr(HS)/mᵀHm, whatever the rate is."""
        spread, bend = self.record.noise_h, self.record.g_h_g
        known = np.isfinite(spread) & np.isfinite(bend)
        bends = bend[known][-LATE:].sum()
        return float(spread[known][-LATE:].sum() / bends) if bends > 0 else math.nan

    @property
    def calmer(self) -> float:
        """The learning rate at which r is a half; or q, where r is not known or the lower of the two."""
        factors = [AIM / each for each in (self.ratio, self.used) if each > 0]
        return self.rate * min(factors, default=math.nan)


def advice(verdict: Verdict, chart: Chart) -> list[str]:
    """One sentence for each cause that holds, the strongest first; nothing where none does."""
    causes = [name for name, _ in verdict.causes] or [verdict.cause]
    return [
        text for cause in causes if cause in _TO_TRY for text in [_TO_TRY[cause](chart)] if text
    ]


def _number(value: float) -> str:
    return f"{value:.2g}"


def _rate(chart: Chart, value: float, why: str) -> str:
    if math.isnan(value):
        return "another learning rate: a tenth, and ten times as much"
    return f"a learning rate of {_number(value)} ({why}; now {_number(chart.rate)})"


def _ill_conditioning(chart: Chart) -> str:
    high = chart.now(chart.record.lambda_max)
    steps = chart.now(chart.record.decrease) / -chart.now(chart.record.change)
    gains = f", which would gain {_number(steps)} times as much a step" if steps > 1 else ""
    momentum = "" if chart.momentum else "momentum 0.9, or "
    return (
        f"Try inputs and activations of one scale (standardize, normalize); {momentum}a method that knows "
        f"curvature (Adam, K-FAC, L-BFGS, Gauss-Newton){gains}. A larger rate is no way out: the largest "
        f"curvature, {_number(high)}, uses {_number(chart.used)} of the stability limit already."
    )


def _lower(chart: Chart) -> str:
    why = "where r, or the share q of the stability limit, falls to a half"
    return f"Try {_rate(chart, chart.calmer, why)}, or warm up to the rate there is."


def _higher(chart: Chart) -> str:
    return f"Try {_rate(chart, chart.calmer, 'where r, or the share q of the stability limit, rises to a half')}."


def _noise(chart: Chart) -> str:
    times = chart.noise_to_curvature
    batch = "a larger batch"
    if times > 1:
        batch = f"batches {_number(times)} times as large (where r_noise equals r_curv)"
    lower = ""
    if chart.ratio > AIM:
        lower = f", or {_rate(chart, chart.rate * AIM / chart.ratio, 'where r falls to a half')}"
    return f"Try {batch}{lower}; or let the rate decay, or average the weights of the last steps."


def _clip(chart: Chart) -> str:
    at = f" at norm {_number(chart.usual_norm)}, the running median"
    return f"Try to clip the gradient{'' if math.isnan(chart.usual_norm) else at}: {_CLIPPING}."


def _exploding(chart: Chart) -> str:
    where = _steepest(chart, np.argmax)
    return f"{_clip(chart)} {where}Orthogonal recurrent weights or gates keep its growth down."


def _vanishing(chart: Chart) -> str:
    return (
        f"{_steepest(chart, np.argmin)}Try residual connections or gates, normalization, an initialization that "
        "keeps variances (He, orthogonal), or units that do not saturate; a larger rate moves the last layers only."
    )


def _steepest(chart: Chart, end: Callable[[np.ndarray], np.intp]) -> str:
    """Where along the chain the gradient is at its extreme."""
    if chart.record.chain is None:
        return ""
    rows = chart.record.chain[np.isfinite(chart.record.chain).all(1)]
    if not len(rows):
        return ""
    chain = np.median(rows[-LATE:], axis=0)
    k, names = int(end(chain)), chart.record.layers
    if chain[0] <= 0:
        return ""
    faded = [name for name, norm in zip(names, chain, strict=True) if norm < FADED * chain[0]]
    first = f", and below a thousandth from {faded[0]} on" if faded and end is np.argmin else ""
    return f"At {names[k]} the gradient is {_number(chain[k] / chain[0])} times what it is at {names[0]}{first}. "


def _no_signal(chart: Chart) -> str:
    dead = _dead(chart)
    where = f"No gradient reaches {dead}. " if dead else ""
    return f"{where}Start anew with smaller biases or another initialization, or with leaky units: no rate helps."


def _dead(chart: Chart) -> str:
    if not chart.measured:
        return ""
    layers = chart.measured[-1].layers
    return ", ".join(
        f"{name} ({row['dead units']:.0%} of its units)"
        for name, row in layers.items()
        if row["dead units"] >= DEAD
    )


def _saddle(chart: Chart) -> str:
    low = chart.now(chart.record.lambda_min)
    folds = 1 / (-low * chart.rate) if low < 0 and chart.rate > 0 else math.nan
    takes = "" if math.isnan(folds) else f"; it takes {_number(folds)} steps per e-fold there"
    return f"Try a kick along negative curvature ({_number(low)}{takes}), momentum, or a saddle-free Newton step."


_CLIPPING = "doctor.step(…, before_update=lambda: clip_grad_norm_(model.parameters(), …))"
_TO_TRY: dict[str, Callable[[Chart], str]] = {
    "ill_conditioning": _ill_conditioning,
    "sharpening": _lower,
    "step_too_large": _lower,
    "step_too_small": _higher,
    "noise": _noise,
    "wrong_direction": lambda chart: (
        "Look at what makes the gradient: a sign, a detached path, a clipped or quantized gradient, a memory that "
        "forgets (AMSGrad instead of Adam)."
    ),
    "local_minimum": lambda chart: (
        "It is a minimum, whether or not the best: try another start, a larger rate for a while, or a wider network."
    ),
    "saddle": _saddle,
    "plateau": lambda chart: (
        "Try another start or scale of the weights, targets that give partial credit, or normalization: on flat "
        "ground neither rate nor curvature says where to go."
    ),
    "no_signal": _no_signal,
    "cliff": _clip,
    "exploding_gradient": _exploding,
    "vanishing_gradient": _vanishing,
    "no_critical_point": lambda chart: (
        "The loss has no minimum to stop at: stop when the validation loss does, or add weight decay or label "
        "smoothing."
    ),
    "long_path": lambda chart: (
        "Nothing is wrong but the distance: try more steps, a better start, momentum, or "
        f"{_rate(chart, chart.calmer, 'where r, or q, rises to a half')}."
    ),
}  # fmt: skip
