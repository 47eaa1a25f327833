"""Convolutional networks: classes of digits, and photographs without noise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch

from benchmarks.study import data
from benchmarks.study.layers import (
    Shapes,
    cross_entropy,
    dense_shapes,
    linear,
    squared_error,
    torch_default,
)
from benchmarks.study.task import TASKS, Examples, Task
from ravine import bounded


@TASKS.register("cnn_digits")
@dataclass(frozen=True)
class CnnDigits(Task):
    """A network with two convolutions on digits.

    f = mean cross-entropy: 3×3 with 8 channels, ReLU, 3×3 with 16 channels at every second place, ReLU, the mean
    of 2×2 places, linear; x has 8 × 8 pixels: 1898 parameters. The start is that of `torch.nn.Conv2d` and `Linear`.
    """

    channels: int = bounded(8, low=1)
    batch: int = bounded(32, low=1)

    family = "convolution"

    @property
    def shapes(self) -> Shapes:
        few, many = self.channels, 2 * self.channels
        return *_shapes(1, few, many), *dense_shapes(4 * many, data.CLASSES)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return torch_default(self.shapes, generator)

    def parts(self) -> tuple[Examples, Examples]:
        return data.labelled_digits()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        first, shift, second, lift, *last = parameters
        planes = examples.inputs.unflatten(-1, (1, 8, 8))
        planes = _convolution(planes, first, shift).relu()
        planes = _convolution(planes, second, lift, stride=2).relu()
        planes = planes.unflatten(-2, (2, 2)).unflatten(-1, (2, 2)).mean((-3, -1))
        return cross_entropy(linear(planes.flatten(2), *last), examples.wanted)


@TASKS.register("denoising")
@dataclass(frozen=True)
class Denoising(Task):
    """A network with three convolutions that finds the noise in patches of photographs.

    f = mean (n̂ − n)², n standard normal, n̂ from the patch y + n/2 of 8 × 8 grey values, y of variance 1: 3×3 with
    8 channels, ReLU, twice, and 3×3 with one: 737 parameters. The start is that of `torch.nn.Conv2d`.

    Zhang et al. 2017, arXiv:1608.03981.
    """

    channels: int = bounded(8, low=1)
    batch: int = bounded(16, low=1)

    family = "convolution"

    @property
    def shapes(self) -> Shapes:
        return _shapes(1, self.channels, self.channels, 1)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return torch_default(self.shapes, generator)

    def parts(self) -> tuple[Examples, Examples]:
        return data.noisy_patches()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        first, shift, second, lift, third, raised = parameters
        planes = _convolution(examples.inputs, first, shift).relu()
        planes = _convolution(planes, second, lift).relu()
        return squared_error(_convolution(planes, third, raised), examples.wanted)


def _shapes(*channels: int) -> Shapes:
    """Return the shapes of the weights and biases of 3×3 convolutions between these channels."""
    pairs = pairwise(channels)
    return tuple(shape for before, after in pairs for shape in ((after, before, 3, 3), (after,)))


def _convolution(
    planes: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, stride: int = 1
) -> torch.Tensor:
    """Return a 3×3 convolution, padded by one, as a product of matrices.

    Args:
        planes: (runs, count, before, height, width).
        weight: (runs, after, before, 3, 3).
        bias: (runs, after).
        stride: The step from place to place.

    Returns:
        (runs, count, after, height / stride, width / stride).
    """
    runs, count, _, height, width = planes.shape
    patches = torch.nn.functional.unfold(planes.flatten(0, 1), 3, padding=1, stride=stride)
    patches = patches.unflatten(0, (runs, count))
    found = weight.flatten(2).unsqueeze(1) @ patches + bias[:, None, :, None]
    return found.unflatten(-1, (height // stride, width // stride))
