"""What theory predicts along a dial: where a method breaks, and how far it leads gradient descent."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NEAR = 2.0  # factor within which a prediction is near
ENOUGH = 0.8  # share of the rungs at which a prediction must be near to hold


def first_failing(values: Sequence[float], fails: Callable[[float], bool]) -> float:
    """Return the first of increasing values that fails, where all after one that fails do; infinity if none does.

    >>> first_failing([1.0, 2.0, 4.0], lambda value: value > 1.5)
    2.0
    """
    first = bisect.bisect_left(values, True, key=fails)
    return values[first] if first < len(values) else math.inf


@dataclass(frozen=True)
class Leads:
    """The lead of a method at some values of a dial: the steps of descent to the target over its own, both tuned.

    Attributes:
        leader: The registered name of the method.
        rungs: Values of the dial.
        predicted: The lead that theory predicts at each.
        measured: The lead that runs have.
    """

    leader: str
    rungs: tuple[float, ...]
    predicted: tuple[float, ...]
    measured: tuple[float, ...]

    @classmethod
    def of(
        cls, leader: str, rungs: Sequence[float], predicted: Sequence[tuple[float, float]],
        measured: Sequence[tuple[float, float]],
    ) -> Leads:  # fmt: skip
        """Return the leads of pairs of numbers of steps, those of descent first."""
        over = [tuple(slow / fast for slow, fast in pairs) for pairs in (predicted, measured)]
        return cls(leader, tuple(rungs), *over)

    @property
    def near(self) -> tuple[bool, ...]:
        """Return at which rungs the prediction is within a factor of two."""
        pairs = zip(self.predicted, self.measured, strict=True)
        return tuple(1 / NEAR <= measured / predicted <= NEAR for predicted, measured in pairs)

    @property
    def share_near(self) -> float:
        """Return the share of these rungs."""
        return sum(self.near) / len(self.near)
