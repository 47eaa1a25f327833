"""Data and networks that several cases share."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any

import torch
from torch import nn


def draws() -> torch.Generator:
    """Return the generator of a case's data, which are the same for every seed."""
    return torch.Generator().manual_seed(0)


@functools.cache
def digits() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 1797 digits of 64 pixels in [0, 1], and their classes."""
    from sklearn.datasets import load_digits

    data: Any = load_digits()
    return torch.tensor(data.data / 16, dtype=torch.float32), torch.tensor(data.target)


@functools.cache
def cancer() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 569 tumors with 30 raw features, and 0 or 1 as a column."""
    from sklearn.datasets import load_breast_cancer

    data: Any = load_breast_cancer()
    return torch.tensor(data.data, dtype=torch.float32), torch.tensor(data.target).float()[:, None]


@functools.cache
def circles() -> tuple[torch.Tensor, torch.Tensor]:
    """Return 600 points on two circles, and 0 or 1 as a column."""
    from sklearn.datasets import make_circles

    inputs, targets = make_circles(600, noise=0.05, factor=0.5, random_state=0)
    return torch.tensor(inputs, dtype=torch.float32), torch.tensor(targets).float()[:, None]


def standardized(inputs: torch.Tensor) -> torch.Tensor:
    """Return the inputs with mean 0 and standard deviation 1, feature by feature."""
    return (inputs - inputs.mean(0)) / inputs.std(0)


def perceptron(
    *widths: int, unit: Callable[[], nn.Module] = nn.ReLU, last: nn.Module | None = None
) -> nn.Sequential:
    """Return linear layers of these widths with units between them, and `last` behind the last layer."""
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths):
        layers += [nn.Linear(width, following), unit()]
    layers[-1:] = [] if last is None else [last]
    return nn.Sequential(*layers)
