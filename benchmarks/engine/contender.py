"""A contender: an optimizer with the values of its default trial, and the ranges in which it is searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optimizers import Optimizer, Range


@dataclass(frozen=True)
class Contender:
    """`optimizer` has the values of the default trial; `space` holds what is searched."""

    name: str
    optimizer: Optimizer
    space: Mapping[str, Range]
