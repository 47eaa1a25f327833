"""What random functions without a known minimum have in common: success is to come to rest in some minimum."""

from __future__ import annotations

import torch

from problems.problem import Problem, Tree
from problems.saddles.levenberg_marquardt import critical_points

REST = 1e-6  # of the gradient at the start: with a smaller one a run is at rest


class Landscape(Problem):
    """A random function whose minimum is unknown: the floor is `level` · dim, which no run reaches.

    `data` has the norm of the gradient at the start as "slope". A run is solved at rest in any minimum; in
    float32 rounding leaves about as much of the gradient as counts as rest.
    """

    dim: int
    level: float

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(self.level * self.dim)

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Return which runs are at rest in a minimum; only the Hessians of runs at rest are computed."""
        solved = torch.zeros_like(gap, dtype=torch.bool)
        if gradient is None:
            return solved
        slope = data["slope"]
        leaves = {
            name: leaf.expand((*gap.shape, *leaf.shape[slope.dim() :]))
            for name, leaf in data.items()
        }
        for run in map(tuple, (gradient.norm(dim=-1) < REST * slope).nonzero().tolist()):
            hessian = self.hessian(x[run], {name: leaf[run] for name, leaf in leaves.items()})
            solved[run] = torch.linalg.cholesky_ex(hessian).info == 0
        return solved

    @property
    def solved_when(self) -> str:
        return (
            f"at rest in a minimum: gradient below {REST:g} of the first, Hessian positive definite"
        )

    @property
    def directions(self) -> int:
        """In how many directions a critical point may be curved downwards."""
        return self.dim

    def random_points(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """Return points (count, dim) from which to search for critical points."""
        raise NotImplementedError

    def find_critical_points(
        self, data: Tree, count: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return the critical points of one instance that a search from `count` random points finds.

        Returns:
            The points (found, dim), their energies f/dim (found,), and the shares of their directions that
            go down (found,).
        """
        x, curvatures = critical_points(self, data, self.random_points(count, generator))
        return x, self.loss(x, data) / self.dim, (curvatures < 0).sum(-1) / self.directions
