"""A recurrent network unrolled over time: its states, and the gradient on its way back through them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import torch


class Unrolled:
    """h_t = φ(h_{t−1} W + u_t U + b) from h_0 = 0, and y_t = h_t V + c, for a batch of networks at once.

    Inside, the dimensions *runs of x are one, so that one product of matrices serves all runs.

    Args:
        x: W, U, b, V, c of each run, one after the other: (*runs, dim).
        shapes: Those of W, U, b, V, c.
        inputs: u_1 … u_T, with leading dimensions that broadcast against *runs: (…, steps, count, inputs).
        linear: True if φ is the identity, False if it is tanh.
    """

    def __init__(
        self,
        x: torch.Tensor,
        shapes: tuple[tuple[int, ...], ...],
        inputs: torch.Tensor,
        linear: bool,
    ):
        parts = x.flatten(0, -2) if x.dim() > 1 else x[None]
        parts = parts.split([math.prod(shape) for shape in shapes], -1)
        recurrent, inward, bias, outward, answer = (
            part.unflatten(-1, shape) for part, shape in zip(parts, shapes, strict=True)
        )
        self.runs, self.linear = x.shape[:-1], linear
        inputs = inputs.expand(*self.runs, *inputs.shape[-3:])
        self.inputs = inputs.reshape(-1, *inputs.shape[-3:]).movedim(1, 0)
        self.recurrent, self.outward, self.answer = recurrent, outward, answer[:, None]
        self.driven = torch.einsum("trbi,rij->trbj", self.inputs, inward) + bias[:, None]

    def answers(self, count: int) -> torch.Tensor:
        """Return y at the last `count` steps, keeping no earlier states: (*runs, count, examples, outputs)."""
        last = islice(self._steps(), len(self.driven) - count, None)
        outputs = [torch.baddbmm(self.answer, state, self.outward) for state in last]
        return self.by_run(torch.stack(outputs))

    def states(self) -> torch.Tensor:
        """Return h_0 … h_T: (steps + 1, runs, count, hidden)."""
        states = self.driven.new_zeros(len(self.driven) + 1, *self.driven.shape[1:])
        for step, state in enumerate(self._steps(), start=1):
            states[step] = state
        return states

    def slopes(self, states: torch.Tensor) -> torch.Tensor:
        """Return φ' at h_1 … h_T."""
        return torch.ones_like(states[1:]) if self.linear else 1 - states[1:].square()

    def deltas(self, states: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
        """Return δ_1 … δ_T, the gradient with respect to φ's argument: δ_t = φ'(h_t) (∂f/∂h_t + δ_{t+1} Wᵀ).

        Args:
            states: h_0 … h_T: (steps + 1, runs, count, hidden).
            errors: The gradient with respect to the last answers: (answers, runs, count, outputs).

        Returns:
            (steps, runs, count, hidden).
        """
        deltas = torch.zeros_like(states[1:])
        deltas[-len(errors) :] = errors @ self.outward.mT
        slopes, back = self.slopes(states), self.recurrent.mT
        for step in reversed(range(len(deltas))):
            if step + 1 < len(deltas):
                deltas[step].baddbmm_(deltas[step + 1], back)
            if not self.linear:
                deltas[step] *= slopes[step]
        return deltas

    def gradient(self, states: torch.Tensor, errors: torch.Tensor) -> torch.Tensor:
        """Return the gradient with respect to x, (*runs, dim), from the arguments of `deltas`."""
        deltas = self.deltas(states, errors)
        gradients = (
            torch.einsum("trbi,trbj->rij", states[:-1], deltas),
            torch.einsum("trbi,trbj->rij", self.inputs, deltas),
            deltas.sum((0, 2)),
            torch.einsum("trbi,trbj->rij", states[-len(errors) :], errors),
            errors.sum((0, 2)),
        )
        flat = torch.cat([each.flatten(1) for each in gradients], -1)
        return flat.view(*self.runs, -1)

    def by_run(self, outputs: torch.Tensor) -> torch.Tensor:
        """Return (answers, runs, …) with the runs' own dimensions first, (*runs, answers, …)."""
        return outputs.reshape(len(outputs), *self.runs, *outputs.shape[2:]).movedim(0, -3)

    def _steps(self) -> Iterator[torch.Tensor]:
        """Yield h_1 … h_T."""
        state = torch.zeros_like(self.driven[0])
        for driven in self.driven:
            state = torch.baddbmm(driven, state, self.recurrent)
            state = state if self.linear else state.tanh()
            yield state
