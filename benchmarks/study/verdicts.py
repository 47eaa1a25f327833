"""Simulate how often each verdict of a plan comes out: how likely it was, whatever is true, that nothing is decided.

The plan has the power of each test at its critical p, and none of its verdicts. This was simulated when the outcomes
were known.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas

from benchmarks.study.answers import answers
from benchmarks.study.conclusions import PRIMARY, decide
from benchmarks.study.levels import RUNGS, THERE, UNSEEN
from benchmarks.study.plan import Plan
from benchmarks.study.signatures import FEATURES
from benchmarks.study.simulated import Simulation

VERDICTS = ("foretells", "undecided", "does not foretell")
LARGE, MODERATE = THERE  # those of the plan's table of power
WEAK = Simulation(general=0.1, matched=0.1)
EFFECTS = {
    "weak": WEAK,
    "moderate": MODERATE,
    "large": LARGE,
    "very large": Simulation(general=0.5, matched=0.35),
}
PROFILES = {
    f"{name} ({each.general:g}, {each.matched:g})": each
    for name, each in [*(("unrelated", each) for each in UNSEEN), *EFFECTS.items()]
}
PERMUTATIONS, SAMPLES = 400, 2000  # of each simulated study


def verdicts(plan: Plan, studies: int) -> Iterator[dict[str, object]]:
    """Yield a row for each kind of profile: how often each verdict comes out, and what the intervals contain.

    The columns: `profile`; `studies`; `tau`, the mean over the studies of τ of the nearest rungs; `contains`, the
    share of intervals that contain it; the share of each verdict, and `adds`, that of studies in which the profile adds
    to other tasks.

    Args:
        plan: The plan, whose kinds, families and rules the studies have.
        studies: How many of each kind.
    """
    sizes = tuple(len(words) for words in plan.optimizers.values())
    for at, (name, simulation) in enumerate(PROFILES.items()):
        sized = replace(
            simulation, sizes=sizes, families=len(plan.tasks), features=len(FEATURES), rungs=RUNGS
        )
        rows = []
        for k in range(studies):
            study = sized.draw(np.random.default_rng([at, k]))
            found = answers(study, plan.nearest, PERMUTATIONS, seed=k)
            decision = decide(found, study.family, plan, SAMPLES)
            said = {each: decision.foretells == each for each in VERDICTS}
            tau = found.tau[PRIMARY].mean()
            low, high = decision.interval
            rows.append({"tau": tau, "low": low, "high": high, **said, "adds": decision.adds})
        table = pandas.DataFrame(rows)
        mean = table["tau"].mean()
        contains = table["low"].le(mean) & table["high"].ge(mean)
        shares = {each: float(table[each].mean()) for each in (*VERDICTS, "adds")}
        print(f"{studies} studies simulated: {name}", file=sys.stderr, flush=True)
        yield {
            "profile": name,
            "studies": studies,
            "tau": float(mean),
            "contains": float(contains.mean()),
            **shares,
        }
