"""Statistics of a sweep's tables: the functions of `benchmarks.analysis` under one name.

Each is a function from frames to frames. They take the runs and the summary of a sweep (docs/manual/tables.md
has their columns), from a `Sweep` or read from its files.
"""

from benchmarks.analysis.carryover import carryover
from benchmarks.analysis.chosen_runs import chosen, with_variant
from benchmarks.analysis.groups import climbed, duels, groups
from benchmarks.analysis.intervals import sign_test
from benchmarks.analysis.pairs import (
    LEVEL,
    compare_optimizers,
    differences,
    discrimination,
    holm,
    over_families,
    paired,
    told_apart,
)
from benchmarks.analysis.rungs import judged
from benchmarks.analysis.success import attainment, expected_running_time, sensitivity, success
from benchmarks.analysis.tuning import best_of, best_rank_chances, transfer, weighted_median

__all__ = [
    "LEVEL",
    "attainment",
    "best_of",
    "best_rank_chances",
    "carryover",
    "chosen",
    "climbed",
    "compare_optimizers",
    "differences",
    "discrimination",
    "duels",
    "expected_running_time",
    "groups",
    "holm",
    "judged",
    "over_families",
    "paired",
    "sensitivity",
    "sign_test",
    "success",
    "told_apart",
    "transfer",
    "weighted_median",
    "with_variant",
]
