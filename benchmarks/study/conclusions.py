"""Draw the conclusions that the plan fixes from signatures, profiles and the rows of the outcomes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from benchmarks.analysis.causes import holm
from benchmarks.study.answers import Answers, Study, answers
from benchmarks.study.hypotheses import PERMUTATIONS, taus
from benchmarks.study.levels import LEVEL
from benchmarks.study.plan import Plan
from benchmarks.study.predictors import by_nearest, distances, places
from benchmarks.study.profile import of_plan, ordering, read_costs, read_profile
from benchmarks.study.results import OUTCOMES, SIGNATURES, read
from benchmarks.study.simulated import HYPOTHESES

PROFILES = (
    "tuned",
    "one_setting",
)  # how the reference chose the trial; the first is that of the hypotheses
SAMPLES = 10_000  # of the bootstrap
SPLITS = 20  # of the reporting seeds, into halves
TRAINING, EARLY = "train_loss", "early_loss"
PRIMARY, RACE = "nearest", "race"
COMPARED = (("other tasks", PRIMARY), (RACE, PRIMARY), (PRIMARY, "farthest"), (PRIMARY, "kind"))
OF_HYPOTHESES = {
    "H1": "the nearest rungs order the optimizers",
    "H2": "matching adds to other tasks",
    "H3": "the nearest rungs are better than the farthest",
    "H4": "the nearest rungs are better than the kind",
}


@dataclass(frozen=True)
class Tables:
    """What the conclusions are drawn from.

    Attributes:
        tasks: Tasks × features, the signatures.
        rungs: (problem, dial) × features.
        profiles: By choice of the trial, (problem, dial) × optimizers of the plan, the solved share.
        costs: (problem, dial) × optimizers of the plan, minus the gradients that tuned runs need.
        rows: The outcomes, one row per reporting run.
    """

    tasks: pandas.DataFrame
    rungs: pandas.DataFrame
    profiles: Mapping[str, pandas.DataFrame]
    costs: pandas.DataFrame
    rows: pandas.DataFrame


@dataclass(frozen=True)
class Decision:
    """What the plan's rules say of a study.

    Attributes:
        interval: The ends of the 95 % interval of the mean τ of the nearest rungs.
        adjusted: By hypothesis, p after calibration and Holm's correction.
        foretells: What is said of the profile: "foretells", "does not foretell" or "undecided".
        adds: True if it adds to what other tasks say.
    """

    interval: tuple[float, float]
    adjusted: Mapping[str, float]
    foretells: str
    adds: bool


@dataclass(frozen=True)
class Conclusions:
    """What comes out.

    Attributes:
        tau: Tasks × predictions, Kendall's τ with the outcome.
        interval: By prediction, the ends of the 95 % interval of its mean.
        above: By pair of predictions, the mean difference in τ (first minus second), and the ends of its interval.
        p: By hypothesis, the nominal p.
        adjusted: By hypothesis, p after calibration and Holm's correction.
        ceiling: τ of the outcome on one half of the seeds with that on the other.
        foretells: What is said of the profile: "foretells", "does not foretell" or "undecided".
        adds: True if it adds to what other tasks say.
        multiverse: One row for each analysis: `outcome`, `rungs`, `profile`, `tau`.
    """

    tau: pandas.DataFrame
    interval: Mapping[str, tuple[float, float]]
    above: Mapping[tuple[str, str], tuple[float, float, float]]
    p: Mapping[str, float]
    adjusted: Mapping[str, float]
    ceiling: float
    foretells: str
    adds: bool
    multiverse: pandas.DataFrame


def read_tables(plan: Plan, root: Path) -> Tables:
    """Return the tables of a study of which all parts exist.

    Args:
        plan: The plan.
        root: The folder of the checkout.
    """
    signatures = read(root / SIGNATURES, plan.digest).set_index("name")
    of_task = signatures["dial"].isna()
    rungs = signatures[~of_task].set_index("dial", append=True).rename_axis(["problem", "dial"])
    return Tables(
        signatures[of_task].drop(columns="dial").loc[[*plan.family]],
        rungs,
        {each: of_plan(read_profile(root, each), plan, rungs.index) for each in PROFILES},
        of_plan(read_costs(root), plan, rungs.index),
        pandas.concat([read(root / OUTCOMES / f"{name}.csv", plan.digest) for name in plan.tasks]),
    )


def outcome(rows: pandas.DataFrame, plan: Plan, column: str = TRAINING) -> pandas.DataFrame:
    """Return the places, tasks × optimizers, by the median loss over seeds; those that diverge are tied for the last.

    Args:
        rows: One row per reporting run.
        plan: The plan.
        column: Which loss.
    """
    loss = rows.groupby(["task", "optimizer"])[column].median().unstack()
    return places(-loss.loc[[*plan.family], [*plan.kind]])


def conclude(
    tables: Tables, plan: Plan, permutations: int = PERMUTATIONS, samples: int = SAMPLES
) -> Conclusions:
    """Return what the plan says of these tables.

    Args:
        tables: The tables.
        plan: The plan.
        permutations: How many, of the test of H1.
        samples: How many, of the bootstrap.
    """
    study = study_of(tables, tables.profiles[PROFILES[0]], plan)
    found = answers(study, plan.nearest, permutations)
    race = taus(outcome(tables.rows, plan, EARLY), study.outcome)
    tau = found.tau.assign(**{RACE: race})
    bounds = {name: interval(tau[name], plan.family, samples) for name in map(str, tau)}
    differences = {(one, other): tau[one] - tau[other] for one, other in COMPARED}
    decision = decide(found, plan.family, plan, samples)
    return Conclusions(
        tau,
        bounds,
        {
            pair: (float(each.mean()), *interval(each, plan.family, samples))
            for pair, each in differences.items()
        },
        found.p,
        decision.adjusted,
        ceiling(tables.rows, plan),
        decision.foretells,
        decision.adds,
        pandas.DataFrame(_multiverse(tables, study, plan)),
    )


def decide(found: Answers, family: Mapping[str, str], plan: Plan, samples: int) -> Decision:
    """Return what the plan's rules say of a study.

    Args:
        found: Its answers.
        family: By task, its family.
        plan: The plan.
        samples: How many, of the bootstrap.
    """
    tau = found.tau[PRIMARY]
    bounds = interval(tau, family, samples)
    adjusted = _adjusted(found.p, plan.critical)
    confirmed = {name for name, p in adjusted.items() if p <= LEVEL}
    said = _said(float(tau.mean()), bounds, confirmed, plan)
    return Decision(bounds, adjusted, said, "H2" in confirmed)


def study_of(tables: Tables, profile: pandas.DataFrame, plan: Plan) -> Study:
    """Return the study of a plan's optimizers with a profile.

    Args:
        tables: The tables.
        profile: (problem, dial) × optimizers; rungs that say little of their order are left out.
        plan: The plan.
    """
    return Study(
        ordering(profile, plan),
        tables.rungs,
        tables.tasks,
        outcome(tables.rows, plan),
        plan.family,
        dict(plan.kind),
    )


def ceiling(rows: pandas.DataFrame, plan: Plan) -> float:
    """Return the mean τ of the places by one half of the seeds and those by the other, over random halves."""
    generator = np.random.default_rng(0)
    seeds = np.sort(rows["seed"].unique())
    found = []
    for _ in range(SPLITS):
        half = generator.permutation(seeds)[: len(seeds) // 2]
        of_half = rows["seed"].isin(half)
        found.append(taus(outcome(rows[of_half], plan), outcome(rows[~of_half], plan)).mean())
    return float(np.mean(found))


def interval(tau: pandas.Series, family: Mapping[str, str], samples: int) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean τ over tasks: task families are drawn with replacement.

    Args:
        tau: By task, τ or a difference of two.
        family: By task, its family.
        samples: How many are drawn.
    """
    means = tau.groupby(tau.index.map(family)).mean().to_numpy()
    drawn = np.random.default_rng(0).integers(len(means), size=(samples, len(means)))
    low, high = np.quantile(means[drawn].mean(1), [LEVEL / 2, 1 - LEVEL / 2])
    return float(low), float(high)


def _adjusted(p: Mapping[str, float], critical: Mapping[str, float]) -> dict[str, float]:
    """Return p after calibration, so that the critical p becomes 5 %, and Holm's correction.

    What has a critical p of 0 cannot be shown, and is not counted as a test.
    """
    tested = [name for name in HYPOTHESES if critical[name] > 0]
    calibrated = [min(p[name] * LEVEL / critical[name], 1.0) for name in tested]
    corrected = map(float, holm(calibrated))
    return dict.fromkeys(HYPOTHESES, 1.0) | dict(zip(tested, corrected, strict=True))


def _said(mean: float, interval: tuple[float, float], confirmed: set[str], plan: Plan) -> str:
    low, high = interval
    if {"H1", "H3"} <= confirmed and mean >= plan.foretells["tau"] and low > plan.foretells["low"]:
        return "foretells"
    return "does not foretell" if high < plan.null else "undecided"


def _multiverse(tables: Tables, study: Study, plan: Plan) -> Iterator[dict[str, object]]:
    """Yield τ of the nearest rungs for each outcome, number of rungs and profile."""
    whole = max(plan.best_of)
    outcomes = {
        "training loss": TRAINING,
        "test loss": "test_loss",
        "training loss after a third": "third_loss",
        **{
            f"tuning loss of the first {f'{k} trials' if k > 1 else 'trial'}": f"best_of_{k}"
            for k in plan.best_of
            if k < whole
        },
    }
    measured = {name: outcome(tables.rows, plan, column) for name, column in outcomes.items()}
    distance = distances(study.tasks, study.rungs)
    for choice, whole_profile in tables.profiles.items():
        profile = ordering(whole_profile, plan)
        for count in sorted([plan.nearest, *plan.nearest_too]):
            predicted = by_nearest(profile, distance, count)
            for name, each in measured.items():
                tau = float(taus(predicted, each).mean())
                yield {"outcome": name, "rungs": count, "profile": choice, "tau": tau}
