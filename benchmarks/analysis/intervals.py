"""Intervals and tests: order statistics for a median, Wilson's for a share, the sign test for a difference."""

from __future__ import annotations

import functools
import math
from statistics import NormalDist
from typing import Any

import numpy as np


@functools.cache
def order_statistics(n: int, level: float = 0.95) -> tuple[int, float]:
    """Return the largest k whose k-th and k-th last of n values cover the median, and the coverage.

    P(X₍ₖ₎ ≤ median ≤ X₍ₙ₊₁₋ₖ₎) = 1 − 2 P(Bin(n, ½) < k), for any continuous distribution
    (David & Nagaraja, Order Statistics, 2003, section 7.1). The coverage is at least `level`, unless
    k = 1: below six values not even the extremes cover the median with 95 %.

    >>> order_statistics(10)
    (2, 0.978515625)
    >>> order_statistics(5)
    (1, 0.9375)
    """

    # Of the 2ⁿ outcomes of n coins, `count` have k − 1 heads and `below` have fewer than k.
    whole, k, count, below = 2**n, 1, 1, 1
    while k < (n + 1) // 2:
        count = count * (n - k + 1) // k
        if 1 - 2 * (below + count) / whole < level:
            break
        below += count
        k += 1
    return k, 1 - 2 * below / whole


def median_interval(values: Any, level: float = 0.95) -> tuple[Any, Any]:
    """Return the exact interval of the median along the last axis: (*batch, n) -> low and high, both (*batch).

    A censored value is +inf and sorts last. An infinite end means that the median may lie beyond the
    measured range. NaN if there are no values.
    """
    values = np.sort(np.asarray(values, dtype=float), axis=-1)
    n = values.shape[-1]
    if n == 0:
        nothing = np.full(values.shape[:-1], np.nan)[()]
        return nothing, nothing
    k, _ = order_statistics(n, level)
    return values[..., k - 1], values[..., n - k]


def wilson(solved: Any, runs: Any, level: float = 0.95) -> tuple[Any, Any]:
    """Return Wilson's score interval of the share `solved` / `runs`; the arguments broadcast.

    It holds the shares p with |p̂ − p| ≤ z √(p (1 − p) / n): never outside [0, 1], and of positive
    length also if none or all are solved (Wilson 1927; Brown, Cai & DasGupta 2001). (0, 1) without runs.
    """
    solved, runs = np.asarray(solved, dtype=float), np.asarray(runs, dtype=float)
    z = NormalDist().inv_cdf((1 + level) / 2)
    n = np.maximum(runs, 1)
    share = solved / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    low = np.where((runs == 0) | (solved == 0), 0.0, centre - half)
    high = np.where((runs == 0) | (solved == runs), 1.0, centre + half)
    return low[()], high[()]


@functools.cache
def sign_test(wins: int, losses: int) -> float:
    """Return the two-sided p-value of the sign test over the pairs that differ.

    Args:
        wins: Pairs in which the second is better.
        losses: Pairs in which it is worse.

    Returns:
        The p-value, 1 if no pair differs.

    Examples:
        >>> sign_test(0, 6)
        0.03125
    """
    n = wins + losses
    tail = sum(math.comb(n, k) for k in range(min(wins, losses) + 1)) / 2**n
    return min(1.0, 2 * tail)
