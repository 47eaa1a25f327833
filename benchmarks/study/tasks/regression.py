"""Regression: a table of patients, and an image as a function of place."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from benchmarks.study import data
from benchmarks.study.layers import (
    Shapes,
    dense,
    dense_shapes,
    squared_error,
    torch_default,
    uniform,
)
from benchmarks.study.task import TASKS, Examples, Task
from ravine import bounded

FREQUENCY = 30.0  # of the sines of the first layer, in Sitzmann et al. 2020


@TASKS.register("diabetes")
@dataclass(frozen=True)
class Diabetes(Task):
    """A network with two hidden layers foretells how far a patient's diabetes will be after a year.

    f = mean (V tanh(W₂ tanh(W₁ x + b₁) + b₂) + c − y)², x ten measurements, y standardised: 1441 parameters at
    32 units. Linear regression leaves a loss of 0.5; below it the network learns patients by heart. The start is that
    of `torch.nn.Linear`.
    """

    hidden: int = bounded(32, low=1)
    batch: int = bounded(32, low=1)

    family = "regression"

    @property
    def shapes(self) -> Shapes:
        return dense_shapes(10, self.hidden, self.hidden, 1)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return torch_default(self.shapes, generator)

    def parts(self) -> tuple[Examples, Examples]:
        return data.diabetes()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        return squared_error(dense(examples.inputs, parameters, torch.tanh), examples.wanted)


@TASKS.register("image_of_sines")
@dataclass(frozen=True)
class ImageOfSines(Task):
    """A network of sines that gives the grey value at a place of a photograph.

    f = mean (V sin(ω (W₂ sin(ω (W₁ x + b₁)) + b₂)) + c − y)², ω = 30, x a place in the square, y the grey value of
    a pixel: 1185 parameters at 32 units. Fine detail needs high frequencies. Weights start uniform in ±1/2 in
    the first layer and in ±√(6/inputs)/ω in the others, biases in ±1/√inputs.

    Sitzmann et al. 2020, arXiv:2006.09661.
    """

    hidden: int = bounded(32, low=1)
    batch: int = bounded(64, low=1)

    family = "regression"

    @property
    def shapes(self) -> Shapes:
        return dense_shapes(2, self.hidden, self.hidden, 1)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        weights, biases = self.shapes[::2], self.shapes[1::2]
        rest = math.sqrt(6 / self.hidden) / FREQUENCY
        return [
            uniform(shape, bound, generator)
            for weight, bias, reach in zip(weights, biases, (1 / 2, rest, rest), strict=True)
            for shape, bound in ((weight, reach), (bias, 1 / math.sqrt(weight[1])))
        ]

    def parts(self) -> tuple[Examples, Examples]:
        return data.photograph_pixels()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        outputs = dense(examples.inputs, parameters, lambda inner: (FREQUENCY * inner).sin())
        return squared_error(outputs, examples.wanted)
