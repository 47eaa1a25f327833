"""Measure how often a diagnosis is right.

The true causes of each run are found by intervention; the diagnosis uses only the run's record. Thresholds are fitted
on all families of problems but one, and judged on that one.
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
FACTORS = (0.5, 2.0)  # factors on the theoretical value at which a threshold is tried
WORTH = 0.005  # least gain of macro recall for moving thresholds, on families seen and unseen
COVERAGE = 0.8  # least share of runs that must get a verdict
SICK = 0.05  # largest share of healthy runs that may be called sick
FEW = 8  # runs of a cause below which its recall is not counted
POINTS = 32  # points of a resampled loss curve
HALVES = ("developed", "held out")  # families used, or not used, while the rules were written
FINE = ("healthy", "solved")
UNSURE = "not_sure"

Said = tuple[str, float]  # the first cause and its strength


@dataclass(frozen=True)
class Score:
    """The quality of verdicts on runs with known causes.

    recall: by true cause, the share of its runs with a right verdict. A verdict is right if its first cause is
        among the true ones; "not sure" is wrong. runs: their number, by true cause.
    macro: mean recall of the causes with at least `FEW` runs.
    coverage: share of runs that get a verdict; covered: macro recall among those.
    sick: share of healthy runs that are called sick.
    accuracy: share of all runs with a right verdict.
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
        """Return the objective of a fit: macro − max(0, sick − SICK) − max(0, COVERAGE − coverage)."""
        return self.macro - max(0.0, self.sick - SICK) - max(0.0, COVERAGE - self.coverage)


def half(family: str) -> str:
    """Return the half that a family belongs to, from a hash of its name, so that nobody can choose."""
    return HALVES[hashlib.sha256(family.encode()).digest()[0] % 2]


def score(truths: Sequence[Sequence[str]], said: Sequence[str]) -> Score:
    """Return the score of these first causes on runs with these true causes, none of them empty."""
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
    """Verdicts on a fixed set of runs at any thresholds, cached."""

    def __init__(self, runs: Sequence[Case]):
        self.runs = runs
        self.families = np.array([each.family for each in runs])
        self._one = lru_cache(maxsize=None)(self._say)

    def _say(self, at: int, thresholds: Thresholds) -> Said:
        verdict = diagnose(self.runs[at].record, thresholds)
        strength = verdict.causes[0][1] if verdict.causes else float(verdict.cause != UNSURE)
        return verdict.cause, strength

    def said(self, thresholds: Thresholds, at: np.ndarray) -> list[Said]:
        """Return first cause and strength of the runs at these positions."""
        return [self._one(int(k), thresholds) for k in at]

    def score(self, thresholds: Thresholds, at: np.ndarray) -> Score:
        """Return the score of the runs at these positions."""
        truths = [self.runs[k].truth for k in at]
        return score(truths, [cause for cause, _ in self.said(thresholds, at)])


def fit(judge: Judge, at: np.ndarray, theory: Thresholds) -> Thresholds:
    """Return thresholds with a larger score on the runs at these positions than those of theory, if there are any.

    Each threshold is moved alone. Those that gain more than WORTH are then moved together, if the result is better
    than theory.
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
    """Return the verdict on each run by what was fitted on the runs of the other families.

    chosen: fits on the runs at these positions; say: applies the fit to the runs at these positions.
    """
    said: list[Said] = [(UNSURE, 0.0)] * len(at)
    for family in dict.fromkeys(judge.families[at]):
        mine = np.flatnonzero(judge.families[at] == family)
        others = at[judge.families[at] != family]
        for place, answer in zip(mine, say(chosen(others), at[mine]), strict=True):
            said[place] = answer
    return said


# Baselines.


def majority(judge: Judge, at: np.ndarray) -> list[Said]:
    """Return the most frequent true cause of the other families, for every run."""

    def chosen(others: np.ndarray) -> Said:
        first = [judge.runs[k].truth[0] for k in others]
        most = max(sorted(set(first)), key=first.count)
        return most, first.count(most) / len(first)

    return left_out(judge, at, chosen, lambda answer, mine: [answer] * len(mine))


def loss_curve(case: Case) -> np.ndarray:
    """Return log10((f − min f)/(f₀ − min f)) at POINTS evenly spaced points of log(1 + step)."""
    step, loss = case.record.step, case.record.loss
    known = np.isfinite(step) & np.isfinite(loss)
    step, loss = step[known], loss[known]
    if len(loss) < 2 or loss[0] <= loss.min():
        return np.zeros(POINTS)
    share = np.clip((loss - loss.min()) / (loss[0] - loss.min()), 1e-8, 1e8)
    places = np.log1p(step)
    return np.interp(np.linspace(0, places[-1], POINTS), places, np.log10(share))


def evidence(case: Case) -> np.ndarray:
    """Return the values of the evidence on a signed logarithmic scale; NaN if not measured."""
    values = np.array([row.value for row in diagnose(case.record).evidence]).clip(-1e30, 1e30)
    return np.sign(values) * np.log1p(np.abs(values) * 1e6).clip(max=50)


def by_forest(judge: Judge, at: np.ndarray, sees: Callable[[Case], np.ndarray]) -> list[Said]:
    """Return the verdicts of a random forest on the features `sees(case)`, trained on the first true causes."""
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


# Calibration.


@dataclass(frozen=True)
class Result:
    """The result of a calibration: a table with one row per run, and the thresholds fitted on all families."""

    table: pandas.DataFrame
    thresholds: Thresholds
    fitted: bool


def calibrate(runs: Sequence[Case], theory: Thresholds) -> Result:
    """Return the verdicts by thresholds of theory, by thresholds fitted on the other families, and by baselines."""
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
    """True if thresholds fitted on the other families score better than theory by more than WORTH."""
    return scored(table, "fitted").worth > scored(table, "theory").worth + WORTH


def _add(table: pandas.DataFrame, name: str, at: np.ndarray, said: Sequence[Said]) -> None:
    table[name], table[f"{name}_strength"] = "", math.nan
    table.loc[at, name] = [cause for cause, _ in said]
    table.loc[at, f"{name}_strength"] = [round(strength, 4) for _, strength in said]


def explained(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return the runs whose true causes are known, healthy ones included."""
    return table[table["truth"] != ""]


def scored(table: pandas.DataFrame, name: str) -> Score:
    """Return the score of the verdicts in a column."""
    known = explained(table)
    return score([each.split() for each in known["truth"]], list(known[name]))
