"""Comparisons of two optimizers on the same instances."""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.chosen_runs import ROUNDING, RUNG, chosen, with_variant
from benchmarks.analysis.intervals import median_interval, order_statistics, sign_test
from benchmarks.analysis.success import success
from benchmarks.engine.trial_choice import costs, log_gaps
from ravine import Refused

LEVEL = 0.05


def paired(first: np.ndarray, second: np.ndarray) -> dict[str, float]:
    """Compare two optimizers on the same instances.

    A miss against a solved run is an effect of ±inf. If both miss, it is unknown which would have cost more: the pair
    counts as −inf for the lower end and as +inf for the upper end, and `effect` is NaN if it depends on such pairs.

    Args:
        first: log10 of what the first paid, (pairs), +inf for a miss.
        second: The same of the second.

    Returns:
        `pairs`, `wins`, `losses` and `ties` of the second; `effect`, the median of log10 (second / first), with its
        exact interval `effect_low`, `effect_high` of coverage `level`; and `p` of the sign test.
    """
    with np.errstate(invalid="ignore"):
        ratio = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
        ratio = np.where(np.abs(ratio) <= ROUNDING, 0.0, ratio)
        low, high = (np.where(np.isnan(ratio), end, ratio) for end in (-np.inf, np.inf))
        ends = [float(np.median(each)) if len(each) else math.nan for each in (low, high)]
    wins, losses, n = int((ratio < 0).sum()), int((ratio > 0).sum()), len(ratio)
    return {
        "pairs": n,
        "wins": wins,
        "losses": losses,
        "ties": n - wins - losses,
        "effect": ends[0] if ends[0] == ends[1] else math.nan,
        "effect_low": float(median_interval(low)[0]),
        "effect_high": float(median_interval(high)[1]),
        "level": order_statistics(n)[1] if n else math.nan,
        "p": sign_test(wins, losses),
    }


def holm(p: Any, pairs: Any) -> np.ndarray:
    """Return Holm's adjusted p-values of sign tests: the probability of any false one is at most the level.

    In ascending order, the j-th is the maximum, up to it, of Σ over it and all after it of the probability that a test
    reports p or less; Holm 1979 uses p for that probability. With few pairs that differ it is less than p, and zero if
    even all of them on one side could not attain p: tests that cannot be significant cost the others nothing
    (Westfall & Wolfinger 1997, The American Statistician 51, 3–8).

    Args:
        p: The p-values, (tests).
        pairs: How many pairs differ in each test, (tests): wins and losses.

    Returns:
        The adjusted p-values, (tests).

    >>> holm([0.03125, 1.0, 1.0], [6, 0, 2])
    array([0.03125, 1.     , 1.     ])
    >>> holm([0.03125, 1.0], [6, 6])
    array([0.0625, 1.    ])
    """
    p, pairs = np.asarray(p, dtype=float), np.asarray(pairs, dtype=int)
    order = np.argsort(p, kind="stable")
    total = np.zeros(len(p))
    for n in np.unique(pairs):
        attainable = np.array([0.0, *(sign_test(k, int(n) - k) for k in range(int(n) // 2 + 1))])
        chance = attainable[np.searchsorted(attainable, p[order] * (1 + ROUNDING), "right") - 1]
        total += chance * (pairs[order] == n)[::-1].cumsum()[::-1]
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(total), 1)
    return adjusted


def differences(
    first: pandas.DataFrame,
    second: pandas.DataFrame,
    on: Sequence[str],
    noisy: Container[str] = (),
) -> pandas.DataFrame:
    """Return `paired` for each comparison that both frames have, with Holm's p over all of them.

    Args:
        first: Runs as `chosen` returns them, through `with_variant`.
        second: The same.
        on: The columns that name a comparison, `problem` among them; within it a seed is an instance.
        noisy: The problems that are compared by final gap; all others by cost to the target.

    Returns:
        One row per comparison: the columns `on`, `measure` (cost or gap), those of `paired`, and `p_holm`.

    Raises:
        Refused: If a comparison has the same seed twice, which means two searches under one name.
    """
    on = list(on)
    rows = []
    theirs = dict(iter(second.groupby(on, sort=False)))
    for name, group in first.groupby(on, sort=False):
        if name not in theirs:
            continue
        for each in (group, theirs[name]):
            if each["seed"].duplicated().any():
                raise Refused(f"two searches of the same, {', '.join(map(str, name))}: keep one")
        both = group.merge(theirs[name], on="seed", suffixes=("", " of the second"))
        twin = both[[f"{each} of the second" for each in MEASURED]].set_axis(MEASURED, axis=1)
        measure = "gap" if str(group["problem"].iloc[0]) in noisy else "cost"
        numbers = paired(_paid(both, measure), _paid(twin, measure))
        rows.append({**dict(zip(on, name, strict=True)), "measure": measure, **numbers})
    found = pandas.DataFrame(rows, columns=[*on, "measure", *paired(np.ones(1), np.ones(1))])
    differ = found["wins"].astype(int) + found["losses"].astype(int)
    return found.assign(p_holm=holm(found["p"], differ))


MEASURED = ["status", "gap_final", "cost", "cost_to_target"]


def _paid(runs: pandas.DataFrame, measure: str) -> np.ndarray:
    return log_gaps(runs) if measure == "gap" else np.log10(costs(runs))


def compare_optimizers(
    runs: pandas.DataFrame,
    summary: pandas.DataFrame,
    first: str,
    second: str,
    noisy: Container[str] = (),
) -> pandas.DataFrame:
    """Return `differences` of two optimizers by rung and choice.

    Args:
        runs: The rows of `runs.csv` of one or several sweeps.
        summary: The rows of `summary.csv` of the same sweeps.
        first: The name of an optimizer.
        second: The name of another; wins are its wins.
        noisy: The problems that are compared by final gap; all others by cost to the target.

    Returns:
        One row per rung and choice, as `differences` returns them.
    """
    found = with_variant(chosen(runs, summary))
    pair = (found[found["optimizer"] == name] for name in (first, second))
    return differences(*pair, on=[*RUNG, "choice"], noisy=noisy)


def over_families(
    found: pandas.DataFrame, family: Mapping[str, str], by: Sequence[str] = ("choice",)
) -> pandas.DataFrame:
    """Test whether differences hold across problems; families are the units, for problems of one are alike.

    A family's net is the mean, over its problems and before that over their rungs, of (wins − losses) / pairs.

    Args:
        found: What `differences` returns, with the columns `by` in it.
        family: By problem, its subsection; a problem that is not in it is a family of its own.
        by: The columns that name a row.

    Returns:
        One row per `by`: how many families are `better`, `worse` and `equal` by the sign of their net; `net`, their
        median with its exact interval; `p` of the sign test over families; `p_holm` over the rows.
    """
    by, rows = list(by), []
    counted = found[found["pairs"] > 0]
    net = ((counted["wins"] - counted["losses"]) / counted["pairs"]).astype(float)
    families = [family.get(name, name) for name in counted["problem"]]
    for name, group in counted.assign(net=net, family=families).groupby(by, sort=False):
        problems = group.groupby(["family", "problem"])["net"].mean()
        unit = problems.groupby("family").mean().round(9).to_numpy()
        better, worse = int((unit > 0).sum()), int((unit < 0).sum())
        low, high = median_interval(unit)
        rows.append({
            **dict(zip(by, name, strict=True)), "families": len(unit), "better": better,
            "worse": worse, "equal": len(unit) - better - worse, "net": float(np.median(unit)),
            "net_low": low, "net_high": high, "p": sign_test(better, worse),
        })  # fmt: skip
    names = ["families", "better", "worse", "equal", "net", "net_low", "net_high", "p"]
    table = pandas.DataFrame(rows, columns=[*by, *names])
    return table.assign(p_holm=holm(table["p"], (table["better"] + table["worse"]).astype(int)))


def told_apart(
    runs: pandas.DataFrame,
    summary: pandas.DataFrame,
    choice: str = "tuned",
    noisy: Container[str] = (),
) -> pandas.DataFrame:
    """Return which optimizers each rung tells apart.

    Nothing is adjusted for other pairs, so that no row changes when a method is added: of pairs that are alike, up
    to one in twenty is told apart.

    Args:
        runs: The rows of `runs.csv` of one or several sweeps.
        summary: The rows of `summary.csv` of the same sweeps.
        choice: Which trial of each optimizer is compared.
        noisy: The problems that are compared by final gap; all others by cost to the target.

    Returns:
        One row per rung and pair of optimizers, in alphabetical order: `wins` and `losses` of the second, `p` of
        the sign test, and `apart`, true if it is at most 5 %.
    """
    rows = []
    found = with_variant(chosen(runs, summary[summary["choice"] == choice]))
    for name, rung in found.groupby(RUNG, sort=False):
        measure = "gap" if str(name[0]) in noisy else "cost"
        measured = rung.assign(paid=_paid(rung, measure)).groupby("optimizer")
        paid = {str(each): group.set_index("seed")["paid"] for each, group in measured}
        for i, first in enumerate(paid):
            for second in list(paid)[i + 1 :]:
                one, other = paid[first].align(paid[second], join="inner")
                wins, losses = int((other < one).sum()), int((other > one).sum())
                p = sign_test(wins, losses)
                pair = {"first": first, "second": second, "wins": wins, "losses": losses, "p": p}
                rows.append({**dict(zip(RUNG, name, strict=True)), **pair, "apart": p <= LEVEL})
    names = [*RUNG, "first", "second", "wins", "losses", "p", "apart"]
    return pandas.DataFrame(rows, columns=names).astype({"apart": bool})


def discrimination(
    runs: pandas.DataFrame,
    summary: pandas.DataFrame,
    choice: str = "tuned",
    noisy: Container[str] = (),
) -> pandas.DataFrame:
    """Return how many optimizers each rung solves and tells apart.

    The share of rungs that tell none apart is `1 − table["separates"].mean()`; mostly all optimizers solve such a
    rung, or none does. `table.groupby("problem")["separates"].mean()` shows problems whose ladder should change.

    Args:
        runs: The rows of `runs.csv` of one or several sweeps.
        summary: The rows of `summary.csv` of the same sweeps.
        choice: Which trial of each optimizer is compared.
        noisy: The problems that are compared by final gap; all others by cost to the target.

    Returns:
        One row per rung with at least two optimizers: `optimizers`, how many of them are `solving` half of their
        instances, `pairs`, how many of these are told `apart`, and `separates`, true if any is.
    """
    pairs = told_apart(runs, summary, choice, noisy).groupby(RUNG, sort=False)
    table = pairs["apart"].agg(pairs="size", apart="sum", separates="any").reset_index()
    shares = success(chosen(runs, summary[summary["choice"] == choice])).groupby(RUNG, sort=False)
    solving = shares["share"].agg(
        optimizers="size", solving=lambda share: int((share >= 0.5).sum())
    )
    names = [*RUNG, "optimizers", "solving", "pairs", "apart", "separates"]
    return table.merge(solving.reset_index(), on=RUNG)[names].astype({"apart": int})
