"""Rank the optimizers of one rung by what they paid on the same instances."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from benchmarks.analysis.chosen_runs import ROUNDING
from benchmarks.analysis.intervals import sign_test
from benchmarks.analysis.pairs import LEVEL


def places(paid: np.ndarray, pool: np.ndarray) -> np.ndarray:
    """Return the mean over instances of the place in a pool: 1 is the best, ties share their places.

    Args:
        paid: Costs or final gaps, (optimizers, instances), less is better; +inf for a miss.
        pool: The same of all that are ranked, (ranked, instances).

    Returns:
        The mean places, (optimizers); of one outside the pool, that of one inside that paid the same.
    """
    return (1 + len(pool) + _paid_less(pool[:, None], paid).sum(axis=0).mean(axis=-1)) / 2


def ranks(paid: np.ndarray) -> np.ndarray:
    """Return ranks such that the first of each rank is better than all in the ranks below it.

    The order is that of `places`. An optimizer is told apart from the first of a rank if it is worse

    - by the sign test on paired instances, p ≤ 5 %, and
    - in mean place among the p optimizers from that first to itself, by more than z √(2 Σ s²) / n: over n instances, s²
      is the variance of the p places on one (less than p (p + 1) / 12 if there are ties), and z the normal quantile for
      the two-sided level 2 · 5 % / (k (p − 1)). That is 5 % · p/k for p of all k (Ryan 1960), divided by their
      p (p − 1) / 2 pairs, because the first and the last are not any two of them. Of two, the sign test decides at
      5 % · 2/k instead: it is exact.

    A rank goes from its first to the last that is not told apart from it. Ranks are joined if the sign test calls
    anybody in the lower one better than anybody in the upper one, or at equal mean places. Adding an optimizer can
    change the ranks of others.

    Mean places of the ones between alone, step by step: Campbell & Skillings 1985, Journal of the American Statistical
    Association 80, 998–1003. Mean places without a test of the pair itself can tell apart two that are alike: Benavoli,
    Corani & Mangili 2016, Journal of Machine Learning Research 17 (5).

    Args:
        paid: Costs or final gaps, (optimizers, instances), less is better; +inf for a miss. Two misses are a tie. Of
            equal mean places the one in the earlier row is the first.

    Returns:
        The ranks, (optimizers): 1, 1, 3 where the first two share a rank.

    >>> leader, slower, missing = np.full(10, 100.0), np.full(10, 200.0), np.full(10, np.inf)
    >>> ranks(np.array([missing, leader, slower, missing]))
    array([3, 1, 2, 3])
    """
    count, place = len(paid), places(paid, paid)
    order = np.argsort(place, kind="stable")
    signs = _paid_less(paid[order, None], paid[order])
    wins = (signs > 0).sum(axis=-1)
    p = np.array([
        [sign_test(*each) for each in zip(*both, strict=True)]
        for both in zip(wins.tolist(), wins.T.tolist(), strict=True)
    ])  # fmt: skip
    better = (wins > wins.T) & (p <= LEVEL)
    start, starts = 0, []
    while start < count:
        starts.append(start)
        apart = better[start, start:] & _further_than_chance(signs[start:, start:], count)
        apart[1:2] &= p[start, start + 1 : start + 2] <= 2 * LEVEL / count
        start += int(np.flatnonzero(~apart)[-1]) + 1
    starts = np.array([
        each for each in starts
        if each == 0 or (place[order[each - 1]] < place[order[each]] and not better[each:, :each].any())
    ])  # fmt: skip
    found = np.empty(count, dtype=int)
    found[order] = 1 + starts[np.searchsorted(starts, np.arange(count), "right") - 1]
    return found


def _paid_less(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return 1 where the first paid less, −1 where it paid more, 0 for a tie: costs are sums, equal up to rounding."""
    return (first < second - ROUNDING).astype(int) - (first > second + ROUNDING)


def _further_than_chance(signs: np.ndarray, count: int) -> np.ndarray:
    """Return whether each is behind the first by more than chance, in places among those up to it: (optimizers).

    signs: 1 where the first axis' optimizer paid less than the second's, (optimizers, optimizers, instances).
    count: The optimizers in the whole table.
    """
    behind = signs.cumsum(axis=0) / 2  # their middle: (last of those compared, each, instances)
    distance = np.einsum("llj->l", behind) - behind[:, 0].sum(axis=-1)
    others = np.maximum(np.arange(len(signs)), 1)
    spread = np.tril((behind**2).sum(axis=-1)).sum(axis=-1) / others
    z = np.array([-NormalDist().inv_cdf(LEVEL / (count * each)) for each in others.tolist()])
    return distance > z * np.sqrt(2 * spread)
