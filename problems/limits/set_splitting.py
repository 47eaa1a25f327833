"""Set splitting: colour elements with two colours so that no set is of one colour. It is NP-complete."""

from __future__ import annotations

import torch

SIZE = 3  # of the drawn sets


def planted(
    elements: int, count: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a colouring, and sets of three elements that it leaves no set of one colour.

    Args:
        elements: How many elements there are.
        count: How many sets.
        generator: The source of randomness.

    Returns:
        The colouring (elements,) and the sets (count, elements), both bool.
    """
    order = torch.randperm(elements, generator=generator)
    first = int(torch.randint(1, elements, (), generator=generator))
    colors = torch.zeros(elements, dtype=torch.bool)
    colors[order[:first]] = True
    sets = torch.zeros(count, elements, dtype=torch.bool)
    for each in sets:
        while not 0 < colors[each].sum() < SIZE:
            each[:] = False
            each[torch.randperm(elements, generator=generator)[:SIZE]] = True
    return colors, sets


def colorings(sets: torch.Tensor, elements: int) -> torch.Tensor:
    """Return all colourings that leave no set of one colour, as bits; the last element has colour 0.

    Args:
        sets: The sets (count, elements), bool.
        elements: How many elements there are; 2^(elements − 1) colourings are tried.

    Returns:
        Whole numbers whose k-th bit is the colour of element k.
    """
    found = torch.arange(2 ** (elements - 1))
    for mask in (sets.long() << torch.arange(elements)).sum(-1):
        held = found & mask
        found = found[(held != 0) & (held != mask)]
    return found
