"""A small convolutional network on handwritten digits, whose gradient norm rises while it learns."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch

from problems.digits import digits
from problems.problem import Card, Problem, SampleSizes, Tree, dial
from problems.registry import register
from ravine import bounded

IMAGES, TRAINING, PROBE, CLASSES = 1797, 1400, 128, 10


def single(tree: Tree) -> Tree:
    """Return the same in float32: gradients of networks need no more."""

    def converted(leaf: Any) -> Any:
        if isinstance(leaf, dict):
            return single(leaf)
        return leaf.float() if leaf.is_floating_point() else leaf

    return {name: converted(leaf) for name, leaf in tree.items()}


def stacked(trees: list[Tree]) -> Tree:
    """Return one tree whose tensors have those of all trees, along a first dimension."""
    columns = {name: [tree[name] for tree in trees] for name in trees[0]}
    return {
        name: stacked(leaves) if isinstance(leaves[0], dict) else torch.stack(leaves)
        for name, leaves in columns.items()
    }


@register("digits_cnn")
@dataclass(frozen=True)
class DigitsCnn(Problem):
    """A network with two convolutions, trained with minibatches on digits some of whose labels are wrong.

    conv 3×3 – ReLU – max-pool 2 – conv 3×3 – ReLU – linear, cross entropy; x holds the weights and
    biases of the three layers. A digit is an image of 8 × 8. Each label is replaced, with
    probability `noise`, by one drawn from all ten.

    The norm of a minibatch's gradient rises while the network learns, which has been taken as a sign
    that it is not near a critical point. Only the noise rises: the gradient of all training images
    falls, and on clean labels so does the norm.

    The loss is that of the first 128 of 1400 training images, wrong labels included; minibatches run
    through all 1400. The column `accuracy` is that on the other 397, with true labels.

    noise: the share of labels that are drawn anew.
    batch: how many images a minibatch has.
    channels: of the first convolution; the second has twice as many. The stated figures are those of 16.

    Deep Learning, section 8.2.1 and figure 8.1. Digits: Alpaydin & Kaynak 1998, as in scikit-learn.
    """

    noise: float = dial(0.3, low=0, high=0.9)
    batch: int = bounded(8, low=1, high=TRAINING)
    channels: int = bounded(4, low=1)

    card = Card(
        scale="linear",
        ladder=(0.0, 0.3, 0.5),
        target=0.7,
        budget=150,
        reference=("sgd", {"lr": 0.3}),
        control={"noise": 0.0},
        signature="mean norm of a minibatch's gradient after a quick training, over that at the start",
        threshold=1.0,
        truth="The minimum is unknown. The floor is the entropy of a label given its image, the least "
        "mean loss on unseen images.",
        source="Goodfellow, Bengio & Courville 2016, figure 8.1",
        exceptions={
            "ranked": "what it shows is the noise of gradients, and the budget ends with the first epoch",
            "smooth": "ReLU and max-pooling have kinks",
            "floor": "a run that learns the wrong labels of these images by heart gets below the entropy",
        },
        floor_is_minimum=False,
        cell=SampleSizes(trials=5, tuning_seeds=2, seeds=3, dtype="float32"),
    )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        few, many = self.channels, 2 * self.channels
        return (few, 1, 3, 3), (few,), (many, few, 3, 3), (many,), (CLASSES, 16 * many), (CLASSES,)

    def instance(self, generator: torch.Generator) -> Tree:
        """Draw a split, labels, and a start uniform in ± one over the root of the inputs, torch's default."""
        order = torch.randperm(IMAGES, generator=generator)
        images, labels = (each[order] for each in digits())
        images = images.to(torch.get_default_dtype())
        anew = torch.rand(TRAINING, generator=generator) < self.noise
        others = torch.randint(CLASSES, (TRAINING,), generator=generator)
        start = []
        for weights, biases in zip(self.shapes[::2], self.shapes[1::2], strict=True):
            bound = 1 / math.sqrt(math.prod(weights[1:]))
            for shape in (weights, biases):
                start.append(bound * (2 * torch.rand(math.prod(shape), generator=generator) - 1))
        return {
            "start": torch.cat(start),
            "images": images[:TRAINING],
            "labels": torch.where(anew, others, labels[:TRAINING]),
            "unseen": {"images": images[TRAINING:], "labels": labels[TRAINING:]},
        }

    def logits(self, x: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
        """Return the outputs (*runs, count, 10) for images (…, count, 64): runs are groups of one convolution."""
        runs = torch.broadcast_shapes(x.shape[:-1], images.shape[:-2])
        count, each = images.shape[-2], math.prod(runs)
        parts = x.expand(*runs, -1).split([math.prod(shape) for shape in self.shapes], -1)
        first, shift, second, lift, last, rise = (
            part.reshape(each * shape[0], *shape[1:])
            for part, shape in zip(parts, self.shapes, strict=True)
        )
        functional = torch.nn.functional
        planes = images.expand(*runs, count, 64).reshape(each, count, 8, 8).transpose(0, 1)
        planes = functional.conv2d(planes, first, shift, padding=1, groups=each)
        planes = functional.max_pool2d(planes, 2).relu()
        planes = functional.conv2d(planes, second, lift, padding=1, groups=each).relu()
        features = planes.reshape(count, each, -1).transpose(0, 1)
        weights = last.reshape(each, CLASSES, -1).mT
        return (features @ weights + rise.reshape(each, 1, CLASSES)).reshape(*runs, count, CLASSES)

    def cross_entropy(self, x: torch.Tensor, draw: Tree) -> torch.Tensor:
        """Return −ln softmax at the labels, the mean over the images: (*runs)."""
        logits = self.logits(x, draw["images"]).log_softmax(-1)
        labels = draw["labels"].expand(logits.shape[:-1])
        return -logits.gather(-1, labels[..., None])[..., 0].mean(-1)

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        probe = {"images": data["images"][..., :PROBE, :], "labels": data["labels"][..., :PROBE]}
        return self.cross_entropy(x, probe)

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        """Yield minibatches, each epoch in a new order; the remainder of an epoch is left out."""
        while True:
            order = torch.randperm(TRAINING, generator=generator)
            for chosen in order[: TRAINING - TRAINING % self.batch].split(self.batch):
                yield {"images": data["images"][chosen], "labels": data["labels"][chosen]}

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.cross_entropy(x, draw)

    def floor(self, data: Tree) -> torch.Tensor:
        """Return the entropy of a label that is right with probability 1 − 0.9 noise: not the minimum."""
        shares = torch.tensor([1 - 0.9 * self.noise, *9 * [self.noise / 10]])
        return torch.special.entr(shares).sum().to(data["start"].dtype)

    def accuracy(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the share of the unseen images whose label is found: (*runs)."""
        found = self.logits(x, data["unseen"]["images"]).argmax(-1)
        return (found == data["unseen"]["labels"]).to(x.dtype).mean(-1)

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        return {"accuracy": self.accuracy(x, data)}

    def signature(self, data: Tree) -> float:
        """Return the ratio after 300 steps of heavy ball, lr 0.1, momentum 0.9, on minibatches of 64.

        They take a second, and learn clean digits by heart.
        """
        data = single(data)
        x, velocity = data["start"], torch.zeros_like(data["start"])
        draws = replace(self, batch=64).draws(data, torch.Generator().manual_seed(0))
        for draw in itertools.islice(draws, 300):
            velocity = 0.9 * velocity + self.sampled_value_and_gradient(x, data, draw)[1]
            x = x - 0.1 * velocity
        return self._mean_norm(x, data) / self._mean_norm(data["start"], data)

    def _mean_norm(self, x: torch.Tensor, data: Tree) -> float:
        """Return the mean norm of the gradients of 32 minibatches."""
        draws = self.draws(data, torch.Generator().manual_seed(1))
        draw = stacked(list(itertools.islice(draws, 32)))
        gradients = self.sampled_value_and_gradient(x.expand(32, -1), data, draw)[1]
        return gradients.norm(dim=-1).mean().item()
