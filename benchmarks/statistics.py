"""What result tables say, and how surely: functions from frames to frames, without anything hidden.

They take the runs and the summary of a sweep (README has their columns), as a `Sweep` holds them or
as they are read from its files. Each row follows from the rows of its own optimizer, or of its own
pair: nothing moves when another method joins. Intervals are exact order statistics and Wilson's;
breaking points have a file of their own.

Tests of pairs are conditional: given the trials that were chosen, would other instances say the
same? What another search would have found is what `best_of` shows.
"""

from __future__ import annotations

import math
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import pandas
from scipy.stats import rankdata

from benchmarks.engine.trial_choice import costs, grid, keys, log_gaps
from benchmarks.intervals import median_interval, order_statistics, sign_test, wilson
from benchmarks.tables import OF_PROBLEMS, WITHOUT_NUMBERS
from ravine import Refused

LEVEL = 0.05
RUNG = ["problem", "dial", "variant"]
CELL = [*RUNG, "optimizer", "cell"]
OF_A_RUN = [
    *CELL, "choice", "trial", "search", "role", "seed", "status", "cost", "cost_to_target", "gap_final", "u",
]  # fmt: skip
ROUNDING = 1e-9  # what should be equal is so but for this: sums of chances, costs read from a file


def with_variant(rows: pandas.DataFrame) -> pandas.DataFrame:
    """The rows with a column `variant`: the fields of their problem as text.

    Problem, dial and variant say what was run, whether the frame is from memory or from a file,
    where a column of whole numbers with gaps is one of floats.
    """
    fields = sorted(name for name in map(str, rows) if name.startswith(OF_PROBLEMS))

    def text(values: Sequence[Any]) -> str:
        known = [(name, each) for name, each in zip(fields, values, strict=True) if each == each]
        return ", ".join(
            f"{name.removeprefix('problem.')} {_plain(each)}" for name, each in known if each
            is not None
        )  # fmt: skip

    cells = rows.drop_duplicates("cell")
    variants = {
        cell: text(values)
        for cell, values in zip(
            cells["cell"], cells[fields].itertuples(index=False, name=None), strict=True
        )
    }
    return rows.assign(variant=rows["cell"].map(variants))


def _plain(value: Any) -> str:
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return repr(float(value)).removesuffix(".0") if is_number else str(value)


def chosen(rows: pandas.DataFrame, summary: pandas.DataFrame) -> pandas.DataFrame:
    """The runs, or the rows of traces, of the reporting instances that each choice stands for.

    A column `choice` says which; a trial that two choices share appears for both. A cell that was
    skipped, because no trial solves an easier rung, counts as misses at the price of its budget, on
    the same instances and for the same choices as the other cells of its problem and optimizer.
    """
    choices = summary.reindex(columns=["cell", "choice", "trial"]).dropna()
    choices = choices.astype({"trial": "int64"})
    if "role" not in rows:  # traces, which only reporting runs have
        return rows.astype({"trial": "int64"}).merge(choices, on=["cell", "trial"])
    reporting = rows[rows["role"] == "reporting"].astype({"trial": "int64"})
    found = reporting.merge(choices, on=["cell", "trial"])
    where = ["dial", "cell", "budget", *(name for name in map(str, rows) if _is_field(name))]
    parts = [found]
    for _, skipped in rows[rows["status"] == "skipped"].iterrows():
        same = (found["problem"] == skipped["problem"]) & (
            found["optimizer"] == skipped["optimizer"]
        )
        another = found[same & (found["cell"] == found.loc[same, "cell"].min())]
        parts.append(
            another.assign(
                status="missed", cost=skipped["budget"], cost_to_target=math.nan,
                gap_final=math.nan, **skipped[where],
            )
        )  # fmt: skip
    return pandas.concat(parts, ignore_index=True) if len(parts) > 1 else found


def _is_field(name: str) -> bool:
    return name == "variant" or name.startswith(OF_PROBLEMS)


def best_of(runs: pandas.DataFrame, ks: Sequence[int] = (1, 2, 4, 8, 16, 24)) -> pandas.DataFrame:
    """What a search of k trials may expect, by cell: `solved` share and `cost` to the target.

    Of n trials in the order in which the tuning rows choose, the r-th is the best of k drawn
    without replacement with chance C(n − r, k − 1) / C(n, k) (order statistics; David & Nagaraja
    2003). The choice is made on the tuning rows and scored on the reporting rows: else the best of
    equals would look better than each of them. `solved` is the mean share of solved instances,
    `cost` the median of what is paid over searches and instances, infinite where half miss.

    A refinement trial exists only once the Sobol trials are known. So up to their number, k are
    drawn from them; the one larger k is that of all searched trials, which is the choice `tuned`.
    Other k are left out, as is an optimizer with nothing to search.
    """
    rows = []
    for _, cell in _sound(runs).groupby("cell", sort=False):
        first = cell.iloc[0]
        sobol, searched = (
            cell[cell["search"].isin(kinds)] for kinds in (["sobol"], ["sobol", "refined"])
        )
        total, refined = searched["trial"].nunique(), (searched["search"] == "refined").any()
        of_sobol = _in_order(sobol)
        for k in ks:
            cost = _in_order(searched) if refined and k == total else of_sobol
            if k > len(cost):
                continue
            weights = best_rank_chances(len(cost), k)
            each = np.repeat(weights / cost.shape[1], cost.shape[1])
            rows.append({
                **{name: first[name] for name in CELL},
                "k": k,
                "solved": float(weights @ np.isfinite(cost).mean(axis=1)),
                "cost": weighted_median(cost.ravel(), each),
            })  # fmt: skip
    return pandas.DataFrame(rows, columns=[*CELL, "k", "solved", "cost"])


def best_rank_chances(n: int, k: int) -> np.ndarray:
    """The chance that the r-th best of n is the best of k of them, for r = 1 … n: (n).

    >>> best_rank_chances(4, 2)
    array([0.5       , 0.33333333, 0.16666667, 0.        ])
    """
    return np.array([math.comb(n - r, k - 1) / math.comb(n, k) for r in range(1, n + 1)])


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The median of a distribution on these values; between two that halve it, the middle."""
    order = np.argsort(values)
    below = np.cumsum(weights[order]) / np.sum(weights)
    low, high = (values[order][np.argmax(below > 0.5 + by)] for by in (-ROUNDING, ROUNDING))
    return float((low + high) / 2)


def _sound(runs: pandas.DataFrame) -> pandas.DataFrame:
    """The runs that have numbers, without the fields of their problems: a suite has two hundred of them."""
    found = with_variant(runs[~runs["status"].isin(WITHOUT_NUMBERS)])
    return found[[name for name in OF_A_RUN if name in found]]


def _criteria(runs: pandas.DataFrame) -> tuple[np.ndarray, ...]:
    """What a choice among these trials of one cell compares, by ascending trial number."""
    tuning = runs[runs["role"] == "tuning"]
    trials = (np.unique(runs["trial"]), tuning["trial"].to_numpy())
    seeds = (np.unique(tuning["seed"]), tuning["seed"].to_numpy())
    return keys(grid(costs(tuning), trials, seeds), grid(log_gaps(tuning), trials, seeds))


def _in_order(runs: pandas.DataFrame) -> np.ndarray:
    """The reporting costs of the trials of one cell, the one that tuning prefers first."""
    reporting = runs[runs["role"] == "reporting"]
    trials = (np.unique(runs["trial"]), reporting["trial"].to_numpy())
    seeds = (np.unique(reporting["seed"]), reporting["seed"].to_numpy())
    return grid(costs(reporting), trials, seeds)[np.lexsort(_criteria(runs)[::-1])]


def transfer(runs: pandas.DataFrame, family: Mapping[str, str]) -> pandas.DataFrame:
    """The trial that did best elsewhere, by cell: what one uses who does not tune here.

    Of the Sobol trials of a cell, each the same setting everywhere in the units of the problem, the
    one with the least mean rank on the tuning rows of all problems of other families; ties go to
    the lower number. Ranks are in the order of the choice `tuned`, equals sharing theirs; they are
    averaged over a problem's cells, then over a family's problems, then over families, so that none
    counts more for being larger. Only cells that ran all the trials of this one have a say;
    `families` counts those with one, and a cell without any is left out. An optimizer with nothing
    to search has one trial, and nothing to choose.

    family: by problem, its subsection; a problem that is not in it is a family of its own.
    """
    rows = []
    sound = _sound(runs)
    alone = sound.groupby("cell")["trial"].transform("nunique") == 1
    for _, own in sound[(sound["search"] == "sobol") | alone].groupby("optimizer", sort=False):
        cells = [
            (cell.iloc[0], np.unique(cell["trial"]).astype(int), np.stack(_criteria(cell), axis=1))
            for _, cell in own.groupby("cell", sort=False)
        ]
        homes = [family.get(first["problem"], first["problem"]) for first, _, _ in cells]
        by_trials: dict[tuple[int, ...], pandas.DataFrame] = {}
        for (first, trials, _), home in zip(cells, homes, strict=True):
            key = tuple(trials)
            if key not in by_trials:
                by_trials[key] = _mean_ranks(cells, homes, trials)
            elsewhere = by_trials[key].drop(index=home, errors="ignore")
            if len(elsewhere):
                mean = elsewhere.mean().round(9)  # equal means may differ in the last digit
                rows.append({
                    **{name: first[name] for name in CELL},
                    "trial": mean.index[int(np.argmin(mean))],
                    "mean_rank": mean.min(),
                    "families": len(elsewhere),
                })  # fmt: skip
    return pandas.DataFrame(rows, columns=[*CELL, "trial", "mean_rank", "families"])


def _mean_ranks(
    cells: Sequence[tuple[Any, np.ndarray, np.ndarray]], homes: Sequence[str], trials: np.ndarray
) -> pandas.DataFrame:
    """The mean rank of each of these trials (columns) among themselves, by family (rows)."""
    ranks = [
        {"family": home, "problem": first["problem"], **_ranks(theirs, criteria, trials)}
        for (first, theirs, criteria), home in zip(cells, homes, strict=True)
        if np.isin(trials, theirs).all()
    ]
    return pandas.DataFrame(ranks).groupby(["family", "problem"]).mean().groupby("family").mean()


def _ranks(there: np.ndarray, criteria: np.ndarray, trials: np.ndarray) -> dict[int, float]:
    """The rank of each of `trials` among themselves, by criteria (there, 3)."""
    _, place = np.unique(criteria[np.isin(there, trials)], axis=0, return_inverse=True)
    return dict(zip(trials.tolist(), rankdata(place.ravel()).tolist(), strict=True))


def expected_running_time(runs: pandas.DataFrame) -> float:
    """The cost of restarting until solved: all that these runs paid over how many were solved.

    A solved run pays up to its target, a failed one its own whole cost; infinite where none is
    solved. Hansen et al. 2021, COCO, arXiv:1603.08785 (there ERT or aRT).
    """
    paid, solved = costs(runs), (runs["status"] == "solved").to_numpy()
    if not solved.any():
        return math.inf
    return float(np.where(solved, paid, runs["cost"].to_numpy(dtype=float)).sum() / solved.sum())


def success(runs: pandas.DataFrame) -> pandas.DataFrame:
    """How many of the runs of each choice are solved, from runs as `chosen` returns them.

    `share` with Wilson's interval, and the expected running time.
    """
    rows = []
    for _, group in _sound(runs).groupby(["cell", "choice"], sort=False):
        first, solved = group.iloc[0], int((group["status"] == "solved").sum())
        rows.append({
            **{name: first[name] for name in [*CELL, "choice", "trial"]},
            **_shares(solved, len(group)),
            "expected_running_time": expected_running_time(group),
        })  # fmt: skip
    names = [*CELL, "choice", "trial", *_shares(0, 1), "expected_running_time"]
    return pandas.DataFrame(rows, columns=names)


def _shares(solved: int, runs: int) -> dict[str, float]:
    low, high = wilson(solved, runs)
    return {"runs": runs, "solved": solved, "share": solved / runs, "low": low, "high": high}


def sensitivity(runs: pandas.DataFrame) -> pandas.DataFrame:
    """The solved share of reporting instances by learning rate `u`, in the problem's units.

    One row a Sobol trial, in the order of u within each cell, with Wilson's interval. Where another
    hyperparameter is searched too, neighbours in u differ in it: the curve is a projection.
    """
    names = [*CELL, "trial", "u", *_shares(0, 1)]
    if "u" not in runs:
        return pandas.DataFrame(columns=names)
    sound = _sound(runs)
    searched = sound[(sound["search"] == "sobol") & (sound["role"] == "reporting")].dropna(
        subset="u"
    )
    rows = []
    for _, group in searched.groupby(["cell", "trial"], sort=False):
        first, solved = group.iloc[0], int((group["status"] == "solved").sum())
        rows.append({
            **{name: first[name] for name in [*CELL, "trial", "u"]}, **_shares(solved, len(group)),
        })  # fmt: skip
    return pandas.DataFrame(rows, columns=names).sort_values(
        [*CELL, "u"], ignore_index=True, kind="stable"
    )


def attainment(
    traces: pandas.DataFrame,
    target: Mapping[str, float],
    *,
    by: Sequence[str] = ("optimizer",),
    count: int = 50,
) -> pandas.DataFrame:
    """The share of pairs of a run and a target that are reached within a cost (an ECDF).

    A problem's targets for the gap are log-uniform from 1, the start, which is not one of them,
    down to its own: none is tighter. A target is reached at the first recorded step whose gap,
    measured from the known minimum, is at most that; steps are recorded 20 a decade, so costs are
    at most 12 % too high. Pairs that are never reached count, so the share ends where it ends.
    Hansen et al. 2021, arXiv:1603.08785, there with the reference of each problem as a target.

    target: by problem; one that is not in it, because nobody knows its minimum, is left out.
    by: the columns that name a curve; rows must be those of one choice, or `choice` be in it. What
        was not traced is not counted: at some rungs that may be the trial of `one_setting`.

    One row a curve and cost at which it rises: by, `cost`, `share`, `pairs`.
    """
    by = list(by)
    known = traces[traces["problem"].isin(list(target))]
    run = list(dict.fromkeys([*by, "cell", "trial", "seed"]))
    hits: dict[tuple[Any, ...], list[np.ndarray]] = {}
    for names, rows in known.sort_values("step").groupby(run, sort=False, dropna=False):
        levels = np.geomspace(1, target[str(rows["problem"].iloc[0])], count + 1)[1:]
        reached = np.fmin.accumulate(rows["gap"].to_numpy(dtype=float))
        # Traces are float32: what is at a target there is within this of it.
        at = np.searchsorted(-reached, -levels * (1 + 1e-6))
        paid = np.append(rows["cost"].to_numpy(dtype=float), np.inf)[at]
        hits.setdefault(names[: len(by)], []).append(paid)
    curves = []
    for name, paid in hits.items():
        every = np.concatenate(paid)
        cost, number = np.unique(every[np.isfinite(every)], return_counts=True)
        curves.append(
            pandas.DataFrame({"cost": cost, "share": number.cumsum() / len(every)}).assign(
                pairs=len(every), **dict(zip(by, name, strict=True))
            )
        )
    names = [*by, "cost", "share", "pairs"]
    return pandas.concat(curves)[names].reset_index(drop=True) if curves else pandas.DataFrame(
        columns=names
    )  # fmt: skip


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
