"""Claims: known facts about a problem, each as a function that measures a number and the range it must lie in."""

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
        statement: A sentence about the measured number.
        stated: The published or derived figure; a bound in words.
        within: The least and the largest measured number that confirm it.
        source: Where it is stated; a derivation stands in the function's docstring.
        slow: True if it takes more than two seconds; it is then measured for the certificates only.
        formula: True if it is about the formula alone: it calls no method of the problem and misses faults there.
        fails: Why it does not hold on Ravine's problem, if it does not.
        measure: The function from a problem to the number.
    """

    statement: str
    stated: float | str
    within: tuple[float, float]
    source: str
    slow: bool = False
    formula: bool = False
    fails: str = ""
    measure: Callable[[Any], float] = _not_given

    def holds(self, measured: float) -> bool:
        """True if a measured number confirms the claim; NaN does not.

        Args:
            measured: What `measure` returned.

        Returns:
            Whether it lies within the accepted range.
        """
        low, high = self.within
        return low <= measured <= high

    def __call__(self, measure: Callable[[Any], float]) -> Claim:
        """Decorate a method: the old form, which `take_methods` reads."""
        return replace(self, measure=measure)


_claims: dict[type, dict[str, Claim]] = {}  # by class, then by name


def claim(
    kind: type[P], statement: str, *, stated: float | str, within: tuple[float, float], source: str,
    slow: bool = False, formula: bool = False, fails: str = "", name: str = "",
) -> Callable[[Callable[[P], float]], Callable[[P], float]]:  # fmt: skip
    """Decorate a function with the claim that it measures; it stays a plain function.

    For example:

        @claim(Octopus, "the dwell time at each saddle grows by this factor", stated=2.7095,
               within=about(2.7095, rel=0.05), source="Du et al. 2017, figure 3")
        def dwell_ratio(problem: Octopus) -> float: ...

    Args:
        kind: The class of problems that it is about, with its subclasses.
        statement: See `Claim`.
        stated: See `Claim`.
        within: See `Claim`.
        source: See `Claim`.
        slow: See `Claim`.
        formula: See `Claim`.
        fails: See `Claim`.
        name: The claim's name, if it is not the function's.

    Returns:
        The decorator.
    """

    def add(measure: Callable[[P], float]) -> Callable[[P], float]:
        made = Claim(statement, stated, within, source, slow, formula, fails, measure)
        _claims.setdefault(kind, {})[name or measure.__name__] = made
        return measure

    return add


def take_methods(kind: type) -> bool:
    """Register the claims in the body of a class, which is the old form; return True if there are any."""
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
        abs: The absolute tolerance; the larger of the two is used.

    Returns:
        The least and the largest number.
    """
    wide = max(rel * value if value > 0 else -rel * value, abs)
    return value - wide, value + wide


def evidence(kind: type) -> list[ModuleType]:
    """Import and return the modules with the evidence about a class and its bases, the bases' first.

    For a class in `<package>.<name>` that is `<package>._certificates.<name>`, if it exists.
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
    """Return the claims about a class of problems by the name of the function, the bases' first."""
    evidence(kind)
    return {
        name: each
        for owner in reversed(kind.__mro__)
        for name, each in _claims.get(owner, {}).items()
    }
