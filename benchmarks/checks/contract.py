"""Contracts: promises of every problem or optimizer, each a function that raises if the promise is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ravine import Refused


class Broken(Exception):
    """A broken promise; the message says what is wrong."""


class NothingStated(Exception):
    """There is nothing to check, because the problem or optimizer states nothing; the message may add a fact."""


@dataclass(frozen=True)
class Contract:
    """A promise.

    Attributes:
        holds: A function that raises Broken if the promise is broken, and NothingStated if there is nothing to
            check. It may return a fact to be shown.
        at_each_rung: True to check it at each rung of a problem's ladder.
        unless: The name in `card.exceptions` by which a problem opts out.
    """

    holds: Callable[[Any], str | None]
    at_each_rung: bool = False
    unless: str = ""

    @property
    def name(self) -> str:
        """The function's name."""
        return self.holds.__name__

    @property
    def promise(self) -> str:
        """The promise in words: the first line of the function's docstring."""
        return (self.holds.__doc__ or "").partition("\n")[0]


@dataclass(frozen=True)
class Finding:
    """The result of checking a promise.

    Attributes:
        contract: The promise.
        mark: "ok", "broken", or "-" if nothing is stated.
        text: What is wrong, or a fact.
        dial: The rung, if it was checked at one.
    """

    contract: Contract
    mark: Literal["ok", "broken", "-"]
    text: str = ""
    dial: float | None = None


def examine(contract: Contract, thing: Any, dial: float | None = None) -> Finding:
    """Check one promise of a problem or an optimizer."""
    try:
        fact = contract.holds(thing)
    except NothingStated as nothing:
        return Finding(contract, "-", str(nothing), dial)
    except (Broken, Refused) as error:
        return Finding(contract, "broken", str(error), dial)
    except Exception as error:  # from the code of a user's class
        text = f"{type(error).__name__}: {' '.join(str(error).split())}"
        return Finding(contract, "broken", text, dial)
    return Finding(contract, "ok", fact or "", dial)


def by_contract(findings: Iterable[Finding]) -> Iterator[list[Finding]]:
    """Yield the findings of each promise together, in order."""
    found: dict[str, list[Finding]] = {}
    for each in findings:
        found.setdefault(each.contract.name, []).append(each)
    yield from found.values()


def ensure(condition: object, otherwise: str) -> None:
    """Raise Broken with this message unless a condition is true."""
    if not condition:
        raise Broken(otherwise)
