"""Decide which removals hold as causes: paired by instance, one-sided, Holm over the removals of an optimizer.

**Evidence.** Of one removal, each reporting instance gives d, the number of explained rungs that are solved with the
cause taken away less the number that are solved with it there. Rungs are pooled, because they share the instance.

**Test.** If the removal did nothing, d would be as likely as −d, whatever its size: the p-value is the share of all
assignments of signs whose sum is at least the observed one (the randomization test of Fisher 1935), exactly.

**Several removals.** Holm's correction over all that were searched. Those that were only tried are not among them:
they were dropped by the tuning instances, which share nothing with the reporting ones.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas

from benchmarks.analysis.breaking_points import breaking_points, isotonic
from benchmarks.analysis.dial_axis import Axis
from benchmarks.engine.trial_choice import choose, costs
from benchmarks.store.cell_info import SKIPPED

if TYPE_CHECKING:
    from benchmarks.explain.removals import Cause

LEVEL = 0.05
CLEARLY = 0.2  # share of solved instances
TOO_FEW = "too few instances"
FAILED = "failed: "  # the beginning of the note of a removal that could not be run
NOT_ASKED = "not asked"  # the same of one that cannot be asked, though it may matter
NEVER_HELPED = "helped at none of the settings tried"  # the note of one that was only tried
COLUMNS = [
    "removal", "cause", "holds", "dials", "instances", "tried", "solved", "solved_without", "gain", "p", "p_holm",
    "first_rung", "last_rung", "breaking_point", "low", "high", "text", "censored",
    "breaking_point_without", "low_without", "high_without", "text_without", "censored_without",
    "shift", "shift_rungs", "beyond", "cost_without", "note",
]  # fmt: skip


NAMED = ["problem", "dial_name", "optimizer", "job"]
EXPLAINED = [*NAMED, *COLUMNS]  # of explained.csv
POINT = ("breaking_point", "low", "high", "text", "censored")


def is_pair(cause: str) -> bool:
    """True for two causes that were taken away together, such as "noise+ill_conditioning"."""
    return "+" in cause


def tuned(runs: pandas.DataFrame, share: float = 1.0) -> pandas.DataFrame:
    """Return the reporting runs of a cell's tuned trial, by seed, chosen and judged at a share of the budget."""
    if share < 1:
        late = costs(runs) > share * runs["budget"]
        runs = runs.assign(
            status=runs["status"].mask(late & (runs["status"] == "solved"), "missed")
        )
    trial = choose(runs)["tuned"]
    return runs[(runs["trial"] == trial) & (runs["role"] == "reporting")].sort_values("seed")


def solved(runs: pandas.DataFrame, share: float = 1.0) -> np.ndarray:
    """Return which reporting instances the tuned trial of a cell solves, bool (instances)."""
    return (tuned(runs, share)["status"] == "solved").to_numpy()


@dataclass(frozen=True)
class Broken:
    """A job that breaks on its rungs.

    runs: its runs at all rungs.
    ladder: the rungs that every job on this problem has, from harmless to extreme.
    rungs: the first rung at which it is clearly broken, with at most `CLEARLY` solved, or else the one with the fewest;
        and the harder ones of the ladder. Just below one half, a job that breaks may only have had bad luck.
    easier: the rungs before, down to one at which it does not break.
    measured: the hardest rung up to the first of `rungs` that was not skipped.
    """

    runs: pandas.DataFrame
    scale: str
    falling: bool
    ladder: tuple[float, ...]
    rungs: tuple[float, ...]
    easier: tuple[float, ...]
    measured: float

    @classmethod
    def of(
        cls, runs: pandas.DataFrame, scale: str, falling: bool, ladder: Sequence[float]
    ) -> Broken | None:
        """Return where a job breaks; None if it solves half of the instances at each rung."""
        dials = sorted(runs["dial"].unique(), reverse=falling)
        shares = [solved(runs[runs["dial"] == each]).mean() for each in dials]
        above = int((isotonic(np.array(shares)) >= 0.5).sum())
        if above == len(dials):
            return None
        clear = [place for place in range(above, len(dials)) if shares[place] <= CLEARLY]
        first = clear[0] if clear else above + int(np.argmin(shares[above:]))
        harder = [each for each in dials[first + 1 :] if each in set(ladder)]
        skipped = runs["cell"].str.endswith(SKIPPED)
        own = [each for each in dials[: first + 1] if not skipped[runs["dial"] == each].all()]
        easier = tuple(dials[max(above - 1, 0) : first][::-1])
        return cls(runs, scale, falling, tuple(ladder), (dials[first], *harder), easier, own[-1])

    def at(self, dial: float) -> pandas.DataFrame:
        """Return the runs at a rung."""
        return self.runs[self.runs["dial"] == dial]

    @cached_property
    def solved(self) -> list[np.ndarray]:
        """Which reporting instances the tuned trial solves at each of `rungs`, bool (instances)."""
        return [solved(self.at(each)) for each in self.rungs]

    @property
    def instances(self) -> int:
        """The number of tuning instances."""
        return self.runs.loc[self.runs["role"] == "tuning", "seed"].nunique()

    @cached_property
    def tuning(self) -> int:
        """How many tuning instances the tuned trial solves where the job is clearly broken."""
        runs = self.at(self.rungs[0])
        of_trial = runs[(runs["trial"] == choose(runs)["tuned"]) & (runs["role"] == "tuning")]
        return int((of_trial["status"] == "solved").sum())

    def setting(self, names: Iterable[str]) -> dict[str, float]:
        """Return the tuned values of hyperparameters where the job is clearly broken."""
        return {name: float(self._tuned[f"hp.{name}"]) for name in names}

    @cached_property
    def _tuned(self) -> pandas.Series:
        return tuned(self.at(self.rungs[0])).iloc[0]

    def point(self, runs: pandas.DataFrame, share: float = 1.0) -> dict[str, Any]:
        """Return the breaking point of the tuned trials in these runs, at a share of the budget."""
        name = runs["problem"].iloc[0]
        sobol = runs.loc[runs["search"] == "sobol", "trial"].max()
        found = breaking_points(
            runs, {name: self.scale}, falling=[name] if self.falling else [],
            sobol=0 if pandas.isna(sobol) else int(sobol), fractions=(share,),
        )  # fmt: skip
        row = found[found["choice"] == "tuned"].iloc[0]
        return {str(name): value for name, value in row.items()}

    def shift(self, before: float, after: float) -> tuple[float, float]:
        """Return how much harder a dial is than another, in its units (a factor if its scale is log), and in rungs."""
        axis = Axis.of(self.ladder, self.scale, self.falling)
        if before == after:  # they may be 0
            own = float(self.scale == "log")
        elif self.scale == "log":
            own = before / after if self.falling else after / before
        else:
            own = before - after if self.falling else after - before
        places = [axis.place(each) for each in (before, after)]
        first, last = np.interp(places, axis.x, np.arange(len(axis.x)))
        return own, float(last - first)


@dataclass(frozen=True)
class Removed:
    """What a removal does.

    tried: how many tuning instances it solves where the job is clearly broken with the best setting near the tuned one.
    gap: the least median gap there (log10) of a setting near the tuned one.
    runs: its runs at the rungs where it was searched; None if it was not.
    gain: by which factor it makes the target cheaper where the pathology is absent.
    instead: the removal of the same cause that solves all, so that this one was not tried; empty if it was.
    error: the error in which its runs ended; empty if there was none.
    unasked: why it cannot be asked; empty if it can.
    """

    removal: Cause
    tried: int
    gap: float
    runs: pandas.DataFrame | None = None
    gain: float = 1.0
    instead: str = ""
    error: str = ""
    unasked: str = ""

    def solved(self, broken: Broken) -> np.ndarray:
        """Return which instances it solves at each of the rungs that was searched, bool (rungs, instances)."""
        assert self.runs is not None
        there = [each for each in broken.rungs if (self.runs["dial"] == each).any()]
        return np.array([
            solved(self.runs[self.runs["dial"] == each], 1 / self.gain) for each in there
        ])  # fmt: skip

    def differences(self, broken: Broken, other: Removed | None = None) -> np.ndarray:
        """Return by instance how many more rungs are solved than by the job itself, or by another removal."""
        mine = self.solved(broken)
        theirs = np.array(broken.solved[: len(mine)])
        if other is not None and other.runs is not None:
            instead = other.solved(broken)[: len(mine)]
            theirs[: len(instead)] |= instead
        return (mine.astype(int) - theirs).sum(axis=0)

    def solves_all(self, broken: Broken) -> bool:
        """True if it was searched and solves every instance at every explained rung: no other removal can do more."""
        if self.runs is None:
            return False
        found = self.solved(broken)
        return len(found) == len(broken.rungs) and bool(found.all())

    def helps(self, broken: Broken) -> bool:
        """True if it would hold as the only removal."""
        return sign_flip(self.differences(broken)) <= LEVEL

    def order(self, broken: Broken) -> tuple[int, int, float]:
        """Return how good it is: the instances solved at explained rungs, then those when tried, then the gap left."""
        found = 0 if self.runs is None else int(self.solved(broken).sum())
        return found, self.tried, -self.gap


def judged(broken: Broken, found: Sequence[Removed]) -> pandas.DataFrame:
    """Return one row per removal, as `ordered` has them.

    Columns: `holds` is True if the removal solves more than chance explains. `dials` are the rungs where it was
    searched, and `solved`, `solved_without` how many instances are solved at the first of them, as it is and without
    the cause. The breaking points are those of the tuned trials; `shift` is in the dial's units (a factor if its scale
    is log), `shift_rungs` in steps of the ladder, both at least so large where `beyond` is True, and no improvement
    (`shift_rungs` ≤ 0) where nothing is solved without the cause; empty on a single rung. `censored` is ">" or "<"
    where a breaking point lies beyond the rungs; it then equals the outermost rung.
    """
    searched = [each for each in found if each.runs is not None]
    by_name = {each.removal.name: each for each in searched}
    differences = [each.differences(broken, by_name.get(each.removal.beyond)) for each in searched]
    p = [sign_flip(each) for each in differences]
    adjusted = dict(zip(map(id, searched), zip(p, holm(p), strict=True), strict=True))
    few = bool(searched) and too_few(len(differences[0]), len(searched))
    base = broken.point(broken.runs)
    rows = [
        _row(broken, base, each, *adjusted.get(id(each), (math.nan, math.nan)), few)
        for each in found
    ]
    return ordered(pandas.DataFrame(rows, columns=COLUMNS))


def ordered(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rows of a job's removals: those that hold first, the largest shift and most solved instances first.

    Of those that are equal, the ones with other fields of the problem come last: they take the whole pathology away.
    """
    fields = table["removal"].str.contains("=", regex=False)  # such as `steps=5`
    keys = ["holds", "shift_rungs", "solved_without", "fields", "tried"]
    found = table.assign(fields=~fields).sort_values(keys, ascending=False, kind="stable")
    return found.drop(columns="fields").reset_index(drop=True)


def _row(
    broken: Broken, base: dict[str, Any], each: Removed, p: float, adjusted: float, few: bool
) -> dict[str, Any]:
    first = broken.rungs[0]
    row = {
        "removal": each.removal.name,
        "cause": each.removal.cause,
        "holds": False,
        "dials": f"{first:g}",
        "instances": len(broken.solved[0]),
        "tried": math.nan if each.instead or each.error or each.unasked else each.tried,
        "solved": int(broken.solved[0].sum()),
        **{name: base[name] for name in ("first_rung", "last_rung", *POINT)},
        "note": NEVER_HELPED,
    }
    if each.instead:
        row["note"] = f"not tried: {each.instead} solves all"
    if each.error:
        row["note"] = f"{FAILED}{each.error}"
    if each.unasked:
        row["note"] = f"{NOT_ASKED}: {each.unasked}"
    if each.runs is None:
        return row
    solving = each.solved(broken)
    without = broken.point(each.runs, 1 / each.gain)
    shift, shift_rungs = math.nan, math.nan  # a single rung has nowhere to shift to
    if base["first_rung"] != base["last_rung"]:
        before, after = base["breaking_point"], without["breaking_point"]
        shift, shift_rungs = broken.shift(before, after)
        easier = ">" if broken.falling else "<"
        if without["censored"] == easier and not solving.any() and shift_rungs > 0:
            # Its breaking point is only known to be easier than the first rung where it was searched.
            shift, shift_rungs = broken.shift(before, before)
    spent = tuned(each.runs[each.runs["dial"] == first], 1 / each.gain)
    return row | {
        "holds": adjusted <= LEVEL,
        "dials": ",".join(f"{dial:g}" for dial in broken.rungs[: len(solving)]),
        "solved_without": int(solving[0].sum()),
        "gain": each.gain,
        "p": p,
        "p_holm": adjusted,
        **{f"{name}_without": without[name] for name in POINT},
        "shift": shift,
        "shift_rungs": shift_rungs,
        "beyond": without["censored"] == ("<" if broken.falling else ">"),
        "cost_without": float(np.median(costs(spent))),
        "note": _note(each, adjusted, few),
    }


def _note(each: Removed, adjusted: float, few: bool) -> str:
    """Return why a removal that was searched is no cause; empty if it is one."""
    if adjusted <= LEVEL:
        return ""
    if few:
        return TOO_FEW
    if each.gain > 1:
        return "helps where the pathology is absent, too"
    return "not told apart from chance"


def failed(rows: pandas.DataFrame) -> pandas.Series:
    """Return which rows of `explained.csv` are of removals that could not be run, bool (rows)."""
    return rows["note"].astype(str).str.startswith(FAILED)


def unasked(rows: pandas.DataFrame) -> pandas.Series:
    """Return which rows of `explained.csv` are of removals that cannot be asked, bool (rows)."""
    return rows["note"].astype(str).str.startswith(NOT_ASKED)


def sign_flip(differences: np.ndarray) -> float:
    """Return the one-sided p of a paired randomization test.

    Args:
        differences: Whole numbers, one per pair, (pairs).

    Returns:
        The share of the sums ±|d₁| ± |d₂| … that are at least the sum of the differences.

    >>> sign_flip(np.array([1, 1, 1, 1, 1])), sign_flip(np.array([2, -1, 0]))
    (0.03125, 0.5)
    """
    sizes = np.abs(np.asarray(differences, dtype=int))
    total = int(sizes.sum())
    ways = np.zeros(2 * total + 1)
    ways[total] = 1.0
    for size in sizes[sizes > 0]:
        ways = (np.roll(ways, size) + np.roll(ways, -size)) / 2
    return float(ways[total + int(np.sum(differences)) :].sum())


def holm(p: Sequence[float]) -> np.ndarray:
    """Return Holm's adjusted p-values: the probability of any false cause is at most the level.

    >>> holm([0.01, 0.04, 0.03])
    array([0.03, 0.06, 0.06])
    """
    values = np.asarray(p, dtype=float)
    order = np.argsort(values, kind="stable")
    adjusted = np.empty(len(values))
    factors = len(values) - np.arange(len(values))
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * values[order]), 1)
    return adjusted


def too_few(instances: int, tests: int) -> bool:
    """True if even the clearest outcome, all instances one way, could not be told apart from chance.

    >>> too_few(5, 1), too_few(5, 2)
    (False, True)
    """
    return tests * 0.5**instances > LEVEL
