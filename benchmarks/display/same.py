"""Are two optimizers the same method? As a call, and as an assertion for pytest."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.catalog import loading
from benchmarks.catalog.contenders import contender
from benchmarks.checks.knobs import places
from benchmarks.checks.same import Sameness, judged
from optimizers import Optimizer
from optimizers.adopted import Adopted
from ravine import Refused, nearest

AnyOptimizer = str | type[Optimizer] | type[torch.optim.Optimizer] | Optimizer


def same(
    a: AnyOptimizer, b: AnyOptimizer, *, settings: Mapping[str, Any] | None = None
) -> Sameness:
    """Compare two optimizers step by step: are they the same method?

    Both are given the same points and gradients: of an ill-conditioned bowl, a bent valley, a saddle, and random ones
    of all sizes, with zeros and spikes, for vectors and matrices; at their defaults and at other settings of each
    hyperparameter that both have. The steps are compared along the path of `a`.

    Args:
        a: A name (`adam`, `adam+clip`, `zoo/muon`), the place of a class (`my_opt.py:MyOpt`, `torch.optim.Adam`), a
            class, or an object.
        b: The same. Two files may have a class of one name.
        settings: Values for both, by hyperparameter; one that only one of the two has is given to that one.

    Returns:
        What was found; `.same` says whether they are, `.kind` how, and printed it says where they differ.

    Raises:
        Refused: For what is no optimizer, what cannot be compared, or steps that are left to chance.

    Examples:
        >>> same("adam", torch.optim.Adam).kind
        'rounding'
    """
    pair = _resolved(a), _resolved(b)
    given: tuple[dict[str, Any], dict[str, Any]] = {}, {}
    for name, value in (settings or {}).items():
        found = [
            _given(each, so_far, name, value) for each, so_far in zip(pair, given, strict=True)
        ]
        if not any(found):
            known = {each for one in pair for each in (*one.hyperparameters, *places(one))}
            raise Refused(f"unknown hyperparameter {name}: {nearest(name, known)}")
        for values, more in zip(given, found, strict=True):
            values.update(more)
    pair = _pinned(pair[0], given[0]), _pinned(pair[1], given[1])
    return judged(_names(a, b), pair)


def assert_same_optimizer(
    a: AnyOptimizer, b: AnyOptimizer, *, settings: Mapping[str, Any] | None = None
) -> None:
    """Raise AssertionError, with where they differ, unless two optimizers are the same method.

    They may differ by rounding, by a factor in the learning rate, or in how a momentum is written.

    Args:
        a: An optimizer, as for `same`.
        b: Another one.
        settings: Values for both, by hyperparameter.

    Raises:
        AssertionError: If they are not the same; the message says where, by how much and why.
        Refused: As for `same`.

    Examples:
        >>> assert_same_optimizer("momentum", torch.optim.SGD, settings={"momentum": 0.9})
    """
    found = same(a, b, settings=settings)
    assert found.same, str(found)


def _resolved(what: AnyOptimizer) -> Optimizer:
    if isinstance(what, str):
        return loading.alone(what)
    if isinstance(what, type) and issubclass(what, torch.optim.Optimizer):
        return Adopted(what)
    return contender(what).optimizer


def _pinned(optimizer: Optimizer, values: Mapping[str, Any]) -> Optimizer:
    """Return an optimizer with these values; raise Refused for a range."""
    if not values:
        return optimizer
    found = contender(optimizer, values)
    for name in values.keys() & found.space.keys():
        raise Refused(
            f"{name} is {values[name]!r}, but must be one value: nothing is searched here"
        )
    return found.optimizer


def _given(
    optimizer: Optimizer, so_far: Mapping[str, Any], name: str, value: Any
) -> dict[str, Any]:
    """Return the values under an optimizer's own names: `betas` are also `beta1` and `beta2`, and the reverse."""
    own, where = {**optimizer.hyperparameters, **so_far}, places(optimizer)
    if name in own:
        return {name: value}
    if name in where:
        place = where[name]
        if place.part is None:
            return {place.name: value}
        several = list(own[place.name])
        several[place.part] = value
        return {place.name: several}
    if name == "betas" and isinstance(value, (list, tuple)):
        singly = {f"beta{k + 1}": each for k, each in enumerate(value)}
        return singly if singly.keys() <= own.keys() else {}
    return {}


def _names(*both: AnyOptimizer) -> tuple[str, str]:
    """Return what the two are called: as short as tells them apart."""
    for named in (_short, _full, repr):
        first, second = (named(each) for each in both)
        if first != second:
            return first, second
    return "the first", "the second"


def _short(what: AnyOptimizer) -> str:
    """Return a class's name, or the word without the place of the class."""
    return re.split(r"[:.](?=\w+(?:\+|$))", what if isinstance(what, str) else _full(what))[-1]


def _full(what: AnyOptimizer) -> str:
    if isinstance(what, str):
        return what
    kind = what if isinstance(what, type) else loading.class_of(what)
    return f"{kind.__module__}.{kind.__name__}"
