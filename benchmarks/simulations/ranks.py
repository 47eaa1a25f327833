"""The first of a rank is better than all in the ranks below; a table states this wrongly with at most 5 %."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas

from benchmarks.analysis.intervals import sign_test
from benchmarks.analysis.pairs import LEVEL
from benchmarks.analysis.ranks import places, ranks

TITLE = "Ranks"
RULE = """
Optimizers of one rung are ordered by their *mean place* over the instances: on each instance the cheapest run has place
1, ties share their places, and runs that miss the target tie for the last ones. A new rank begins only where **the
first optimizer of the rank above is better than all below it**, by two tests: the sign test on paired instances (p ≤
5 %), and a difference in mean place. The places are those among the optimizers from that first one down to the one
compared, and their difference must be larger than chance explains between the best and the worst of so many. For p of
the k optimizers in the table this is tested at 5 % · p/k (Ryan 1960), divided by their p (p − 1)/2 pairs; for two, the
sign test itself is made at 5 % · 2/k. All others share the rank of the first, marked "=". Two ranks are joined if the
sign test calls any optimizer of the lower one better than any of the upper one, so no rank contradicts a paired
comparison.

Both tests are needed. The sign test alone ignores that the first is the luckiest of many, and corrected for all pairs
it could tell nothing apart with ten optimizers and ten instances. Places use all optimizers, but alone they may tell
two apart that are equal on paired instances. This has a price: smaller differences are found less often, and places
depend on the other optimizers in the table, so adding one can change the ranks of others. Two neighbours in different
ranks need not be told apart from each other, only from the first.

The simulation covers the luck of the instances, not the luck of the search: ranks compare the tuned settings. Sharing a
rank is no evidence of equality; the column *apart* says how often a true difference is seen.

*False* is the share, of 600 tables, in which the first of a rank is said to be better than one that is its equal or
better. *Apart* is the share of truly different pairs that stand in different ranks, in the right order. Log costs are
normal with standard deviation 1 around each optimizer's mean. With *misses and ties* they are rounded to whole numbers
and half of all runs miss the target; *correlated* adds a part that all optimizers share on an instance (correlation
.8). *Unadjusted* is the plain rule: optimizers are ordered by instances solved and then by median cost, and a new rank
begins wherever the sign test against the first of the rank before has p ≤ 5 %.
"""

EQUAL = {f"{count} equal": np.zeros(count) for count in (2, 5, 10, 20)}
DIFFERENT = {
    "one ahead of 9 equal by 1.5": np.repeat([0, 1.5], [1, 9]),
    "one ahead of 9 equal by 3": np.repeat([0.0, 3], [1, 9]),
    "two groups of 5, by 2": np.repeat([0.0, 2], 5),
    "four groups of 3, by 2": np.repeat([0.0, 2, 4, 6], 3),
    "five groups of 2, by 4": np.repeat([0.0, 4, 8, 12, 16], 2),
}


def simulate(tables: int = 600) -> pandas.DataFrame:
    """Return, for each truth and number of instances, how many of so many tables are false, and what is told apart."""
    return pandas.DataFrame([
        _row(name, means, instances, tables)
        for truths, sizes in ((EQUAL, (8, 10, 25)), (DIFFERENT, (10, 25)))
        for name, means in truths.items()
        for instances in sizes
    ])  # fmt: skip


def _row(name: str, means: np.ndarray, instances: int, tables: int) -> dict[str, object]:
    """Return the figures of one truth: the mean log cost of each optimizer."""
    generator = np.random.default_rng(0)
    shape = (tables, len(means), instances)
    independent = means[:, None] + generator.normal(size=shape)
    correlated = independent + 2 * generator.normal(size=(tables, 1, instances))  # variance 4 of 5
    row: dict[str, object] = {"truth": name, "instances": instances}
    for kind, drawn in {
        "independent": independent,
        "misses and ties": _with_misses(independent),
        "the same, correlated": _with_misses(correlated),
    }.items():
        false, apart = _judged(drawn, means, _adjusted)
        row[f"false, {kind}"] = _percent(false)
        if kind == "independent":
            row["apart"] = _percent(apart)
    false, apart = _judged(independent, means, _unadjusted)
    return row | {"false, unadjusted": _percent(false), "apart, unadjusted": _percent(apart)}


def _with_misses(log_cost: np.ndarray) -> np.ndarray:
    return np.where(log_cost > np.median(log_cost), np.inf, np.round(log_cost))


def _judged(
    drawn: np.ndarray,
    means: np.ndarray,
    rule: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
) -> tuple[float, float]:
    """Return the share of tables that state something false, and the share of truly different pairs told apart."""
    better, false, apart = means[:, None] < means, [], []
    for paid in drawn:
        found, order = rule(paid)
        firsts = order[np.unique(found[order], return_index=True)[1]]
        false.append(((found[firsts, None] < found) & ~better[firsts]).any())
        apart.append((found[:, None] < found)[better].mean() if better.any() else math.nan)
    return float(np.mean(false)), float(np.mean(apart))


def _adjusted(paid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the ranks, and the optimizers in their order."""
    return ranks(paid), np.argsort(places(paid, paid), kind="stable")


def _unadjusted(paid: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return ranks by sign tests alone, and the optimizers in their order."""
    order = np.lexsort((np.median(paid, axis=1), -np.isfinite(paid).sum(axis=1)))
    found, first = np.ones(len(paid), dtype=int), order[0]
    for rank, each in enumerate(order[1:], 2):
        wins, losses = (paid[first] < paid[each]).sum(), (paid[first] > paid[each]).sum()
        found[each] = found[first]
        if sign_test(int(wins), int(losses)) <= LEVEL:
            first, found[each] = each, rank
    return found, order


def _percent(share: float) -> str:
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"
