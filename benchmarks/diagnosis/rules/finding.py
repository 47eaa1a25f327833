"""What a rule finds: whether its cause holds, how strongly, and on what evidence.

The strength of a cause that holds is the share of the run's steps for which it does (1 for what is true of the
end) times how sure it is: 0.5 where the weakest of its tests is at its threshold, 0.95 a decade past it. So
strengths of different causes compare: both how long, and how far beyond doubt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.diagnosis.run_features import RunFeatures
from benchmarks.diagnosis.verdict import Evidence

BOOK = "Deep Learning, section 8.2"
COHEN = "Cohen et al. 2021, arXiv:2103.00065, and 2022, arXiv:2207.14484"
WEAK = 0.5  # times the strength: of what a substitute for a measurement says, and of what is a consequence


@dataclass(frozen=True)
class Finding:
    """What a test says of its cause: how strongly it holds (0: not), whether it is ruled out, and on what."""

    cause: str
    strength: float
    ruled_out: bool
    evidence: tuple[Evidence, ...]
    unresolved: tuple[str, ...] = ()


def progressing(features: RunFeatures) -> bool:
    """Whether a run that still goes on halves what is left in half of its steps: slow it is not."""
    return features.record.status == "running" and features.gained_late >= features.limits.halved


def exceeds(value: float, threshold: float) -> bool | None:
    """True where a value exceeds its threshold; None where it was not measured."""
    return None if math.isnan(value) else value > threshold


def surely(value: float, threshold: float) -> float:
    """½ at the threshold, .95 a decade past it."""
    if math.isnan(value) or value <= 0 or threshold < 0:
        return 0.5
    if math.isinf(value) or threshold == 0:
        return 1.0
    return 1 - 0.5 * min(1.0, threshold / value)


def largest(values: np.ndarray) -> float:
    """Return the largest of the values that were measured, or NaN."""
    values = values[~np.isnan(values)]
    return float(values.max()) if len(values) else math.nan
