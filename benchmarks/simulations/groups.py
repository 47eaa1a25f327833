"""Two optimizers that do not differ across families of problems are told apart in 5 % of tables, or less.

The error of a simulated 5 % is ± 1.4 % with 1000 tables.
"""

from __future__ import annotations

import numpy as np
import pandas

from benchmarks.analysis.groups import p_of_pair
from benchmarks.analysis.intervals import sign_test
from benchmarks.analysis.pairs import LEVEL

TITLE = "Groups across problems"
RULE = """
A leaderboard over many problems orders optimizers by the share of the ladders that they climb, averaged over the
problems of a family and then over families. Two optimizers share a letter unless a randomization test tells them apart,
with families as its units, on the problems that both have: if the two did not differ, their mean difference on a family
would be as likely as its negative, and p is the share of all assignments of signs whose sum is at least as far from 0
as the observed sum. So neither scores nor letters depend on the other optimizers in the table, and a new optimizer
changes no letter that others share; mean places would (see [Ranks](#ranks)). The price is that nothing is corrected for
the number of optimizers: of pairs that do not differ, up to one in twenty is told apart. With fewer than six families
no pair can be told apart, and there are no letters.

In the simulation, the scores of two optimizers differ on each of 40 problems, in 8 families of unequal size, by the sum
of a mean, a part that is new in each family, and a part that is new on each problem; the standard deviation of both
parts together is 0.3 of a ladder, and *family share* is the first part's share of the variance. *Told apart* is the
share of tables in which the test tells the two apart; *by problems* is the same share for a sign test with problems as
its units, which treats problems of one family as independent. With 1000 tables, a share of 5 % has an error of ± 1.4 %.
"""
SIZES = (5, 6, 12, 3, 4, 4, 3, 3)  # problems of a family
SPREAD = 0.3
SHARES, MEANS = (0.0, 0.3, 0.6), (0.0, 0.1, 0.2)


def simulate(tables: int = 1000) -> pandas.DataFrame:
    """Return how often two optimizers are told apart, by the family share and by their mean difference."""
    of = np.repeat(np.arange(len(SIZES)), SIZES)
    family = {f"{k}": f"{name}" for k, name in enumerate(of)}
    none = pandas.Series(0.0, list(family))
    rows = []
    for share in SHARES:
        for mean in MEANS:
            generator = np.random.default_rng(0)
            found, by_problems = [], []
            for _ in range(tables):
                of_family = generator.normal(0, np.sqrt(share), len(SIZES))[of]
                of_problem = generator.normal(0, np.sqrt(1 - share), len(of))
                difference = mean + SPREAD * (of_family + of_problem)
                p = p_of_pair(pandas.Series(difference, list(family)), none, family)
                found.append(p <= LEVEL)
                wins = int((difference > 0).sum())
                by_problems.append(sign_test(wins, len(of) - wins) <= LEVEL)
            rows.append({
                "family share": share, "mean difference": mean,
                "told apart": f"{np.mean(found):.1%}", "by problems": f"{np.mean(by_problems):.1%}",
            })  # fmt: skip
    return pandas.DataFrame(rows)
