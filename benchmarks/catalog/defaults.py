"""The optimizers that a sweep compares where none are given."""

from __future__ import annotations

from optimizers.registry import AND
from problems import Problem

# What a sweep compares where nothing is said: the methods of the book's sections 8.3 to 8.6, and clipping.
CLASSICS = (
    "sgd", "momentum", "nesterov", "rmsprop", "adam", "newton", "damped_newton", "saddle_free_newton",
    "clipped_sgd", "clipped_momentum",
)  # fmt: skip


# And where gradients are noisy. Decay alone can move a breaking point further than another method would, so
# an optimizer at a falling rate is a contender of its own.
TWINS = tuple(f"{name}{AND}decay" for name in CLASSICS if name != "damped_newton")  # it has no rate


def default_optimizers(problem: Problem) -> tuple[str, ...]:
    """What a sweep compares on a problem where nothing is said."""
    return (*CLASSICS, *(TWINS if problem.noisy else ()))
