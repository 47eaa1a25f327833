"""Make a contender of an optimizer: its name, its values, and the ranges in which it is searched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from benchmarks.catalog import loading
from benchmarks.engine.contender import Contender
from optimizers import OPTIMIZERS, Optimizer, Range
from optimizers.adopted import Adopted
from ravine import Refused, nearest

SEARCHED_AT_MOST = 2  # hyperparameters


def contender(what: str | type | Optimizer, settings: Mapping[str, Any] | None = None) -> Contender:
    """Return the contender for an optimizer.

    Args:
        what: A name (`adam`, `file.py:Class`, …) or a class, whose hyperparameters are searched; or an
            object, which is run with its values alone.
        settings: Hyperparameters by name: a number pins one, a pair (low, high) is the range in which it is
            searched. Both are absolute values, not in units of the problem.

    Returns:
        The contender.

    Raises:
        Refused: If the optimizer does not have or accept a hyperparameter, or more than two would be searched.
    """
    name, optimizer, space = _named(what)
    pins: dict[str, Any] = {}
    for field, given in (settings or {}).items():
        if field not in optimizer.hyperparameters:
            raise Refused(
                f"unknown hyperparameter {name}.{field}: {nearest(field, optimizer.hyperparameters)}"
            )
        if (
            isinstance(given, Sequence)
            and not isinstance(given, str)
            and _searchable(optimizer, field)
        ):
            space[field] = _range(name, field, given, optimizer.space.get(field))
            for end in given:
                optimizer.replace(**{field: float(end)})  # refuses values out of bounds
        else:
            pins[field] = typed(name, field, given, optimizer.hyperparameters[field])
            space.pop(field, None)
    if len(space) > SEARCHED_AT_MOST:
        raise Refused(
            f"{name}: {', '.join(space)} would be searched, but at most {SEARCHED_AT_MOST} are: "
            f"pin one with a number, as in optimizers.{name}.{next(iter(space))}=0.1"
        )
    optimizer = optimizer.replace(**pins) if pins else optimizer
    for field, value in optimizer.hyperparameters.items():
        if value is None and field not in space:
            raise Refused(
                f"{name}.{field} has no default: give it a value, as in optimizers.{name}.{field}=0.1"
            )
    said = ", ".join(f"{field}={_short(value)}" for field, value in (settings or {}).items())
    return Contender(f"{name}({said})" if said else name, optimizer, space)


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def name_of(what: str | type | Optimizer) -> str:
    """Return an optimizer's name in tables: its registered name, its class's name, or the object's repr."""
    return _named(what)[0]


def _named(what: str | type | Optimizer) -> tuple[str, Optimizer, dict[str, Range]]:
    if isinstance(what, Optimizer):
        return repr(what), what, {}
    if isinstance(what, str):
        name, _ = loading.find(what, "optimizer")
        optimizer = OPTIMIZERS[name]
    elif isinstance(what, type) and issubclass(what, torch.optim.Optimizer):
        name, optimizer = what.__name__, Adopted(what)
    elif isinstance(what, type) and issubclass(what, Optimizer):
        registered = [name for name, prototype in OPTIMIZERS.items() if type(prototype) is what]
        name = registered[0] if registered else what.__name__
        try:
            optimizer = what()
        except TypeError as error:
            raise Refused(
                f"{what.__name__} needs arguments: give an object, as in {what.__name__}(…) ({error})"
            ) from error
    else:
        raise Refused(
            f"{what!r} is no optimizer: give a registered name, a class, or an object of such a class"
        )
    return name, optimizer, dict(optimizer.space)


def _searchable(optimizer: Optimizer, field: str) -> bool:
    default = optimizer.hyperparameters[field]
    return default is None or isinstance(default, float)


def _range(name: str, field: str, given: Sequence[Any], declared: Range | None) -> Range:
    numbers = [
        each for each in given if isinstance(each, (int, float)) and not isinstance(each, bool)
    ]
    if len(given) != 2 or len(numbers) != 2:
        raise Refused(
            f"{name}.{field} is {list(given)!r}, but must be a number, or a pair [low, high]"
        )
    low, high = map(float, numbers)
    if not low < high:
        raise Refused(f"{name}.{field} is {list(given)!r}, but low must be below high")
    if declared is not None and declared.scale == "complement" and high < 1:
        return Range(1 - high, 1 - low, "complement")
    return Range(low, high, "log" if low > 0 else "linear")


def typed(name: str, field: str, given: Any, default: Any) -> Any:
    """Return `given` as the default's type; whole numbers pass for floats, lists for tuples.

    Raises Refused for anything else.
    """
    value: Any = given
    several = isinstance(given, (list, tuple))
    whole = isinstance(given, int) and not isinstance(given, bool)
    for kind, fits, wanted, convert in (
        (bool, isinstance(given, bool), "true or false", bool),
        (int, whole, "a whole number", int),
        (float, whole or isinstance(given, float), "a number", float),
        (str, isinstance(given, str), "a word", str),
        (tuple, several and len(given) == len(default), "a list of numbers", tuple),
    ):
        if isinstance(default, kind):
            if fits:
                return convert(value)
            raise Refused(
                f"{name}.{field} is {given!r}, but must be {wanted} (default: {default!r})"
            )
    return given
