"""One hidden layer on digits, with right labels and with some wrong ones."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.study import data
from benchmarks.study.layers import Shapes, cross_entropy, dense, dense_shapes, torch_default
from benchmarks.study.task import TASKS, Examples, Task
from ravine import bounded


class _Shallow(Task):
    """f = mean cross-entropy of softmax(V relu(W x + b) + c)."""

    family = "shallow"
    hidden: int

    @property
    def shapes(self) -> Shapes:
        return dense_shapes(64, self.hidden, data.CLASSES)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return torch_default(self.shapes, generator)

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        return cross_entropy(dense(examples.inputs, parameters, torch.relu), examples.wanted)


@TASKS.register("shallow_digits")
@dataclass(frozen=True)
class ShallowDigits(_Shallow):
    """A network with one hidden layer on digits.

    f = mean cross-entropy of softmax(V relu(W x + b) + c), x the 64 pixels of a digit: 2410 parameters at
    32 units. It can learn all digits by heart. The start is that of `torch.nn.Linear`.
    """

    hidden: int = bounded(32, low=1)
    batch: int = bounded(32, low=1)

    def parts(self) -> tuple[Examples, Examples]:
        return data.labelled_digits()


@TASKS.register("shallow_wrong_labels")
@dataclass(frozen=True)
class ShallowWrongLabels(_Shallow):
    """A network with one hidden layer on digits of which a fifth is labelled wrongly.

    f = mean cross-entropy of softmax(V relu(W x + b) + c): 2410 parameters at 32 units. The gradients of
    the wrong labels do not vanish where the right ones are learned. The start is that of `torch.nn.Linear`.
    """

    hidden: int = bounded(32, low=1)
    batch: int = bounded(32, low=1)

    def parts(self) -> tuple[Examples, Examples]:
        return data.wrongly_labelled_digits()
