"""Group optimizers over many problems such that no group depends on who else is in the table.

Mean ranks do: adding a third optimizer can change which of two is called better (Benavoli, Corani & Mangili 2016,
Journal of Machine Learning Research 17 (5)). So an optimizer's score is its own, and each pair is tested alone, on the
problems that both have.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping
from string import ascii_letters

import numpy as np
import pandas

from benchmarks.analysis.chosen_runs import RUNG, chosen, with_variant
from benchmarks.analysis.dial_axis import Axis
from benchmarks.analysis.pairs import LEVEL, over_instances, pairings
from benchmarks.engine.status import UNJUDGED
from benchmarks.store.cell_info import CellInfo
from ravine import Refused

MOST_FAMILIES = 20  # of a test; each doubles the assignments of signs
EXACT = 1e-9  # sums of scores are equal up to this


def climbed(points: pandas.DataFrame, infos: Iterable[CellInfo]) -> pandas.DataFrame:
    """Return how far up each problem's ladder each optimizer gets, tuned.

    Args:
        points: The rows of `breaking_points.csv`, each optimizer once per problem.
        infos: The descriptions of their cells.

    Returns:
        Problems × optimizers: the share of the ladder, in the scale of the dial, that lies before the breaking point.
        0 if not even half of the instances are solved at its first rung, 1 if half are at the last. NaN if the
        optimizer has no breaking point there, or no run can be judged, as where one step costs more than the budget.
    """
    dials: dict[tuple[str, str], set[float]] = {}
    known: dict[tuple[str, str], CellInfo] = {}
    for info in infos:
        pair = info.problem, info.optimizer
        dials.setdefault(pair, set()).add(info.dial)
        known[pair] = info
    tuned = (points["choice"] == "tuned") & (points["budget"] == 1)
    rows = points[tuned & ~points["unjudged"].isin(UNJUDGED)]
    found: dict[tuple[str, str], float] = {}
    for row in rows.to_dict("records"):
        pair = row["problem"], row["optimizer"]
        info = known[pair]
        axis = Axis.of(list(dials[pair]), info.scale, info.falling)
        if row["censored"] in ("<", ">"):
            found[pair] = float((row["censored"] == ">") != info.falling)
        else:
            easiest = float(axis.dials[0])
            found[pair] = axis.share(*sorted((easiest, row["breaking_point"])))
    names = pandas.MultiIndex.from_tuples(found, names=["problem", "optimizer"])
    return pandas.Series(list(found.values()), names, dtype=float).unstack("optimizer")


def groups(table: pandas.DataFrame, family: Mapping[str, str]) -> pandas.DataFrame:
    """Return the mean score of each optimizer, and which optimizers are not told apart across problems.

    Args:
        table: What `climbed` returns.
        family: By problem, the family of similar problems.

    Returns:
        One row per optimizer, the highest first: `optimizer`, on how many `problems` and `families` it has a score,
        `climbed`, the mean over the problems of a family and then over its families, and `group`, letters: two
        optimizers share one if and only if `p_of_pair` is above 5 %. It is empty with so few families that nothing
        could be told. Whether two share a letter depends on these two alone; means over different problems cannot be
        compared. Letters: Piepho 2004 (Journal of Computational and Graphical Statistics 13).
    """
    means = _by_family(table, family)
    score = means.mean().sort_values(ascending=False, kind="stable")
    enough = [name for name in score.index if 0.5 ** int(means[name].count() - 1) <= LEVEL]
    alike = {
        (first, second)
        for first, second in itertools.combinations(enough, 2)
        if p_of_pair(table[first], table[second], family) > LEVEL
    }
    group = letters(enough, alike)
    rows = [
        {
            "optimizer": name,
            "problems": int(table[name].count()),
            "families": int(means[name].count()),
            "climbed": score[name],
            "group": group.get(name, ""),
        }
        for name in score.index
    ]
    return pandas.DataFrame(rows)


def p_of_pair(first: pandas.Series, second: pandas.Series, family: Mapping[str, str]) -> float:
    """Return the two-sided p of a paired randomization test of two optimizers' scores; families are the units.

    If the two did not differ, the mean difference on a family would be as likely as its negative: p is the share of
    all assignments of signs whose sum is at least as far from 0 as the observed one (Fisher 1935), exactly. Families,
    and not problems, because problems of one family are alike.

    Args:
        first: By problem, the scores of one, NaN where it has none.
        second: The same of the other.
        family: By problem, the family of similar problems.

    Raises:
        Refused: For more than 20 families.

    >>> one, other = (pandas.Series([score] * 6, list("abcdef")) for score in (0.5, 0.25))
    >>> p_of_pair(one, other, {})  # 2 of 64 assignments
    0.03125
    """
    by_family = _by_family((first - second).dropna().to_frame("difference"), family)
    difference = by_family["difference"].to_numpy(dtype=float)
    if len(difference) > MOST_FAMILIES:
        raise Refused(
            f"the test counts all signs of at most {MOST_FAMILIES} families, and not of {len(difference)}"
        )
    if not len(difference):
        return 1.0
    signs = np.array(list(itertools.product((1, -1), repeat=len(difference))))
    return float((np.abs(signs @ difference) >= abs(difference.sum()) - EXACT).mean())


def _by_family(table: pandas.DataFrame, family: Mapping[str, str]) -> pandas.DataFrame:
    return table.groupby([family.get(str(name), str(name)) for name in table.index]).mean()


def letters(names: Iterable[str], alike: Container[tuple[str, str]]) -> dict[str, str]:
    """Return letters by name: two names share one if and only if their pair is in `alike`, in the order of the names.

    Each letter stands for a largest set of names that are all alike.

    >>> letters("xyz", {("x", "y"), ("y", "z")})
    {'x': 'a', 'y': 'ab', 'z': 'b'}
    """
    names = list(names)
    sets = [set(names)] if names else []
    for first, second in itertools.combinations(names, 2):
        if (first, second) in alike:
            continue
        split = [part for each in sets for part in _without_both(each, first, second)]
        sets = [each for k, each in enumerate(split) if not _absorbed(each, k, split)]
    sets.sort(key=lambda each: [name not in each for name in names])
    marks = [_letter(k) for k in range(len(sets))]
    return {
        name: "".join(mark for mark, each in zip(marks, sets, strict=True) if name in each)
        for name in names
    }


def _without_both(those: set[str], first: str, second: str) -> list[set[str]]:
    return [those - {first}, those - {second}] if {first, second} <= those else [those]


def _absorbed(those: set[str], place: int, every: list[set[str]]) -> bool:
    """True if a larger set, or an equal one further on, has all of these."""
    return any(
        those < other or (those == other and k > place)
        for k, other in enumerate(every)
        if k != place
    )


def _letter(k: int) -> str:
    """Return the k-th letter: a to z, A to Z, and then those of other alphabets."""
    if k < len(ascii_letters):
        return ascii_letters[k]
    others = filter(str.isalpha, map(chr, itertools.count(ord("À"))))
    return next(itertools.islice(others, k - len(ascii_letters), None))


def duels(
    runs: pandas.DataFrame,
    summary: pandas.DataFrame,
    first: str,
    noisy: Container[str] = (),
) -> pandas.DataFrame:
    """Return on which problems other optimizers are better or worse than one, tuned, on the same instances.

    On an instance an optimizer is better if it is better on more rungs than it is worse, of the rungs that both ran;
    `pairings` says who is better on one. Each pair is tested alone, so no row changes when an optimizer is added; of
    pairs that do not differ, up to one in twenty is told apart.

    Args:
        runs: The rows of `runs.csv` of one or several sweeps.
        summary: The rows of `summary.csv` of the same sweeps.
        first: The name of the optimizer with which all others are compared.
        noisy: The problems that are compared by final gap alone.

    Returns:
        One row per problem and other optimizer: `rungs`, `instances`, on how many of these the other is `better` and
        `worse`, `p` of the sign test, and `sign`: 1 if it is better at 5 %, −1 if it is worse, else 0.
    """
    rows = with_variant(chosen(runs, summary[summary["choice"] == "tuned"]))
    by_name = {str(name): each for name, each in rows.groupby("optimizer")}
    mine, on = by_name.pop(first, rows[:0]), [*RUNG, "optimizer"]
    found = [
        each
        for name, theirs in by_name.items()
        for each in pairings(mine.assign(optimizer=name), theirs, on=on, noisy=noisy)
    ]
    table = over_instances(found, on=on, by=["problem", "optimizer"]).drop(columns="p_holm")
    better = np.sign((table["better"] - table["worse"]).astype(int))
    return table.assign(sign=np.where(table["p"] <= LEVEL, better, 0))
