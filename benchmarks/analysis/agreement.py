"""Count how often what is read off single runs agrees with the measured causes of their job.

**Agreement.** A reading is right if it names a cause that holds for the run's job. Of a pair of causes, which help
only together, either may be named; so may each cause of a removal that takes several away at once.

**Interval.** 95 %, from a Bayesian bootstrap over problems (Rubin 1981), because the runs of a problem are not
independent: each replicate weights the problems at random, and no weight is 0, so that no cause drops out. Where fewer
than `FEW` problems have a cause or a reading, neither its share nor a mean that it is in has an interval: it would be
far too narrow.

**Halves.** The rules of the readings were developed on half of the problems; the others are held out.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas

from benchmarks.analysis.causes import TOO_FEW, is_pair, unasked

HALVES = ("developed", "held out")  # problems used, or not used, while the rules were written
DRAWS = 2000
FEW = 5
OUTCOMES = (
    "one cause", "two or more causes, each alone", "two causes together", "none of the causes",
    TOO_FEW, "does not break", "cannot be judged", "not measured",
)  # fmt: skip
ONE, SEVERAL, TOGETHER, NONE, _, UNBROKEN, CANNOT_BE_JUDGED, NOT_MEASURED = OUTCOMES


def half(problem: str) -> str:
    """Return the half that a problem belongs to, from a hash of its name, so that nobody can choose."""
    return HALVES[hashlib.sha256(problem.encode()).digest()[0] % 2]


def outcome(rows: pandas.DataFrame) -> str:
    """Return how a job that breaks is explained, one of `OUTCOMES`.

    Args:
        rows: Its rows of `explained.csv`.
    """
    causes = held(rows)
    if not causes:
        return TOO_FEW if (rows["note"] == TOO_FEW).any() else NONE
    if is_pair(causes[0]):
        return TOGETHER
    return ONE if len(causes) == 1 else SEVERAL


def held(rows: pandas.DataFrame) -> list[str]:
    """Return the causes that hold in rows of `explained.csv`, in their order."""
    return list(rows.loc[rows["holds"].astype(bool), "cause"].unique())


@dataclass(frozen=True)
class Share:
    """A share of runs, with its interval (NaN if too few problems have such runs) and their numbers."""

    value: float
    low: float
    high: float
    runs: int
    problems: int


@dataclass(frozen=True)
class Agreement:
    """Runs that are not solved, of jobs with a cause that holds.

    Attributes:
        problem: The problem of each run, (runs).
        readings: The names that a reading may have.
        causes: The names of measured causes; "a/b" for a removal that takes both away.
        means: Which readings name a cause, bool (causes, readings).
        has: Which causes hold for a run, bool (runs, causes).
        main: The cause with the largest shift, as a number, (runs).
        asked: Which readings name a cause that was taken away from its job, bool (runs, readings).
        first: The verdict, bool (runs, readings).
        named: All causes of the verdict, bool (runs, readings).
    """

    problem: np.ndarray
    readings: Sequence[str]
    causes: Sequence[str]
    means: np.ndarray
    has: np.ndarray
    main: np.ndarray
    asked: np.ndarray
    first: np.ndarray
    named: np.ndarray

    @classmethod
    def of(cls, readings: pandas.DataFrame, explained: pandas.DataFrame) -> Agreement:
        """Return the runs whose job has a cause that holds.

        Args:
            readings: `readings.csv`, without missing values.
            explained: `explained.csv`.
        """
        jobs = dict(iter(explained.groupby(["problem", "optimizer"])))
        holding = {
            name: "+".join(causes).split("+")
            for name, rows in jobs.items()
            if (causes := held(rows))
        }
        pairs = list(zip(readings["problem"], readings["optimizer"], strict=True))
        known = [pair in holding for pair in pairs]
        runs, pairs = readings[known], [pair for pair in pairs if pair in holding]
        causes = sorted({cause for each in holding.values() for cause in each})
        said = [
            [first, *filter(None, also.split(","))]
            for first, also in zip(runs["verdict"], runs["also"], strict=True)
        ]
        names = sorted(
            {name for each in causes for name in each.split("/")}
            | {name for each in said for name in each}
        )
        taken = {
            name: {
                each
                for cause in jobs[name].loc[~unasked(jobs[name]), "cause"]
                for each in cause.replace("+", "/").split("/")
            }
            for name in holding
        }
        return cls(
            problem=runs["problem"].to_numpy(dtype=object),
            readings=names,
            causes=causes,
            means=_marked([each.split("/") for each in causes], names),
            has=_marked([holding[pair] for pair in pairs], causes),
            main=np.array([causes.index(holding[pair][0]) for pair in pairs], dtype=int),
            asked=_marked([taken[pair] for pair in pairs], names),
            first=_marked([each[:1] for each in said], names),
            named=_marked(said, names),
        )  # fmt: skip

    def where(self, rows: np.ndarray) -> Agreement:
        """Return some of the runs."""
        of_runs = ("problem", "has", "main", "asked", "first", "named")
        return replace(self, **{name: getattr(self, name)[rows] for name in of_runs})

    @property
    def true(self) -> np.ndarray:
        """Return which readings would be right, bool (runs, readings)."""
        return self.has @ self.means

    def right(self, said: np.ndarray) -> Share:
        """Return the share of runs of which a reading is right.

        Args:
            said: The readings of each run, bool (runs, readings).
        """
        hits = np.asarray((said & self.true).any(1, keepdims=True))
        return shares(hits, np.ones_like(hits), self.problem)[0][0]

    def recall(self, said: np.ndarray) -> tuple[list[Share], Share]:
        """Return, by cause, the share of its runs of which a reading names it; and the mean over causes."""
        return shares(self.has & (said @ self.means.T), self.has, self.problem)

    def precision(self) -> list[Share]:
        """Return, by reading, the share of the runs with this verdict of which it is right."""
        return shares(self.first & self.true, self.first, self.problem)[0]

    def dealt(self, said: np.ndarray) -> tuple[float, float]:
        """Return the share of right runs and the mean recall if readings are dealt out to the runs at random."""
        right = float((said.astype(float) @ self.true.T > 0).mean())
        recall = (said @ self.means.T).mean(0)
        return right, float(recall[self.has.any(0)].mean())

    def commonest(self) -> np.ndarray:
        """Return the commonest cause of the other problems as the reading of each run, bool (runs, readings)."""
        said = np.zeros_like(self.first)
        for problem in np.unique(self.problem):
            mine = self.problem == problem
            if not mine.all():
                said[mine] = self.means[self.has[~mine].sum(0).argmax()]
        return said

    def confusion(self) -> pandas.DataFrame:
        """Return how many runs of each cause have each verdict.

        A run is in the row of the cause that its verdict names, else in that of the cause with the largest shift.
        """
        matches = self.has & (self.first @ self.means.T)
        rows = np.where(matches.any(1), matches.argmax(1), self.main)
        return pandas.crosstab(
            np.array(self.causes)[rows], np.array(self.readings)[self.first.argmax(1)]
        )


def shares(hits: np.ndarray, of: np.ndarray, problem: np.ndarray) -> tuple[list[Share], Share]:
    """Return the share of hits in each column, and the mean over the columns that have runs.

    Args:
        hits: bool (runs, columns).
        of: The runs that count in a column, bool (runs, columns).
        problem: The problem of each run, (runs).
    """
    names, at = np.unique(problem, return_inverse=True)
    hit, count = (np.zeros((len(names), hits.shape[1])) for _ in range(2))
    np.add.at(hit, at, hits)
    np.add.at(count, at, of)
    generator = np.random.default_rng(0)
    weights = generator.dirichlet(np.ones(len(names)), size=DRAWS)
    with np.errstate(invalid="ignore"):
        values = hit.sum(0) / count.sum(0)
        drawn = (weights @ hit) / (weights @ count)
    runs, problems = count.sum(0).astype(int), (count > 0).sum(0)
    there = runs > 0
    found = [
        Share(float(value), *_interval(column, int(few)), int(number), int(few))
        for value, column, number, few in zip(values, drawn.T, runs, problems, strict=True)
    ]
    mean = Share(
        float(values[there].mean()),
        *_interval(drawn[:, there].mean(1), int(problems[there].min())),
        int(of.any(1).sum()),
        len(names),
    )
    return found, mean


def _interval(drawn: np.ndarray, problems: int) -> tuple[float, float]:
    if problems < FEW:
        return math.nan, math.nan
    low, high = np.quantile(drawn, [0.025, 0.975])
    return float(low), float(high)


def _marked(said: Sequence[Sequence[str] | set[str]], names: Sequence[str]) -> np.ndarray:
    """Return which of the names each has, bool (len(said), len(names))."""
    return np.array([[name in each for name in names] for each in said], dtype=bool).reshape(
        len(said), len(names)
    )
