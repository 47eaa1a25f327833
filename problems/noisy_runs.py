"""How a run with noisy gradients is judged: by the mean gap of its last steps."""

from __future__ import annotations

FEWEST = 4  # steps; after fewer a run is not judged
WINDOW, SHARE = 20, 0.1  # steps, and share of all steps: the longer of the two is averaged


def steps_judged(steps: int) -> int:
    """Return how many of the last steps decide whether a noisy run is solved.

    max(20, steps/10), but at most half of the steps, so that a method that can afford four is judged by its last two.

    Args:
        steps: How many steps the run took.

    Returns:
        The number of points at the end over which the gap is averaged; 0 for fewer than four steps.
    """
    return min(max(WINDOW, round(SHARE * steps)), steps // 2) if steps >= FEWEST else 0
