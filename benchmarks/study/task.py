"""What a task is: a small network on real data, as a problem that the engine runs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import torch

from problems import Problem, Tree
from ravine import Refused, Registry

STEPS = 1000  # of a run, one gradient each

TASKS: Registry[Task] = Registry("task", package="benchmarks.study.tasks")


class Examples(NamedTuple):
    """Examples of a data set, one a row.

    Attributes:
        inputs: (count, …).
        wanted: The labels (count, …), as whole numbers, or the targets (count, …).
    """

    inputs: torch.Tensor
    wanted: torch.Tensor


class Task(Problem):
    """A network with its data and its usual start. Subclasses are frozen dataclasses.

    x concatenates the parameters in the order of the same network in `torch.nn`, with the same shapes. An
    instance is a start; the data and their split are the same for all. A step sees a minibatch, each epoch in a new
    order, without the remainder of the epoch.

    Attributes:
        family: The kind of network, by the name of the module.
        batch: How many examples a minibatch has.
        chunk: How many examples at a time a loss over all of them takes.
    """

    family: str
    batch: int
    chunk = 128

    # Each task defines these.

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        raise NotImplementedError("a task must define shapes")

    def start(self, generator: torch.Generator) -> list[torch.Tensor]:
        """Draw the parameters at the start of a run, in the order of `shapes`.

        Args:
            generator: The only source of randomness.
        """
        raise NotImplementedError("a task must define start")

    def parts(self) -> tuple[Examples, Examples]:
        """Return the training part of the data and the held-out part, with numbers in float64."""
        raise NotImplementedError("a task must define parts")

    def example_loss(self, parameters: list[torch.Tensor], examples: Examples) -> torch.Tensor:
        """Return the mean loss of each run over its examples.

        Args:
            parameters: Tensors (runs, *shape).
            examples: Tensors (runs, count, …).

        Returns:
            (runs).
        """
        raise NotImplementedError("a task must define example_loss")

    # What follows from them.

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return sum(map(math.prod, self.shapes))

    @property
    def budget(self) -> float:
        return STEPS

    def instance(self, generator: torch.Generator) -> Tree:
        return {"start": torch.cat([each.flatten() for each in self.start(generator)])}

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        """Yield the places of a minibatch in the training part, one minibatch a step."""
        count = len(_parts(self)[0].inputs)
        if self.batch > count:
            raise Refused(f"batch is {self.batch}, but there are {count} training examples")
        while True:
            order = torch.randperm(count, generator=generator)
            for chosen in order[: count - count % self.batch].split(self.batch):
                yield {"chosen": chosen}

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        """Return the loss on a minibatch (*runs)."""
        runs = x.shape[:-1]
        chosen = draw["chosen"]
        chosen = chosen.expand(*runs, chosen.shape[-1]).reshape(-1, chosen.shape[-1])
        training = self._converted(x)[0]
        examples = Examples(training.inputs[chosen], training.wanted[chosen])
        return self.example_loss(self._parameters(x), examples).view(runs)

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the loss on the first training examples, as many as in a minibatch, (*runs).

        It sets the units of learning rates: `full_loss` is the outcome.
        """
        return self.loss_on_first(self.batch, x)

    def loss_on_first(self, count: int, x: torch.Tensor) -> torch.Tensor:
        """Return the loss on the first `count` training examples, (*runs)."""
        inputs, wanted = self._converted(x)[0]
        return self._mean_loss(x, Examples(inputs[:count], wanted[:count]))

    def full_loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return the loss on the whole training part, (*runs)."""
        return self._mean_loss(x, self._converted(x)[0])

    def test_loss(self, x: torch.Tensor) -> torch.Tensor:
        """Return the loss on the held-out part, (*runs)."""
        return self._mean_loss(x, self._converted(x)[1])

    def floor(self, data: Tree) -> torch.Tensor:
        """Return 0, a lower bound: the minimum of a network is unknown."""
        return torch.zeros(())

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Return False: without a known minimum there is no target, and every run takes all steps."""
        return torch.zeros_like(gap, dtype=torch.bool)

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        return {"train_loss": self.full_loss(x), "test_loss": self.test_loss(x)}

    def _parameters(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the parameters (runs, *shape) of x (*runs, dim)."""
        parts = x.reshape(-1, x.shape[-1]).split([*map(math.prod, self.shapes)], -1)
        return [part.unflatten(-1, shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def _mean_loss(self, x: torch.Tensor, examples: Examples) -> torch.Tensor:
        """Return the mean loss of all runs on the same examples, (*runs)."""
        parameters = self._parameters(x)
        runs, count = len(parameters[0]), len(examples.inputs)
        total = x.new_zeros(runs)
        for inputs, wanted in zip(*(each.split(self.chunk) for each in examples), strict=True):
            chunk = Examples(inputs.expand(runs, *inputs.shape), wanted.expand(runs, *wanted.shape))
            total = total + len(inputs) / count * self.example_loss(parameters, chunk)
        return total.view(x.shape[:-1])

    def _converted(self, x: torch.Tensor) -> tuple[Examples, Examples]:
        return _as(self, x.dtype, x.device)


@cache
def _parts(task: Task) -> tuple[Examples, Examples]:
    return task.parts()


@cache
def _as(task: Task, dtype: torch.dtype, device: torch.device) -> tuple[Examples, Examples]:
    """Return both parts with numbers of this dtype on this device; labels stay whole."""

    def converted(leaf: torch.Tensor) -> torch.Tensor:
        return leaf.to(device, dtype if leaf.is_floating_point() else None)

    training, held_out = _parts(task)
    return Examples(*map(converted, training)), Examples(*map(converted, held_out))
