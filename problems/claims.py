"""Claims: what is known about a problem, as a method that measures it and the range that it must lie in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any, overload


@dataclass(frozen=True)
class Claim:
    """A statement about a problem, published or derived, measured by the method that it decorates.

    ::

        @Claim("the dwell time at each saddle grows by this factor", stated=2.7095,
               within=about(2.7095, rel=0.05), source="Du et al. 2017, figure 3")
        def dwell_ratio(self) -> float: ...

    statement: in words, as a sentence about the measured number.
    stated: the published or derived figure, or in words where it is a bound.
    within: the least and the largest measured number that bear it out.
    source: where it is stated; a derivation stands in the method's docstring.
    slow: takes more than two seconds, and is measured for the certificates only.
    fails: why it does not hold on ours, where it does not.

    On an object the method measures: `Octopus().dwell_ratio()`. It is stated of the problem's defaults.
    """

    statement: str
    stated: float | str
    within: tuple[float, float]
    source: str
    slow: bool = False
    fails: str = ""
    measure: Callable[[Any], float] | None = None

    def __call__(self, measure: Callable[[Any], float]) -> Claim:
        return replace(self, measure=measure)

    @overload
    def __get__(self, problem: None, owner: type) -> Claim: ...
    @overload
    def __get__(self, problem: object, owner: type) -> Callable[[], float]: ...
    def __get__(self, problem: object | None, owner: type) -> Claim | Callable[[], float]:
        if problem is None:
            return self
        assert self.measure is not None
        return MethodType(self.measure, problem)

    def holds(self, measured: float) -> bool:
        """Whether a measured number bears the claim out; NaN does not."""
        low, high = self.within
        return low <= measured <= high


def about(value: float, *, rel: float = 0.0, abs: float = 0.0) -> tuple[float, float]:
    """The range of numbers that differ from a value by at most these tolerances, whichever is larger."""
    wide = max(rel * value if value > 0 else -rel * value, abs)
    return value - wide, value + wide


def claims_of(kind: type) -> dict[str, Claim]:
    """The claims of a class of problems, by the name of the method, the inherited ones first."""
    found: dict[str, Claim] = {}
    for each in reversed(kind.__mro__):
        found |= {name: value for name, value in vars(each).items() if isinstance(value, Claim)}
    return found
