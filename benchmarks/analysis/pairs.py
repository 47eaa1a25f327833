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
    """How the second does against the first on the same instances.

    first, second: (pairs), log10 of what each paid, +inf for a miss.

    `wins`, `losses` and `ties` of the second, and the median of log10 (second / first) as `effect`
    with its exact interval, of coverage `level`. A miss against a solved run is an effect of ±inf.
    Where both miss, nobody knows which would have been dearer: such a pair counts as −inf for the
    lower end and as +inf for the upper one, and `effect` is NaN where it depends on them. `p` is
    the sign test's.
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
    """Holm's adjusted p of sign tests, (tests): the chance of any false one is at most the level.

    In ascending order, the j-th is the most, up to it, of Σ over it and all after it of the chance
    that a test reports p or less; Holm 1979 has p itself for that chance. With few pairs that
    differ it is less, and zero where even all of them on one side would not attain p: what cannot
    be significant costs the others nothing (Westfall & Wolfinger 1997, The American Statistician
    51, 3–8).

    pairs: (tests), those that differ in each test, wins and losses.

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
    """`paired` for each comparison that both have, with Holm's p over all of them.

    first, second: runs as `chosen` returns them, through `with_variant`.
    on: the columns that name a comparison, `problem` among them; within it a seed is an instance.
    noisy: the problems that are judged by the final gap, the others by the cost to the target.

    Columns: on, `measure` (cost or gap), those of `paired`, and `p_holm`. Raises Refused where a
    comparison has the same seed twice, which are two searches under one name.
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
    """How the second optimizer does against the first: `differences` by rung and choice."""
    found = with_variant(chosen(runs, summary))
    pair = (found[found["optimizer"] == name] for name in (first, second))
    return differences(*pair, on=[*RUNG, "choice"], noisy=noisy)


def over_families(
    found: pandas.DataFrame, family: Mapping[str, str], by: Sequence[str] = ("choice",)
) -> pandas.DataFrame:
    """Whether a difference holds across problems: families are the units, for few are independent.

    A family's `net` is the mean, over its problems and before that over their rungs, of
    (wins − losses) / pairs. `better`, `worse` and `equal` count the families by its sign; `net` is
    their median with its exact interval, `p` the sign test's over families, `p_holm` over the rows.

    found: as `differences` returns it, with the columns `by` in it. family: as for `transfer`.
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
    """Which rung separates whom: one row a rung and pair of optimizers, in alphabetical order.

    `wins` and `losses` of the second, the sign test's `p`, and `apart`: whether that is at most
    5 %. Nothing is adjusted for other pairs, so that none moves when a method joins: of pairs that
    are alike, up to one in twenty is told apart.
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
    """What each rung is good for: one row a rung with at least two optimizers.

    `optimizers`, how many of them are `solving` half of their instances, the `pairs` and how many
    are told `apart`, and `separates`: whether any is. A rung that does not is alike for everybody:
    mostly all solve it, or none does. Their share is `1 − table["separates"].mean()`; by problem,
    `table.groupby("problem")["separates"].mean()` is what asks for another ladder where it is low.
    """
    pairs = told_apart(runs, summary, choice, noisy).groupby(RUNG, sort=False)
    table = pairs["apart"].agg(pairs="size", apart="sum", separates="any").reset_index()
    shares = success(chosen(runs, summary[summary["choice"] == choice])).groupby(RUNG, sort=False)
    solving = shares["share"].agg(
        optimizers="size", solving=lambda share: int((share >= 0.5).sum())
    )
    names = [*RUNG, "optimizers", "solving", "pairs", "apart", "separates"]
    return table.merge(solving.reset_index(), on=RUNG)[names].astype({"apart": int})
