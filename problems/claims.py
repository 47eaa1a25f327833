"""Claims: what is known about a problem, as a function that measures it and the range that it must lie in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType
from typing import Any, TypeVar

P = TypeVar("P")


def _not_given(problem: Any) -> float:
    raise NotImplementedError


@dataclass(frozen=True)
class Claim:
    """A statement about a problem at its defaults, published or derived, and the function that measures it.

    Attributes:
        statement: In words, as a sentence about the measured number.
        stated: The published or derived figure, or in words where it is a bound.
        within: The least and the largest measured number that bear it out.
        source: Where it is stated; a derivation stands in the function's docstring.
        slow: Whether it takes more than two seconds, and is measured for the certificates only.
        fails: Why it does not hold on ours, where it does not.
        measure: The function: the problem -> the number.
    """

    statement: str
    stated: float | str
    within: tuple[float, float]
    source: str
    slow: bool = False
    fails: str = ""
    measure: Callable[[Any], float] = _not_given

    def holds(self, measured: float) -> bool:
        """Return whether a measured number bears the claim out; NaN does not."""
        low, high = self.within
        return low <= measured <= high

    def __call__(self, measure: Callable[[Any], float]) -> Claim:
        """Decorate a method: the old form, which `take_methods` reads."""
        return replace(self, measure=measure)


_claims: dict[type, dict[str, Claim]] = {}  # by the class that they are about


def claim(
    kind: type[P], statement: str, *, stated: float | str, within: tuple[float, float], source: str,
    slow: bool = False, fails: str = "", name: str = "",
) -> Callable[[Callable[[P], float]], Callable[[P], float]]:  # fmt: skip
    """Decorate a function with what it measures; it stays a plain function.

    ::

        @claim(Octopus, "the dwell time at each saddle grows by this factor", stated=2.7095,
               within=about(2.7095, rel=0.05), source="Du et al. 2017, figure 3")
        def dwell_ratio(problem: Octopus) -> float: ...

    Args:
        kind: The class of problems that it is about, and its subclasses.
        statement: As the other arguments, a field of `Claim`.
        stated: See there.
        within: See there.
        source: See there.
        slow: See there.
        fails: See there.
        name: That of the claim, if not the function's.

    Returns:
        The decorator.
    """

    def add(measure: Callable[[P], float]) -> Callable[[P], float]:
        made = Claim(statement, stated, within, source, slow, fails, measure)
        _claims.setdefault(kind, {})[name or measure.__name__] = made
        return measure

    return add


def take_methods(kind: type) -> bool:
    """Make claims of those in the body of a class, the old form; return whether there are any."""
    found = {name: each for name, each in vars(kind).items() if isinstance(each, Claim)}
    for name, each in found.items():
        _claims.setdefault(kind, {})[name] = each
        setattr(kind, name, each.measure)
    return bool(found)


def about(value: float, *, rel: float = 0.0, abs: float = 0.0) -> tuple[float, float]:
    """Return the range of numbers that differ from a value by at most a tolerance.

    Args:
        value: The middle of the range.
        rel: The tolerance relative to the value.
        abs: The tolerance; the larger of the two counts.

    Returns:
        The least and the largest number.
    """
    wide = max(rel * value if value > 0 else -rel * value, abs)
    return value - wide, value + wide


def evidence(kind: type) -> list[ModuleType]:
    """Import and return the modules with the evidence about a class and its bases, the bases' first.

    Of a class in `<package>.<name>` it is `<package>._certificates.<name>`, where there is one.
    """
    found = []
    for each in reversed(kind.__mro__):
        package, _, name = each.__module__.rpartition(".")
        where = f"{package}._certificates.{name}"
        try:
            there = bool(package) and find_spec(where) is not None
        except ModuleNotFoundError:  # the package has no certificates
            there = False
        if there:
            found.append(import_module(where))
    return found


def claims_of(kind: type) -> dict[str, Claim]:
    """Return the claims about a class of problems, by the name of the function, the bases' first."""
    evidence(kind)
    return {
        name: each
        for owner in reversed(kind.__mro__)
        for name, each in _claims.get(owner, {}).items()
    }
