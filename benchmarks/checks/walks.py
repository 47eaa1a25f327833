"""Run an optimizer for a few steps on losses given as functions, to check it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import torch

from optimizers import NotApplicable, Optimizer
from optimizers.adopted import shaped
from optimizers.failure import Shapes
from optimizers.optimizer import RunAgain, State
from optimizers.oracle import KINDS, CountingOracle, Landscape, cost
from problems import Problem, Tree

RUNS = 3  # instances = trials = dim: mixed-up axes do not raise, but give wrong numbers
STEPS = 200
Loss = Callable[[torch.Tensor, Tree], torch.Tensor]


@dataclass(frozen=True)
class Given(Problem):
    """A problem made from a loss function; residuals are an attribute of the function."""

    function: Loss
    minimum: float = 0.0

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(self.minimum, dtype=torch.float64)

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.function(x, data)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        residuals = getattr(self.function, "residuals", None)
        return None if residuals is None else residuals(x, data)

    def gauss_newton(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        return super().gauss_newton(x, data) if hasattr(self.function, "residuals") else None


def smooth_valley(x: torch.Tensor, data: Tree) -> torch.Tensor:
    """Return Σ log cosh(A (x − c)) + ½|x|² up to a constant: its curvature varies, and it is nowhere flat."""
    bent = torch.einsum("...i,...ij->...j", x - data["center"], data["matrix"])
    return torch.logaddexp(bent, -bent).sum(-1) + 0.5 * x.square().sum(-1)


def _residuals(x: torch.Tensor, data: Tree) -> torch.Tensor:
    bent = torch.einsum("...i,...ij->...j", x - data["center"], data["matrix"])
    return torch.cat([(2 * torch.logaddexp(bent, -bent)).sqrt(), x], -1)


smooth_valley.residuals = _residuals  # type: ignore[attr-defined]


def draw(instances: int = RUNS, dim: int = RUNS) -> Tree:
    """Return data of the valley, with random numbers for each step in `normal`, stacked."""
    data: dict[str, list[torch.Tensor]] = {"start": [], "center": [], "matrix": [], "normal": []}
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


def shapes_for(optimizer: Optimizer, x: torch.Tensor) -> Shapes | None:
    """Return the parameter shapes with which to check an optimizer on x (instances, trials, dim).

    Returns:
        None, for one vector, if the optimizer accepts it; else that of a matrix of two columns, or one if `dim` is odd.
    """
    dim = x.shape[-1]
    columns = 1 if dim % 2 else 2
    matrix: Shapes = ((dim // columns, columns),)
    for shapes in (None, matrix):
        try:
            (shaped(optimizer, shapes) if shapes else optimizer).init(x)
        except NotApplicable:
            continue
        return shapes
    return None


def on_its_shapes(optimizer: Optimizer, x: torch.Tensor) -> Optimizer:
    """Return the optimizer, given the shape of a matrix for x (instances, trials, dim) if it needs one."""
    shapes = shapes_for(optimizer, x)
    return shaped(optimizer, shapes) if shapes else optimizer


@dataclass(frozen=True)
class Walk:
    """The steps of an optimizer.

    Attributes:
        points: The points, (steps + 1, instances, trials, dim).
        prices: The cost of each step, in gradients (steps, instances, trials).
        hessians: The number of Hessians that a run used.
        products: The number of Hessian-vector products that a run used.
        state: The state after the last step.
    """

    points: torch.Tensor
    prices: torch.Tensor
    hessians: float
    products: float
    state: State


class Walker:
    """An optimizer that takes one step after the other on all instances × trials."""

    def __init__(self, optimizer: Optimizer, landscape: Landscape, data: Tree, trials: int = 1):
        start = data["start"]
        self.runs = (start.shape[0], trials)
        numbers = itertools.cycle(data["normal"].unbind(2) if "normal" in data else [start])
        self.oracle = CountingOracle(
            landscape, data, self.runs, lambda: next(numbers), start.device
        )
        self.x = start.expand(*self.runs, -1).clone()
        self.optimizer = on_its_shapes(optimizer, self.x)
        self.state = self.optimizer.init(self.x)

    def step(self, progress: float) -> torch.Tensor:
        """Take a step and return it, (instances, trials, dim)."""
        self.oracle.move(self.x, None, progress=progress)
        step, self.state = self.optimizer.update(self.oracle, self.state)
        self.x = self.x + step
        return step


def walk(
    optimizer: Optimizer, function: Loss, data: Tree, trials: int = 1, steps: int = STEPS
) -> Walk:
    """Run an optimizer for some steps on all instances × trials at once."""
    try:
        return _walk(optimizer, function, data, trials, steps)
    except RunAgain:
        return _walk(optimizer, function, data, trials, steps)


def _walk(optimizer: Optimizer, function: Loss, data: Tree, trials: int, steps: int) -> Walk:
    walker = Walker(optimizer, Given(function), data, trials)
    points, prices = [walker.x], []
    asked: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for k in range(steps):
        walker.step(k / steps)
        points.append(walker.x)
        counts = walker.oracle.counts
        for kind, count in counts.items():
            asked[kind] += float(torch.as_tensor(count).max())
        prices.append(torch.as_tensor(cost(counts, walker.x.shape[-1])).expand(walker.runs))
    assert not walker.oracle.broken.any()
    return Walk(
        torch.stack(points), torch.stack(prices), asked["hessians"], asked["hvps"], walker.state
    )
