"""Simulate at which nominal p each test of a plan has its level, and how often the tests find what is there.

The simulated studies have as many optimizers of each kind, task families and features as the plan.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace

import pandas

from benchmarks.study.simulated import HYPOTHESES, Simulation, critical, p_values

LEVEL = 0.05
RUNGS = 7  # for each feature: about as many as the standard suite has problems
# A profile of other optimizers foretells nothing, whatever the outcomes are made of.
UNSEEN = (
    Simulation(seen=False),
    Simulation(general=0.3, seen=False),
    Simulation(general=0.3, matched=0.35, seen=False),
)
# General strength alone: the profile foretells, but matching adds nothing, which is the null of H2 and H3.
UNMATCHED = Simulation(general=0.3)
OF_MATCHING = ("H2", "H3")
THERE = (Simulation(general=0.3, matched=0.35), Simulation(general=0.3, matched=0.15))


def levels(
    sizes: Sequence[int],
    families: int,
    features: int,
    nearest: int,
    studies: int,
    permutations: int,
) -> dict[str, dict[str, float]]:
    """Return the critical nominal p of each hypothesis, and the shares of studies in which it is rejected.

    Args:
        sizes: How many optimizers each kind has.
        families: How many task families, of two tasks each.
        features: How many of a signature.
        nearest: How many rungs foretell a task.
        studies: How many of each kind.
        permutations: How many, of the test of H1.

    Returns:
        "critical", by hypothesis; and, by what is simulated, the share of studies with p ≤ 5 % where the null
        hypothesis holds, and with p ≤ the critical value where it does not.
    """

    def simulate(simulation: Simulation, seed: int) -> pandas.DataFrame:
        sized = replace(
            simulation, sizes=tuple(sizes), families=families, features=features, rungs=RUNGS
        )
        found = p_values(sized, studies, nearest, permutations, seed)
        print(f"{studies} studies simulated: {_said(simulation)}", file=sys.stderr, flush=True)
        return found

    unseen = [simulate(each, seed) for seed, each in enumerate(UNSEEN)]
    unmatched = simulate(UNMATCHED, len(UNSEEN))
    of_all, of_matching = critical(unseen, LEVEL), critical([*unseen, unmatched], LEVEL)
    limits = {
        name: of_matching[name] if name in OF_MATCHING else of_all[name] for name in HYPOTHESES
    }
    nulls = dict(zip(map(_said, UNSEEN), unseen, strict=True))
    nulls[_said(UNMATCHED)] = unmatched[[*OF_MATCHING]]
    shares = {
        f"size at 5 %: {name}": {str(each): float((found[each] <= LEVEL).mean()) for each in found}
        for name, found in nulls.items()
    }
    for seed, each in enumerate(THERE, len(UNSEEN) + 1):
        found = simulate(each, seed)
        shares[f"power: {_said(each)}"] = {
            name: float((found[name] <= limits[name]).mean()) for name in HYPOTHESES
        }
    return {"critical": limits, **shares}


def _said(simulation: Simulation) -> str:
    of = "" if simulation.seen else ", unrelated profile"
    return f"general {simulation.general:g}, matched {simulation.matched:g}{of}"
