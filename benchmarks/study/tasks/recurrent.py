"""Recurrent networks: digits row by row, and the next character of a text."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from benchmarks.study import data
from benchmarks.study.layers import (
    Shapes,
    cross_entropy,
    dense_shapes,
    linear,
    rows,
    torch_default,
    uniform,
)
from benchmarks.study.task import TASKS, Examples, Task
from ravine import bounded


@TASKS.register("rnn_digits")
@dataclass(frozen=True)
class RnnDigits(Task):
    """A recurrent network that reads digits row by row.

    f = mean cross-entropy of softmax(V h₈ + c), h_t = tanh(W x_t + b + R h_{t−1} + d), h₀ = 0, x_t the 8 pixels of
    row t: 1674 parameters at 32 states. What the first rows say has to last for seven steps. The start is that of
    `torch.nn.RNN`, uniform in ±1/√states, and of `torch.nn.Linear`.
    """

    states: int = bounded(32, low=1)
    batch: int = bounded(32, low=1)

    family = "recurrent"

    @property
    def shapes(self) -> Shapes:
        return _recurrent_shapes(8, self.states, 1) + dense_shapes(self.states, data.CLASSES)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        return _start(self.shapes, self.states, generator)

    def parts(self) -> tuple[Examples, Examples]:
        return data.labelled_digits()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        inward, recurrent, bias, shift, *last = parameters
        images = examples.inputs.unflatten(-1, (8, 8)).flatten(1, 2)
        driven = linear(images, inward, bias + shift).unflatten(1, (-1, 8))
        state = driven[:, :, 0].tanh()
        for drive in driven.unbind(2)[1:]:
            state = torch.baddbmm(drive, state, recurrent.mT).tanh()
        return cross_entropy(linear(state, *last), examples.wanted)


@TASKS.register("gru_text")
@dataclass(frozen=True)
class GruText(Task):
    """A gated recurrent network that foretells the next character of a text.

    f = mean cross-entropy of softmax(V h_t + c) with character t + 1, over windows of 16 characters;
    h_t = z h_{t−1} + (1 − z) n, n = tanh(W_n x + b_n + r (R_n h_{t−1} + d_n)), r and z = σ(W x + b + R h_{t−1} + d), x
    the vector of character t: 6325 parameters at 24 states. Characters are as unequal as Zipf's law has them. The start
    is that of `torch.nn.Embedding`, normal, of `torch.nn.GRU`, uniform in ±1/√states, and of `torch.nn.Linear`.

    Cho et al. 2014, arXiv:1406.1078.
    """

    states: int = bounded(24, low=1)
    width: int = bounded(12, low=1)
    batch: int = bounded(16, low=1)

    family = "recurrent"

    @property
    def shapes(self) -> Shapes:
        table = (data.SYMBOLS, self.width)
        layer = _recurrent_shapes(self.width, self.states, 3)
        return table, *layer, *dense_shapes(self.states, data.SYMBOLS)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        table, *others = self.shapes
        vectors = torch.randn(table, generator=generator)
        return [vectors, *_start(tuple(others), self.states, generator)]

    def parts(self) -> tuple[Examples, Examples]:
        return data.text()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        table, inward, recurrent, bias, shift, *last = parameters
        runs, count, length = examples.inputs.shape
        vectors = rows(table, examples.inputs.flatten(1))
        driven = linear(vectors, inward, bias).view(runs, count, length, -1)
        state = driven.new_zeros(runs, count, self.states)
        states = []
        for drive in driven.unbind(2):
            fed_back = linear(state, recurrent, shift)
            gates = drive[..., : 2 * self.states] + fed_back[..., : 2 * self.states]
            reset, keep = gates.sigmoid().chunk(2, -1)
            new = drive[..., 2 * self.states :] + reset * fed_back[..., 2 * self.states :]
            new = new.tanh()
            state = new + keep * (state - new)
            states.append(state)
        logits = linear(torch.stack(states, 2).flatten(1, 2), *last)
        return cross_entropy(logits, examples.wanted.flatten(1))


def _recurrent_shapes(inputs: int, states: int, gates: int) -> Shapes:
    """Return the shapes of W, R, b and d, as `torch.nn.RNN` and `GRU` have them."""
    units = gates * states
    return (units, inputs), (units, states), (units,), (units,)


def _start(shapes: Shapes, states: int, generator: torch.Generator) -> list[torch.Tensor]:
    """Draw a recurrent layer and the linear layer behind it."""
    layer = [uniform(shape, 1 / math.sqrt(states), generator) for shape in shapes[:4]]
    return layer + torch_default(shapes[4:], generator)
