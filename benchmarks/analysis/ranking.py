"""Who gets further than whom: optimizers put in order on each problem, and how much such an order moves."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas
from scipy.stats import kendalltau, rankdata

from benchmarks.analysis.dial_axis import number
from problems import PROBLEMS


def standings(points: pandas.DataFrame, choice: str = "tuned") -> pandas.DataFrame:
    """The breaking points of a choice at the whole budget, in order: one row a problem and optimizer.

    points: as `breaking_points.csv` has them, each optimizer once on a problem.

    `text` is the breaking point, `low` and `high` its interval, `place` that among the optimizers on the problem,
    1 being the furthest and equals sharing theirs (two that are beyond the rungs are equal).
    """
    shown = points[(points["choice"] == choice) & (points["budget"] == 1)]
    shown = shown.drop_duplicates(["problem", "optimizer"]).reset_index(drop=True)
    sign = shown.fillna({"censored": ""})["censored"]
    further = [
        _further(row, each) for row, each in zip(shown.to_dict("records"), sign, strict=True)
    ]
    table = shown[["problem", "optimizer", "low", "high", "theory"]].assign(
        text=[
            number(value, each) for value, each in zip(shown["breaking_point"], sign, strict=True)
        ],
        further=further,
    )
    place = table.groupby("problem")["further"].transform(lambda each: rankdata(-each))
    return table.assign(place=place)


def _further(row: Mapping[Any, Any], sign: str) -> float:
    """What is larger for whoever gets further: the dial, backwards where it gets harder as it falls."""
    problem = PROBLEMS.get(row["problem"])
    ladder = problem.card.ladder if problem is not None else (0, 1)
    falling = ladder[0] > ladder[-1]
    value = {">": math.inf, "<": -math.inf}.get(sign, float(row["breaking_point"]))
    return -value if falling else value


def mean_places(table: pandas.DataFrame, family: Mapping[str, str]) -> pandas.Series:
    """The mean place of each optimizer, best first: over a family's problems, then over families.

    Among those that were run on all problems: a place is one among the optimizers of a problem.
    """
    everywhere = table.groupby("optimizer")["problem"].nunique() == table["problem"].nunique()
    common = table[table["optimizer"].map(everywhere)]
    place = common.groupby("problem")["further"].transform(lambda each: rankdata(-each))
    families = [family.get(name, name) for name in common["problem"]]
    by = (
        common.assign(place=place, family=families).groupby(["optimizer", "family"])["place"].mean()
    )
    return by.groupby("optimizer").mean().sort_values(kind="stable")


def moved(
    before: pandas.DataFrame, after: pandas.DataFrame, family: Mapping[str, str]
) -> dict[str, Any]:
    """How much the order of the optimizers that both have moves, from one table of `standings` to another.

    `tau` is the mean over problems of Kendall's τ_b of their places (Kendall 1945), 1 where nothing moves and 0
    where the second order says nothing of the first; over the `problems` on which both tell some of them apart.
    `flips` of `pairs`: how many pairs of optimizers on a problem are in strict order in both, and how many of them
    in the opposite one. `overall` is the τ_b of the mean places, and `most` who moves furthest there.
    """
    names, problems = (set(before[each]) & set(after[each]) for each in ("optimizer", "problem"))
    sides = [
        each[each["optimizer"].isin(names) & each["problem"].isin(problems)]
        for each in (before, after)
    ]
    both = sides[0].merge(sides[1], on=["problem", "optimizer"], suffixes=(" before", " after"))
    taus, flips, pairs = [], 0, 0
    for _, rows in both.groupby("problem"):
        one, other = (rankdata(rows[f"further {each}"]) for each in ("before", "after"))
        first, second = np.triu_indices(len(one), 1)
        product = np.sign(one[first] - one[second]) * np.sign(other[first] - other[second])
        flips, pairs = flips + int((product < 0).sum()), pairs + int((product != 0).sum())
        if len(set(one)) > 1 and len(set(other)) > 1:
            taus.append(_tau(one, other))
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
        "overall": _tau(means["before"], means["after"]) if len(means) > 1 else math.nan,
        "most": said,
    }


def _tau(first: Any, second: Any) -> float:
    """Kendall's τ_b."""
    return float(kendalltau(first, second)[0])  # type: ignore[arg-type]
