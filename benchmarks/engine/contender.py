"""A contender: an optimizer with its default values and the ranges in which it is searched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from optimizers import Optimizer, Range

if TYPE_CHECKING:
    import torch

    from benchmarks.engine.instances import Instances
    from problems import Problem


class Removal:
    """What is taken away from the runs of a contender. Subclasses are frozen dataclasses; this one takes nothing.

    The trials and the instances stay the same, so that runs with and without it are paired.
    """

    def problem(self, problem: Problem) -> Problem:
        """Return the problem that is run instead, with the same instances and draws."""
        return problem

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        """Return the optimizer that is run instead.

        Args:
            optimizer: With a tensor (trials, 1) for each searched hyperparameter.
            instances: Those of the problem that `problem` returned.
        """
        return optimizer

    def gradient(self, gradient: torch.Tensor, instances: Instances) -> torch.Tensor:
        """Return the gradient (*runs, dim) that the optimizer sees at the start, where `gradient` is the exact one."""
        return gradient


@dataclass(frozen=True)
class Contender:
    """`optimizer` has the values of trial 0; `space` has the range of each searched hyperparameter.

    removal: What is taken away from its runs, to learn whether it was to blame; such runs leave no traces.
    brief: True if it only matters how many tuning instances are solved: no trial is refined once one solves all.
    """

    name: str
    optimizer: Optimizer
    space: Mapping[str, Range]
    removal: Removal | None = None
    brief: bool = False
