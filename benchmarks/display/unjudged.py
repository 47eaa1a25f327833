"""Say why runs are not judged."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.display.numbers_as_text import as_words
from benchmarks.engine.status import NO_STEP, TOO_FEW_STEPS
from problems.noisy_runs import FEWEST

WHY_UNJUDGED = {
    NO_STEP: "one step costs more than the budget",
    TOO_FEW_STEPS: f"with noise a run is judged from {FEWEST} steps on, and the budget affords fewer",
}


def why_unjudged(statuses: Iterable[object]) -> list[str]:
    """Return a remark on each of these statuses that says that a run cannot be judged."""
    there = set(statuses)
    return [f"{as_words(each)}: {why}." for each, why in WHY_UNJUDGED.items() if each in there]
