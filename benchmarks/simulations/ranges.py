"""The range in which a learning rate is searched is wide enough for its best value, and no wider."""

from __future__ import annotations

from collections.abc import Sequence

import pandas

from benchmarks.catalog.contenders import contender
from benchmarks.engine.cell import run_cell
from benchmarks.engine.protocol import Protocol
from benchmarks.engine.trial_choice import choose
from optimizers import OPTIMIZERS
from problems import PROBLEMS

TITLE = "Searched ranges"
RULE = """
First-order methods are searched over six decades of the learning rate, in units of the problem, because their best value
is not known beforehand. Newton's family is searched over [0.01, 2]: its step has a length of its own, the best rate of an
exact Newton step on a quadratic is 1, a step beyond 2 diverges there, and only noise asks for much less.

The table shows what another range does to Newton's method with 25 trials: the solved of 10 reporting instances, the tuned
rate, and a mark where that lies at the edge. A low end of 0.1 cuts off the rates that noise asks for. A lower one than 0.01
finds no better rate and spreads the same trials more thinly, in the last column over the range of the first-order
methods. No figure may therefore be a share of the searched range: the settings that solve are measured in decades (of two
hyperparameters in decades²), which do not change with a range that contains them.
"""
CELLS = (("cliff", 6), ("mexican_hat", 0.4), ("quadratic", 1e3), ("ordering", 0.9), ("newton_noise", 0.1), ("newton_noise", 0.2))  # fmt: skip
RANGES = ((0.1, 2), (0.01, 2), (0.001, 2), (1e-5, 10))


def simulate(cells: Sequence[tuple[str, float]] = CELLS, trials: int = 25) -> pandas.DataFrame:
    """Return how many instances Newton's method solves, by the range of its learning rate."""
    return pandas.DataFrame(
        [
            {"problem": name, "dial": dial, **{_ends(*each): _tuned(name, dial, each, trials) for each in RANGES}}
            for name, dial in cells
        ]
    )  # fmt: skip


def _tuned(name: str, dial: float, ends: tuple[float, float], trials: int) -> str:
    problem = PROBLEMS[name].at_dial(dial)
    newton = contender("newton", {"lr": ends})
    size = Protocol(trials=trials, tuning_seeds=5, seeds=10).settled(problem)
    runs = pandas.DataFrame(run_cell(problem, newton, size).runs)
    tuned = runs[(runs["trial"] == choose(runs)["tuned"]) & (runs["role"] == "reporting")]
    edge = ", edge" if tuned["edge"].iloc[0] else ""
    return f"{(tuned['status'] == 'solved').sum()} at {tuned['hp.lr'].iloc[0]:.2g}{edge}"


def _ends(low: float, high: float) -> str:
    searched = OPTIMIZERS["newton"].space["lr"]
    return f"[{low:g}, {high:g}]" + (
        " (ours)" if (low, high) == (searched.low, searched.high) else ""
    )
