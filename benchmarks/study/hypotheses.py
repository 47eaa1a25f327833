"""Test whether predicted orders of optimizers are those of real tasks."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np
import pandas

PERMUTATIONS = 10_000
CHUNK = 1000  # permutations at a time


def taus(predicted: pandas.DataFrame, outcome: pandas.DataFrame) -> pandas.Series:
    """Return Kendall's τ_b of the predicted and the measured places of each task, over the optimizers that have both.

    It is 0 where one of the two ties all.
    """
    one, other, most = _signs(predicted, outcome)
    return pandas.Series((one * other).sum((1, 2)) / most, outcome.index)


def p_of_order(
    predicted: pandas.DataFrame,
    outcome: pandas.DataFrame,
    permutations: int = PERMUTATIONS,
    seed: int = 0,
) -> float:
    """Return the one-sided p of the mean τ over tasks, by permuting the optimizers of the prediction.

    All tasks get the same permutation, for their orders are alike: permuted one by one they would count as so many
    independent successes.
    """
    one, other, most = _signs(predicted, outcome)
    weighted = other / most[:, None, None]
    observed = (one * weighted).sum()
    generator = np.random.default_rng(seed)
    count = one.shape[1]
    above = 0
    for begin in range(0, permutations, CHUNK):
        orders = generator.permuted(
            np.tile(np.arange(count), (min(CHUNK, permutations - begin), 1)), axis=1
        )
        shuffled = sum(
            (task[orders[:, :, None], orders[:, None]] * weight).sum((1, 2))
            for task, weight in zip(one, weighted, strict=True)
        )
        above += int((shuffled >= observed - 1e-9).sum())
    return (1 + above) / (1 + permutations)


def p_of_difference(difference: pandas.Series, family: Mapping[str, str]) -> float:
    """Return the one-sided p that the mean difference of τ is above 0, by all flips of signs of the task families.

    Families, and not tasks, because the tasks of one family are alike; with 8 of them the smallest p is 1/256.
    """
    means = difference.groupby(difference.index.map(family)).mean().to_numpy()
    signs = np.array(list(itertools.product((1, -1), repeat=len(means))))
    return float(((signs * means).sum(1) >= means.sum() - 1e-9).mean())


def _signs(
    predicted: pandas.DataFrame, outcome: pandas.DataFrame
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the signs of all differences of both, (tasks, optimizers, optimizers), and the largest agreement."""
    names = outcome.columns
    one, other = (
        np.sign(each[:, :, None] - each[:, None])
        for each in (predicted.loc[outcome.index, names].to_numpy(), outcome.to_numpy())
    )
    known = np.isfinite(one) & np.isfinite(other)
    one, other = np.where(known, one, 0.0), np.where(known, other, 0.0)
    most = np.sqrt((one**2).sum((1, 2)) * (other**2).sum((1, 2)))
    return one, other, np.maximum(most, 1e-12)
