"""Measure how far an order of optimizers carries: to a problem that is left out, and to other instances."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.chosen_runs import chosen, with_variant
from benchmarks.analysis.ranking import kendall_tau, standings
from benchmarks.engine.trial_choice import costs

SPLITS = 5  # of the instances, into halves


def carryover(
    runs: pandas.DataFrame,
    summary: pandas.DataFrame,
    family: Mapping[str, str],
    choice: str = "tuned",
    points: pandas.DataFrame | None = None,
) -> pandas.DataFrame:
    """Return how far the order of the optimizers on some problems carries to another problem.

    Only optimizers that were run on all problems count, and rungs that all of them ran or skipped. A skipped rung is
    missed.

    Args:
        runs: The rows of `runs.csv`, of the optimizers to order.
        summary: The rows of `summary.csv` of the same sweeps.
        family: By problem, the family of similar problems.
        choice: Which trial of each optimizer is taken.
        points: The rows of `breaking_points.csv`; without them there is no row for breaking points.

    Returns:
        One row for each way to order the optimizers on a problem: `by` breaking point, solved share (`by_share`) or
        cost (`by_cost`), with the columns of `agreement` and the `ceiling`, which is NaN for breaking points: they are
        not estimated from half of the instances.
    """
    rows = with_variant(chosen(runs, summary[summary["choice"] == choice]))
    ran = rows.groupby("optimizer")["problem"].nunique()
    names = ran.index[ran == rows["problem"].nunique()]
    common = rows[rows["optimizer"].isin(names)].assign(paid=lambda each: costs(each))
    every = {str(name): _paid(of_problem) for name, of_problem in common.groupby("problem")}
    paid = {name: each for name, each in every.items() if each.size}
    found = []
    if points is not None:
        known = standings(points[points["optimizer"].isin(names)], choice)
        places = known.pivot(index="problem", columns="optimizer", values="place")
        found.append({"by": "breaking point", **agreement(places, family), "ceiling": math.nan})
    for by, place in (("solved share", by_share), ("cost", by_cost)):
        places = pandas.DataFrame({name: place(each) for name, each in paid.items()}).T
        found.append(
            {"by": by, **agreement(places, family), "ceiling": ceiling(paid.values(), place)}
        )
    return pandas.DataFrame(found)


def agreement(places: pandas.DataFrame, family: Mapping[str, str]) -> dict[str, Any]:
    """Return how far problems agree on the places of optimizers.

    Args:
        places: Problems × optimizers, the ranks of the optimizers on each problem.
        family: By problem, the family of similar problems.

    Returns:
        How many `optimizers` and `problems` there are; `w`, Kendall's coefficient of concordance, corrected for ties: 1
        if all problems order the optimizers alike, and about 1/problems if their orders are unrelated; `tau`, Kendall's
        τ_b of the places on a problem and the mean places over all others (over the problems of a family, then over
        families), the mean over problems, without those on which all optimizers are tied. Kendall & Babington Smith
        1939 (Annals of Mathematical Statistics 10); Kendall 1945 (Biometrika 33).
    """
    problems, optimizers = places.shape
    of = np.array([family.get(str(name), str(name)) for name in places.index])
    taus, ties = [], 0
    for k, row in enumerate(places.to_numpy()):
        others = np.arange(problems) != k
        if others.any():
            taus.append(kendall_tau(places[others].groupby(of[others]).mean().mean(), row))
        alike = np.unique(row, return_counts=True)[1]
        ties += (alike**3 - alike).sum()
    squares = optimizers * places.sum().var(ddof=0)
    most = (problems**2 * (optimizers**3 - optimizers) - problems * ties) / 12
    return {
        "optimizers": optimizers,
        "problems": problems,
        "w": squares / most if most else math.nan,
        "tau": _mean(taus),
    }


def ceiling(paid: Iterable[np.ndarray], place: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the τ_b that the true places on a problem would have with the measured ones: no order can do better.

    It follows from the mean τ of the places on two halves of the instances, over problems and random halves. For normal
    scores τ = 2/π arcsin r (Greiner 1909); all instances together have the reliability R = 2r/(1 + r) (Spearman 1910,
    Brown 1910), and measured scores correlate with true ones by √R.

    Args:
        paid: For each problem, (rungs, instances, optimizers).
        place: `by_share` or `by_cost`.

    Returns:
        The ceiling; NaN if a problem has less than two instances everywhere, or all optimizers are tied.
    """
    generator = np.random.default_rng(0)
    taus = []
    for each in paid:
        for _ in range(SPLITS if each.shape[1] > 1 else 0):
            first, second = np.array_split(generator.permutation(each.shape[1]), 2)
            taus.append(kendall_tau(place(each[:, first]), place(each[:, second])))
    r = max(math.sin(math.pi / 2 * _mean(taus)), 0.0)
    return 2 / math.pi * math.asin(math.sqrt(2 * r / (1 + r)))


def by_share(paid: np.ndarray) -> np.ndarray:
    """Return the optimizers' places by the share of runs that they solve, of (rungs, instances, optimizers)."""
    return _ranks(-np.isfinite(paid).sum((0, 1)))


def by_cost(paid: np.ndarray) -> np.ndarray:
    """Return the optimizers' places by cost: the mean over rungs of the rank of the median, with misses infinite."""
    return _ranks(_ranks(np.median(paid, axis=1)).mean(0))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Return the ranks along the last axis, ties with their mean."""
    from scipy.stats import rankdata

    return rankdata(values, axis=-1)


def _mean(taus: list[float]) -> float:
    """Return the mean of those that are not NaN."""
    known = [each for each in taus if not math.isnan(each)]
    return float(np.mean(known)) if known else math.nan


def _paid(rows: pandas.DataFrame) -> np.ndarray:
    """Return what the runs of one problem paid for the target, (rungs, instances, optimizers)."""
    names = rows["optimizer"].nunique()
    rows = rows.drop_duplicates(["dial", "variant", "seed", "optimizer"])  # of several sweeps
    table = rows.pivot(index=["seed", "optimizer"], columns=["dial", "variant"], values="paid")
    everybody = table.notna().groupby(level="optimizer").any().all()
    complete = table.loc[:, everybody].dropna()
    complete = complete.groupby(level="seed").filter(lambda each: len(each) == names).sort_index()
    return complete.to_numpy().T.reshape(complete.shape[1], len(complete) // names, names)
