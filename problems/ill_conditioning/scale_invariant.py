"""Layers whose scale the loss does not see, with different norms at the start."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from problems.ill_conditioning.effective_rates import loss_left_by_descent, losses_of_adam
from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from problems.theory import first_failing
from ravine import bounded

TYPICAL = range(9)  # seeds of the examples for whose median a number of steps is predicted


def steps_of_descent(problem: ScaleInvariant, most: float = 1e7) -> float:
    """Return how many steps descent needs to the target at the best constant rate; infinity if more than `most`."""
    norms, angles = problem.norms(), problem.typical_angles()
    lr = norms[-1] * torch.logspace(-3, 1, 201, dtype=torch.float64)[:, None, None]
    enough = problem.card.target * _loss(angles)

    def solved(steps: int) -> bool:
        left = loss_left_by_descent(norms, angles, lr, steps) / enough
        return bool((left.median(-1).values <= 1).any())

    steps = bisect.bisect_left(range(1, int(most) + 1), True, key=solved) + 1
    return steps if steps <= most else math.inf


def steps_of_adam(problem: ScaleInvariant, most: float = 3000) -> float:
    """Return how many steps Adam needs to the target at the best constant rate; infinity if more than `most`."""
    norms, angles = problem.norms(), problem.typical_angles()
    lr = torch.logspace(-4, 0.5, 46, dtype=torch.float64)[:, None, None]
    losses = losses_of_adam(norms, angles, lr, problem.width**2)
    enough = problem.card.target * _loss(angles)
    best = torch.full((len(lr), len(angles)), math.inf, dtype=torch.float64)
    for steps, loss in enumerate(itertools.islice(losses, int(most)), start=1):
        best = torch.minimum(best, loss / enough)  # a run ends where it meets the target
        if (best.median(-1).values <= 1).any():
            return steps
    return math.inf


def _loss(angles: torch.Tensor) -> torch.Tensor:
    return (1 - angles.cos()).sum(-1)


def _spread_where(
    steps: Callable[[ScaleInvariant, float], float],
) -> Callable[[ScaleInvariant, float], float]:
    """Return the function that finds the least spread, to 2 %, for which a method needs more than `budget` steps."""

    def breaking_point(problem: ScaleInvariant, budget: float) -> float:
        spreads = [10 ** (each / 100) for each in range(601)]
        return first_failing(
            spreads, lambda spread: steps(replace(problem, spread=spread), budget) == math.inf
        )

    return breaking_point


@register("scale_invariant")
@dataclass(frozen=True)
class ScaleInvariant(Problem):
    """Normalised layers: the loss does not see how long their weights are, but the steps do.

    f(w₁, …, w_L) = Σ ½ |w_l/|w_l| − t_l|², with unit targets t_l: 1 − cos θ_l, for the angle θ between w and t.

    It is the expected loss of batch-normalised linear units on white inputs. Each gradient has the length sin θ/|w| and
    stands at right angles to its w, so that a step of descent makes |w|² larger by η²|g|², and never smaller; what
    counts is the effective rate η/|w|². If all norms are 1, that is one rate for all. If they lie between r and R, a
    rate η that suits R throws the layer of norm r to η sin θ/r, where its effective rate is r²/(η sin²θ) for ever.
    The best constant rate, about r R, leaves both layers at r/R: descent takes `spread` times as many steps. On a
    quadratic with these curvatures, 1/|w|², it would take spread² times as many. Momentum β does no better, for here
    it is a rate of η/(1 − β). This throw is what breaks descent, as on a cliff. Shortening
    long steps moves the breaking point tenfold; equalising the positive curvatures does not, because a layer that
    points away from its target has none.

    A step of Adam is about η√n long for n weights, however strong the gradient, and throws a layer only to a few η√n.
    But √v̂ remembers the gradient before the throw, and holds the layer: Adam takes steps in proportion to spread^(2/5),
    as long as these are fewer than 1/(1 − β₂). Gauss–Newton's step is scale-free: it turns each layer by arctan(sin θ).
    Weight decay λ forgets the norms at the start in some 1/(2ηλ) steps, but then no rate comes to rest: even without
    noise |w|² hovers around η/2, the edge of stability, with a loss of ηλ/4 a layer.

    spread: R/r; the norms at the start lie evenly in logarithm between 1 and 1/spread, in random directions.
    layers: L.
    width: the layers are (width, width) matrices; a layer has n = width² weights.

    van Laarhoven 2017, arXiv:1706.05350; Hoffer et al. 2018, arXiv:1803.01814; Arora, Li & Lyu 2019,
    arXiv:1812.03981; Li & Arora 2020, arXiv:1910.07454; Wan et al. 2021, arXiv:2006.08419.
    """

    spread: float = dial(1e3, low=1, high=1e6)
    layers: int = bounded(3, low=2)
    width: int = bounded(4, low=2)

    card = Card(
        scale="log",
        ladder=(1.0, 1e3, 1e4),
        target=1e-4,
        budget=1000,
        reference=("gauss_newton", {}),
        control={"spread": 1.0},
        breaks=("sgd", "cliff"),
        signature="steps that descent needs, after its first one, to reduce the error of its slowest layer e-fold, at "
        "the best constant learning rate",
        threshold=10.0,
        truth="The minimum is 0, on the rays w = c t. Where layers point the other way, w = −c t, are the other "
        "critical points: saddles and the maximum. Along w the loss is constant.",
        source="van Laarhoven 2017; Arora, Li & Lyu 2019; Wan et al. 2021",
        theory={
            "sgd": _spread_where(steps_of_descent),
            "momentum": _spread_where(steps_of_descent),
            "adam": _spread_where(steps_of_adam),
        },
    )  # fmt: skip

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.width, self.width),) * self.layers

    def norms(self) -> torch.Tensor:
        """Return the layers' norms at the start, from 1 down to 1/spread: (layers,)."""
        return self.spread ** -torch.linspace(0, 1, self.layers, dtype=torch.float64)

    def instance(self, generator: torch.Generator) -> Tree:
        start, target = torch.randn(2, self.layers, self.width**2, generator=generator)
        start, target = (each / each.norm(dim=-1, keepdim=True) for each in (start, target))
        return {"start": (self.norms()[:, None] * start).flatten(), "target": target.flatten()}

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        layers = self.split(x)
        return (layers / layers.norm(dim=-1, keepdim=True)).flatten(-2) - data["target"]

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * self.residuals(x, data).square().sum(-1)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """Return (e − (e·u) u)/|w| with u = w/|w| and e = u − t, whatever the length of t."""
        layers = self.split(x)
        norm = layers.norm(dim=-1, keepdim=True)
        unit = layers / norm
        error = unit - self.split(data["target"])
        gradient = (error - (error * unit).sum(-1, keepdim=True) * unit) / norm
        return 0.5 * error.square().sum((-2, -1)), gradient.flatten(-2)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return (u pᵀ + p uᵀ + c (I − u uᵀ))/|w|² for each layer, c = u·t and p = t − c u."""
        layers, target = self.split(x), self.split(data["target"])
        norm = layers.norm(dim=-1, keepdim=True)
        unit = layers / norm
        cosine = (unit * target).sum(-1, keepdim=True)
        half = torch.einsum("...i,...j->...ij", unit, target - 1.5 * cosine * unit)
        within, among = (torch.eye(n, dtype=x.dtype, device=x.device) for n in layers.shape[:-3:-1])
        blocks = (half + half.mT + cosine[..., None] * within) / norm[..., None] ** 2
        return torch.einsum("...lij,lm->...limj", blocks, among).flatten(-4, -3).flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the distance to the rays of all targets at once."""
        layers, target = self.split(x), self.split(data["target"])
        along = (layers * target).sum(-1, keepdim=True).clamp(min=0)
        return (layers - along * target).flatten(-2).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return two of the rays' points: the targets, and twice the targets."""
        return torch.stack([data["target"], 2 * data["target"]])

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return those at unit norm: each layer points to its target or away from it."""
        target, points = self.split(data["target"]), []
        for signs in itertools.product((1.0, -1.0), repeat=self.layers):
            away = signs.count(-1.0)
            points.append(
                CriticalPoint(
                    x=(torch.tensor(signs, device=target.device)[:, None] * target).flatten(),
                    value=2.0 * away,
                    index=away * (self.width**2 - 1),
                    nullity=self.layers,
                )
            )
        return tuple(points)

    def signature(self, data: Tree) -> float:
        """Measure it as the least over η of the largest |w − η g|²/η of a layer."""
        gradient = self.split(self.value_and_gradient(data["start"], data)[1])
        lr = torch.logspace(-13, 1, 1401)[:, None, None]
        squares = (self.split(data["start"]) - lr * gradient).square().sum(-1)
        return (squares / lr[..., 0]).amax(-1).min().item()

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """Return the layers as vectors, (*runs, layers, n)."""
        return x.unflatten(-1, (self.layers, self.width**2))

    def angles(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the angle between each layer and its target, (*runs, layers)."""
        layers = self.split(x)
        unit, target = layers / layers.norm(dim=-1, keepdim=True), self.split(data["target"])
        return 2 * torch.atan2((unit - target).norm(dim=-1), (unit + target).norm(dim=-1))

    def typical_angles(self) -> torch.Tensor:
        """Return the angles at the starts of nine examples, which do not depend on the dial: (9, layers)."""
        examples = (self.example(seed) for seed in TYPICAL)
        return torch.stack([self.angles(data["start"], data) for data in examples])
