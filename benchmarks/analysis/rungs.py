"""Judge the rungs of ladders: which of them tell optimizers apart, and which are there for another reason."""

from __future__ import annotations

import numpy as np
import pandas

from benchmarks.analysis.chosen_runs import alike
from benchmarks.analysis.pairs import fewest
from problems import PROBLEMS


def judged(table: pandas.DataFrame) -> pandas.DataFrame:
    """Return the rungs that at least half of a problem's optimizers ran, with who wins there.

    A bisection's other rungs are those of a few optimizers alone.

    Args:
        table: The rows of `discrimination`.

    Returns:
        These rows, with two more columns. `won`: "all", "none" or "some" of the optimizers that ran the rung solve half
        of its instances. `wanted`: why a rung that all or none win is there all the same. "control": the problem is
        without its pathology, and all win. "bracket": none win, and it is next to the last rung that any wins, so that
        it bounds the breaking point of the best. Else empty.
    """
    most = table.groupby("problem")["optimizers"].transform("max")
    table = table[2 * table["optimizers"] >= most]
    rows = []
    for name, rungs in table.groupby("problem", sort=False):
        dials, solving = rungs["dial"].to_numpy(), rungs["solving"].to_numpy()
        won = np.where(
            solving == 0, "none", np.where(solving == rungs["optimizers"], "all", "some")
        )
        reached = dials[solving > 0]
        above = dials[dials > reached.max(initial=-np.inf)].min(initial=np.inf)
        below = dials[dials < reached.min(initial=np.inf)].max(initial=-np.inf)
        bracket = np.isin(dials, (above, below)) & (won == "none") & bool(len(reached))
        control = (won == "all") & [_is_control(str(name), each) for each in rungs["variant"]]
        wanted = np.where(control, "control", np.where(bracket, "bracket", ""))
        rows.append(rungs.assign(won=won, wanted=wanted))
    return pandas.concat(rows) if rows else table.assign(won="", wanted="")


def too_few(runs: pandas.DataFrame) -> list[str]:
    """Return the problems with too few reporting instances to tell two optimizers apart."""
    reporting = runs[runs["role"] == "reporting"]
    seeds = reporting.groupby("problem")["seed"].nunique()
    return [str(name) for name in seeds.index[seeds < fewest()]]


def _is_control(problem: str, variant: str) -> bool:
    """True if these fields are those of the problem without its pathology."""
    if problem not in PROBLEMS:
        return False
    without = PROBLEMS[problem].card.control
    return {f"{name} {alike(value)}" for name, value in without.items()} <= {*variant.split(", ")}
