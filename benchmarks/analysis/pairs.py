"""Comparisons of two optimizers on the same instances."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.chosen_runs import ROUNDING, RUNG, chosen, with_variant
from benchmarks.analysis.intervals import median_interval, order_statistics, sign_test
from benchmarks.analysis.success import success
from benchmarks.engine.trial_choice import costs, log_gaps, median
from ravine import Refused

LEVEL = 0.05
SAME_GAP = math.log10(
    1.01
)  # final gaps within 1 % are a tie; costs are whole steps and need no such grain


@dataclass(frozen=True)
class Pairing:
    """One comparison, instance by instance.

    Attributes:
        name: The values of the columns that name it.
        seeds: The instances, (pairs).
        measure: Of what `ratio` is: "cost" to the target, or "gap" at the end.
        sign: −1 where the second is better, +1 where it is worse, 0 for a tie, (pairs).
        ratio: log10 of what the second paid over what the first paid, (pairs); NaN where it is unknown.
    """

    name: tuple[Any, ...]
    seeds: np.ndarray
    measure: str
    sign: np.ndarray
    ratio: np.ndarray


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
    ratio = _ratio(first, second, ROUNDING)
    return _numbers(_sign(ratio), ratio)


def _ratio(first: Any, second: Any, alike: float) -> np.ndarray:
    """Return second − first: 0 if it is at most `alike`, NaN if both are infinite."""
    with np.errstate(invalid="ignore"):
        ratio = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
        return np.where(np.abs(ratio) <= alike, 0.0, ratio)


def _sign(ratio: np.ndarray) -> np.ndarray:
    return np.sign(np.nan_to_num(ratio)).astype(int)


def _median(ratio: np.ndarray) -> float:
    """Return the median, NaN if there is none or it depends on what is unknown."""
    if not len(ratio):
        return math.nan
    ends = (np.where(np.isnan(ratio), end, ratio) for end in (-np.inf, np.inf))
    with np.errstate(invalid="ignore"):  # halfway from −inf to +inf
        low, high = (float(median(each)) for each in ends)
    return low if low == high else math.nan


def _numbers(sign: np.ndarray, ratio: np.ndarray) -> dict[str, float]:
    """Return the numbers of `paired`: who is better in each pair, and by which ratio."""
    low, high = (np.where(np.isnan(ratio), end, ratio) for end in (-np.inf, np.inf))
    wins, losses, n = int((sign < 0).sum()), int((sign > 0).sum()), len(sign)
    return {
        "pairs": n,
        "wins": wins,
        "losses": losses,
        "ties": n - wins - losses,
        "effect": _median(ratio),
        "effect_low": float(median_interval(low)[0]),
        "effect_high": float(median_interval(high)[1]),
        "level": order_statistics(n)[1] if n else math.nan,
        "p": sign_test(wins, losses),
    }


def fewest(tests: int = 1) -> int:
    """Return how many instances it takes to tell two optimizers apart, if all instances agree.

    Args:
        tests: Among how many tests, each of them as clear (Holm).

    Returns:
        The least n for which `tests` times the sign test's p of n to 0 is at most 5 %.

    >>> fewest(), fewest(9)
    (6, 9)
    """
    return next(n for n in range(1, 100) if tests * sign_test(0, n) <= LEVEL)


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

    Examples:
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


def pairings(
    first: pandas.DataFrame,
    second: pandas.DataFrame,
    on: Sequence[str],
    noisy: Container[str] = (),
) -> Iterator[Pairing]:
    """Yield each comparison that both frames have, instance by instance.

    The lower cost to the target is better, and a run that reaches it is better than one that misses it. If both miss
    it, the lower final gap is better: infinite if a run diverged, unknown if it was skipped, which is a tie. On noisy
    problems the final gap alone decides, where it is known.

    The arguments, and what is refused, are those of `differences`.
    """
    on = list(on)
    mine, theirs = _Paid(first), _Paid(second)
    # pandas states neither that the names are tuples nor that the rows are arrays.
    rows_of_second: Any = second.groupby(on, sort=False).indices
    rows_of_first: Any = first.groupby(on, sort=False).indices
    for name, rows in sorted(rows_of_first.items(), key=lambda each: each[1][0]):
        others = rows_of_second.get(name)
        if others is None:
            continue
        # Of one column, pandas names the groups by its values.
        name = name if len(on) > 1 else (name,)
        named = dict(zip(on, name, strict=True))
        for seeds in (mine.seeds[rows], theirs.seeds[others]):
            if len(np.unique(seeds)) < len(seeds):
                raise Refused(f"two searches of the same, {', '.join(map(str, name))}: keep one")
        seeds, i, j = np.intersect1d(
            mine.seeds[rows], theirs.seeds[others], assume_unique=True, return_indices=True
        )
        by_gap = str(named["problem"]) in noisy
        yield Pairing(name, seeds, *_judged(mine, rows[i], theirs, others[j], by_gap))


class _Paid:
    """What each run paid, as arrays: one pass over a frame instead of one for each of thousands of comparisons.

    log_gap: of the final gap, NaN for runs of a skipped cell, which `chosen` adds without any.
    """

    def __init__(self, runs: pandas.DataFrame):
        self.seeds = runs["seed"].to_numpy()
        self.log_cost = np.log10(costs(runs))
        skipped = (runs["status"] == "missed") & runs["gap_final"].isna()
        self.log_gap = np.where(skipped, np.nan, log_gaps(runs))


def _judged(
    first: _Paid, rows: np.ndarray, second: _Paid, others: np.ndarray, by_gap: bool
) -> tuple[str, np.ndarray, np.ndarray]:
    """Return measure, sign and ratio of the same instances, row by row."""
    cost = _ratio(first.log_cost[rows], second.log_cost[others], ROUNDING)
    gap = _ratio(first.log_gap[rows], second.log_gap[others], SAME_GAP)
    if by_gap:  # of a skipped run it is unknown, but not that it missed the target
        return "gap", _sign(np.where(np.isnan(gap), cost, gap)), gap
    sign = _sign(np.where(np.isnan(cost), gap, cost))
    known = not len(cost) or not math.isnan(_median(cost))
    return ("cost", sign, cost) if known else ("gap", sign, gap)


def differences(
    first: pandas.DataFrame,
    second: pandas.DataFrame,
    on: Sequence[str],
    noisy: Container[str] = (),
) -> pandas.DataFrame:
    """Return one row for each comparison that both frames have, with Holm's p over all of them.

    Which of two runs is better is decided by the cost to the target; by the final gap if both miss the target, and on
    noisy problems. Gaps within 1 % are a tie.

    Args:
        first: Runs as `chosen` returns them, through `with_variant`.
        second: The same.
        on: The columns that name a comparison, `problem` among them; within it a seed is an instance.
        noisy: The problems that are compared by final gap alone.

    Returns:
        One row per comparison: the columns `on`, those of `paired`, `p_holm`, and `measure`, of what the `effect`
        is: cost, or gap on noisy problems and if so many miss the target that the effect on the cost is unknown.

    Raises:
        Refused: If a comparison has the same seed twice, which means two searches under one name.
    """
    return compared(pairings(first, second, on, noisy), on)


def compared(given: Iterable[Pairing], on: Sequence[str]) -> pandas.DataFrame:
    """Return `differences` of pairings whose names are the columns `on`."""
    rows = [
        {
            **dict(zip(on, each.name, strict=True)),
            "measure": each.measure,
            **_numbers(each.sign, each.ratio),
        }
        for each in given
    ]
    found = pandas.DataFrame(rows, columns=[*on, "measure", *paired(np.ones(1), np.ones(1))])
    differ = found["wins"].astype(int) + found["losses"].astype(int)
    return found.assign(p_holm=holm(found["p"], differ))


def over_instances(
    given: Iterable[Pairing], on: Sequence[str], by: Sequence[str]
) -> pandas.DataFrame:
    """Test whether the second differs over all rungs together; instances are the units.

    One rung of many cannot be significant for all at once; that many of them are worse on the same instances can. On an
    instance the second is better if it is better on more rungs than it is worse, of those that have the instance.

    Args:
        given: What `pairings` yields.
        on: The columns that their names are the values of.
        by: Of these, the columns that name a row.

    Returns:
        One row per `by`: how many `rungs` (names), on how many of the `instances` the second is `better` and `worse`,
        `p` of the sign test, and `p_holm` over the rows.
    """
    net: dict[tuple[Any, ...], dict[Any, int]] = {}
    rungs: dict[tuple[Any, ...], int] = {}
    for each in given:
        named = dict(zip(on, each.name, strict=True))
        key = tuple(named[name] for name in by)
        row, rungs[key] = net.setdefault(key, {}), rungs.get(key, 0) + 1
        for seed, sign in zip(each.seeds, each.sign, strict=True):
            row[seed] = row.get(seed, 0) + int(sign)
    rows = []
    for name, units in sorted(net.items()):
        better, worse = (sum(sign * unit > 0 for unit in units.values()) for sign in (-1, 1))
        counts = {"rungs": rungs[name], "instances": len(units), "better": better, "worse": worse}
        rows.append({**dict(zip(by, name, strict=True)), **counts, "p": sign_test(better, worse)})
    table = pandas.DataFrame(rows, columns=[*by, "rungs", "instances", "better", "worse", "p"])
    return table.assign(p_holm=holm(table["p"], (table["better"] + table["worse"]).astype(int)))


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
        noisy: The problems that are compared by final gap alone.

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
    """Return which optimizers each rung tells apart by its target.

    Two misses are a tie here: the question is what the rung's target separates, not who is nearer to it. So are gaps
    within 1 % and costs that are equal up to rounding, as in `differences`. Nothing is adjusted for other pairs, so
    that no row changes when a method is added: of pairs that are alike, up to one in twenty is told apart. The ranks of
    a table are adjusted, and ask for more.

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
                sign = _sign(_ratio(one, other, SAME_GAP if measure == "gap" else ROUNDING))
                wins, losses = int((sign < 0).sum()), int((sign > 0).sum())
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
