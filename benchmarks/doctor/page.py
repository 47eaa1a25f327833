"""The doctor's report as a page: the verdict and why, what to try, the curves, and the tables below them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.diagnosis import Verdict
from benchmarks.doctor.judge import Run
from benchmarks.doctor.trials import Tried
from benchmarks.doctor.words import MEANINGS, listed, position, spelled, words
from benchmarks.pages import render
from benchmarks.pages.chart import Axis, Chart, Series, spanning
from benchmarks.pages.table import Field, Row, Table

TEMPLATE = Path(__file__).parent / "page.html"
POINTS = 250  # of a curve, at most: each is the mean of a stretch of steps
OPEN = 20  # parameters up to which their table is unfolded
RARE = 0.01  # share of the values that a logarithmic axis may leave out
LOG = 3.0  # ratio of the largest to the smallest value from which an axis is logarithmic
STEPS = "step"


@dataclass(frozen=True)
class Page:
    """The page as values.

    also: The other causes that hold. curves: The charts. key: Names of the curves, by their style.
    """

    verdict: str
    meaning: str
    also: str
    why: str
    to_try: Sequence[str]
    curves: Sequence[Chart]
    key: Sequence[str]
    layers: Table | None
    layers_open: bool
    tables: Sequence[tuple[str, Table]]
    remarks: Sequence[str]


def html(page: Page) -> str:
    """Return the page as HTML, with all text escaped."""
    return render.html(TEMPLATE, page=page)


def composed(
    run: Run, verdict: Verdict, why: Sequence[str], to_try: Sequence[str], notes: Sequence[str]
) -> Page:
    """Return the page of a report as values.

    Args:
        run: What is known about the run.
        verdict: Its causes and the evidence.
        why: What was seen: sentences.
        to_try: Advice, the strongest cause first.
        notes: Lines at the end.

    Returns:
        The page.
    """
    layers = run.measured[-1].layers if run.measured else {}
    names = list(dict.fromkeys(each.change.name for each in _drawn(run.tried)))
    evidence = _evidence(verdict)
    tables = [
        (f"Tried ({len(run.tried)})", _trials(run.tried)),
        ("Gradient on its way back", _chain(run)),
        (f"Evidence ({len(evidence.rows)} tests)", evidence),
    ]
    return Page(
        verdict=words(verdict.cause),
        meaning=MEANINGS[verdict.cause],
        also=f"Also: {listed(verdict.also)}" if verdict.also else "",
        why=" ".join(why),
        to_try=to_try,
        curves=[*_losses(run), *_trial_curves(run, names), *_gradients(run)],
        key=["this run", *names],
        layers=_layers(layers) if layers else None,
        layers_open=len(layers) <= OPEN,
        tables=[(title, table) for title, table in tables if table.rows],
        remarks=notes,
    )


def _losses(run: Run) -> Iterator[Chart]:
    """Yield the loss of the run, with what happened where."""
    values = run.losses.values
    if len(values) < 2:
        return
    whole = _curve("this run", 0, values, 0, len(values))
    measured = sorted(
        {int(each.row["step"]) for each in run.measured if each.row["step"] < len(values)}
    )
    at = [Series("measured", np.array(measured, float), _at(whole, measured), kind="squares")]
    if run.jumps:
        at.append(Series("jump", np.array(run.jumps, float), _at(whole, run.jumps), kind="rings"))
    broken = [] if run.not_finite is None else [(float(run.not_finite.step), "not finite")]
    note = "Squares: measurements." + " Rings: jumps of the loss or the gradient." * bool(run.jumps)
    starts = [(float(each), "") for each in sorted({each.began for each in run.tried}) if each]
    if starts:
        note += " Dotted: where trials began."
    y = _spanned("loss", [whole.y])
    x = Axis(STEPS, "linear", 0, len(values) - 1)
    yield Chart(
        "loss", "Loss of this run", note, x, y, (whole, *at), own=True, marks=(*starts, *broken)
    )


def _trial_curves(run: Run, names: Sequence[str]) -> Iterator[Chart]:
    """Yield the loss of the trials that began at one step, beside that of the run."""
    values, drawn = run.losses.values, _drawn(run.tried)
    for began in sorted({each.began for each in drawn}):
        group = [each for each in drawn if each.began == began]
        steps = max(each.steps for each in group)
        curves = [_curve("this run", began, values[began : began + steps], 0, steps)]
        for each in group:
            name = each.change.name
            curves.append(_curve(name, began, np.array(each.losses), 1 + names.index(name), steps))
        where = "the start" if began == 0 else f"step {began}"
        x = Axis(STEPS, "linear", began, began + steps - 1)
        y = _spanned("loss", [curve.y for curve in curves])
        yield Chart(f"tried-{began}", f"Tried from {where} on", "", x, y, tuple(curves), own=True)


def _followed(run: Run) -> np.ndarray:
    """Return the rows of the record in which the gradient was followed on its way back."""
    chain = run.record.chain
    return (
        np.zeros(0, int)
        if chain is None
        else np.flatnonzero(np.isfinite(chain).all(1) & (chain > 0).any(1))
    )


def _gradients(run: Run) -> Iterator[Chart]:
    """Yield the gradient on its way back from the loss, when first and when last measured."""
    record, known = run.record, _followed(run)
    if record.chain is None or not len(known):
        return
    places = np.arange(1, 1 + len(record.layers))
    series = tuple(
        Series(
            f"step {record.step[row]:.0f}",
            places,
            np.where(record.chain[row] > 0, record.chain[row], np.nan),
            style,
        )
        for style, row in enumerate(dict.fromkeys((known[0], known[-1])))
    )
    x = Axis("layers, from the loss back", "linear", 1, len(places), given=_numbered(len(places)))
    y = _spanned("norm of the gradient", [each.y for each in series])
    steps = " and orange at ".join(each.name for each in series)
    yield Chart("gradient", "Gradient on its way back", f"Blue at {steps}.", x, y, series, own=True)


def _numbered(count: int) -> tuple[tuple[float, str], ...]:
    every = max(1, math.ceil(count / 6))
    return tuple((float(k), str(k)) for k in range(1, count + 1, every))


def _drawn(tried: Sequence[Tried]) -> list[Tried]:
    return [each for each in tried if len(each.losses) > 1]


def _curve(name: str, began: int, losses: np.ndarray, style: int, steps: int) -> Series:
    """Return a curve of losses: means over stretches of steps, and a band of their extremes."""
    width = max(1, math.ceil(steps / POINTS))
    stretches = [losses[k : k + width] for k in range(0, len(losses), width)]
    x = began + np.array([k * width + (len(each) - 1) / 2 for k, each in enumerate(stretches)])
    with np.errstate(all="ignore"):
        y, low, high = (
            np.array([how(each) for each in stretches]) for how in (np.mean, np.min, np.max)
        )
    return Series(name, x, y, style, band=(low, high) if width > 1 and style == 0 else None)


def _at(curve: Series, steps: Sequence[int]) -> np.ndarray:
    """Return the curve's value at each step."""
    return np.array([curve.y[int(np.argmin(np.abs(curve.x - step)))] for step in steps])


def _spanned(label: str, values: Sequence[np.ndarray]) -> Axis:
    """Return an axis: logarithmic if no value is negative and they differ enough; single tiny ones lie below it."""
    known = np.concatenate([np.ravel(each) for each in values])
    known = known[np.isfinite(known)]
    positive = known[known > 0]
    if not len(positive) or known.min() < 0 or known.max() <= LOG * known.min():
        return spanning(label, "linear", [known])
    axis = spanning(
        label, "log", [positive[positive >= np.quantile(positive, RARE, method="lower")]]
    )
    low, high = math.log10(axis.low), math.log10(axis.high)
    if high - low > 2:
        return axis
    fine = (k * 10.0**power for power in range(math.floor(low), math.ceil(high)) for k in (1, 2, 5))
    return replace(
        axis, given=tuple((each, f"{each:g}") for each in fine if axis.low <= each <= axis.high)
    )


def _number(value: float) -> Field:
    return Field(spelled(value), value)


def _layers(layers: dict[str, dict[str, float]]) -> Table:
    columns = ["parameter", *next(iter(layers.values()))]
    rows = [Row(None, [Field(name), *map(_number, row.values())]) for name, row in layers.items()]
    note = "Norms of the weight, its gradient and the last step; dead units: share of units without gradient."
    return Table("Layers, when last measured", columns, rows, note)


def _chain(run: Run) -> Table:
    chain, known = run.record.chain, _followed(run)
    last = [] if chain is None or not len(known) else chain[known[-1]].tolist()
    rows = [
        Row(None, [Field(position(name)), _number(norm)])
        for name, norm in zip(run.record.layers, last, strict=False)
    ]
    return Table("Gradient on its way back", ["at", "norm, when last measured"], rows)


def _trials(tried: Sequence[Tried]) -> Table:
    columns = [
        "change",
        "from step",
        "steps",
        "loss",
        "this run",
        "times fewer steps",
        "would mend",
        "helps",
    ]
    rows = [
        Row(None, [
            Field(each.change.name), _number(each.began), _number(each.steps), _number(each.loss), _number(each.run),
            _number(each.gain), Field(words(each.change.cause)), Field("yes" if each.helps else "no"),
        ])
        for each in sorted(tried, key=lambda each: not each.helps)
    ]  # fmt: skip
    note = "Copies of the weights and the optimizer took the same steps with one thing changed."
    return Table("What was tried", columns, rows, note)


def _evidence(verdict: Verdict) -> Table:
    """Return the tests, those that hold first; those that could not be measured are counted."""
    order = [name for name, _ in verdict.causes]
    known = [each for each in verdict.evidence if each.holds is not None]
    missing = len(verdict.evidence) - len(known)
    known.sort(
        key=lambda each: (
            not each.holds,
            order.index(each.cause) if each.cause in order else len(order),
        )
    )
    rows = [
        Row(None, [
            Field(words(each.cause)), Field(each.test), _number(each.value), _number(each.threshold),
            Field("yes" if each.holds else "no"), Field(each.formula), Field(each.source),
        ])
        for each in known
    ]  # fmt: skip
    note = f"{missing} more could not be measured: report.frame has them." if missing else ""
    columns = ["cause", "test", "measured", "threshold", "holds", "formula", "source"]
    return Table("Evidence", columns, rows, note, numeric=9)
