"""Deep networks on digits, without normalisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.study import data
from benchmarks.study.layers import Shapes, cross_entropy, dense, dense_shapes, glorot, he
from benchmarks.study.task import TASKS, Examples, Task
from ravine import bounded


class _Deep(Task):
    """f = mean cross-entropy of a network whose layers all have the same width."""

    family = "deep"
    layers: int
    width: int

    @property
    def shapes(self) -> Shapes:
        return dense_shapes(64, *self.layers * [self.width], data.CLASSES)

    def parts(self) -> tuple[Examples, Examples]:
        return data.labelled_digits()


@TASKS.register("deep_tanh")
@dataclass(frozen=True)
class DeepTanh(_Deep):
    """Eight layers of tanh on digits.

    f = mean cross-entropy of softmax(V h₈ + c), h_k = tanh(W_k h_{k−1} + b_k), h₀ the 64 pixels of a digit: 3114
    parameters. Nothing normalises the layers. Weights start Glorot uniform, biases at 0.

    Glorot & Bengio 2010.
    """

    layers: int = bounded(8, low=1)
    width: int = bounded(16, low=1)
    batch: int = bounded(32, low=1)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return glorot(self.shapes, generator)

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        return cross_entropy(dense(examples.inputs, parameters, torch.tanh), examples.wanted)


@TASKS.register("deep_relu")
@dataclass(frozen=True)
class DeepRelu(_Deep):
    """Twelve layers of ReLU on digits.

    f = mean cross-entropy of softmax(V h₁₂ + c), h_k = relu(W_k h_{k−1} + b_k), h₀ the 64 pixels of a digit: 4202
    parameters. Nothing normalises the layers, and units can die. Weights start He normal, biases at 0.

    He et al. 2015, arXiv:1502.01852.
    """

    layers: int = bounded(12, low=1)
    width: int = bounded(16, low=1)
    batch: int = bounded(32, low=1)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return he(self.shapes, generator)

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        return cross_entropy(dense(examples.inputs, parameters, torch.relu), examples.wanted)
