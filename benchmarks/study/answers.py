"""Answer the four questions of the study from its tables: how well each prediction orders optimizers, and by chance."""

from __future__ import annotations

from dataclasses import dataclass

import pandas

from benchmarks.study.hypotheses import PERMUTATIONS, p_of_difference, p_of_order, taus
from benchmarks.study.predictors import (
    by_label,
    by_match,
    by_mean,
    by_nearest,
    by_other_tasks,
    distances,
)
from ravine import Refused


@dataclass(frozen=True)
class Study:
    """The tables of a study.

    Attributes:
        profile: (problem, dial) × optimizers, the solved share; NaN where an optimizer does not apply.
        rungs: (problem, dial) × features, the signatures of the rungs.
        tasks: Tasks × features, the signatures of the tasks.
        outcome: Tasks × optimizers, the places by the loss at the end.
        family: By task, its family.
        label: By optimizer, its kind.
    """

    profile: pandas.DataFrame
    rungs: pandas.DataFrame
    tasks: pandas.DataFrame
    outcome: pandas.DataFrame
    family: dict[str, str]
    label: dict[str, str]


@dataclass(frozen=True)
class Answers:
    """What comes out.

    Attributes:
        tau: Tasks × predictions, Kendall's τ of the predicted order and the measured one. The predictions: `nearest`,
            the profile on the rungs of the nearest signature; `farthest`; `mean`, the profile on all problems;
            `other tasks`, the mean place on the other task families; `matched`, the same, corrected by the profile;
            `kind`, the kind of the optimizer alone.
        p: One-sided, nominal: "H1" the nearest rungs order the optimizers; "H2" matched is better than other tasks;
            "H3" nearest is better than farthest; "H4" nearest is better than the kind.
    """

    tau: pandas.DataFrame
    p: dict[str, float]


def answers(study: Study, nearest: int, permutations: int = PERMUTATIONS, seed: int = 0) -> Answers:
    """Return how well each prediction orders the optimizers.

    Args:
        study: The tables.
        nearest: How many rungs foretell a task, each of another problem.
        permutations: How many, of the test of H1.
        seed: Of the permutations.

    Raises:
        Refused: If an optimizer has no place on a task: a run that diverges is the last, and not missing.
    """
    missing = study.outcome.isna().to_numpy()
    if missing.any():
        task, name = (each[0] for each in missing.nonzero())
        raise Refused(
            f"{study.outcome.columns[name]} has no place on {study.outcome.index[task]}: every optimizer needs one on "
            "every task"
        )
    profile, outcome, family = study.profile, study.outcome, study.family
    distance = distances(study.tasks, study.rungs)
    near = by_nearest(profile, distance, nearest)
    predicted = {
        "nearest": near,
        "farthest": by_nearest(profile, distance, nearest, farthest=True),
        "mean": by_mean(profile, outcome.index),
        "other tasks": by_other_tasks(outcome, family),
        "matched": by_match(profile, study.rungs, study.tasks, outcome, family),
        "kind": by_label(outcome, family, study.label),
    }
    tau = pandas.DataFrame({name: taus(each, outcome) for name, each in predicted.items()})
    return Answers(
        tau,
        {
            "H1": p_of_order(near, outcome, permutations, seed),
            "H2": p_of_difference(tau["matched"] - tau["other tasks"], family),
            "H3": p_of_difference(tau["nearest"] - tau["farthest"], family),
            "H4": p_of_difference(tau["nearest"] - tau["kind"], family),
        },
    )
