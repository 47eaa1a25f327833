"""Rank optimizers on each problem by breaking point, and measure how much a ranking changes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.dial_axis import number
from problems import PROBLEMS


def standings(points: pandas.DataFrame, choice: str = "tuned") -> pandas.DataFrame:
    """Return the breaking points of a choice at the full budget with their ranks: one row per problem and optimizer.

    points: rows of `breaking_points.csv`, each optimizer once per problem.

    `text` is the breaking point, `low` and `high` its interval, `further` a key that is larger for the harder
    dial, `place` the rank among the optimizers on the problem: 1 is the furthest, ties share the mean rank (all
    beyond the same end of the rungs are tied).
    """
    shown = points[(points["choice"] == choice) & (points["budget"] == 1)]
    shown = shown.drop_duplicates(["problem", "optimizer"]).reset_index(drop=True)
    shown = shown.assign(unjudged=shown.get("unjudged", ""))
    # Of a column that is empty throughout pandas makes floats.
    sign, unjudged = (shown[name].astype(object).fillna("") for name in ("censored", "unjudged"))
    further = [
        _further(row, each) for row, each in zip(shown.to_dict("records"), sign, strict=True)
    ]
    table = shown[["problem", "optimizer", "low", "high", "theory"]].assign(
        text=[
            word.replace("_", " ") or number(value, each)
            for word, value, each in zip(unjudged, shown["breaking_point"], sign, strict=True)
        ],
        further=further,
    )
    place = table.groupby("problem")["further"].rank(ascending=False)
    return table.assign(place=place)


def _further(row: Mapping[Any, Any], sign: str) -> float:
    """Return a key that is larger for a harder dial: the dial, or its negative if a smaller dial is harder.

    The first and the last rung tell the direction, because noise has its own ladder. For a single rung, the problem's
    registered ladder tells it.
    """
    first, last = row["first_rung"], row["last_rung"]
    if first == last and row["problem"] in PROBLEMS:
        first, *_, last = PROBLEMS[row["problem"]].card.ladder
    falling = first > last
    value = {">": math.inf, "<": -math.inf}.get(sign, float(row["breaking_point"]))
    return -value if falling else value


def mean_places(table: pandas.DataFrame, family: Mapping[str, str]) -> pandas.Series:
    """Return the mean rank of each optimizer, best first: over a family's problems, then over families.

    Only optimizers that were run on all problems are ranked, among themselves.
    """
    everywhere = table.groupby("optimizer")["problem"].nunique() == table["problem"].nunique()
    common = table[table["optimizer"].map(everywhere)]
    place = common.groupby("problem")["further"].rank(ascending=False)
    families = [family.get(name, name) for name in common["problem"]]
    by = (
        common.assign(place=place, family=families).groupby(["optimizer", "family"])["place"].mean()
    )
    return by.groupby("optimizer").mean().sort_values(kind="stable")


def moved(
    before: pandas.DataFrame, after: pandas.DataFrame, family: Mapping[str, str]
) -> dict[str, Any]:
    """Compare two tables of `standings` on the optimizers and problems that both have.

    `tau` is the mean over problems of Kendall's τ_b of the ranks (Kendall 1945): 1 for the same order, 0 for
    unrelated orders. It counts the `problems` on which neither table has all optimizers tied. `pairs` is the number
    of pairs of optimizers on a problem that are strictly ordered in both tables, `flips` how many of them are in
    opposite order. `overall` is the τ_b of the mean ranks, `most` the optimizer whose mean rank changes most.
    """
    names, problems = (set(before[each]) & set(after[each]) for each in ("optimizer", "problem"))
    sides = [
        each[each["optimizer"].isin(names) & each["problem"].isin(problems)]
        for each in (before, after)
    ]
    both = sides[0].merge(sides[1], on=["problem", "optimizer"], suffixes=(" before", " after"))
    taus, flips, pairs = [], 0, 0
    for _, rows in both.groupby("problem"):
        one, other = (rows[f"further {each}"].rank().to_numpy() for each in ("before", "after"))
        first, second = np.triu_indices(len(one), 1)
        product = np.sign(one[first] - one[second]) * np.sign(other[first] - other[second])
        flips, pairs = flips + int((product < 0).sum()), pairs + int((product != 0).sum())
        if len(set(one)) > 1 and len(set(other)) > 1:
            taus.append(kendall_tau(one, other))
    means = pandas.concat(
        [mean_places(each, family) for each in sides],
        axis=1,
        join="inner",
        keys=["before", "after"],
    )
    said = ""
    if len(means):
        change = (means["after"] - means["before"]).abs()
        at = int(change.to_numpy().argmax())
        before_it, after_it = means.iloc[at]
        if change.iloc[at] > 0:
            said = f"{means.index[at]}, {before_it:.1f} → {after_it:.1f}"
    return {
        "problems": len(taus),
        "tau": float(np.mean(taus)) if taus else math.nan,
        "flips": flips,
        "pairs": pairs,
        "overall": kendall_tau(means["before"], means["after"]) if len(means) > 1 else math.nan,
        "most": said,
    }


def kendall_tau(first: Any, second: Any) -> float:
    """Return Kendall's τ_b; NaN if one of the two orders ties all, as one of a single place does."""
    if len(first) < 2:
        return math.nan
    from scipy.stats import kendalltau  # slow to import, and of use to few commands

    return float(kendalltau(first, second)[0])  # type: ignore[arg-type]
