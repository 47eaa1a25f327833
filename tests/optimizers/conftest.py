"""A small world for optimizers: one oracle, losses given as functions, and a walk through them."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace

import pytest
import torch

from optimizers import Optimizer
from optimizers.oracle import CountingOracle, cost
from problems import Problem, Tree

RUNS = 3  # instances = trials = dim: what is mixed up with something else shows
STEPS = 200


@dataclass(frozen=True)
class Given(Problem):
    """A problem that is nothing but a loss."""

    function: Callable[[torch.Tensor, Tree], torch.Tensor]
    minimum: float = 0.0

    def floor(self, data):
        return torch.tensor(self.minimum, dtype=torch.float64)

    def loss(self, x, data):
        return self.function(x, data)

    def residuals(self, x, data):
        return self.function.residuals(x, data) if hasattr(self.function, "residuals") else None

    def gauss_newton(self, x, data):
        return super().gauss_newton(x, data) if hasattr(self.function, "residuals") else None


def smooth_valley(x, data):
    """Σ log cosh(A (x − c)) + ½|x|²: curved differently everywhere, and nowhere flat."""
    bent = torch.einsum("...i,...ij->...j", x - data["center"], data["matrix"])
    return torch.logaddexp(bent, -bent).sum(-1) + 0.5 * x.square().sum(-1)


def _residuals(x, data):
    bent = torch.einsum("...i,...ij->...j", x - data["center"], data["matrix"])
    return torch.cat([(2 * torch.logaddexp(bent, -bent)).sqrt(), x], -1)


smooth_valley.residuals = _residuals  # type: ignore[attr-defined]


def draw(instances: int = RUNS, dim: int = RUNS) -> Tree:
    """Data of the valley, and the random numbers of `normal` for each step, stacked."""
    data = {"start": [], "center": [], "matrix": [], "normal": []}
    for seed in range(instances):
        generator = torch.Generator().manual_seed(seed)
        for name, shape in (
            ("start", (dim,)),
            ("center", (dim,)),
            ("matrix", (dim, dim)),
            ("normal", (STEPS, dim)),
        ):
            data[name].append(
                torch.randn(shape, generator=generator, dtype=torch.float64).unsqueeze(0)
            )
    return {name: torch.stack(each) for name, each in data.items()}


def walk(
    optimizer: Optimizer,
    function: Callable[[torch.Tensor, Tree], torch.Tensor],
    data: Tree,
    trials: int = 1,
    steps: int = STEPS,
):
    """The points (steps + 1, instances, trials, dim), the prices of the steps (steps, …), and Hessians asked."""
    start = data["start"]
    runs = (start.shape[0], trials)
    numbers = itertools.cycle(data["normal"].unbind(2) if "normal" in data else [start])
    oracle = CountingOracle(Given(function), data, runs, lambda: next(numbers), start.device)
    x = start.expand(*runs, -1).clone()
    state = optimizer.init(x)
    points, prices, hessians = [x], [], 0.0
    for k in range(steps):
        oracle.move(x, None, progress=k / steps)
        step, state = optimizer.update(oracle, state)
        x = x + step
        points.append(x)
        hessians += float(torch.as_tensor(oracle.counts["hessians"]).max())
        prices.append(torch.as_tensor(cost(oracle.counts, x.shape[-1])).expand(runs))
    assert not oracle.broken.any()
    return SimpleNamespace(
        points=torch.stack(points), prices=torch.stack(prices), hessians=hessians, state=state
    )


@pytest.fixture(name="walk", scope="session")
def walk_fixture():
    return walk


@pytest.fixture(name="draw", scope="session")
def draw_fixture():
    return draw


@pytest.fixture(scope="session")
def valley():
    return smooth_valley


@pytest.fixture(scope="session")
def start():
    """Data that are nothing but one start."""

    def of(*numbers: float) -> Tree:
        return {"start": torch.tensor(numbers, dtype=torch.float64).view(1, 1, -1)}

    return of
