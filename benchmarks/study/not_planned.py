"""Analyses that the plan does not have, chosen when the outcomes were known: τ with intervals, and no tests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pandas

from benchmarks.study.answers import answers
from benchmarks.study.conclusions import PRIMARY, PROFILES, SAMPLES, Tables, interval, study_of
from benchmarks.study.plan import Plan
from benchmarks.study.predictors import places

SHOWN = (PRIMARY, "mean", "other tasks")
FOR_ALL = "only rungs at which all can be used"


@dataclass(frozen=True)
class Analysis:
    """What comes out of one analysis.

    Attributes:
        name: What differs from the planned analysis.
        optimizers: How many it has.
        tau: By prediction, the mean τ over the tasks and the ends of its interval.
    """

    name: str
    optimizers: int
    tau: Mapping[str, tuple[float, float, float]]


def not_planned(tables: Tables, plan: Plan, samples: int = SAMPLES) -> Iterator[Analysis]:
    """Yield the analyses: without each kind of optimizer, at rungs for all of them, and with a profile by cost.

    Without a kind, the other optimizers are ranked again on tasks and rungs. The number of them that may be unusable at
    a rung stays the same.
    By cost, an optimizer's value at a rung is its place by the gradients that tuned runs need, and those that do not
    solve it are tied for the last place. All else is as planned.

    Args:
        tables: The tables.
        plan: The plan.
        samples: How many, of the bootstrap.
    """
    for kind, words in plan.optimizers.items():
        kept = {other: names for other, names in plan.optimizers.items() if other != kind}
        least = plan.least_optimizers - len(words)
        fewer = replace(plan, optimizers=kept, least_optimizers=least)
        profile = tables.profiles[PROFILES[0]][[*fewer.kind]]
        yield _analysis(f"left out: {kind}", tables, profile, fewer, SHOWN, samples)
    of_profile = [name for name in SHOWN if name != "other tasks"]  # which reads no profile
    profile, every = tables.profiles[PROFILES[0]], replace(plan, least_optimizers=len(plan.kind))
    yield _analysis(FOR_ALL, tables, profile, every, of_profile, samples)
    costs = -places(tables.costs)
    yield _analysis("profile by cost", tables, costs, plan, of_profile, samples)


def _analysis(
    name: str,
    tables: Tables,
    profile: pandas.DataFrame,
    plan: Plan,
    shown: Sequence[str],
    samples: int,
) -> Analysis:
    tau = answers(study_of(tables, profile, plan), plan.nearest, permutations=0).tau
    return Analysis(
        name,
        len(plan.kind),
        {
            each: (float(tau[each].mean()), *interval(tau[each], plan.family, samples))
            for each in shown
        },
    )
