"""How often a diagnosis is right.

The truth about each run is found by intervention; the diagnosis sees what the run recorded. Thresholds are fitted on
all families of problems but one, and judged on that one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas

from benchmarks.diagnosis.combine import diagnose
from benchmarks.diagnosis.thresholds import Thresholds
from benchmarks.diagnosis.verdict import CAUSES
from benchmarks.validation.cases import Case

MOVED = (
    "lost_gain", "stability_used", "stability_unused", "rising", "halved", "noise_share", "flat_slope",
    "flat_gradient", "flat_curvature", "stuck_share", "jump", "thrown", "vanished", "bias",
)  # fmt: skip
FACTORS = (0.5, 2.0)  # what a threshold is tried at, times what theory says
WORTH = 0.005  # of macro recall: what moving thresholds must gain, on families seen and unseen
COVERAGE = 0.8  # the least share of runs that must get a verdict
SICK = 0.05  # the largest share of healthy runs that may be called sick
FEW = 8  # a cause with fewer runs has no recall worth the name
POINTS = 32  # of a resampled loss curve
HALVES = ("developed", "held out")  # on which families rules were looked at while they were made
FINE = ("healthy", "solved")
UNSURE = "not_sure"

Said = tuple[str, float]  # the first cause and its strength


@dataclass(frozen=True)
class Score:
    """How good verdicts are on runs of which it is known what is wrong.

    recall: by what is true, the share of its runs that get a right verdict; a verdict is right if its first cause
        is among the true ones. macro: their mean, of the causes with at least `FEW` runs; "not sure" is wrong.
    coverage: the share of runs that get a verdict; covered: macro recall among those.
    sick: the share of healthy runs that are called sick.
    """

    recall: Mapping[str, float]
    runs: Mapping[str, int]
    macro: float
    covered: float
    coverage: float
    sick: float
    accuracy: float

    @property
    def worth(self) -> float:
        """What a fit makes large: macro recall, less what is called sick too often or not covered."""
        return self.macro - max(0.0, self.sick - SICK) - max(0.0, COVERAGE - self.coverage)


def half(family: str) -> str:
    """In which half of the families one is: by its name alone, so that nobody can choose."""
    return HALVES[hashlib.sha256(family.encode()).digest()[0] % 2]


def score(truths: Sequence[Sequence[str]], said: Sequence[str]) -> Score:
    """Of runs with these truths, none of them empty, and these first causes."""
    healthy = ["healthy" if each in FINE else each for each in said]
    right = np.array([each in truth for truth, each in zip(truths, healthy, strict=True)])
    covered = np.array([each != UNSURE for each in healthy])
    recall, runs, among = {}, {}, {}
    for cause in ("healthy", *CAUSES):
        of = np.array([cause in truth for truth in truths])
        runs[cause] = int(of.sum())
        recall[cause] = float(right[of].mean()) if of.any() else math.nan
        among[cause] = float(right[of & covered].mean()) if (of & covered).any() else 0.0
    counted = [cause for cause in recall if runs[cause] >= FEW]
    well = np.array([tuple(truth) == ("healthy",) for truth in truths])
    return Score(
        recall=recall,
        runs=runs,
        macro=_mean([recall[cause] for cause in counted]),
        covered=_mean([among[cause] for cause in counted]),
        coverage=float(covered.mean()),
        sick=float((covered & ~right)[well].mean()) if well.any() else 0.0,
        accuracy=float(right.mean()),
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else 0.0


class Judge:
    """Verdicts on a fixed set of runs at any thresholds, each asked for once."""

    def __init__(self, runs: Sequence[Case]):
        self.runs = runs
        self.families = np.array([each.family for each in runs])
        self._one = lru_cache(maxsize=None)(self._say)

    def _say(self, at: int, thresholds: Thresholds) -> Said:
        verdict = diagnose(self.runs[at].record, thresholds)
        strength = verdict.causes[0][1] if verdict.causes else float(verdict.cause != UNSURE)
        return verdict.cause, strength

    def said(self, thresholds: Thresholds, at: np.ndarray) -> list[Said]:
        """First cause and strength of the runs at these places."""
        return [self._one(int(k), thresholds) for k in at]

    def score(self, thresholds: Thresholds, at: np.ndarray) -> Score:
        """Of the runs at these places."""
        truths = [self.runs[k].truth for k in at]
        return score(truths, [cause for cause, _ in self.said(thresholds, at)])


def fit(judge: Judge, at: np.ndarray, theory: Thresholds) -> Thresholds:
    """The thresholds that make the score of the runs at these places large, from those of theory.

    Each is moved alone; those that are worth it alone are moved together, if that is better than theory at all.
    """
    before = judge.score(theory, at).worth
    moved: dict[str, float] = {}
    for name in MOVED:
        value = getattr(theory, name)
        tried = {
            factor: dataclasses.replace(theory, **{name: value * factor}) for factor in FACTORS
        }
        worth = {factor: judge.score(each, at).worth for factor, each in tried.items()}
        factor = max(worth, key=lambda each: worth[each])
        if worth[factor] > before + WORTH:
            moved[name] = value * factor
    together = dataclasses.replace(theory, **moved)
    return together if judge.score(together, at).worth > before else theory


def left_out(judge: Judge, at: np.ndarray, chosen: Callable[[np.ndarray], Any], say) -> list[Said]:
    """What is said of each run by what was chosen on the runs of the other families."""
    said: list[Said] = [(UNSURE, 0.0)] * len(at)
    for family in dict.fromkeys(judge.families[at]):
        mine = np.flatnonzero(judge.families[at] == family)
        others = at[judge.families[at] != family]
        for place, answer in zip(mine, say(chosen(others), at[mine]), strict=True):
            said[place] = answer
    return said


# What verdicts are compared with.


def majority(judge: Judge, at: np.ndarray) -> list[Said]:
    """Always what is most often true."""

    def chosen(others: np.ndarray) -> Said:
        first = [judge.runs[k].truth[0] for k in others]
        most = max(sorted(set(first)), key=first.count)
        return most, first.count(most) / len(first)

    return left_out(judge, at, chosen, lambda answer, mine: [answer] * len(mine))


def loss_curve(case: Case) -> np.ndarray:
    """log10 of the loss over that at the start, above the lowest seen, at points of log step (`POINTS`)."""
    step, loss = case.record.step, case.record.loss
    known = np.isfinite(step) & np.isfinite(loss)
    step, loss = step[known], loss[known]
    if len(loss) < 2 or loss[0] <= loss.min():
        return np.zeros(POINTS)
    share = np.clip((loss - loss.min()) / (loss[0] - loss.min()), 1e-8, 1e8)
    places = np.log1p(step)
    return np.interp(np.linspace(0, places[-1], POINTS), places, np.log10(share))


def evidence(case: Case) -> np.ndarray:
    """The values of the evidence on a scale of orders of magnitude, with sign; NaN where not measured."""
    values = np.array([row.value for row in diagnose(case.record).evidence]).clip(-1e30, 1e30)
    return np.sign(values) * np.log1p(np.abs(values) * 1e6).clip(max=50)


def by_forest(judge: Judge, at: np.ndarray, sees: Callable[[Case], np.ndarray]) -> list[Said]:
    """A random forest that sees so much of a run, and knows the commonest cause of each."""
    from sklearn.ensemble import RandomForestClassifier

    seen = {int(k): sees(judge.runs[k]) for k in at}

    def chosen(others: np.ndarray) -> RandomForestClassifier:
        forest = RandomForestClassifier(300, class_weight="balanced", random_state=0)
        first = [judge.runs[k].truth[0] for k in others]
        return forest.fit(np.stack([seen[int(k)] for k in others]), first)

    def say(forest: RandomForestClassifier, mine: np.ndarray) -> list[Said]:
        shares = forest.predict_proba(np.stack([seen[int(k)] for k in mine]))
        return [(str(forest.classes_[row.argmax()]), float(row.max())) for row in shares]

    return left_out(judge, at, chosen, say)


# The whole.


@dataclass(frozen=True)
class Result:
    """What the calibration found: a row a run, and the thresholds that all families together choose."""

    table: pandas.DataFrame
    thresholds: Thresholds
    fitted: bool


def calibrate(runs: Sequence[Case], theory: Thresholds) -> Result:
    """Verdicts of theory and of a fit on the other families, and those of the baselines."""
    judge = Judge(runs)
    known = np.array([k for k, each in enumerate(runs) if each.truth])
    every = np.arange(len(runs))
    table = pandas.DataFrame(
        {
            "family": [each.family for each in runs],
            "half": [half(each.family) for each in runs],
            "problem": [each.problem for each in runs],
            "rung": [each.rung for each in runs],
            "optimizer": [each.method for each in runs],
            "rate": [each.rate for each in runs],
            "seed": [each.seed for each in runs],
            "status": [each.status for each in runs],
            "truth": [" ".join(each.truth) for each in runs],
        }
    )
    verdicts = [diagnose(each.record, theory) for each in runs]
    table["causes"] = [" ".join(cause for cause, _ in each.causes) for each in verdicts]
    _add(table, "theory", every, judge.said(theory, every))
    fitted = left_out(judge, known, lambda others: fit(judge, others, theory), judge.said)
    _add(table, "fitted", known, fitted)
    _add(table, "evidence", known, by_forest(judge, known, evidence))
    _add(table, "curve", known, by_forest(judge, known, loss_curve))
    _add(table, "majority", known, majority(judge, known))
    better = fit_is_better(table)
    return Result(table, fit(judge, known, theory) if better else theory, better)


def fit_is_better(table: pandas.DataFrame) -> bool:
    """Whether thresholds fitted on the other families are worth moving any."""
    return scored(table, "fitted").worth > scored(table, "theory").worth + WORTH


def _add(table: pandas.DataFrame, name: str, at: np.ndarray, said: Sequence[Said]) -> None:
    table[name], table[f"{name}_strength"] = "", math.nan
    table.loc[at, name] = [cause for cause, _ in said]
    table.loc[at, f"{name}_strength"] = [round(strength, 4) for _, strength in said]


def explained(table: pandas.DataFrame) -> pandas.DataFrame:
    """The runs of which it is known what is wrong, or that nothing is."""
    return table[table["truth"] != ""]


def scored(table: pandas.DataFrame, name: str) -> Score:
    """The score of the verdicts in a column."""
    known = explained(table)
    return score([each.split() for each in known["truth"]], list(known[name]))
