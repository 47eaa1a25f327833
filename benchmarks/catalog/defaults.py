"""The optimizers that a sweep compares if none are given, and those of the published reference."""

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


# The optimizers of the published reference by family, as they are written in a command.
PUBLISHED = {
    "gradient descent": (
        "sgd", "momentum", "nesterov", "clipped_sgd", "clipped_momentum", "normalized_sgd",
    ),
    "signs": ("sign_sgd", "lion"),
    "Adam's family": (
        "adam", "adamw", "amsgrad", "zoo/nadam", "zoo/radam", "zoo/ademamix", "zoo/adopt",
    ),
    "adaptive, no momentum": ("adagrad", "rmsprop", "adafactor"),
    "matrix": ("zoo/muon", "soap", "shampoo", "kron"),
    "no rate or schedule": ("zoo/schedule_free_adamw", "prodigy"),
    "curvature": ("newton", "damped_newton", "saddle_free_newton", "newton_cg", "lbfgs"),
}  # fmt: skip
CURVATURE, OTHERS = "curvature", "others"


def family_of(name: str) -> str:
    """Return the family of an optimizer by its name in tables, with its decay or without; "others" if it has none."""
    bare = name.partition(AND)[0]
    names = ((family, called(word)) for family, words in PUBLISHED.items() for word in words)
    return next((family for family, each in names if each == bare), OTHERS)


def called(word: str) -> str:
    """Return the name in tables of an optimizer of a command: `zoo_muon` for `zoo/muon`."""
    return word.replace("/", "_")
