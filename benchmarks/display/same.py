"""Are two optimizers the same method? As a call, and as an assertion for pytest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.catalog import loading
from benchmarks.catalog.contenders import contender
from benchmarks.checks.same import Sameness, judged
from optimizers import Optimizer
from optimizers.adopted import Adopted
from ravine import Refused, registered_name

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

    >>> same("adam", torch.optim.Adam).kind
    'rounding'
    """
    given = dict(settings or {})
    pair = _resolved(a), _resolved(b)
    known = [each.hyperparameters.keys() for each in pair]
    for name in given:
        if not any(name in each for each in known):
            # The refusal of the first names what is nearest.
            contender(pair[0], {name: given[name]})
    first, second = (
        contender(each, {name: given[name] for name in given if name in each.hyperparameters})
        for each in pair
    )
    return judged(_names(a, b, pair), (first.optimizer, second.optimizer))


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

    >>> assert_same_optimizer("momentum", torch.optim.SGD, settings={"momentum": 0.9})
    """
    found = same(a, b, settings=settings)
    assert found.same, str(found)


def _resolved(what: AnyOptimizer) -> Optimizer:
    if isinstance(what, str):
        return loading.alone(what)
    if isinstance(what, torch.optim.Optimizer):
        raise Refused(f"{type(what).__name__}(…) has parameters of its own: give its class")
    return contender(what).optimizer


def _names(
    a: AnyOptimizer, b: AnyOptimizer, pair: tuple[Optimizer, Optimizer]
) -> tuple[str, str]:
    """Return what the two are called: as short as tells them apart."""
    given = [
        what if isinstance(what, str) else _class_name(optimizer)
        for what, optimizer in zip((a, b), pair, strict=True)
    ]
    short = [each.rpartition(":")[2] if ":" in each else each.rpartition(".")[2] or each for each in given]
    names = short if short[0] != short[1] else given
    return (names[0], names[1]) if names[0] != names[1] else ("the first", "the second")


def _class_name(optimizer: Optimizer) -> str:
    if isinstance(optimizer, Adopted):
        return f"{optimizer.method.__module__}.{optimizer.method.__qualname__}"
    return registered_name(type(optimizer))
