"""Layers of many networks at once: every tensor leads with the runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

Shapes = tuple[tuple[int, ...], ...]


def dense_shapes(*widths: int) -> Shapes:
    """Return the shapes of the weights and biases of linear layers between these widths, as `torch.nn` has them."""
    pairs = pairwise(widths)
    return tuple(shape for before, after in pairs for shape in ((after, before), (after,)))


def linear(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Return inputs · weightᵀ + bias.

    Args:
        inputs: (runs, count, before).
        weight: (runs, after, before).
        bias: (runs, after).

    Returns:
        (runs, count, after).
    """
    return torch.baddbmm(bias.unsqueeze(1), inputs, weight.mT)


def dense(
    inputs: torch.Tensor,
    parameters: Sequence[torch.Tensor],
    activation: Callable[[torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Return the output of linear layers with an activation between them, (runs, count, width)."""
    weights, biases = parameters[::2], parameters[1::2]
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        inputs = activation(linear(inputs, weight, bias))
    return linear(inputs, weights[-1], biases[-1])


def rows(tables: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Return rows (runs, count, width) of tables (runs, …, width), those chosen (runs, count) in each run."""
    return tables.gather(1, chosen.unsqueeze(-1).expand(-1, -1, tables.shape[-1]))


def cross_entropy(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy (runs) of logits (runs, count, classes) with labels (runs, count)."""
    each = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), labels.flatten(), reduction="none"
    )
    return each.view(labels.shape).mean(-1)


def squared_error(outputs: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error (runs) of outputs (runs, count, …)."""
    return (outputs - wanted).square().flatten(1).mean(-1)


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> torch.Tensor:
    """Return numbers drawn uniformly between −bound and bound."""
    return bound * (2 * torch.rand(*shape, generator=generator) - 1)


def torch_default(shapes: Shapes, generator: torch.Generator) -> list[torch.Tensor]:
    """Return weights and biases as `torch.nn.Linear` and `Conv2d` draw them: uniform in ±1/√(inputs of a unit)."""
    return [
        uniform(shape, 1 / math.sqrt(math.prod(weight[1:])), generator)
        for weight, bias in zip(shapes[::2], shapes[1::2], strict=True)
        for shape in (weight, bias)
    ]


def glorot(shapes: Shapes, generator: torch.Generator) -> list[torch.Tensor]:
    """Return matrices uniform in ±√(6/(inputs + outputs)), as Glorot & Bengio 2010 have them, and vectors of zeros."""
    return [
        uniform(shape, math.sqrt(6 / sum(shape)), generator)
        if len(shape) == 2
        else torch.zeros(shape)
        for shape in shapes
    ]


def he(shapes: Shapes, generator: torch.Generator) -> list[torch.Tensor]:
    """Return normal matrices of variance 2/inputs, as He et al. 2015 have them for ReLU, and vectors of zeros."""
    return [
        math.sqrt(2 / shape[1]) * torch.randn(shape, generator=generator)
        if len(shape) == 2
        else torch.zeros(shape)
        for shape in shapes
    ]
