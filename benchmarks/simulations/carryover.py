"""What an order of optimizers says about another problem is measured by leaving each problem out."""

from __future__ import annotations

import numpy as np
import pandas

from benchmarks.analysis.carryover import agreement, by_share, ceiling
from benchmarks.analysis.ranking import kendall_tau

TITLE = "How far a ranking carries"
RULE = """
Tables of mean ranks stand beside three figures of `statistics.carryover`. *W* is Kendall's coefficient of concordance
of the problems. *τ* is Kendall's τ_b of the places on a problem and the mean places over all other problems, the mean
over problems: what the mean rank says about a problem that it has not seen. The *ceiling* is the τ_b that a problem's
true places would have with its measured ones: no order could do better with so few instances. It is estimated from
two halves of the instances, which breaking points are not. A τ far below its ceiling means that problems differ, not
that instances are few.

They are also given for the methods that know the curvature, and for those that do not, since that is a difference of
another kind. Ranks come from breaking points or from the share of instances solved; cost is shown, and not ranked.
[The reference](reference.md) has the figures of both.

In the simulation the strength of an optimizer on a problem is the sum of a common part and of one that is new on each
problem; a run is solved if strength and luck exceed what its rung asks. The first column is the common part's share
of the variance. *True τ* is that of the mean places with the places on 100 problems that took no part, *true ceiling*
that of the strengths there with the places.
"""
RUNGS, INSTANCES, OPTIMIZERS = 3, 10, 10
SHARES = (0.0, 0.3, 0.6, 1.0)


def simulate(repeats: int = 8, problems: int = 40, fresh: int = 100) -> pandas.DataFrame:
    """Return the estimates and the truth, by the common share of the variance between optimizers."""
    generator = np.random.default_rng(0)
    rows = []
    for share in SHARES:
        found = []
        for _ in range(repeats):
            common = generator.normal(0, np.sqrt(share), OPTIMIZERS)
            drawn = [_problem(common, share, generator) for _ in range(problems + fresh)]
            paid = [each for _, each in drawn[:problems]]
            places = pandas.DataFrame([by_share(each) for each in paid])
            others = [(strength, by_share(each)) for strength, each in drawn[problems:]]
            kept = agreement(places, {})
            found.append({
                "W": kept["w"],
                "τ": kept["tau"],
                "true τ": np.mean([kendall_tau(places.mean(), there) for _, there in others]),
                "ceiling": ceiling(paid, by_share),
                "true ceiling": np.mean([kendall_tau(-strength, there) for strength, there in others]),
            })  # fmt: skip
        table = pandas.DataFrame(found)
        error = (table["τ"] - table["true τ"]).std()
        rows.append({"common share": share, **table.mean(), "deviation of τ − true τ": error})
    return pandas.DataFrame(rows)


def _problem(
    common: np.ndarray, share: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return the optimizers' strengths on a problem, and the cost of each run: 1, or infinite if it is missed."""
    strength = common + generator.normal(0, np.sqrt(1 - share), OPTIMIZERS)
    luck = generator.normal(size=(RUNGS, INSTANCES, OPTIMIZERS))
    asked = np.linspace(-1, 1, RUNGS)[:, None, None]
    return strength, np.where(strength + luck > asked, 1.0, np.inf)
