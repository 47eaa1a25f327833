"""Small transformers: the next character of a text, and digits as eight rows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from benchmarks.study import data
from benchmarks.study.layers import Shapes, cross_entropy, dense_shapes, glorot, linear, rows
from benchmarks.study.task import TASKS, Examples, Task
from ravine import bounded

LAYERS, HEADS = 2, 2
OF_A_LAYER = 12  # tensors


@TASKS.register("transformer_text")
@dataclass(frozen=True)
class TransformerText(Task):
    """A transformer of two layers that foretells the next character of a text.

    f = mean cross-entropy with character t + 1 at each of 16 places, which attend to themselves and those before;
    h ← h + attention(norm(h)), h ← h + V relu(W norm(h)), two heads, width 16: 7937 parameters. Characters are as
    unequal as Zipf's law has them. Vectors of characters and places start normal, as in `torch.nn.Embedding`, matrices
    Glorot uniform, as in `torch.nn.Transformer`, biases at 0.

    Vaswani et al. 2017, arXiv:1706.03762; norms before the layers: Xiong et al. 2020, arXiv:2002.04745.
    """

    width: int = bounded(16, low=HEADS)
    batch: int = bounded(16, low=1)

    family = "attention"

    @property
    def shapes(self) -> Shapes:
        vectors = (data.SYMBOLS, self.width), (data.WINDOW, self.width)
        return *vectors, *_trunk_shapes(self.width), *dense_shapes(self.width, data.SYMBOLS)

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        vectors = [torch.randn(shape, generator=generator) for shape in self.shapes[:2]]
        return vectors + _start(self.shapes[2:], generator)

    def parts(self) -> tuple[Examples, Examples]:
        return data.text()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        table, places, *trunk, weight, bias = parameters
        runs, count, length = examples.inputs.shape
        vectors = rows(table, examples.inputs.flatten(1)).view(runs, count, length, -1)
        later = torch.full((length, length), -math.inf, dtype=table.dtype, device=table.device)
        hidden = _trunk(vectors + places.unsqueeze(1), trunk, mask=later.triu(1))
        return cross_entropy(linear(hidden.flatten(1, 2), weight, bias), examples.wanted.flatten(1))


@TASKS.register("transformer_digits")
@dataclass(frozen=True)
class TransformerDigits(Task):
    """A transformer of two layers that reads digits as eight rows.

    f = mean cross-entropy of softmax(V mean_t h_t + c), h₀ = W x_t + b + p_t, x_t the 8 pixels of row t, then two
    layers of two heads and width 16, with norms before them: 4922 parameters. Vectors of places start normal, as in
    `torch.nn.Embedding`, matrices Glorot uniform, as in `torch.nn.Transformer`, biases at 0.

    Dosovitskiy et al. 2021, arXiv:2010.11929.
    """

    width: int = bounded(16, low=HEADS)
    batch: int = bounded(32, low=1)

    family = "attention"

    @property
    def shapes(self) -> Shapes:
        inward = dense_shapes(8, self.width)
        outward = dense_shapes(self.width, data.CLASSES)
        return (8, self.width), *inward, *_trunk_shapes(self.width), *outward

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        places = torch.randn(self.shapes[0], generator=generator)
        inward, others = self.shapes[1:3], self.shapes[3:]
        return [places, *glorot(inward, generator), *_start(others, generator)]

    def parts(self) -> tuple[Examples, Examples]:
        return data.labelled_digits()

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        places, inward, shift, *trunk, weight, bias = parameters
        images = examples.inputs.unflatten(-1, (8, 8))
        vectors = linear(images.flatten(1, 2), inward, shift).unflatten(1, images.shape[1:3])
        hidden = _trunk(vectors + places.unsqueeze(1), trunk)
        return cross_entropy(linear(hidden.mean(2), weight, bias), examples.wanted)


def _trunk_shapes(width: int) -> Shapes:
    """Return the shapes of two of `torch.nn.TransformerEncoderLayer` and of the norm behind them."""
    norm = (width,), (width,)
    attention = dense_shapes(width, 3 * width) + dense_shapes(width, width)
    return LAYERS * (attention + dense_shapes(width, 2 * width, width) + norm + norm) + norm


def _start(shapes: Shapes, generator: torch.Generator) -> list[torch.Tensor]:
    """Draw the trunk and the linear layer behind it: norms are at the identity."""
    start = glorot(shapes, generator)
    gains = {OF_A_LAYER * layer + place for layer in range(LAYERS) for place in (8, 10)}
    for place in {*gains, OF_A_LAYER * LAYERS}:
        start[place] = torch.ones_like(start[place])
    return start


def _trunk(
    hidden: torch.Tensor, parameters: list[torch.Tensor], mask: torch.Tensor | None = None
) -> torch.Tensor:
    """Return the vectors behind all layers, (runs, count, length, width).

    Args:
        hidden: The vectors before them.
        parameters: Those of the layers and of the last norm.
        mask: What is added to the scores of places (length, length), −∞ where one must not see the other.
    """
    shape = hidden.shape
    hidden = hidden.flatten(1, 2)
    for layer in range(LAYERS):
        first = OF_A_LAYER * layer
        inward, shift, outward, lift, *network = parameters[first : first + 8]
        before_attention, before_network = (
            parameters[first + 8 : first + 10],
            parameters[first + 10 : first + 12],
        )
        mixed = linear(_norm(hidden, *before_attention), inward, shift)
        mixed = _attention(mixed.view(*shape[:-1], -1), mask).flatten(1, 2)
        hidden = hidden + linear(mixed, outward, lift)
        active = linear(_norm(hidden, *before_network), *network[:2]).relu()
        hidden = hidden + linear(active, *network[2:])
    return _norm(hidden, *parameters[-2:]).view(shape)


def _attention(mixed: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """Return what each place gets from all: queries, keys and values (runs, count, length, 3 · width) to width."""
    query, key, value = mixed.unflatten(-1, (3, HEADS, -1)).permute(3, 0, 1, 4, 2, 5)
    scores = query @ key.mT / math.sqrt(query.shape[-1])
    if mask is not None:
        scores = scores + mask
    return (scores.softmax(-1) @ value).transpose(2, 3).flatten(3)


def _norm(hidden: torch.Tensor, gain: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Return vectors (runs, count, width) with mean 0 and variance 1, times the gain, plus the shift."""
    plain = torch.nn.functional.layer_norm(hidden, hidden.shape[-1:])
    return torch.addcmul(shift.unsqueeze(1), plain, gain.unsqueeze(1))
