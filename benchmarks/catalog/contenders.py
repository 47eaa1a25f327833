"""Make a contender of an optimizer: its name, its values, and the ranges in which it is searched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from benchmarks.catalog import loading
from benchmarks.engine.contender import Contender
from optimizers import OPTIMIZERS, Optimizer, Range
from optimizers.adopted import Adopted
from optimizers.signature import RATES, Argument
from optimizers.wrapper import Wrapper, innermost
from ravine import Refused, nearest
from ravine.refusal import as_whole

SEARCHED_FREELY = 2  # hyperparameters, whatever the number of trials
TRIALS_A_SIDE = 5  # the default of 25 trials for two
NEAR_ONE = 0.5  # the range of an element of a list from here to below 1 is log-uniform in 1 − value


def contender(
    what: str | type | Optimizer, settings: Mapping[str, Any] | None = None, called: str = ""
) -> Contender:
    """Return the contender for an optimizer.

    Args:
        what: A name (`adam`, `file.py:Class`, …) or a class, whose hyperparameters are searched; or an
            object, which is run with its values alone.
        settings: Hyperparameters by name: a number pins one, a pair (low, high) is the range in which it is
            searched. Both are absolute values, not in units of the problem. A list sets a list; `betas.0` is its
            first element.
        called: Its name; by default its own.

    Returns:
        The contender.

    Raises:
        Refused: If the optimizer does not have or accept a hyperparameter.
    """
    name, optimizer, space = _named(what)
    name = called or name
    pins: dict[str, Any] = {}
    ends: list[tuple[str, Sequence[Any]]] = []
    settings = {field: _listed(given) for field, given in (settings or {}).items()}
    for field, given in settings.items():
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
            ends.append((field, given))
        else:
            pins[field] = _value(name, optimizer, field, given)
            space.pop(field, None)
    optimizer = optimizer.replace(**pins) if pins else optimizer
    for field, given in ends:
        for end in given:
            optimizer.replace(**{field: float(end)})  # refuses values out of bounds
    rate = optimizer.rate
    if not isinstance(what, Optimizer) and rate in optimizer.space and rate not in settings:
        # What it takes to measure its range may only now have been given.
        space.setdefault(rate, optimizer.space[rate])
    for field in sorted(optimizer.missing_defaults, key=lambda each: each == optimizer.rate):
        if field not in space:
            argument = _argument(optimizer, field)
            example = "0.1" if argument is None else argument.example
            raise Refused(
                f"{name}.{field} has no default: give it a value, as in optimizers.{name}.{field}={example}"
            )
    said = ", ".join(f"{field}={_short(value)}" for field, value in settings.items())
    return Contender(f"{name}({said})" if said else name, optimizer, space)


def check_trials(contender: Contender, trials: int) -> None:
    """Refuse to search more than two hyperparameters with few trials: 5 for each are to be multiplied.

    As many trials fill each side of a square of two with five settings, and a cube of three takes 125 for that.
    """
    name, space = contender.name.partition("(")[0], contender.space
    needed = TRIALS_A_SIDE ** len(space)
    if len(space) > SEARCHED_FREELY and trials < needed:
        pinned = next(iter(space))
        raise Refused(
            f"{name}: {', '.join(space)} would be searched, which takes trials={needed} or more (trials is {trials}): "
            f"pin one with a number, as in optimizers.{name}.{pinned}=0.1, or run several with commas, as in 0.01,0.1"
        )


def unsearched(contenders: Iterable[Contender]) -> list[str]:
    """Return a line for each adopted class of which nothing is searched, although no rate is pinned, and the remedy."""
    lines = {}
    for each in contenders:
        inner, is_object = innermost(each.optimizer), each.name == repr(each.optimizer)
        if not isinstance(inner, Adopted) or not inner.works or each.space or is_object:
            continue
        if not set(inner.values) & set(RATES):
            lines[each.name] = _unsearched(each.name.partition("(")[0], inner)
    return [*lines.values()]


def _unsearched(name: str, inner: Adopted) -> str:
    numbers = {
        field: value
        for field, value in inner.hyperparameters.items()
        if _searchable(inner, field) and (value is None or value > 0)
    }
    said = f"{name}: no argument is known to be a learning rate, so that only its defaults are run, one trial"
    field = next((each for each in [inner.rate, "lr", *RATES, *numbers] if each in numbers), None)
    if field is None:
        return f"{said}; it has no number to search"
    value = numbers[field] or 0.1
    low, high = f"{value / 100:g}", f"{value * 10 if value * 10 < 1 or value >= 1 else 1:g}"
    return f"{said}; to search one: 'optimizers.{name}.{field}=[{low},{high}]'"


def _argument(optimizer: Optimizer, field: str) -> Argument | None:
    """Return what is known of the argument of an adopted class, with wrappers or without; None for any other field."""
    while isinstance(optimizer, Wrapper) and field not in optimizer.own:
        optimizer = optimizer.inner
    return optimizer.argument(field) if isinstance(optimizer, Adopted) else None


def _listed(given: Any) -> Any:
    """Return a value with Python's own lists in place of omegaconf's."""
    several = isinstance(given, Sequence) and not isinstance(given, (str, tuple))
    return [_listed(each) for each in given] if several else given


def _value(name: str, optimizer: Optimizer, field: str, given: Any) -> Any:
    argument = _argument(optimizer, field)
    if argument is None:
        return typed(name, field, given, optimizer.hyperparameters[field])
    return argument.converted(name, given)


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
    default, argument = optimizer.hyperparameters[field], _argument(optimizer, field)
    if argument is None or isinstance(default, float):
        return default is None or isinstance(default, float)
    return default is None and (float in argument.kinds or not argument.kinds)


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
    near_one = field.rpartition(".")[2].isdigit() and low >= NEAR_ONE  # as decay rates in `betas`
    if (near_one or (declared is not None and declared.scale == "complement")) and high < 1:
        return Range(1 - high, 1 - low, "complement")
    return Range(low, high, "log" if low > 0 else "linear")


def typed(name: str, field: str, given: Any, default: Any) -> Any:
    """Return `given` as the default's type; whole numbers pass for floats, 1e5 for a whole number, lists for tuples.

    Raises Refused for anything else.
    """
    value: Any = given
    several = isinstance(given, (list, tuple)) and isinstance(default, tuple)
    alike = several and len(given) == len(default)
    whole = isinstance(as_whole(given), int) and not isinstance(given, bool)
    for kind, fits, wanted, convert in (
        (bool, isinstance(given, bool), "true or false", bool),
        (int, whole, "a whole number", int),
        (float, whole or isinstance(given, float), "a number", float),
        (str, isinstance(given, str), "a word", str),
        (tuple, alike, "a list of numbers", tuple),
    ):
        if isinstance(default, kind):
            if fits:
                return convert(value)
            raise Refused(
                f"{name}.{field} is {given!r}, but must be {wanted} (default: {default!r})"
            )
    return given
