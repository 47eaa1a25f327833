"""What problems of training a recurrent network have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator

import torch

from problems.geometry import random_rotation
from problems.long_term_dependencies.unrolled import Unrolled
from problems.problem import Problem, Tree


class RecurrentNetwork(Problem):
    """h_t = φ(h_{t−1} W + u_t U + b) from h_0 = 0, and y_t = h_t V + c at the last `answers` steps.

    x is W (hidden, hidden), U (inputs, hidden), b (hidden), V (hidden, outputs), c (outputs), one after
    the other; φ is tanh, or nothing where `linear`. The loss is that of the instance's "probe"; what an
    optimizer sees is that of new examples at each step.

    The start's W is `radius` times a random rotation, V = 0: it answers c.
    """

    hidden: int
    radius: float

    linear = False
    batch = 32  # examples that a step sees
    probe = 64  # examples that the loss is measured on
    inputs: int
    outputs: int
    answers = 1
    first_answer = 0.0  # c at the start

    @abstractmethod
    def examples(self, count: int, generator: torch.Generator) -> Tree:
        """Draw `count` new examples."""

    @abstractmethod
    def encoded(self, examples: Tree, dtype: torch.dtype) -> torch.Tensor:
        """Return the network's inputs (*runs, steps, count, inputs) for these examples."""

    @abstractmethod
    def score(self, outputs: torch.Tensor, examples: Tree) -> torch.Tensor:
        """Return the mean loss (*runs) of outputs (*runs, answers, count, outputs)."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return (
            (self.hidden, self.hidden),
            (self.inputs, self.hidden),
            (self.hidden,),
            (self.hidden, self.outputs),
            (self.outputs,),
        )

    def instance(self, generator: torch.Generator) -> Tree:
        recurrent = self.radius * random_rotation(self.hidden, generator)
        inward = torch.randn(self.inputs, self.hidden, generator=generator)
        inward = inward / math.sqrt(self.inputs)
        outward = torch.zeros(self.hidden, self.outputs)
        bias, answer = torch.zeros(self.hidden), torch.full((self.outputs,), self.first_answer)
        start = [each.flatten() for each in (recurrent, inward, bias, outward, answer)]
        return {"start": torch.cat(start), "probe": self.examples(self.probe, generator)}

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        while True:
            yield self.examples(self.batch, generator)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self._loss(x, data["probe"])

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self._loss(x, draw)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        return self._value_and_gradient(x, data["probe"])

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self._value_and_gradient(x, data["probe"] if draw is None else draw)

    def signature(self, data: Tree) -> float:
        return 1 / self.backward_gain(data)

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return |δ_t|, δ_t the gradient with respect to φ's argument, from the first answer back to t = 1."""
        unrolled = self._unrolled(x, data["probe"])
        states = unrolled.states()
        errors = self._value_and_errors(unrolled, states, data["probe"])[1]
        deltas = unrolled.deltas(states, errors)
        norms = deltas[: len(deltas) - self.answers + 1].flatten(2).norm(dim=-1).flip(0)
        return norms.movedim(0, -1).reshape(*x.shape[:-1], -1)

    def backward_gain(self, data: Tree) -> float:
        """Return the norm of ∂h_T/∂h_1 at the start, for the first example of the probe.

        It is what a gradient is multiplied by at most on its way from the last step to the first.
        """
        unrolled = self._unrolled(data["start"], data["probe"])
        jacobian = torch.eye(self.hidden, dtype=data["start"].dtype)
        for slope in unrolled.slopes(unrolled.states())[1:, 0, 0]:
            jacobian = jacobian @ (unrolled.recurrent[0] * slope)
        return torch.linalg.matrix_norm(jacobian, 2).item()

    def _unrolled(self, x: torch.Tensor, examples: Tree) -> Unrolled:
        return Unrolled(x, self.shapes, self.encoded(examples, x.dtype), self.linear)

    def _loss(self, x: torch.Tensor, examples: Tree) -> torch.Tensor:
        return self.score(self._unrolled(x, examples).answers(self.answers), examples)

    def _value_and_gradient(
        self, x: torch.Tensor, examples: Tree
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Backpropagate through time; autograd takes three times as long: it adds to W's gradient at each step."""
        unrolled = self._unrolled(x, examples)
        states = unrolled.states()
        value, errors = self._value_and_errors(unrolled, states, examples)
        return value, unrolled.gradient(states, errors)

    def _value_and_errors(
        self, unrolled: Unrolled, states: torch.Tensor, examples: Tree
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss (*runs) and its gradient with respect to the answers, (answers, runs, count, outputs)."""
        with torch.enable_grad():
            last = states[-self.answers :]
            outputs = (last @ unrolled.outward + unrolled.answer).requires_grad_()
            value = self.score(unrolled.by_run(outputs), examples)
            (errors,) = torch.autograd.grad(value.sum(), outputs)
        return value.detach(), errors
