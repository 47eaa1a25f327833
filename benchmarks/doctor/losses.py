"""The loss of every step, and what it says by itself: its levels, how sure a fall is, whether the run has arrived."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence

import numpy as np

ARRIVED = 0.1  # share of what there was to gain that is left in a run that needs no explanation
SURE = 3.0  # standard errors beyond which two levels are told apart
LOWER = 0.9  # a level below this share of another is clearly lower


class Losses:
    """The losses of all steps, eight bytes each.

    The level of a stretch of steps is the mean of its losses; a run begins with the first fiftieth of its steps (one at
    least, 16 at most), and ends with the last tenth (one at least, 200 at most).
    """

    def __init__(self) -> None:
        self._values = array("d")
        self.lowest = math.inf

    def __len__(self) -> int:
        return len(self._values)

    def add(self, loss: float) -> None:
        self._values.append(loss)
        self.lowest = min(self.lowest, loss)  # in this order NaN is never lower

    @property
    def last(self) -> float:
        """Return the loss of the last step."""
        return self._values[-1]

    def since(self, step: int) -> Sequence[float]:
        """Return the losses from this step on."""
        return self._values[step:]

    @property
    def values(self) -> np.ndarray:
        """Return a copy of the losses (steps,)."""
        return np.array(self._values)

    def level(self, begin: int, end: int) -> tuple[float, float]:
        """Return the mean loss of the steps from `begin` to `end`, and its standard error; NaN if there are none."""
        part = np.array(self._values[max(begin, 0) : max(end, 0)])
        if not len(part):
            return math.nan, math.nan
        with np.errstate(all="ignore"):
            spread = np.diff(part).std() / math.sqrt(2) if len(part) > 2 else math.inf
            return float(part.mean()), float(spread / math.sqrt(len(part)))

    @property
    def start(self) -> tuple[float, float]:
        """Return the level at which the run begins, and its standard error."""
        return self.level(0, min(16, max(1, len(self) // 50)))

    @property
    def end(self) -> tuple[float, float]:
        """Return the level at which the run ends, and its standard error."""
        return self.level(len(self) - min(200, max(1, len(self) // 10)), len(self))

    @property
    def falls(self) -> bool:
        """True if the end is clearly below the start: by a tenth, and by more than its standard error allows."""
        (start, _), (end, error) = self.start, self.end
        error = 0.0 if math.isinf(error) else error
        return start - end > max(SURE * error, (1 - LOWER) * abs(start))

    def arrived(self, floor: float | None, constant: float = math.nan) -> bool:
        """True if at most a tenth is left of what there was to gain.

        Args:
            floor: The lower bound of the loss; without one a run never arrives.
            constant: The loss of the best constant prediction; NaN if it is unknown.
        """
        if floor is None or not len(self):
            return False
        start = min(self.start[0], self._values[0])  # the first steps may throw it far up
        known = constant - floor > 0.01 * (
            start - floor
        )  # else a constant output solves it, and tells nothing
        most = (min(start, constant) if known else start) - floor
        return bool(self.end[0] - floor <= ARRIVED * most)


def smooth(values: np.ndarray, width: int) -> np.ndarray:
    """Return the mean of each value and up to `width` − 1 before it; infinite where one of them is not finite."""
    part = np.where(np.isfinite(values), values, np.inf)
    width = min(width, len(part))
    sums, taken, size = np.zeros(len(part)), 0, 1
    while (
        taken < width
    ):  # sums of 1, 2, 4, … values: a difference of two long ones would lose small values
        if width & size:
            sums[taken:] += part[: len(part) - taken]
            taken += size
        part[size:] = part[size:] + part[: len(part) - size]
        size *= 2
    return sums / np.minimum(np.arange(1, len(part) + 1), width)
