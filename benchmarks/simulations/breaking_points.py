"""The interval of a breaking point covers other searches and other instances, and is as wide as that takes."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.breaking_points import (
    Draws,
    Results,
    crossing,
    interval,
    isotonic,
    next_rung,
)
from benchmarks.analysis.dial_axis import Axis
from benchmarks.engine.trial_choice import best, keys

TITLE = "Breaking points"
RULE = """
The breaking point is where the solved share crosses ½, and its 95 % interval says where it would lie if the protocol
were repeated with other trials on other instances. A bootstrap draws both; a refinement trial is drawn only together
with the trial that it refines.

These intervals are wide, and the table shows why they stay so. The spacing of the ladder is 1; *spread* is the width
that contains 95 % of the errors of the estimates, and thus the least width that an interval can have.

- **Drawing instances alone** (a paired bootstrap) gives a narrow interval of this one search. It misses the truth
  because searches differ more than instances do.
- **Keeping all first trials** and drawing only refinements is right if the result depends smoothly on the one searched
  hyperparameter: evenly spread trials then find the same region in every search, and the interval in use is several
  times too wide. It is wrong if each trial has its own luck, and sixteen trials do not tell how much: even if this
  interval is used only where the four best trials are neighbours, it misses the truth too often in the third kind of
  search.
- **More bisections** do not narrow the interval, because the distance between rungs is not what makes it wide. They do
  narrow the spread: breaking points that are not bisected, such as those at a third and a tenth of the budget, are
  coarser.
- **More trials** narrow the interval in a smooth search, and are the honest way to narrow it (`trials=73`).

So the interval stays as it is, and a prediction is judged by the ratio of the measured to the predicted breaking point.
"""
BUDGET = 1000.0
UNSOLVED = -4.0  # threshold in rungs of a setting that solves nothing: beyond the best value of the hyperparameter
BEST = 0.53  # the best value of the hyperparameter, as a share of the searched range
RULES = ("in use", "first trials kept", "kept if neighbours are best", "instances alone")


def frame(
    cost: Any,
    dials: Any,
    *,
    trials: Any = None,
    problem: str = "p",
    optimizer: str = "o",
    tuning: int = 5,
) -> pandas.DataFrame:
    """Return runs of costs (rungs, trials, seeds); the first `tuning` seeds tune; above BUDGET, missed."""
    cost = np.asarray(cost, dtype=float)
    rungs, count, seeds = cost.shape
    trials = np.arange(1, count + 1) if trials is None else np.asarray(trials)
    seed = np.concatenate([np.arange(tuning), 1000 + np.arange(seeds - tuning)])
    solved = cost.ravel() <= BUDGET
    return pandas.DataFrame(
        {
            "problem": problem,
            "dial": np.repeat(np.asarray(dials, dtype=float), count * seeds),
            "optimizer": optimizer,
            "trial": np.tile(np.repeat(trials, seeds), rungs),
            "seed": np.tile(seed, rungs * count),
            "role": np.tile(np.where(seed < 1000, "tuning", "reporting"), rungs * count),
            "status": np.where(solved, "solved", "missed"),
            "gap_final": np.minimum(cost.ravel(), 1e9),
            "budget": BUDGET,
            "cost": np.minimum(cost.ravel(), BUDGET),
            "cost_to_target": np.where(solved, cost.ravel(), np.nan),
        }
    )


@dataclass(frozen=True)
class Search:
    """Searches with a known truth, in rungs: the spacing of the coarse ladder, here a decade.

    A trial has a threshold; a run is solved where dial + noise is not above it, and its cost tells by how much. The
    threshold is the trial's own luck, N(0, luck²), and what its hyperparameter gives: `slope` · (u − BEST) up to the
    best value, nothing solved beyond. A refinement keeps the luck of the trial that it refines, but for
    N(0, (.3 luck)²). Noise: half its variance the instance's, half the run's.

    sobol, refined: trials, evenly spread over the range, and over ± .1 around the best of them at a rung.
    """

    luck: float
    noise: float
    slope: float = 0.0
    sobol: int = 16
    refined: int = 8
    bisections: int = 3

    def given(self, u: np.ndarray) -> np.ndarray:
        """Return what values of the hyperparameter give."""
        if not self.slope:
            return np.zeros_like(u)
        return np.where(u <= BEST, self.slope * (u - BEST), UNSOLVED)

    def first(self, generator: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
        """Return luck and value of the first trials of n searches, each (n, sobol)."""
        luck = self.luck * generator.standard_normal((n, self.sobol))
        return luck, (np.arange(self.sobol) + generator.random((n, self.sobol))) / self.sobol

    def refinements(
        self, generator: np.random.Generator, luck: np.ndarray, u: np.ndarray
    ) -> np.ndarray:
        """Return the thresholds (n, refined) of refinements of trials with this luck and value, each (n)."""
        low, high = np.clip(u - 0.1, 0, 1)[:, None], np.clip(u + 0.1, 0, 1)[:, None]
        own = luck[:, None] + 0.3 * self.luck * generator.standard_normal((len(u), self.refined))
        place = (np.arange(self.refined) + generator.random((len(u), self.refined))) / self.refined
        return own + self.given(low + (high - low) * place)

    def part(self, generator: np.random.Generator, *shape: int) -> np.ndarray:
        """Return one half of the noise."""
        return self.noise / math.sqrt(2) * generator.standard_normal(shape)

    def half(self, thresholds: Any) -> float:
        """Return the dial at which trials of these thresholds solve half of all instances."""
        from scipy import optimize, stats

        def surplus(dial: float) -> float:
            return float(stats.norm.cdf((thresholds(dial) - dial) / self.noise).mean() - 0.5)

        return float(optimize.brentq(surplus, -5, 5, xtol=1e-3))  # type: ignore[arg-type]

    def truth(self, n: int = 4000) -> float:
        """Return the breaking point of tuned trials, in the population of searches."""
        generator = np.random.default_rng(0)
        luck, u = self.first(generator, n)
        sobol, instances = luck + self.given(u), self.part(generator, n, 1, 5)
        noise = self.part(generator, n, self.sobol + self.refined, 5) + instances

        def tuned(dial: float) -> np.ndarray:
            parent = pick(dial + noise[:, : self.sobol], sobol)[:, None]
            of_parent = (np.take_along_axis(each, parent, 1)[:, 0] for each in (luck, u))
            refined = self.refinements(np.random.default_rng(1), *of_parent)
            thresholds = np.concatenate([sobol, refined], axis=1)
            return np.take_along_axis(thresholds, pick(dial + noise, thresholds)[:, None], 1)

        return self.half(tuned)

    def runs(
        self, generator: np.random.Generator, shift: float
    ) -> tuple[np.ndarray, pandas.DataFrame]:
        """Return the first trials' thresholds and the runs of one search: 3 coarse rungs, and bisections."""
        luck, u = self.first(generator, 1)
        sobol, instances = (luck + self.given(u))[0] + shift, self.part(generator, 15)
        sobol_noise = self.part(generator, self.sobol, 15) + instances
        cells: dict[float, np.ndarray] = {}
        shares: dict[float, float] = {}
        for coarse in (1.0, 10.0, 100.0, *[None] * self.bisections):
            rung = coarse or next_rung(list(shares), list(shares.values()), "log", False)
            if rung is None:
                break
            dial = math.log10(rung)
            parent = pick(dial + sobol_noise[:, :5], sobol)
            refined = self.refinements(generator, luck[:, parent], u[:, parent])[0] + shift
            thresholds = np.concatenate([sobol, refined])
            noise = np.concatenate(
                [sobol_noise, self.part(generator, self.refined, 15) + instances]
            )
            margin = dial + noise - thresholds[:, None]
            cells[rung] = BUDGET * 10**margin
            chosen = pick(dial + noise[:, :5], thresholds)
            shares[rung] = float(np.mean(margin[chosen, 5:] <= 0))
        return sobol, frame(np.stack(list(cells.values())), list(cells))


def pick(difficulty: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the choice among trials: (*batch, trials, seeds), (*batch, trials) -> (*batch)."""
    margin = difficulty - thresholds[..., None]
    criteria = keys(np.where(margin <= 0, margin, np.inf), margin)
    return best(np.ones(thresholds.shape, dtype=bool), *criteria)


def intervals(
    runs: pandas.DataFrame, sobol: int, replicates: int = 200
) -> tuple[float, dict[str, tuple[float, float]]]:
    """Return the breaking point of one search, and its interval by each of `RULES`, in rungs."""
    axis = Axis.of(runs["dial"].unique(), "log", False)
    results = Results.of(runs, axis, sobol)
    draws = Draws.of(results, replicates)
    kept = draws.allowed.copy()
    kept[:, :, results.shared] = True
    count = len(results.refined)
    again = np.random.default_rng(0).integers(0, count, (replicates, len(axis.x), count))
    kept[1:, :, results.refined] = (again[..., None] == np.arange(count)).any(axis=-2)
    allowed = (draws.allowed, kept & results.exists, np.broadcast_to(results.exists, kept.shape))
    by_draws = []
    fit, places = np.zeros(0), np.zeros(1)
    for trials in allowed:
        drawn = dataclasses.replace(draws, allowed=trials)
        fits = isotonic(drawn.solved(results, drawn.tuned(results)).mean(axis=-1))
        fit, places = fits[0], crossing(axis.x, fits)
        by_draws.append(interval(axis.x, fit, places))
    in_use, narrow, alone = by_draws
    tested = narrow if _neighbours_are_best(results, fit) else in_use
    return float(places[0]), dict(zip(RULES, (in_use, narrow, tested, alone), strict=True))


def _neighbours_are_best(results: Results, fit: np.ndarray, count: int = 4) -> bool:
    """True if the best of the first trials are neighbours, at the rungs on both sides of the breaking point."""
    above, last = int(np.sum(fit > 0.5)), len(fit) - 1
    shared = results.shared
    criteria = keys(results.tuning_cost[:, shared], results.tuning_gap[:, shared])
    sides = {max(above - 1, 0), min(above, last)}
    tops = [np.lexsort([each[rung] for each in criteria[::-1]])[:count] for rung in sides]
    return all(np.ptp(top) == count - 1 for top in tops)


def simulate(searches: int = 120) -> pandas.DataFrame:
    """Return how often each rule's interval holds the truth, and its width, for searches of several kinds."""
    lucky = Search(luck=0.25, noise=0.07)
    smooth = Search(luck=0.0, noise=0.07, slope=6.0)
    between = Search(luck=0.2, noise=0.07, slope=6.0)
    kinds = {
        "every trial has luck of its own": (lucky, RULES),
        "smooth in one hyperparameter": (smooth, RULES),
        "smooth, and some luck": (between, RULES),
        "smooth, no bisection": (dataclasses.replace(smooth, bisections=0), RULES[:1]),
        "smooth, 6 bisections": (dataclasses.replace(smooth, bisections=6), RULES[:1]),
        "smooth, three times the trials": (
            dataclasses.replace(smooth, sobol=48, refined=24),
            RULES[:1],
        ),
    }
    rows = []
    for kind, (search, rules) in kinds.items():
        errors, held, widths = _repeated(search, searches)
        spread = float(np.subtract(*np.quantile(errors, [0.975, 0.025])))
        rows += [
            {
                "search": kind,
                "interval": rule,
                "holds the truth": float(np.mean(held[rule])),
                "median width": float(np.median(widths[rule])),
                "spread": spread,
            }
            for rule in rules
        ]
    return pandas.DataFrame(rows)


def _repeated(
    search: Search, n: int
) -> tuple[np.ndarray, dict[str, list[bool]], dict[str, list[float]]]:
    """Return the errors of n searches, and by rule which intervals hold the truth, and their widths."""
    generator = np.random.default_rng(1)
    truth = search.truth(1000)
    errors: list[float] = []
    held: dict[str, list[bool]] = {rule: [] for rule in RULES}
    widths: dict[str, list[float]] = {rule: [] for rule in RULES}
    for _ in range(n):
        target = generator.uniform(0.35, 1.65)  # within the ladder, from 0 to 2
        _, runs = search.runs(generator, target - truth)
        point, found = intervals(runs, search.sobol)
        errors.append(float(np.clip(point, 0, 2)) - target)
        for rule, (low, high) in found.items():
            held[rule].append(low <= target <= high)
            widths[rule].append(min(high, 2.0) - max(low, 0.0))
    return np.array(errors), held, widths
