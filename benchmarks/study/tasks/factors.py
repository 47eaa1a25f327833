"""Factors of the data: an autoencoder and a matrix with missing entries."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from benchmarks.study import data
from benchmarks.study.layers import Shapes, dense, dense_shapes, glorot, rows, squared_error
from benchmarks.study.task import TASKS, Examples, Task
from ravine import bounded


@TASKS.register("autoencoder")
@dataclass(frozen=True)
class Autoencoder(Task):
    """A network that gives digits back through a bottleneck.

    f = mean (x̂ − x)², x the 64 pixels of a digit, x̂ the output of layers with 32, 8, 32 and 64 units, tanh between
    them: 4744 parameters. Weights start Glorot uniform, biases at 0.

    Hinton & Salakhutdinov 2006.
    """

    hidden: int = bounded(32, low=1)
    code: int = bounded(8, low=1)
    batch: int = bounded(32, low=1)

    family = "factors"

    @property
    def shapes(self) -> Shapes:
        return dense_shapes(64, self.hidden, self.code, self.hidden, 64)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return glorot(self.shapes, generator)

    def parts(self) -> tuple[Examples, Examples]:
        return data.digits_to_give_back()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        return squared_error(dense(examples.inputs, parameters, torch.tanh), examples.wanted)


@TASKS.register("completion")
@dataclass(frozen=True)
class Completion(Task):
    """Two factors of a matrix of 128 digits, of which a fifth of the entries is missing.

    f(U, V) = mean (u_i · v_j − y_ij)² over the known entries: pixel j of digit i; rank 8, 1536 parameters. A step
    sees 128 of 6554 entries, so that many rows of U have no gradient in it; 0 is a saddle. Factors start normal with
    standard deviation 0.1.

    Koren, Bell & Volinsky 2009; the start as in the package Surprise.
    """

    rank: int = bounded(8, low=1)
    batch: int = bounded(128, low=1)

    family = "factors"
    chunk = 2048  # an entry is smaller than other examples

    @property
    def shapes(self) -> Shapes:
        return (data.ROWS, self.rank), (data.PIXELS, self.rank)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return [0.1 * torch.randn(shape, generator=generator) for shape in self.shapes]

    def parts(self) -> tuple[Examples, Examples]:
        return data.entries_of_digits()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        left, right = (
            rows(factor, examples.inputs[..., axis]) for axis, factor in enumerate(parameters)
        )
        return squared_error((left * right).sum(-1), examples.wanted)
