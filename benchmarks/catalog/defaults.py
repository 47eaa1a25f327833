"""The optimizers that a sweep compares if none are given."""

from __future__ import annotations

from optimizers.registry import AND
from problems import Problem

# The methods of the book's sections 8.3 to 8.6, and clipping.
CLASSICS = (
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "newton", "damped_newton", "saddle_free_newton",
    "clipped_sgd", "clipped_momentum",
)  # fmt: skip


# Compared as well if gradients are noisy. A decaying rate alone can move a breaking point further than another
# method would, so each optimizer with decay is a separate contender.
TWINS = tuple(f"{name}{AND}decay" for name in CLASSICS if name != "damped_newton")  # it has no rate


def default_optimizers(problem: Problem) -> tuple[str, ...]:
    """Return the names of the optimizers that a sweep compares on a problem by default."""
    return (*CLASSICS, *(TWINS if problem.noisy else ()))
