"""A contender: an optimizer with its default values and the ranges in which it is searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optimizers import Optimizer, Range


@dataclass(frozen=True)
class Contender:
    """`optimizer` has the values of trial 0; `space` has the range of each searched hyperparameter."""

    name: str
    optimizer: Optimizer
    space: Mapping[str, Range]
