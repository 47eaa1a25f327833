"""Optimizers as pure batched functions: one file per method, whose update is the textbook's formula."""

from typing import TYPE_CHECKING, Any

from optimizers.hyperparameter import Hyper, Range, complement, hyper, linear, log
from optimizers.optimizer import NotApplicable, Optimizer, State
from optimizers.registry import OPTIMIZERS, register

if TYPE_CHECKING:
    from optimizers._training import as_torch

log_uniform = log  # its name in the last release

__all__ = [
    "OPTIMIZERS",
    "Hyper",
    "NotApplicable",
    "Optimizer",
    "Range",
    "State",
    "as_torch",
    "complement",
    "hyper",
    "linear",
    "log",
    "log_uniform",
    "register",
]


def __getattr__(name: str) -> Any:
    if name == "as_torch":  # loads torch
        from optimizers import _training

        return _training.as_torch
    raise AttributeError(f"module 'optimizers' has no attribute {name!r}")
