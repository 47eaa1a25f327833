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
    return {name: each.item() for name, each in _numbers(_sign(ratio)[None], ratio[None]).items()}


def _ratio(first: Any, second: Any, alike: float) -> np.ndarray:
    """Return second − first: 0 if it is at most `alike`, NaN if both are infinite."""
    with np.errstate(invalid="ignore"):
        ratio = np.asarray(second, dtype=float) - np.asarray(first, dtype=float)
        return np.where(np.abs(ratio) <= alike, 0.0, ratio)


def _sign(ratio: np.ndarray) -> np.ndarray:
    return np.sign(np.nan_to_num(ratio)).astype(int)


def _median(ratio: np.ndarray) -> np.ndarray:
    """Return the median over the last axis, NaN if there is none or it depends on what is unknown."""
    if not ratio.shape[-1]:
        return np.full(ratio.shape[:-1], math.nan)
    ends = (np.where(np.isnan(ratio), end, ratio) for end in (-np.inf, np.inf))
    with np.errstate(invalid="ignore"):  # halfway from −inf to +inf
        low, high = (median(each) for each in ends)
    return np.where(low == high, low, math.nan)


def _numbers(sign: np.ndarray, ratio: np.ndarray) -> dict[str, np.ndarray]:
    """Return the numbers of `paired` by row, given who is better in a pair and by which ratio, both (rows, pairs)."""
    low, high = (np.where(np.isnan(ratio), end, ratio) for end in (-np.inf, np.inf))
    rows, n = sign.shape
    wins, losses = (sign < 0).sum(-1), (sign > 0).sum(-1)
    return {
        "pairs": np.full(rows, n),
        "wins": wins,
        "losses": losses,
        "ties": n - wins - losses,
        "effect": _median(ratio),
        "effect_low": median_interval(low)[0],
        "effect_high": median_interval(high)[1],
        "level": np.full(rows, order_statistics(n)[1] if n else math.nan),
        "p": np.array(
            [sign_test(*each) for each in zip(wins.tolist(), losses.tolist(), strict=True)]
        ),
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
    mine, theirs = _Paid(first, on), _Paid(second, on)
    names = [name for name in mine.rows if name in theirs.rows]
    if not names:
        return
    seeds = np.unique(np.concatenate([mine.seeds, theirs.seeds]))
    (rows, instances), (others, same) = (each.instances(names, seeds) for each in (mine, theirs))
    both, i, j = np.intersect1d(instances, same, assume_unique=True, return_indices=True)
    comparison, seed = np.divmod(both, len(seeds))
    cost = _ratio(mine.log_cost[rows[i]], theirs.log_cost[others[j]], ROUNDING)
    gap = _ratio(mine.log_gap[rows[i]], theirs.log_gap[others[j]], SAME_GAP)
    by_cost = _sign(np.where(np.isnan(cost), gap, cost))
    # The gap of a skipped run is unknown, but not that it missed the target.
    by_gap = _sign(np.where(np.isnan(gap), cost, gap))
    ends = np.searchsorted(comparison, np.arange(len(names) + 1))
    is_known = np.empty(len(names), dtype=bool)
    for n, alike in _of_one_length(np.diff(ends)):
        costs_alike = cost[ends[alike, None] + np.arange(n)]
        is_known[alike] = (n == 0) | ~np.isnan(_median(costs_alike))
    for k, name in enumerate(names):
        at = slice(ends[k], ends[k + 1])
        if str(name[on.index("problem")]) in noisy:
            yield Pairing(name, seeds[seed[at]], "gap", by_gap[at], gap[at])
        elif is_known[k]:
            yield Pairing(name, seeds[seed[at]], "cost", by_cost[at], cost[at])
        else:
            yield Pairing(name, seeds[seed[at]], "gap", by_cost[at], gap[at])


class _Paid:
    """What each run paid, as arrays: one pass over a frame instead of one for each of thousands of comparisons.

    rows: by the values of the columns `on`, in the order of the frame.
    log_gap: of the final gap, NaN for runs of a skipped cell, which `chosen` adds without any.
    """

    def __init__(self, runs: pandas.DataFrame, on: list[str]):
        # pandas states neither that the names are tuples nor that the rows are arrays.
        rows: Any = runs.groupby(on, sort=False).indices
        by_place = sorted(rows.items(), key=lambda each: each[1][0])
        # Of one column, pandas names the groups by its values.
        self.rows = {name if len(on) > 1 else (name,): each for name, each in by_place}
        self.seeds = runs["seed"].to_numpy()
        self.log_cost = np.log10(costs(runs))
        skipped = (runs["status"] == "missed") & runs["gap_final"].isna()
        self.log_gap = np.where(skipped, np.nan, log_gaps(runs))

    def instances(
        self, names: Sequence[tuple[Any, ...]], seeds: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows with these names, and a number for each row.

        It is (index of its name) · len(seeds) + (index of its seed). Raises Refused if two rows have the same number.
        """
        rows = [self.rows[name] for name in names]
        found = np.concatenate(rows)
        place = np.repeat(np.arange(len(names)), [len(each) for each in rows])
        numbers = place * len(seeds) + np.searchsorted(seeds, self.seeds[found])
        values, counts = np.unique(numbers, return_counts=True)
        if len(values) < len(numbers):
            name = names[values[counts > 1][0] // len(seeds)]
            raise Refused(f"two searches of the same, {', '.join(map(str, name))}: keep one")
        return found, numbers


def _of_one_length(lengths: Any) -> Iterator[tuple[int, np.ndarray]]:
    """Yield each distinct length with the indices of the arrays that have it, so that they can be stacked."""
    for n in np.unique(lengths):
        yield int(n), np.flatnonzero(lengths == n)


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
    given = list(given)
    named = [[*each.name, each.measure] for each in given]
    parts = []
    for _, alike in _of_one_length([len(each.sign) for each in given]):
        sign = np.stack([given[k].sign for k in alike])
        ratio = np.stack([given[k].ratio for k in alike])
        parts.append(pandas.DataFrame(_numbers(sign, ratio), index=alike))
    nothing = pandas.DataFrame(columns=[*paired(np.ones(1), np.ones(1))])
    numbers = pandas.concat(parts).sort_index() if parts else nothing
    found = pandas.DataFrame(named, columns=[*on, "measure"]).join(numbers)
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
        One row per `by` without a missing value: how many families are `better`, `worse` and `equal` by the sign of
        their net; `net`, their median with its exact interval; `p` of the sign test over families; `p_holm` over the
        rows.
    """
    by, rows = list(by), []
    counted = found[found["pairs"] > 0]
    net = ((counted["wins"] - counted["losses"]) / counted["pairs"]).astype(float)
    families = [family.get(name, name) for name in counted["problem"]]
    groups = [*by, "family"]
    problems = counted.assign(net=net, family=families).groupby([*groups, "problem"])["net"].mean()
    units = problems.groupby(groups).mean().round(9).reset_index()
    unit_of = {name: group["net"].to_numpy() for name, group in units.groupby(by)}
    for name in counted[by].dropna().drop_duplicates().itertuples(index=False, name=None):
        unit = unit_of[name]
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
