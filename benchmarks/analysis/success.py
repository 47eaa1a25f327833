"""Shares of solved runs, their cost, and their sensitivity to the learning rate."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.chosen_runs import CELL, with_numbers
from benchmarks.analysis.intervals import wilson
from benchmarks.engine.trial_choice import costs


def expected_running_time(runs: pandas.DataFrame) -> float:
    """Return the cost of restarting until solved: the total cost of these runs over the number of solved ones.

    A solved run costs what it paid up to the target, a failed one its whole cost. Hansen et al. 2021, COCO,
    arXiv:1603.08785 (there ERT or aRT).

    Args:
        runs: Runs of one optimizer on one cell.

    Returns:
        The cost in gradients, infinite if no run is solved.
    """
    paid, solved = costs(runs), (runs["status"] == "solved").to_numpy()
    if not solved.any():
        return math.inf
    return float(np.where(solved, paid, runs["cost"].to_numpy(dtype=float)).sum() / solved.sum())


def success(runs: pandas.DataFrame) -> pandas.DataFrame:
    """Return how many runs of each choice are solved.

    Args:
        runs: Runs as `chosen` returns them.

    Returns:
        One row per cell and choice: `share` with its Wilson interval, and the expected running time in gradients.
    """
    rows = []
    for _, group in with_numbers(runs).groupby(["cell", "choice"], sort=False):
        first, solved = group.iloc[0], int((group["status"] == "solved").sum())
        rows.append({
            **{name: first[name] for name in [*CELL, "choice", "trial"]},
            **_shares(solved, len(group)),
            "expected_running_time": expected_running_time(group),
        })  # fmt: skip
    names = [*CELL, "choice", "trial", *_shares(0, 1), "expected_running_time"]
    return pandas.DataFrame(rows, columns=names)


def _shares(solved: int, runs: int) -> dict[str, float]:
    low, high = wilson(solved, runs)
    return {"runs": runs, "solved": solved, "share": solved / runs, "low": low, "high": high}


def sensitivity(runs: pandas.DataFrame) -> pandas.DataFrame:
    """Return the solved share of reporting instances by learning rate.

    If another hyperparameter is searched too, neighbours in `u` differ in it: the curve is a projection.

    Args:
        runs: The rows of `runs.csv`.

    Returns:
        One row per Sobol trial, ordered by `u` (the learning rate in the problem's units) within each cell, with
        the share and its Wilson interval.
    """
    names = [*CELL, "trial", "u", *_shares(0, 1)]
    if "u" not in runs:
        return pandas.DataFrame(columns=names)
    sound = with_numbers(runs)
    searched = sound[(sound["search"] == "sobol") & (sound["role"] == "reporting")].dropna(
        subset="u"
    )
    rows = []
    for _, group in searched.groupby(["cell", "trial"], sort=False):
        first, solved = group.iloc[0], int((group["status"] == "solved").sum())
        rows.append({
            **{name: first[name] for name in [*CELL, "trial", "u"]}, **_shares(solved, len(group)),
        })  # fmt: skip
    return pandas.DataFrame(rows, columns=names).sort_values(
        [*CELL, "u"], ignore_index=True, kind="stable"
    )


def attainment(
    traces: pandas.DataFrame,
    target: Mapping[str, float],
    *,
    by: Sequence[str] = ("optimizer",),
    count: int = 50,
) -> pandas.DataFrame:
    """Return the share of pairs of a run and a target that are reached within a cost (an ECDF).

    A problem's targets are log-uniform in the gap, from 1 (the start, excluded) down to its own target. A target is
    reached at the first recorded step whose gap is at most that. Steps are recorded 20 per decade, so costs are at most
    12 % too high. Pairs that are never reached count, so that the share ends below 1. Hansen et al. 2021,
    arXiv:1603.08785, there with the reference of each problem as a target.

    Args:
        traces: The rows of `traces.parquet`, through `chosen`.
        target: By problem; problems that are not in it, whose minimum is unknown, are left out.
        by: The columns that name a curve. Rows must be of one choice, or `choice` be among these columns. Runs that
            were not traced do not count.
        count: How many targets a problem has.

    Returns:
        One row per curve and cost at which it rises: the columns `by`, `cost` in gradients, `share`, `pairs`.
    """
    by = list(by)
    known = traces[traces["problem"].isin(list(target))]
    run = list(dict.fromkeys([*by, "cell", "trial", "seed"]))
    hits: dict[tuple[Any, ...], list[np.ndarray]] = {}
    for names, rows in known.sort_values("step").groupby(run, sort=False, dropna=False):
        levels = np.geomspace(1, target[str(rows["problem"].iloc[0])], count + 1)[1:]
        reached = np.fmin.accumulate(rows["gap"].to_numpy(dtype=float))
        # Traces are float32: this is their rounding.
        at = np.searchsorted(-reached, -levels * (1 + 1e-6))
        paid = np.append(rows["cost"].to_numpy(dtype=float), np.inf)[at]
        hits.setdefault(names[: len(by)], []).append(paid)
    curves = []
    for name, paid in hits.items():
        every = np.concatenate(paid)
        cost, number = np.unique(every[np.isfinite(every)], return_counts=True)
        curves.append(
            pandas.DataFrame({"cost": cost, "share": number.cumsum() / len(every)}).assign(
                pairs=len(every), **dict(zip(by, name, strict=True))
            )
        )
    names = [*by, "cost", "share", "pairs"]
    return pandas.concat(curves)[names].reset_index(drop=True) if curves else pandas.DataFrame(
        columns=names
    )  # fmt: skip
