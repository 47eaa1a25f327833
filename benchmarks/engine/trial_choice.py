"""Choose the trial that represents an optimizer, on the tuning rows alone.

The order is lexicographic: most runs solved, then the least median cost to the target (infinite if it
is missed), then the least median log10 of the final gap, then the lowest trial number. The choice depends
on one optimizer's rows only, so that adding another optimizer changes nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas

SMALLEST = 1e-300  # replaces gaps ≤ 0 (zero, or negative by rounding) in logarithms


def choose(runs: pandas.DataFrame) -> dict[str, int]:
    """Return the chosen trials of one cell (problem, rung and optimizer), by the name of the choice.

    "default" is trial 0, if there is one; "tuned" is the best other trial, or trial 0 if there is no other.
    """
    trials = np.unique(runs["trial"].to_numpy())
    tuning = (runs["role"] == "tuning").to_numpy()
    trial, seed = runs["trial"].to_numpy()[tuning], runs["seed"].to_numpy()[tuning]
    axes = ((trials, trial), (np.unique(seed), seed))
    criteria = keys(grid(costs(runs)[tuning], *axes), grid(log_gaps(runs)[tuning], *axes))
    allowed = (trials > 0) | (len(trials) == 1)
    default = {"default": 0} if trials[0] == 0 else {}
    return {**default, "tuned": int(trials[best(allowed, *criteria)])}


def costs(runs: pandas.DataFrame) -> np.ndarray:
    """Return the cost of each run to the target: +inf if it is not solved, for any reason.

    A run that is solved without having entered the target (judged at its last point) has its whole cost.
    """
    entry, spent = (runs[name].to_numpy(dtype=float) for name in ("cost_to_target", "cost"))
    solved = (runs["status"] == "solved").to_numpy()
    return np.where(solved, np.where(np.isnan(entry), spent, entry), np.inf)


def log_gaps(runs: pandas.DataFrame) -> np.ndarray:
    """Return log10 of each run's final gap: +inf if it diverged or has none."""
    gap = runs["gap_final"].to_numpy(dtype=float)
    ended = (runs["status"] != "diverged").to_numpy() & ~np.isnan(gap)
    return np.where(ended, np.log10(np.maximum(np.where(ended, gap, 1), SMALLEST)), np.inf)


def grid(values: np.ndarray, *axes: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Arrange one value per row into an array with one axis for each pair (sorted labels, labels of the rows).

    NaN where no row has the labels.
    """
    array = np.full([len(labels) for labels, _ in axes], np.nan)
    array[tuple(np.searchsorted(labels, rows) for labels, rows in axes)] = values
    return array


def keys(cost: np.ndarray, log_gap: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the three criteria of a choice, less is better: (*batch, seeds) -> three of (*batch)."""
    return -np.isfinite(cost).sum(axis=-1), median(cost), median(log_gap)


def median(values: np.ndarray) -> np.ndarray:
    """Return the median over the last axis; on short axes numpy's own takes several times as long."""
    values = np.sort(values, axis=-1)
    n = values.shape[-1]
    if n == 0:
        return np.full(values.shape[:-1], np.inf)
    low, high = values[..., (n - 1) // 2], values[..., n // 2]
    return low if n % 2 else (low + high) / 2


def best(allowed: np.ndarray, *criteria: np.ndarray) -> np.ndarray:
    """Return the first allowed trial with the least criterion; ties go to the next criterion.

    `allowed` and each criterion are (*batch, trials) or broadcast to it; the result is (*batch).
    """
    left = allowed
    for criterion in criteria:
        value = np.where(left, criterion, np.inf)
        left = left & (value == value.min(axis=-1, keepdims=True))
    return left.argmax(axis=-1)
