"""Softmax regression: convex, and on raw measurements very badly scaled."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.study import data
from benchmarks.study.layers import Shapes, cross_entropy, dense_shapes, linear, torch_default
from benchmarks.study.task import TASKS, Examples, Task
from ravine import bounded


class _Softmax(Task):
    """f(W, b) = mean cross-entropy of softmax(W x + b)."""

    family = "convex"
    inputs: int
    classes: int

    @property
    def shapes(self) -> Shapes:
        return dense_shapes(self.inputs, self.classes)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return torch_default(self.shapes, generator)

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        return cross_entropy(linear(examples.inputs, *parameters), examples.wanted)


@TASKS.register("softmax_digits")
@dataclass(frozen=True)
class SoftmaxDigits(_Softmax):
    """Softmax regression on digits.

    f(W, b) = mean cross-entropy of softmax(W x + b), x the 64 pixels of a digit: 650 parameters. Nearly
    separable: the loss falls for a long time. The start is that of `torch.nn.Linear`.
    """

    batch: int = bounded(32, low=1)

    inputs, classes = 64, 10

    def parts(self) -> tuple[Examples, Examples]:
        return data.labelled_digits()


@TASKS.register("softmax_cancer")
@dataclass(frozen=True)
class SoftmaxCancer(_Softmax):
    """Softmax regression on 30 measurements of a tumour, each in its own unit.

    f(W, b) = mean cross-entropy of softmax(W x + b), malignant or benign: 62 parameters. Columns have
    sizes from 0.004 to 900, so that the curvatures differ by ten orders of magnitude. The start is that of
    `torch.nn.Linear`.
    """

    batch: int = bounded(32, low=1)

    inputs, classes = 30, 2

    def parts(self) -> tuple[Examples, Examples]:
        return data.raw_breast_cancer()
