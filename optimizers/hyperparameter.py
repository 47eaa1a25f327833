"""A hyperparameter: its default, the values that it accepts, and the range in which it is searched."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ravine import Refused, bounded

if TYPE_CHECKING:
    import torch

Hyper: TypeAlias = (
    "float | torch.Tensor"  # a number; in a batch a tensor (trials, 1), one value per trial
)
Unit = Literal[
    "none", "length", "gradient", "length/gradient", "gradient/length", "gradient/length^2"
]
SEARCH = "search"


@dataclass(frozen=True)
class Range:
    """The range in which a hyperparameter is searched.

    It is measured in units of the problem, so that the search does not change when the loss or the space is rescaled.

    Attributes:
        low: The lower end, in `unit`s.
        high: The upper end, in `unit`s.
        scale: "log", "linear", or "complement": log-uniform in 1 − value (a momentum of 0.9, 0.99, 0.999 is as
            evenly spaced as 0.1, 0.01, 0.001).
        unit: "length" is D/√dim, "gradient" G, "length/gradient" D/G, "gradient/length" G/D and
            "gradient/length^2" G/D², with the distance D from the start to the solutions and the gradient norm G at
            the start (medians over the tuning instances); "none" is 1.
        discount: The name of a momentum β: the value is multiplied by 1 − β, so that the effective learning rate
            lr/(1 − β) is searched.

    Raises:
        Refused: If low is not below high, or a log range reaches zero.
    """

    low: float
    high: float
    scale: Literal["log", "linear", "complement"] = "log"
    unit: Unit = "none"
    discount: str | None = None

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.scale == "log" and self.low <= 0):
            raise Refused(
                f"a {self.scale} range goes from low to a higher value, and not [{self.low}, {self.high}]"
            )

    @property
    def decades(self) -> float | None:
        """Return the width, log10(high / low); for "complement" that of 1 − value, None for "linear"."""
        return None if self.scale == "linear" else math.log10(self.high / self.low)


def log(low: float, high: float, unit: Unit = "none", discount: str | None = None) -> Range:
    """Return the range in which every decade from low to high is as likely as any other.

    Args:
        low: The least value, in `unit`s of the problem.
        high: The largest value, in `unit`s of the problem.
        unit: What the ends are measured in; see `Range`.
        discount: The name of a momentum β: the value is multiplied by 1 − β.

    Returns:
        The range.
    """
    return Range(low, high, "log", unit, discount)


def linear(low: float, high: float, unit: Unit = "none") -> Range:
    """Return the range in which every value from low to high is as likely as any other.

    Args:
        low: The least value, in `unit`s of the problem.
        high: The largest value, in `unit`s of the problem.
        unit: What the ends are measured in; see `Range`.

    Returns:
        The range.
    """
    return Range(low, high, "linear", unit)


def complement(low: float, high: float) -> Range:
    """Return the range of values below 1 whose distance from 1 is log-uniform.

    Args:
        low: The least value of 1 − value.
        high: The largest value of 1 − value.

    Returns:
        The range.
    """
    return Range(low, high, "complement")


def hyper(
    default: Any, *, search: Range | None = None, low: float | None = None, high: float | None = None,
    above: float | None = None, below: float | None = None, choices: tuple[str, ...] = (),
) -> Any:  # fmt: skip
    """Declare a hyperparameter: a field of an optimizer that is a number, or a word out of `choices`.

    ::

        lr: Hyper = hyper(1e-3, search=log(1e-5, 1e1, unit="length/gradient"), low=0)
        momentum: Hyper = hyper(0.9, search=complement(1e-3, 1), low=0, below=1)
        window: int = hyper(100, low=1)

    A number is never infinite or NaN, and a field that is annotated `int` accepts whole numbers only.

    Args:
        default: The value where none is given.
        search: The range in which it is searched: `log(…)`, `linear(…)` or `complement(…)`. At most two
            hyperparameters of an optimizer have one.
        low: The least value; `above` instead excludes it.
        high: The largest value; `below` instead excludes it.
        above: A number that every value is larger than.
        below: A number that every value is smaller than.
        choices: The words that are accepted.

    Returns:
        A `dataclasses.field`.
    """
    return bounded(
        default, low=low, high=high, above=above, below=below, choices=choices, search=search
    )


def ranges(kind: Any) -> dict[str, Range]:
    """Return the ranges on the fields of a dataclass by name, in the order of the fields."""
    found = {each.name: each.metadata.get(SEARCH) for each in dataclasses.fields(kind)}
    return {name: each for name, each in found.items() if each is not None}


class Space:
    """The ranges on the fields of an optimizer's class, as an attribute of the class and of its objects."""

    def __get__(self, optimizer: Any, kind: Any) -> Mapping[str, Range]:
        return ranges(kind)
