"""What the tests of the doctor's reports share."""

from __future__ import annotations

from benchmarks.doctor.report import Report


def unwrapped(report: Report) -> str:
    """The text of a report without its line breaks."""
    return " ".join(str(report).split())
