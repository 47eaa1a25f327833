"""The registry of optimizers."""

from __future__ import annotations

from optimizers.optimizer import Optimizer
from ravine import Registry

OPTIMIZERS: Registry[Optimizer] = Registry("optimizer", package="optimizers")
register = OPTIMIZERS.register
