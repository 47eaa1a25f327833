"""Optimizers as pure batched functions: one file per method, whose update is the textbook's formula."""

from typing import TYPE_CHECKING, Any

from optimizers.optimizer import (
    NotApplicable,
    Optimizer,
    Range,
    State,
    complement,
    linear,
    log_uniform,
)
from optimizers.registry import OPTIMIZERS, register

if TYPE_CHECKING:
    from optimizers._training import as_torch

__all__ = [
    "OPTIMIZERS",
    "NotApplicable",
    "Optimizer",
    "Range",
    "State",
    "as_torch",
    "complement",
    "linear",
    "log_uniform",
    "register",
]


def __getattr__(name: str) -> Any:
    if name == "as_torch":  # loads torch
        from optimizers import _training

        return _training.as_torch
    raise AttributeError(f"module 'optimizers' has no attribute {name!r}")
