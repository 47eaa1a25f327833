"""What the evidence for both recurrent networks measures."""

from __future__ import annotations

from collections.abc import Iterable

from problems.long_term_dependencies.recurrent_network import RecurrentNetwork


def backward_gains(problem: RecurrentNetwork, dials: Iterable[int]) -> list[float]:
    """Return what is left of a gradient from the last step to the first, at each value of the dial."""
    return [variant.backward_gain(variant.example()) for variant in map(problem.at_dial, dials)]
