"""Read what happened in a run from its log alone: a CSV file, JSON lines, or event files of TensorBoard.

A log has the loss, and perhaps the learning rate and the norm of the gradient, so that only readings of first order
are possible: where the loss is not finite, where it stalls, how much it scatters, what the rate and the gradient did.
"""

from __future__ import annotations

import csv
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from ravine import Refused, nearest

USAGE = "read LOG, a CSV file, JSON lines, a trainer_state.json, or event files of TensorBoard"
NAMES = {  # columns, without "train_" before them, "_train" behind, or the optimizer's name behind "lr-"
    "loss": ("loss",),
    "step": ("step", "global_step", "iteration", "iter"),
    "lr": ("lr", "learning_rate"),
    "grad_norm": ("grad_norm", "gradient_norm"),
}
FEWEST = 20  # values from which a fall can be told from scatter
JUMP = 10.0  # a jump is this many times the median of the values before it
BEFORE = 16  # values before a jump
RARE = 0.01  # share of the values up to which jumps of the loss are told from scatter
ORDERS = 1e3  # a norm that changes by this factor vanishes or explodes
SURE = 3.0  # standard errors from which a change of the level is no chance
LOW = 4.0  # the same for the lowest of many means, which is low by chance
SLIGHT = 0.01  # share of the whole fall below which a fall counts as a standstill
DECAYED = 0.5  # share of its largest value below which the learning rate is mentioned
CANNOT = (
    "A log cannot tell which cause this has: ill-conditioning, a saddle, a plateau, a rate that is too large or too "
    "small, and layers whose gradient vanishes need measurements (docs/doctor.md)."
)


@dataclass(frozen=True)
class Series:
    """Values by step, both of shape (length,); the steps do not decrease."""

    step: np.ndarray
    value: np.ndarray

    def __len__(self) -> int:
        return len(self.step)

    def at(self, step: float) -> float:
        """Return the last value up to a step, or the first one."""
        return float(self.value[max(np.searchsorted(self.step, step, side="right") - 1, 0)])

    @property
    def finite(self) -> Series:
        """Return the finite values with their steps."""
        known = np.isfinite(self.value)
        return Series(self.step[known], self.value[known])


@dataclass(frozen=True)
class Log:
    """The log of one run.

    Attributes:
        loss: The training loss.
        lr: The learning rate; empty if it is not in the log.
        grad_norm: The norm of the gradient; empty if it is not in the log.
    """

    loss: Series
    lr: Series
    grad_norm: Series


def readings(log: Log) -> list[str]:
    """Say what happened in a run, each with its numbers.

    Args:
        log: The log of the run.

    Returns:
        One sentence or more for each thing that was seen, the loss first.
    """
    return [*_of_loss(log), *_of_rate(log.lr), *_of_gradient(log.grad_norm)]


def read(path: Path) -> Log:
    """Read the log of one run.

    Args:
        path: A CSV file, JSON lines, a JSON file with a list of objects or a `log_history`, an event file of
            TensorBoard, or a folder with event files.

    Returns:
        The log. If its steps go back, as where a second run was appended, only the last run counts.

    Raises:
        Refused: If there is no such file, or no loss in it.
    """
    if not _exists(path):
        there = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        raise Refused(f"no such file: {path}{_hint(path.name, there)}")
    columns = _events(path) if path.is_dir() or "tfevents" in path.name else _columns(path)
    found = {kind: _named(columns, NAMES[kind]) for kind in ("loss", "lr", "grad_norm")}
    if found["loss"] is None:
        there = shorten(", ".join(columns), 200, placeholder=" …")
        hint = _hint("train_loss", columns)
        raise Refused(f"{path} has no column loss or train_loss, but {there}{hint}")
    nothing = Series(np.empty(0), np.empty(0))
    series = {kind: nothing if name is None else columns[name] for kind, name in found.items()}
    if not len(series["loss"]):
        raise Refused(f"{path} has no value of the loss")
    return Log(**{kind: _last_run(each) for kind, each in series.items()})


def _hint(name: str, there: Iterable[str]) -> str:
    """Return ", did you mean …?" if one of these names is near."""
    close = nearest(name, there).partition(" (")[0]
    return f", {close}" if close.startswith("did") else ""


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long
        return False


def _of_loss(log: Log) -> Iterator[str]:
    loss, known = log.loss, log.loss.finite
    wrong = np.flatnonzero(~np.isfinite(loss.value))
    if len(wrong):
        later = loss.finite.step > loss.step[wrong[0]]
        went_on = f"; it was finite again at step {known.step[later][0]:.0f}" if later.any() else ""
        yield (
            f"The loss is {loss.value[wrong[0]]:g} at step {loss.step[wrong[0]]:.0f}, and not finite in "
            f"{len(wrong)} of {len(loss)} values{went_on}."
        )
    if not len(known):
        return
    value, low = known.value, int(np.argmin(known.value))
    start, end = _ends(value)
    yield (
        f"The loss is {start:.3g} at the start and {end:.3g} at the end (medians over a twentieth of {len(value)} "
        f"values, steps {known.step[0]:.0f} to {known.step[-1]:.0f}); its lowest value is {value[low]:.3g}, at step "
        f"{known.step[low]:.0f}."
    )
    if len(value) < FEWEST:
        few = "1 value is" if len(value) == 1 else f"{len(value)} values are"
        yield f"{few} too few to tell a fall from scatter: {FEWEST} are needed."
        return
    if end > start + JUMP * max(abs(start), start - value[low]):
        yield f"The loss diverged, from {start:.3g} to {end:.3g}."
        return
    yield from _jumps_of_loss(known)
    yield _trend(log, known, start, end)


def _jumps_of_loss(known: Series) -> Iterator[str]:
    """Say where the loss jumps up, unless it does so all the time: then it scatters."""
    value = known.value
    windows = np.lib.stride_tricks.sliding_window_view(value[:-1], BEFORE)
    usual = np.median(windows, axis=1)
    spread = np.median(np.abs(windows - usual[:, None]), axis=1)
    height = value[BEFORE:] - usual
    high = np.flatnonzero(height > JUMP * np.maximum(spread, SLIGHT * np.abs(usual)))
    first = high[np.diff(high, prepend=-BEFORE - 1) > BEFORE]  # a jump is over after so many values
    if not len(first) or len(first) > max(1, RARE * len(value)):
        return
    k = int(first[np.argmax(height[first])])
    peak = BEFORE + k + int(np.argmax(value[BEFORE + k : 2 * BEFORE + k]))
    back = np.flatnonzero(value[peak:] <= usual[k] + spread[k])
    after = (
        f"it is back at that level by step {known.step[peak + back[0]]:.0f}"
        if len(back)
        else "it does not get back to that level"
    )
    often = "once" if len(first) == 1 else f"{len(first)} times"
    yield (
        f"The loss jumps {often}: from about {usual[k]:.3g} to {value[peak]:.3g} at step {known.step[peak]:.0f}; "
        f"{after}."
    )


def _trend(log: Log, known: Series, start: float, end: float) -> str:
    """Say whether the loss still falls, rises or stands still, from the last two quarters of the values."""
    value, quarter = known.value, len(known) // 4
    before, last = value[-2 * quarter : -quarter], value[-quarter:]
    fall = float(before.mean() - last.mean())
    error = math.sqrt((before.var(ddof=1) + last.var(ddof=1)) / quarter)
    means = (
        f"{before.mean():.4g} and then {last.mean():.4g} in the last two quarters, ± {error:.1g}"
    )
    if abs(fall) > SURE * error and abs(fall) > SLIGHT * abs(start - end):
        if fall > 0:
            return f"It is still falling at the end ({means}): train longer before judging it."
        return f"It rises at the end ({means}): the rate may be too large for where the run is."
    level, scatter = float(last.mean()), float(last.std(ddof=1))
    running, at = _running(known)
    best = int(np.argmin(running))
    lost = level - running[best] - LOW * scatter / math.sqrt(len(value) // 20)
    if lost > 0 and start - running[best] > 2 * (start - level):
        return (
            f"It lost what it had gained: its running mean was {running[best]:.3g} about step {at[best]:.0f}, and is "
            f"{level:.3g} over the last quarter."
        )
    far = np.flatnonzero(np.abs(running - level) > max(SURE * scatter, SLIGHT * abs(start - level)))
    since = float(at[min(far[-1] + 1, len(at) - 1)] if len(far) else at[0])
    if not len(far):
        text = f"It never left the level of its start: {level:.4g} ± {scatter:.2g} ({means})."
    else:
        text = f"It stalls at {level:.4g} from about step {since:.0f} on ({means})."
        rates = log.lr.finite
        if (largest := rates.value.max(initial=0.0)) > 0:
            text += (
                f" The learning rate was then {rates.at(since) / largest:.2g} times its largest."
            )
    if scatter > SLIGHT * max(abs(start - level), abs(level)):
        text += (
            f" It scatters about that level with standard deviation {scatter:.2g}: noise of the batches, or "
            "steps to and fro."
        )
    return text


def _of_rate(lr: Series) -> Iterator[str]:
    known = lr.finite
    if len(known) and (largest := float(known.value.max())) > 0:
        last, at = float(known.value[-1]), known.step[int(np.argmax(known.value))]
        if last < DECAYED * largest:
            yield (
                f"The learning rate fell to {last / largest:.2g} of its largest: {largest:.3g} at step {at:.0f}, "
                f"{last:.3g} at the end."
            )


def _of_gradient(norm: Series) -> Iterator[str]:
    wrong = np.flatnonzero(~np.isfinite(norm.value))
    if len(wrong):
        yield (
            f"The gradient's norm is {norm.value[wrong[0]]:g} at step {norm.step[wrong[0]]:.0f}, and not finite in "
            f"{len(wrong)} of {len(norm)} values."
        )
    known = norm.finite
    if len(known) <= BEFORE:
        return
    value = known.value
    start, end = _ends(value)
    if end * ORDERS < start:
        yield f"The gradient vanishes: its norm is {start:.3g} at the start and {end:.3g} at the end."
    if end > ORDERS * start:
        yield f"The gradient explodes: its norm is {start:.3g} at the start and {end:.3g} at the end."
    usual = np.median(np.lib.stride_tricks.sliding_window_view(value[:-1], BEFORE), axis=1)
    above = value[BEFORE:] / np.where(usual > 0, usual, np.nan)
    jumps = int((above > JUMP).sum())
    if jumps:
        k = int(np.nanargmax(above))
        often = "once" if jumps == 1 else f"{jumps} times"
        yield (
            f"The gradient's norm jumps {often}: at step {known.step[BEFORE + k]:.0f} it is {value[BEFORE + k]:.3g}, "
            f"{above[k]:.3g} times the median of the {BEFORE} values before. Clipping limits "
            "such a step."
        )


def _ends(value: np.ndarray) -> tuple[float, float]:
    """Return the medians of the first and of the last twentieth."""
    few = max(len(value) // 20, 1)
    return float(np.median(value[:few])), float(np.median(value[-few:]))


def _running(known: Series) -> tuple[np.ndarray, np.ndarray]:
    """Return the means over a twentieth of the values, and the steps at which each begins."""
    few = max(len(known) // 20, 1)
    means = np.convolve(known.value, np.full(few, 1 / few), mode="valid")
    return means, known.step[: len(means)]


def _last_run(series: Series) -> Series:
    back = np.flatnonzero(np.diff(series.step) < 0)
    first = back[-1] + 1 if len(back) else 0
    return Series(series.step[first:], series.value[first:])


def _named(columns: Iterable[str], names: Sequence[str]) -> str | None:
    """Return the first column of such a name, the plain name before those with an addition."""
    for plain in (str.lower, _plain):
        for column in columns:
            if plain(column) in names:
                return column
    return None


def _plain(column: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "_", column.lower())
    return re.sub(r"^(train|training|trainer)_|_train$|(?<=loss)_step$|(?<=^lr)_.*", "", name)


def _columns(path: Path) -> dict[str, Series]:
    """Return the columns of a file of text, each without the rows in which it is empty."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise Refused(f"{path} cannot be read as text: {USAGE}") from error
    if not text.strip():
        raise Refused(f"{path} is empty")
    try:
        rows = _objects(path, text) if text.lstrip()[0] in "{[" else _table(text)
    except csv.Error as error:
        raise Refused(f"{path} is no table: {error}") from error
    if not rows:
        raise Refused(f"{path} has no rows")
    columns: dict[str, tuple[list[float], list[float]]] = {}
    counted = _named(dict.fromkeys(name for row in rows for name in row), NAMES["step"])
    for number, row in enumerate(rows, 1):
        step = number if counted is None else _number(row.get(counted))
        for name, given in row.items():
            steps, values = columns.setdefault(name, ([], []))
            if (value := _number(given)) is not None and step is not None:
                steps.append(step)
                values.append(value)
    return {name: Series(*map(np.array, both)) for name, both in columns.items()}


def _table(text: str) -> list[dict[str, Any]]:
    lines = text.strip().splitlines()
    separator = max(",;\t", key=lines[0].count)
    rows = csv.DictReader(lines, delimiter=separator, restkey="", skipinitialspace=True)
    return [{name: value for name, value in row.items() if name} for row in rows]


def _objects(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)
    except json.JSONDecodeError:
        found = []
        for number, line in enumerate(text.splitlines(), 1):
            try:
                found += [json.loads(line)] if line.strip() else []
            except json.JSONDecodeError as error:
                raise Refused(f"{path}, line {number} is not JSON: {error.msg}") from error
    if isinstance(found, Mapping):
        found = found.get("log_history", [found])
    if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
        raise Refused(f"{path} must hold a list of objects, a log_history, or one object a line")
    return [dict(_flat(each)) for each in found]


def _flat(given: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the values of nested objects by their paths: {"train": {"loss": 1}} has train.loss."""
    for name, value in given.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _number(given: object) -> float | None:
    """Return a number, or None for what is empty or no number."""
    try:
        return None if isinstance(given, bool) else float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _events(path: Path) -> dict[str, Series]:
    """Return the scalars of TensorBoard's event files, by tag."""
    if path.is_dir():
        folders = sorted({each.parent for each in path.rglob("*tfevents*")})
        if len(folders) != 1:
            runs = ", ".join(str(each) for each in folders)
            what = (
                f"event files of several runs: {runs}" if folders else "no event file (…tfevents…)"
            )
            raise Refused(f"{path} has {what}; {USAGE}")
        path = folders[0]
    try:
        from tensorboard.backend.event_processing import (  # pyright: ignore[reportMissingImports]
            event_accumulator,
        )
    except ImportError as error:
        raise Refused(
            "event files are read by tensorboard: pip install -c constraints.txt -e '.[tensorboard]'"
        ) from error
    events = event_accumulator.EventAccumulator(str(path), {event_accumulator.SCALARS: 0}).Reload()
    scalars = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    return {
        tag: Series(np.array([float(each.step) for each in rows]), np.array([each.value for each in rows]))
        for tag, rows in scalars.items()
    }  # fmt: skip
