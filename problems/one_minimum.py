"""Problems with one minimum, 0, at a random point."""

from __future__ import annotations

import torch

from problems.problem import Problem, Tree


class OneMinimum(Problem):
    """A loss with the minimum 0 at `data["minimizer"]` and nowhere else."""

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["minimizer"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]
