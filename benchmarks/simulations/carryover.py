"""What an order of optimizers says about another problem is measured by leaving each problem out."""

from __future__ import annotations

import numpy as np
import pandas

from benchmarks.analysis.carryover import agreement, by_share, ceiling
from benchmarks.analysis.ranking import kendall_tau

TITLE = "How far a ranking carries"
RULE = """
Beside each table of mean ranks there are three figures from `statistics.carryover`. *W* is Kendall's coefficient of
concordance of the problems. *τ* is Kendall's τ_b between the places on one problem and the mean places over all other
problems, averaged over problems: it shows what the mean rank says about an unseen problem. The *ceiling* is the τ_b
between a problem's true places and its measured ones: no order could do better with so few instances. The ceiling is
estimated from two halves of the instances; breaking points cannot be halved in this way. A τ far below its ceiling
means that problems differ, not that instances are few.

The figures are also given separately for methods that know the curvature and methods that do not, since the two differ
in kind. Ranks come from breaking points or from the share of instances solved; cost is shown, but not ranked. [The
reference](reference.md) has the figures of both.

In the simulation, the strength of an optimizer on a problem is the sum of a common part and a part that is new on each
problem; a run is solved if strength plus luck exceeds the demand of its rung. The first column is the common part's
share of the variance. *True τ* is the τ between the mean places and the places on 100 other problems; *true ceiling* is
the τ between the true strengths and the places on these.
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
