"""Advise what to try, with numbers, from the verdict and the measurements."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.diagnosis import Record, Thresholds
from benchmarks.doctor.judge import Judgement
from benchmarks.doctor.measurement import Measured
from benchmarks.doctor.trials import Tried
from benchmarks.doctor.words import position

LATE = 5  # last measurements, whose median is the current value
AIM = 0.5  # value of r and q to aim at: half the stability limit goes to the minimum along the step
APART = 0.9  # ratio of two rates from which on another one is no change
DEAD = 0.5  # share of a layer's units without gradient, from which the layer is named
FADED = 1e-3  # share of the output's gradient below which a layer hardly learns


@dataclass(frozen=True)
class Chart:
    """The input of advice: the record, the measurements, the usual gradient norm, and what was tried."""

    record: Record
    measured: Sequence[Measured]
    usual_norm: float
    tried: Sequence[Tried] = ()

    def best(self, cause: str) -> Tried | None:
        """Return the trial for a cause that ended lowest, if it was clearly lower than the run."""
        lower = [each for each in self.tried if each.change.cause == cause and each.lower]
        return min(lower, key=lambda each: each.loss, default=None)

    def now(self, values: np.ndarray) -> float:
        """Return the median of the last LATE measured values; NaN if there are none."""
        known = values[np.isfinite(values)]
        return float(np.median(known[-LATE:])) if len(known) else math.nan

    @property
    def rate(self) -> float:
        """Return the learning rate; NaN if the optimizer has none."""
        return float(self.record.settings.get("lr", math.nan))

    @property
    def momentum(self) -> float:
        return float(self.record.settings.get("momentum", 0.0))

    @property
    def used(self) -> float:
        """Return q, the share of the stability limit in use."""
        return self.now(self.record.stability)

    @property
    def ratio(self) -> float:
        """Return r = sᵀHs/(−2gᵀs), from sums over the last measurements because single ones are noisy."""
        slopes, bends = self.record.g_s, self.record.s_h_s
        known = np.isfinite(slopes) & np.isfinite(bends)
        slope, bend = slopes[known][-LATE:].sum(), bends[known][-LATE:].sum()
        return float(bend / (-2 * slope)) if slope < 0 else math.nan

    @property
    def noise_to_curvature(self) -> float:
        """Return r_noise/r_curv = tr(HS)/mᵀHm, which does not depend on the rate."""
        spread, bend = self.record.noise_h, self.record.g_h_g
        known = np.isfinite(spread) & np.isfinite(bend)
        bends = bend[known][-LATE:].sum()
        return float(spread[known][-LATE:].sum() / bends) if bends > 0 else math.nan

    @property
    def calmer(self) -> float:
        """Return the learning rate at which the larger of r and q is AIM."""
        factors = [AIM / each for each in (self.ratio, self.used) if each > 0]
        return self.rate * min(factors, default=math.nan)


def advice(found: Judgement, chart: Chart) -> list[str]:
    """Return one piece of advice per cause that holds, the root cause first; what was tried comes with its numbers."""
    said: list[str] = []
    given: set[Callable[[Chart], str]] = set()  # causes with one remedy get it once
    for name in [name for name, _ in found.verdict.causes] or [found.verdict.cause]:
        remedy, tried = _TO_TRY.get(name), found.helped.get(name) or chart.best(name)
        text = ""
        if name in found.remedies:
            text = found.remedies[name]
        elif tried is not None and tried.change.factor != 1:
            text = f"Try that rate{', or warm up to the present one' if tried.change.factor < 1 else ''}."
        elif tried is not None and tried.change.batches > 1:
            text = "Try larger batches, or let the rate decay, or average the weights of the last steps."
        elif remedy is not None and remedy not in given:
            # The norm at which clipping was tried counts, not the usual one.
            text = remedy(chart if tried is None else replace(chart, usual_norm=math.nan))
        if remedy is not None:
            given.add(remedy)
        if tried is not None:  # what was tried comes first, but for a fault of the program
            both = [text, tried.sentence] if name in found.remedies else [tried.sentence, text]
            text = " ".join(both)
        if text:
            said.append(text)
    return said


def _number(value: float) -> str:
    return f"{value:.2g}"


def _rate(chart: Chart, value: float, why: str) -> str:
    return f"a learning rate of {_number(value)} ({why}; now {_number(chart.rate)})"


def _times(chart: Chart, factor: float, words: str) -> str:
    """Return a multiple of the rate in use, where no other number was measured."""
    if math.isnan(chart.rate):
        return f"{words} the present learning rate"
    return f"a learning rate of {_number(factor * chart.rate)}, {words} the present one"


def _ill_conditioning(chart: Chart) -> str:
    high, used = chart.now(chart.record.lambda_max), chart.used
    could, does = chart.now(chart.record.decrease), -chart.now(chart.record.change)
    gains = (
        f", which would gain {_number(could / does)} times as much a step"
        if could > does > 0
        else ""
    )
    momentum = "" if chart.momentum else "momentum 0.9, or "
    larger = ""
    if high > 0 and used >= Thresholds().stability_used:
        larger = (
            f" A larger rate does not help: the largest curvature, {_number(high)}, already uses {_number(used)} of "
            "the stability limit."
        )
    return (
        f"Try inputs and activations of one scale (standardize, normalize); {momentum}a method that uses "
        f"curvature (Adam, K-FAC, L-BFGS, Gauss-Newton){gains}.{larger}"
    )


def _lower(chart: Chart) -> str:
    rate = _times(chart, 0.1, "a tenth of")
    if chart.calmer < APART * chart.rate:
        rate = _rate(
            chart, chart.calmer, "at which r or q, the share of the stability limit, falls to 0.5"
        )
    return f"Try {rate}, or warm up to the present rate."


def _higher(chart: Chart) -> str:
    rate = _times(chart, 10.0, "ten times")
    if APART * chart.calmer > chart.rate:
        rate = _rate(
            chart, chart.calmer, "at which r or q, the share of the stability limit, rises to 0.5"
        )
    return f"Try {rate}."


def _noise(chart: Chart) -> str:
    times = chart.noise_to_curvature
    batch = "a larger batch"
    if times > 1:
        batch = f"batches {_number(times)} times as large (at which r_noise equals r_curv)"
    lower = ""
    if chart.ratio > AIM:
        lower = f", or {_rate(chart, chart.rate * AIM / chart.ratio, 'at which r falls to 0.5')}"
    return f"Try {batch}{lower}; or let the rate decay, or average the weights of the last steps."


def _clip(chart: Chart) -> str:
    at = f" at norm {_number(chart.usual_norm)}, the running median"
    norm = "" if math.isnan(chart.usual_norm) else at
    return (
        f"Try clipping the gradient{norm}: clip_grad_norm_ between backward and the step (with doctor.step: in "
        "before_update)."
    )


def _exploding(chart: Chart) -> str:
    where = _steepest(chart, np.argmax)
    return f"{_clip(chart)} {where}Orthogonal recurrent weights or gates limit its growth."


def _vanishing(chart: Chart) -> str:
    return (
        f"{_steepest(chart, np.argmin)}Try residual connections or gates, normalization, an initialization that "
        "keeps variances (He, orthogonal), or units that do not saturate; a larger rate only moves the last layers."
    )


def _steepest(chart: Chart, end: Callable[[np.ndarray], np.intp]) -> str:
    """Return a sentence about the position along the chain at which the gradient is extreme."""
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
    first = (
        f", and below a thousandth from {position(faded[0])} on"
        if faded and end is np.argmin
        else ""
    )
    ratio = _number(chain[k] / chain[0])
    return f"At {position(names[k])} the gradient is {ratio} times what it is at {position(names[0])}{first}. "


def _no_signal(chart: Chart) -> str:
    dead = _dead(chart)
    where = f"No gradient reaches {dead}. " if dead else ""
    return f"{where}Restart with smaller biases, another initialization or leaky units: no learning rate helps."


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
    takes = "" if math.isnan(folds) else f"; it takes {_number(folds)} steps per e-fold to leave"
    measured = f" ({_number(low)}{takes})" if low < 0 else ""
    return f"Try a kick along negative curvature{measured}, momentum, or a saddle-free Newton step."


_TO_TRY: dict[str, Callable[[Chart], str]] = {
    "ill_conditioning": _ill_conditioning,
    "sharpening": _lower,
    "step_too_large": _lower,
    "step_too_small": _higher,
    "noise": _noise,
    "weight_decay": lambda chart: (
        "Try less weight decay: it pulls the weights to 0 faster than the gradient moves them away."
    ),
    "noise_labels": lambda chart: (
        "Check that inputs and targets still belong together (shuffled apart, joined by the wrong key, off by one), "
        "and that a tiny subset can be learnt by heart."
    ),
    "wrong_direction": lambda chart: (
        "Check how the gradient is computed: a wrong sign, a detached path, a clipped or quantized gradient, second "
        "moments that decay too fast (try AMSGrad instead of Adam)."
    ),
    "local_minimum": lambda chart: (
        "The run is in a minimum, perhaps not the best one: try another start, a larger rate for a while, or a wider "
        "network."
    ),
    "saddle": _saddle,
    "plateau": lambda chart: (
        "Try another start or scale of the weights, targets that give partial credit, or normalization: on a plateau "
        "neither the learning rate nor curvature shows the way."
    ),
    "no_signal": _no_signal,
    "cliff": _clip,
    "exploding_gradient": _exploding,
    "vanishing_gradient": _vanishing,
    "no_critical_point": lambda chart: (
        "The loss has no minimum to stop at: stop when the validation loss stops falling, or add weight decay or "
        "label smoothing."
    ),
    "long_path": lambda chart: (
        "The way is long, and nothing else is wrong: train longer, from a better start, or with more momentum. "
        f"{_higher(chart)}"
    ),
}  # fmt: skip
