"""What tables say, and how surely: the statistics of `benchmarks.analysis` under one name.

All are functions from frames to frames. They take the runs and the summary of a sweep (README has their columns), as
a `Sweep` holds them or as they are read from its files.
"""

from benchmarks.analysis.chosen_runs import chosen, with_variant
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
from benchmarks.analysis.success import attainment, expected_running_time, sensitivity, success
from benchmarks.analysis.tuning import best_of, best_rank_chances, transfer, weighted_median

__all__ = [
    "LEVEL",
    "attainment",
    "best_of",
    "best_rank_chances",
    "chosen",
    "compare_optimizers",
    "differences",
    "discrimination",
    "expected_running_time",
    "holm",
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
