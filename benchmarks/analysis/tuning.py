"""The effect of tuning: the best of k trials, and the setting that does best on other problems."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.chosen_runs import CELL, ROUNDING, with_numbers
from benchmarks.engine.trial_choice import costs, grid, keys, log_gaps


def best_of(runs: pandas.DataFrame, ks: Sequence[int] = (1, 2, 4, 8, 16, 24)) -> pandas.DataFrame:
    """Return what a search of k trials may expect, by cell.

    The choice is made on the tuning rows and scored on the reporting rows: otherwise the best of equals would look
    better than each of them. Of n trials in the order of the choice, the r-th is the best of k drawn without
    replacement with probability C(n − r, k − 1) / C(n, k) (order statistics; David & Nagaraja 2003).

    A refinement trial exists only once the Sobol trials are known. So k up to their number are drawn from them; a
    larger k is the number of all searched trials, which is the choice `tuned`. Other k are left out, as are
    optimizers with nothing to search.

    Args:
        runs: The rows of `runs.csv`.
        ks: Numbers of trials.

    Returns:
        One row per cell and k: `solved`, the mean share of solved instances, and `cost`, the median of what is paid
        over searches and instances in gradients, infinite if half miss.
    """
    rows = []
    for _, cell in with_numbers(runs).groupby("cell", sort=False):
        first = cell.iloc[0]
        sobol, searched = (
            cell[cell["search"].isin(kinds)] for kinds in (["sobol"], ["sobol", "refined"])
        )
        total, refined = searched["trial"].nunique(), (searched["search"] == "refined").any()
        of_sobol = _in_order(sobol)
        for k in ks:
            cost = _in_order(searched) if refined and k == total else of_sobol
            if k > len(cost):
                continue
            weights = best_rank_chances(len(cost), k)
            each = np.repeat(weights / cost.shape[1], cost.shape[1])
            rows.append({
                **{name: first[name] for name in CELL},
                "k": k,
                "solved": float(weights @ np.isfinite(cost).mean(axis=1)),
                "cost": weighted_median(cost.ravel(), each),
            })  # fmt: skip
    return pandas.DataFrame(rows, columns=[*CELL, "k", "solved", "cost"])


def best_rank_chances(n: int, k: int) -> np.ndarray:
    """Return the probability that the r-th best of n is the best of k of them, for r = 1 … n.

    Args:
        n: How many there are.
        k: How many are drawn, without replacement.

    Returns:
        The probabilities, (n).

    Examples:
        >>> best_rank_chances(4, 2)
        array([0.5       , 0.33333333, 0.16666667, 0.        ])
    """
    return np.array([math.comb(n - r, k - 1) / math.comb(n, k) for r in range(1, n + 1)])


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the median of a distribution on some values.

    Args:
        values: The values, (n).
        weights: Their probabilities, (n), up to a factor.

    Returns:
        The median; between two values that halve the distribution, their mean.
    """
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / np.sum(weights)
    low, high = (values[order][np.argmax(below > 0.5 + by)] for by in (-ROUNDING, ROUNDING))
    return float((low + high) / 2)


def _criteria(runs: pandas.DataFrame) -> tuple[np.ndarray, ...]:
    """Return the criteria of a choice among these trials of one cell, by ascending trial number."""
    tuning = runs[runs["role"] == "tuning"]
    trials = (np.unique(runs["trial"]), tuning["trial"].to_numpy())
    seeds = (np.unique(tuning["seed"]), tuning["seed"].to_numpy())
    return keys(grid(costs(tuning), trials, seeds), grid(log_gaps(tuning), trials, seeds))


def _in_order(runs: pandas.DataFrame) -> np.ndarray:
    """Return the reporting costs of the trials of one cell, the one that tuning prefers first."""
    reporting = runs[runs["role"] == "reporting"]
    trials = (np.unique(runs["trial"]), reporting["trial"].to_numpy())
    seeds = (np.unique(reporting["seed"]), reporting["seed"].to_numpy())
    return grid(costs(reporting), trials, seeds)[np.lexsort(_criteria(runs)[::-1])]


def transfer(runs: pandas.DataFrame, family: Mapping[str, str]) -> pandas.DataFrame:
    """Return the trial that did best on other subsections' problems, by cell: the setting without tuning here.

    Of a cell's Sobol trials (the same settings everywhere, in the units of the problem), it is the one with the
    least mean rank on the tuning rows of all problems of other families; ties go to the lower number. Ranks are in
    the order of the choice `tuned`, and equals share theirs. They are averaged over a problem's cells, then over a
    family's problems, then over families, so that a larger family counts no more. Only cells that ran all trials of
    this one count. An optimizer with nothing to search has one trial.

    Args:
        runs: The rows of `runs.csv`.
        family: By problem, its subsection; a problem that is not in it is a family of its own.

    Returns:
        One row per cell: `trial`, and `families`, how many families it was chosen on. Cells without any are left out.
    """
    rows = []
    sound = with_numbers(runs)
    alone = sound.groupby("cell")["trial"].transform("nunique") == 1
    for _, own in sound[(sound["search"] == "sobol") | alone].groupby("optimizer", sort=False):
        cells = [
            (cell.iloc[0], np.unique(cell["trial"]).astype(int), np.stack(_criteria(cell), axis=1))
            for _, cell in own.groupby("cell", sort=False)
        ]
        homes = [family.get(first["problem"], first["problem"]) for first, _, _ in cells]
        by_trials: dict[tuple[int, ...], pandas.DataFrame] = {}
        for (first, trials, _), home in zip(cells, homes, strict=True):
            key = tuple(trials)
            if key not in by_trials:
                by_trials[key] = _mean_ranks(cells, homes, trials)
            elsewhere = by_trials[key].drop(index=home, errors="ignore")
            if len(elsewhere):
                mean = elsewhere.mean().round(9)  # equal means may differ in the last digit
                rows.append({
                    **{name: first[name] for name in CELL},
                    "trial": mean.index[int(np.argmin(mean))],
                    "mean_rank": mean.min(),
                    "families": len(elsewhere),
                })  # fmt: skip
    return pandas.DataFrame(rows, columns=[*CELL, "trial", "mean_rank", "families"])


def _mean_ranks(
    cells: Sequence[tuple[Any, np.ndarray, np.ndarray]], homes: Sequence[str], trials: np.ndarray
) -> pandas.DataFrame:
    """Return the mean rank of each of these trials (columns) among themselves, by family (rows)."""
    ranks = [
        {"family": home, "problem": first["problem"], **_ranks(theirs, criteria, trials)}
        for (first, theirs, criteria), home in zip(cells, homes, strict=True)
        if np.isin(trials, theirs).all()
    ]
    return pandas.DataFrame(ranks).groupby(["family", "problem"]).mean().groupby("family").mean()


def _ranks(there: np.ndarray, criteria: np.ndarray, trials: np.ndarray) -> dict[int, float]:
    """Return the rank of each of `trials` among themselves, by criteria (there, 3)."""
    _, place = np.unique(criteria[np.isin(there, trials)], axis=0, return_inverse=True)
    return dict(zip(trials.tolist(), pandas.Series(place.ravel()).rank().tolist(), strict=True))
