"""What problems whose steps see a sampled loss have in common, and heavy ball on what is seen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import torch

from problems.problem import Problem, Tree


class Sampled(Problem):
    """A loss that is the mean of the losses `at_draw`, one of which a step sees.

    Where a draw changes the curvature too, a subclass overrides `sampled_hvp` and `sampled_hessian`.
    """

    def at_draw(self, x: torch.Tensor, data: Tree, draw: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the sampled loss (*runs) and its gradient (*runs, dim)."""
        raise NotImplementedError

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.at_draw(x, data, draw)[0]

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        return self.value_and_gradient(x, data) if draw is None else self.at_draw(x, data, draw)

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.hvp(x, data, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data)


def first_draws(problem: Problem, data: Tree, count: int, seed: int = 0) -> Tree:
    """Return the first `count` draws of a seed, stacked: (count, …) each, one for each of `count` runs."""
    draws = [*islice(problem.draws(data, torch.Generator().manual_seed(seed)) or (), count)]
    return {name: torch.stack([draw[name] for draw in draws]) for name in draws[0]}


def descent_on_draws(
    problem: Problem,
    data: Tree,
    x: torch.Tensor,
    draws: Iterable[Tree],
    lr: float | torch.Tensor,
    momentum: float | torch.Tensor = 0.0,
) -> Iterator[torch.Tensor]:
    """Yield the points x₀, x₁, … (*runs, dim) of heavy ball on what is seen, one step per draw.

    v ← momentum v + g, x ← x − lr v; `lr` and `momentum` broadcast against x.
    """
    velocity = torch.zeros_like(x)
    yield x
    for draw in draws:
        gradient = problem.sampled_value_and_gradient(x, data, draw)[1]
        velocity = momentum * velocity + problem.seen(gradient, data, draw, None)[0]
        x = x - lr * velocity
        yield x
