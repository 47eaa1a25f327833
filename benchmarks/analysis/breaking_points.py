"""Breaking points: the dial at which an optimizer stops solving, with its confidence interval.

**Estimand.** P(d) is the share of instances that an optimizer solves at dial d with the trial that a
search chooses, averaged over instances and over searches (the positions of the trials, the tuning
instances). The breaking point is the d with P(d) = ½: repeating the protocol with other trials on
other instances solves half of them there. `default` and `transfer` are not searched on this problem,
so that their P averages over instances alone.

**Estimate.** The solved shares of the reporting runs by rung get a decreasing (isotonic) fit. The
breaking point is where its linear interpolation, in the dial's scale, crosses ½.

**Interval.** 95 %, from a bootstrap over trials and instances; each replicate redoes the choice.
Instances are drawn jointly for all rungs, because they pair the rungs; so are Sobol trials, because
each is one setting for all rungs; refinement trials are drawn within their rung. The best of a search
is a maximum, and a bootstrapped maximum never exceeds the observed one and often equals it (Bickel &
Freedman 1981, section 6). Therefore three things differ from the textbook:
- a refinement trial is drawn only together with the Sobol trial that it refines: otherwise every
  replicate would contain the region that a lucky search found;
- `one_setting`, which has no refinement, draws half as many trials as there are (the m out of n
  bootstrap: Bickel, Götze & van Zwet 1997);
- the interval reaches at least as far to the harder side of the estimate as to the easier side.
It is never narrower than the bracket, from the last rung above ½ to the first below.

The slow test simulates searches whose variance is 30 times that of the instances: this interval
covers the true value in .92 to .94 of them, the textbook's in .40 to .59. Two limits: if trials are
more evenly spread than random ones, as in one dimension, the interval is too wide; and if a search
solves half of the instances at no rung (`< first`), bad luck cannot be excluded.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.dial_axis import Axis
from benchmarks.engine.trial_choice import best, costs, grid, keys, log_gaps, median

COLUMNS = [
    "problem", "optimizer", "choice", "budget", "breaking_point", "low", "high", "censored", "text",
    "dose_response", "dose_exponent", "rungs", "first_rung", "last_rung",
]  # fmt: skip


def breaking_points(
    runs: pandas.DataFrame,
    scale_of: Mapping[str, str],
    *,
    falling: Container[str] = (),
    sobol: int = 16,
    fractions: Sequence[float] = (1, 1 / 3, 1 / 10),
    replicates: int = 400,
    transfer: Mapping[tuple[str, str], int] | None = None,
) -> pandas.DataFrame:
    """Return one row per problem × optimizer × choice × budget.

    scale_of: by problem, "log", "linear" or "list" (no values between its rungs: the breaking point
        is the last rung at which half of the instances are solved).
    falling: the problems that get harder as their dial falls.
    sobol: trials 1 to this number are the same settings at every rung.
    fractions: of the budget; at each, a run is solved if its cost to the target is at most this
        share, and the choice is redone.

    Columns: `budget` is the fraction. If `censored` is ">" or "<", the breaking point lies beyond the
    rung in `breaking_point`; `low` and `high` are empty if the interval is open; `text` is these four,
    formatted. `dose_response` is False if a larger dial does not mean fewer solved (see the function),
    and empty if the shares stay on one side of ½. `dose_exponent` is the slope of log cost on log dial
    over the solved rungs (Theil–Sen), empty with fewer than three of them or without a log scale.
    `rungs` is the number of rungs, from `first_rung` to `last_rung`.

    A row depends on its own runs alone. Runs that are not applicable are left out; a run that ended
    in an error counts as not solved.
    """
    rows = []
    applicable: Any = runs[runs["status"] != "not_applicable"]
    for (problem, optimizer), group in applicable.groupby(["problem", "optimizer"], sort=False):
        axis = Axis.of(group["dial"].unique(), scale_of[problem], problem in falling)
        results = Results.of(group, axis, sobol)
        draws = Draws.of(results, replicates)
        for fraction in fractions:
            counted = results if fraction == 1 else results.within(fraction)
            choices = draws.choices(counted)
            elsewhere = (transfer or {}).get((problem, optimizer))
            if elsewhere is not None:
                at = int(np.flatnonzero(results.trials == elsewhere)[0])
                choices["transfer"] = np.full_like(choices["tuned"], at)
            for choice, chosen in choices.items():
                row = {"problem": problem, "optimizer": optimizer, "choice": choice}
                rows.append({**row, "budget": fraction, **_row(counted, draws, chosen)})
    return pandas.DataFrame(rows, columns=COLUMNS).astype({"dose_response": "boolean"})


def one_setting(
    runs: pandas.DataFrame, scale: str, *, falling: bool = False, sobol: int = 16
) -> int:
    """Return the trial that breaks last, of those with one setting for all rungs of a problem × optimizer.

    It is chosen on the tuning rows. Ties, and a single rung, are decided as in a cell, by the rows of
    all rungs. Trial 0 if there is no other.
    """
    results = Results.of(runs, Axis.of(runs["dial"].unique(), scale, falling), sobol)
    return int(results.trials[Draws.of(results, 0).one_setting(results)[0]])


def next_rung(
    dials: Sequence[float],
    shares: Sequence[float],
    scale: str,
    whole: bool,
    *,
    falling: bool = False,
) -> float | None:
    """Return the next dial to measure: the middle, in the dial's scale, of the bracket of the crossing.

    The bracket ends at the last rung above ½ and the first below. Rungs at ½ divide it, and the
    widest part that can be halved is. None if the shares do not cross ½ or no part can be halved;
    `whole` dials are rounded to whole numbers.
    """
    axis = Axis.of(dials, scale, falling)
    order = np.argsort(dials)[::-1] if falling else np.argsort(dials)
    fit = isotonic(np.asarray(shares, dtype=float)[order])
    if scale == "list" or fit[-1] > 0.5 or fit[0] < 0.5:
        return None
    inside = slice(max(int(np.sum(fit > 0.5)) - 1, 0), int(np.sum(fit >= 0.5)) + 1)
    rungs, x = axis.dials[inside], axis.x[inside]
    for i in np.argsort(-np.diff(x), kind="stable"):
        middle = axis.value(float(x[i] + x[i + 1]) / 2)
        middle = float(round(middle)) if whole else middle
        if min(rungs[i], rungs[i + 1]) < middle < max(rungs[i], rungs[i + 1]):
            return middle
    return None


def isotonic(shares: np.ndarray, weights: np.ndarray | float = 1.0) -> np.ndarray:
    """Return the decreasing fit by (weighted) least squares along the last axis, batched.

    fitᵢ = min over a ≤ i of max over b ≥ i of mean(a … b), the result of pooling adjacent violators
    (Barlow et al. 1972, section 1.2). Rounded to 12 digits, so that a pooled half is ½.
    """
    weights = np.broadcast_to(weights, shares.shape)
    zero = np.zeros((*shares.shape[:-1], 1))
    total = np.concatenate([zero, np.cumsum(weights * shares, axis=-1)], axis=-1)
    weight = np.concatenate([zero, np.cumsum(weights, axis=-1)], axis=-1)
    ordered = np.tri(shares.shape[-1], dtype=bool).T  # a ≤ b
    sums = total[..., None, 1:] - total[..., :-1, None]
    means = sums / np.where(ordered, weight[..., None, 1:] - weight[..., :-1, None], 1)
    backwards = np.where(ordered, means, -np.inf)[..., ::-1]
    highest = np.maximum.accumulate(backwards, axis=-1)[..., ::-1]
    return np.where(ordered, highest, np.inf).min(axis=-2).round(12)


def crossing(x: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Return where a decreasing curve crosses ½: x (rungs), fit (*batch, rungs) -> (*batch).

    The middle of the stretch where it equals ½; +inf if it stays above, -inf if it stays below.
    """
    above, at_least = (fit > 0.5).sum(axis=-1), (fit >= 0.5).sum(axis=-1)
    last = len(x) - 1
    left, right = np.clip(above - 1, 0, last), np.clip(above, 0, last)
    y_left, y_right = (np.take_along_axis(fit, i[..., None], -1)[..., 0] for i in (left, right))
    drop = np.where(y_left > y_right, y_left - y_right, 1)
    between = x[left] + (y_left - 0.5) / drop * (x[right] - x[left])
    flat = (x[right] + x[np.clip(at_least - 1, 0, last)]) / 2
    inside = np.where(at_least > above, flat, between)
    return np.where(above > last, np.inf, np.where(at_least == 0, -np.inf, inside))


def interval(x: np.ndarray, fit: np.ndarray, places: np.ndarray) -> tuple[float, float]:
    """Return the interval of the crossing, in the scale of x; an end beyond the rungs is infinite.

    fit: the data's curve, (rungs). places: the crossings of the data (first) and of the replicates.
    The interval is that of the percentiles, extended upwards to at least the distance downwards (a
    replicate chooses only among the trials of the data) and to the bracket. If the lower percentile
    is before the first rung, the distance is twice that to the 16th (1.97 times for a normal
    distribution).
    """
    above, at_least = np.sum(fit > 0.5), np.sum(fit >= 0.5)
    bracket = np.concatenate([[-np.inf], x, [np.inf]])[[above, at_least + 1]]
    low, nearer, high = np.quantile(places, [0.025, 0.16, 0.975], method="inverted_cdf")
    centre = places[0]
    if math.isfinite(centre):
        high = max(high, centre + (centre - low if low > -np.inf else 2 * (centre - nearer)))
    low, high = min(low, bracket[0]), max(high, bracket[1])
    rounding = 1e-9 * (x[-1] - x[0])  # an end at the last rung, up to rounding
    return float(low), float(min(high, x[-1]) if high <= x[-1] + rounding else np.inf)


def dose_response(solved: np.ndarray, fit: np.ndarray) -> bool | None:
    """True if a harder dial means fewer solved; solved: (rungs, seeds), bool.

    False if the fit pools more than two rungs on both sides of ½ (other pooling does not move the
    breaking point), or if the fall is not significant at .1. None if the fit stays on one side of ½.
    """
    shares = solved.mean(axis=-1)
    for level in np.unique(fit):
        pooled = shares[fit == level]
        if len(pooled) > 2 and pooled.min() < 0.5 < pooled.max():
            return False
    if fit[-1] > 0.5 or fit[0] < 0.5:
        return None
    return fall(solved) <= 0.1


def fall(solved: np.ndarray) -> float:
    """Return the one-sided p of the Mann–Kendall test for a fall; solved: (rungs, seeds), bool.

    Each seed is a series (Hirsch, Slack & Smith 1982, with months for seeds): without a trend
    S = Σ (rises − falls) over seeds has mean 0 and variance Σ (v(n) − v(ones) − v(zeros)) / 18,
    v(n) = n (n − 1) (2n + 5). A test of the shares alone could not be significant with three rungs.
    """

    def v(n: Any) -> Any:
        return n * (n - 1) * (2 * n + 5)

    before, after = np.triu_indices(len(solved), 1)
    statistic = float((solved[after].astype(int) - solved[before]).sum())
    ones = solved.sum(axis=0)
    variance = float(np.sum(v(len(solved)) - v(ones) - v(len(solved) - ones))) / 18
    if variance == 0:
        return 1.0
    return 0.5 * math.erfc(-(statistic + 1) / math.sqrt(2 * variance))


def theil_sen(x: np.ndarray, y: np.ndarray) -> float:
    """Return the median of the slopes between all pairs of points."""
    i, j = np.triu_indices(len(x), 1)
    return float(np.median((y[j] - y[i]) / (x[j] - x[i])))


@dataclass(frozen=True)
class Results:
    """One optimizer's runs of one problem, as arrays of shape (rungs, trials, seeds).

    trials: the trial numbers; the other fields name a trial by its position in this array.
    shared: the ranked trials that are one setting for all rungs.
    refined: the ranked trials of a single rung; at each rung they refine the trial `parents` (rungs).
    exists: True if the trial was run at the rung, (rungs, trials).
    cost, tuning_cost: to the target on reporting and tuning seeds, +inf where not solved.
    tuning_gap: log10 of the final gap, +inf where diverged.
    budgets: of each rung, (rungs, 1, 1).
    """

    axis: Axis
    trials: np.ndarray
    shared: np.ndarray
    refined: np.ndarray
    parents: np.ndarray
    exists: np.ndarray
    cost: np.ndarray
    tuning_cost: np.ndarray
    tuning_gap: np.ndarray
    budgets: np.ndarray

    @classmethod
    def of(cls, runs: pandas.DataFrame, axis: Axis, sobol: int) -> Results:
        """Return the arrays. Raises ValueError if a trial lacks some seeds, or a Sobol trial some rungs."""
        dial, trial, seed, role = (
            runs[name].to_numpy() for name in ("dial", "trial", "seed", "role")
        )
        trials = np.unique(trial)

        def array(values: np.ndarray, who: str) -> np.ndarray:
            rows = role == who
            labels = (np.sort(axis.dials), trials, np.unique(seed[rows]))
            columns = (dial[rows].astype(float), trial[rows], seed[rows])
            cells = grid(values[rows], *zip(labels, columns, strict=True))
            return cells[::-1] if axis.falling else cells

        cost, tuning_cost = (array(costs(runs), who) for who in ("reporting", "tuning"))
        gap = array(log_gaps(runs), "tuning")
        missing = np.isnan(np.concatenate([cost, tuning_cost], axis=-1))
        exists = ~np.all(missing, axis=-1)
        ranked = (trials > 0) | (len(trials) == 1)
        shared = np.flatnonzero(ranked & (trials <= sobol))
        refined = np.flatnonzero(ranked & (trials > sobol))
        if (missing & exists[..., None]).any() or not exists[:, shared].all():
            raise ValueError("breaking points need every trial to have run on every seed")
        parents = shared[best(exists[:, shared], *keys(tuning_cost[:, shared], gap[:, shared]))]
        by_rung = runs.groupby("dial")["budget"].first().loc[list(axis.dials)]
        budgets = by_rung.to_numpy(dtype=float)[:, None, None]
        return cls(axis, trials, shared, refined, parents, exists, cost, tuning_cost, gap, budgets)

    def within(self, fraction: float) -> Results:
        """Return the same runs; those that cost more than this fraction of their budget are not solved."""
        most = fraction * self.budgets
        cost, tuning_cost = (
            np.where(each <= most, each, np.inf) for each in (self.cost, self.tuning_cost)
        )
        return dataclasses.replace(self, cost=cost, tuning_cost=tuning_cost)


@dataclass(frozen=True)
class Draws:
    """The seeds and trials of each bootstrap replicate; the first replicate is the data themselves.

    tuning: the distinct draws of tuning seeds, (draws, seeds); `drawn` is the index of each
        replicate's draw (five seeds have only 126, and the choice is the slow part).
    seeds: the reporting seeds drawn, (replicates, seeds).
    allowed: True if the trial may be chosen at the rung, (replicates, rungs, trials).
    settings: True if this trial of `Results.shared` may be the one setting, (replicates, shared).
    """

    tuning: np.ndarray
    drawn: np.ndarray
    seeds: np.ndarray
    allowed: np.ndarray
    settings: np.ndarray

    @classmethod
    def of(cls, results: Results, replicates: int) -> Draws:
        """Return the draws; they depend only on the numbers of rungs, trials and seeds."""
        generator = np.random.default_rng(0)

        def seeds(n: int) -> np.ndarray:
            again = generator.integers(0, max(n, 1), (replicates, n))
            return np.concatenate([np.arange(n)[None], again])

        def trials(n: int, size: int, *batch: int) -> np.ndarray:
            present = np.zeros((1 + replicates, *batch, n), dtype=bool)
            again = generator.integers(0, max(n, 1), (replicates, *batch, size))
            np.put_along_axis(present[1:], again, True, axis=-1)
            present[0] = True
            return present

        tuning = np.sort(seeds(results.tuning_cost.shape[-1]), axis=-1)
        tuning, drawn = np.unique(tuning, axis=0, return_inverse=True)
        rungs, shared, refined = len(results.axis.x), len(results.shared), len(results.refined)
        allowed = np.zeros((1 + replicates, *results.exists.shape), dtype=bool)
        allowed[:, :, results.shared] = trials(shared, shared)[:, None]
        parents = allowed[:, np.arange(rungs), results.parents, None]
        allowed[:, :, results.refined] = trials(refined, refined, rungs) & parents
        allowed &= results.exists
        settings = trials(shared, (shared + 1) // 2)
        return cls(tuning, drawn, seeds(results.cost.shape[-1]), allowed, settings)

    def choices(self, results: Results) -> dict[str, np.ndarray]:
        """Return the chosen trials by the name of the choice, (replicates, rungs)."""
        shape = self.allowed.shape[:2]
        default = {"default": np.zeros(shape, dtype=int)} if results.trials[0] == 0 else {}
        setting = np.broadcast_to(self.one_setting(results)[:, None], shape)
        return {**default, "tuned": self.tuned(results), "one_setting": setting}

    def tuned(self, results: Results) -> np.ndarray:
        """Return the best trial of each rung, (replicates, rungs)."""
        cost, gap = (
            each[:, :, self.tuning].transpose(2, 0, 1, 3)  # (draws, rungs, trials, seeds)
            for each in (results.tuning_cost, results.tuning_gap)
        )
        return best(self.allowed, *(each[self.drawn] for each in keys(cost, gap)))

    def one_setting(self, results: Results) -> np.ndarray:
        """Return the trial with the highest breaking point on the tuning rows, (replicates)."""
        cost, gap = (
            each[:, results.shared][:, :, self.tuning].transpose(2, 1, 0, 3)
            for each in (results.tuning_cost, results.tuning_gap)
        )  # (draws, trials, rungs, seeds)
        criteria = keys(cost.reshape(*cost.shape[:2], -1), gap.reshape(*gap.shape[:2], -1))
        if len(results.axis.x) > 1 and cost.size:  # a single trial may have no tuning seeds
            fit = isotonic(np.isfinite(cost).mean(axis=-1))
            criteria = (-crossing(results.axis.x, fit), *criteria)
        return results.shared[best(self.settings, *(each[self.drawn] for each in criteria))]

    def solved(self, results: Results, chosen: np.ndarray) -> np.ndarray:
        """Return True where the chosen trial solves the reporting instance, (replicates, rungs, seeds)."""
        rungs = np.arange(chosen.shape[1])[:, None]
        return np.isfinite(results.cost[rungs, chosen[..., None], self.seeds[:, None]])


def _row(results: Results, draws: Draws, chosen: np.ndarray) -> dict[str, Any]:
    """Return the columns from `breaking_point` on."""
    axis, solved = results.axis, draws.solved(results, chosen)
    fits = isotonic(solved.mean(axis=-1))
    places = crossing(axis.x, fits)
    point = axis.breaking_point(float(places[0]), *interval(axis.x, fits[0], places))
    point = dataclasses.replace(point, dose_response=dose_response(solved[0], fits[0]))
    cost = median(results.cost[np.arange(len(axis.x)), chosen[0]])
    known = np.isfinite(cost) & (cost > 0)
    exponent = math.nan
    if axis.scale == "log" and known.sum() >= 3:
        exponent = theil_sen(np.log10(axis.dials[known]), np.log10(cost[known]))
    return {**point.columns(), "dose_exponent": exponent, "rungs": len(axis.x)}
