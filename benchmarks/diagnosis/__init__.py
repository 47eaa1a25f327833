"""Diagnose a run from its measurements: which pathology, on what evidence, and what is ruled out."""

from benchmarks.diagnosis.combine import diagnose
from benchmarks.diagnosis.record import Record
from benchmarks.diagnosis.thresholds import Thresholds
from benchmarks.diagnosis.verdict import CAUSES, MEASURED, OUTCOMES, Evidence, Verdict

__all__ = [
    "CAUSES", "MEASURED", "OUTCOMES", "Evidence", "Record", "Thresholds", "Verdict", "diagnose",
]  # fmt: skip
