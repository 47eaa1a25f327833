"""What networks that a teacher has taught have in common."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from problems.problem import Problem, Tree


class TaughtNetwork(Problem):
    """f(x) = ½ mean (output − target)², the targets those of a teacher among the x, so that the minimum is 0.

    `data` has the "inputs" and their "targets"; x concatenates the parameter tensors of `shapes`.
    """

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        raise NotImplementedError

    def outputs(self, x: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Return the network's outputs: (*runs, dim), (*runs, points, inputs) -> (*runs, points)."""
        raise NotImplementedError

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * (self.outputs(x, data["inputs"]) - data["targets"]).square().mean(-1)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def parts(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the parameter tensors that x (*runs, dim) concatenates, (*runs, *shape) each."""
        pieces = x.split([math.prod(shape) for shape in self.shapes], dim=-1)
        return [each.unflatten(-1, shape) for each, shape in zip(pieces, self.shapes, strict=True)]

    def join(self, parts: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the x (*runs, dim) of these parameter tensors, (*runs, *shape) each."""
        ranks = [len(shape) for shape in self.shapes]
        return torch.cat([each.flatten(-n) for each, n in zip(parts, ranks, strict=True)], -1)
