"""Optimizers as pure batched functions: one file per method, whose update is the textbook's formula."""

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

__all__ = [
    "OPTIMIZERS",
    "NotApplicable",
    "Optimizer",
    "Range",
    "State",
    "complement",
    "linear",
    "log_uniform",
    "register",
]
