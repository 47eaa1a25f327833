"""What problems of training a recurrent network have in common."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator

import torch

from problems.geometry import random_rotation
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

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return |δ_t|, δ_t the gradient with respect to φ's argument, from the first answer back to t = 1."""
        unrolled = _Unrolled(self, x, data["probe"])
        deltas = self._back(unrolled, unrolled.states(), x, data["probe"])[2]
        norms = deltas[: len(deltas) - self.answers + 1].flatten(2).norm(dim=-1).flip(0)
        return norms.movedim(0, -1).reshape(*x.shape[:-1], -1)

    def backward_gain(self, data: Tree) -> float:
        """Return the norm of ∂h_T/∂h_1 at the start, for the first example of the probe.

        It is what a gradient is multiplied by at most on its way from the last step to the first.
        """
        unrolled = _Unrolled(self, data["start"], data["probe"])
        jacobian = torch.eye(self.hidden, dtype=data["start"].dtype)
        for slope in unrolled.slopes(unrolled.states())[1:, 0, 0]:
            jacobian = jacobian @ (unrolled.recurrent[0] * slope)
        return torch.linalg.matrix_norm(jacobian, 2).item()

    def _loss(self, x: torch.Tensor, examples: Tree) -> torch.Tensor:
        unrolled = _Unrolled(self, x, examples)
        state, outputs = torch.zeros_like(unrolled.driven[0]), []
        for step, each in enumerate(unrolled.driven, start=1):
            state = torch.baddbmm(each, state, unrolled.recurrent)
            state = state if self.linear else state.tanh()
            if step > len(unrolled.driven) - self.answers:
                outputs.append(torch.baddbmm(unrolled.answer, state, unrolled.outward))
        return self.score(_by_run(torch.stack(outputs), x), examples)

    def _value_and_gradient(
        self, x: torch.Tensor, examples: Tree
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Backpropagate through time: δ_t = φ'(h_t) (∂f/∂h_t + δ_{t+1} Wᵀ), for all runs at once.

        Autograd's way back takes three times as long: it adds to the gradient of W at each step.
        """
        unrolled = _Unrolled(self, x, examples)
        states = unrolled.states()
        last = states[-self.answers :]
        value, errors, deltas = self._back(unrolled, states, x, examples)
        gradients = (
            torch.einsum("trbi,trbj->rij", states[:-1], deltas),
            torch.einsum("trbi,trbj->rij", unrolled.inputs, deltas),
            deltas.sum((0, 2)),
            torch.einsum("trbi,trbj->rij", last, errors),
            errors.sum((0, 2)),
        )
        flat = torch.cat([each.flatten(1) for each in gradients], -1)
        return value, flat.view(x.shape)

    def _back(
        self, unrolled: _Unrolled, states: torch.Tensor, x: torch.Tensor, examples: Tree
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the loss (*runs), its gradient for the answers, and δ_1 … δ_T (steps, runs, count, hidden)."""
        last = states[-self.answers :]
        with torch.enable_grad():
            outputs = (last @ unrolled.outward + unrolled.answer).requires_grad_()
            value = self.score(_by_run(outputs, x), examples)
            (errors,) = torch.autograd.grad(value.sum(), outputs)
        deltas = torch.zeros_like(states[1:])
        deltas[-self.answers :] = errors @ unrolled.outward.mT
        slopes, back = unrolled.slopes(states), unrolled.recurrent.mT
        for step in reversed(range(len(deltas))):
            if step + 1 < len(deltas):
                deltas[step].baddbmm_(deltas[step + 1], back)
            if not self.linear:
                deltas[step] *= slopes[step]
        return value.detach(), errors, deltas


class _Unrolled:
    """The parameter tensors of a batch of networks, all runs in one dimension, and what inputs drive."""

    def __init__(self, network: RecurrentNetwork, x: torch.Tensor, examples: Tree):
        parts = x.flatten(0, -2) if x.dim() > 1 else x[None]
        parts = parts.split([math.prod(shape) for shape in network.shapes], -1)
        recurrent, inward, bias, outward, answer = (
            part.unflatten(-1, shape) for part, shape in zip(parts, network.shapes, strict=True)
        )
        inputs = network.encoded(examples, x.dtype)
        inputs = inputs.expand(*x.shape[:-1], *inputs.shape[-3:])
        self.inputs = inputs.reshape(-1, *inputs.shape[-3:]).movedim(1, 0)
        self.recurrent, self.outward = recurrent, outward
        self.answer = answer[:, None]
        self.driven = torch.einsum("trbi,rij->trbj", self.inputs, inward) + bias[:, None]
        self.linear = network.linear

    def states(self) -> torch.Tensor:
        """Return h_0 … h_T: (steps + 1, runs, count, hidden)."""
        states = self.driven.new_zeros(len(self.driven) + 1, *self.driven.shape[1:])
        for step, driven in enumerate(self.driven):
            torch.baddbmm(driven, states[step], self.recurrent, out=states[step + 1])
            if not self.linear:
                states[step + 1].tanh_()
        return states

    def slopes(self, states: torch.Tensor) -> torch.Tensor:
        """Return φ' at h_1 … h_T."""
        return torch.ones_like(states[1:]) if self.linear else 1 - states[1:].square()


def _by_run(outputs: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return (answers, runs, …) with the runs' own dimensions first, (*runs, answers, …)."""
    return outputs.reshape(len(outputs), *x.shape[:-1], *outputs.shape[2:]).movedim(0, -3)
