"""The finding of a rule: whether its cause holds, how strongly, and on what evidence.

strength = (share of the run's steps for which the cause holds; 1 for a property of the end) × certainty, where
the certainty is 0.5 if the weakest test is at its threshold, and 0.95 a decade past it. Strengths of different
causes can thus be compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from benchmarks.diagnosis.run_features import RunFeatures
from benchmarks.diagnosis.verdict import Evidence

BOOK = "Deep Learning, section 8.2"
COHEN = "Cohen et al. 2021, arXiv:2103.00065, and 2022, arXiv:2207.14484"
WEAK = 0.5  # factor on the strength of a proxy for a measurement, and of a consequence of another cause


@dataclass(frozen=True)
class Finding:
    """The finding of a rule about one cause: its strength (0: it does not hold), whether it is ruled out, evidence."""

    cause: str
    strength: float
    ruled_out: bool
    evidence: tuple[Evidence, ...]
    unresolved: tuple[str, ...] = ()


def progressing(features: RunFeatures) -> bool:
    """True if a run that goes on halves f − f* in half of its steps: it is not slow."""
    return features.record.status == "running" and features.gained_late >= features.limits.halved


def exceeds(value: float, threshold: float) -> bool | None:
    """True if a value exceeds its threshold; None if it was not measured."""
    return None if math.isnan(value) else value > threshold


def surely(value: float, threshold: float) -> float:
    """Return the certainty 1 − ½ min(1, threshold/value): 0.5 at the threshold, 0.95 a decade past it."""
    if math.isnan(value) or value <= 0 or threshold < 0:
        return 0.5
    if math.isinf(value) or threshold == 0:
        return 1.0
    return 1 - 0.5 * min(1.0, threshold / value)


def largest(values: np.ndarray) -> float:
    """Return the largest measured value, or NaN."""
    values = values[~np.isnan(values)]
    return float(values.max()) if len(values) else math.nan
