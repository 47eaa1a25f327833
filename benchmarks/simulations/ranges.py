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
First-order methods are searched over six decades of the learning rate, in units of the problem, because their best
value is not known beforehand. Newton's family is searched over [0.01, 2]: its step has a natural length, the best rate
for an exact Newton step on a quadratic is 1, a rate above 2 diverges there, and only noise needs a much smaller one.

The table shows what other ranges do to Newton's method with 25 trials: how many of 10 reporting instances are solved,
the tuned rate, and a mark if this rate lies at the edge. A low end of 0.1 cuts off the rates that noise needs. A lower
low end finds no better rate here and spreads the same trials more thinly; the last column has the range of the
first-order methods.

For this reason no figure is a share of the searched range. The settings that solve are measured in decades, or in
decades² for two hyperparameters: a wider range changes nothing if the narrower range contains them all.
"""
CELLS = (
    ("cliff", 6),
    ("mexican_hat", 0.4),
    ("quadratic", 1e3),
    ("ordering", 0.9),
    ("newton_noise", 0.1),
    ("newton_noise", 0.2),
)
RANGES = ((0.1, 2), (0.01, 2), (0.001, 2), (1e-5, 10))


def simulate(cells: Sequence[tuple[str, float]] = CELLS) -> pandas.DataFrame:
    """Return how many instances Newton's method solves, by the range of its learning rate."""
    rows = []
    for name, dial in cells:
        tuned = {_named(*ends): _tuned(name, dial, ends) for ends in RANGES}
        rows.append({"problem": name, "dial": dial, **tuned})
    return pandas.DataFrame(rows)


def _tuned(name: str, dial: float, ends: tuple[float, float]) -> str:
    problem = PROBLEMS[name].at_dial(dial)
    size = Protocol(trials=25, tuning_seeds=5, seeds=10).settled(problem)
    runs = pandas.DataFrame(run_cell(problem, contender("newton", {"lr": ends}), size).runs)
    tuned = runs[(runs["trial"] == choose(runs)["tuned"]) & (runs["role"] == "reporting")]
    edge = ", edge" if tuned["edge"].iloc[0] else ""
    return f"{(tuned['status'] == 'solved').sum()} at {tuned['hp.lr'].iloc[0]:.2g}{edge}"


def _named(low: float, high: float) -> str:
    ours = OPTIMIZERS["newton"].space["lr"]
    return f"[{low:g}, {high:g}]" + (" (ours)" if (low, high) == (ours.low, ours.high) else "")
