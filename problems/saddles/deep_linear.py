"""A deep linear network learns nothing for long, and then one mode after the other, in steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from itertools import combinations, islice

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.geometry import random_rotation
from problems.portrait import Curves
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import require

STRENGTHS = (4.0, 2.0, 1.0)  # of the target's modes
MODES = len(STRENGTHS)


def _first_above(path: torch.Tensor, level: torch.Tensor | float) -> torch.Tensor:
    """The step, between two by interpolation, at which a path (steps, *runs) first passes a level."""
    above = path - level
    after = (above < 0).to(torch.uint8).argmin(0, keepdim=True)
    here, before = above.gather(0, after)[0], above.gather(0, after - 1)[0]
    return after[0] - here / (here - before)


def breaking_start_of_descent(problem: DeepLinear, budget: float) -> float:
    """The a₀ whose weakest mode's plateau lasts all the budget's steps at the largest stable rate, 2/L."""
    depth, weakest = problem.depth, STRENGTHS[-1]
    time = 2 * budget / problem.sharpness()
    if depth == 1:
        return 0.0
    if depth == 2:
        return weakest * math.exp(-2 * weakest * time)
    return (weakest * (depth - 2) * time) ** (-depth / (depth - 2))


@register("deep_linear")
@dataclass(frozen=True)
class DeepLinear(Problem):
    """A deep linear network, which learns nothing for long, and then one mode after the other.

    f(W₁, …, W_N) = ½ |S − W_N ⋯ W₁|², N = depth, S = U diag(4, 2, 1) Vᵀ.

    The layers start aligned and balanced: W_l = R_l diag(aᵢ^(1/N)) R_{l−1}ᵀ with R_0 = V, R_N = U and
    random rotations between. Then gradient flow keeps them so, and each mode's strength obeys

        da/dt = N a^(2 − 2/N) (s − a),

    on its own: it grows from its start a₀ to s along a plateau and a sudden step, the strongest mode
    first. At depth 2 the plateau lasts ln(s/a₀)/2s, at larger depths a₀^−(1 − 2/N)/(s (N − 2)): for
    N > 2 the loss falls in steps from saddle to saddle where, but for a wrong order of modes, no
    curvature is negative. A step whose length is its own, as Adam's, does not wait.

    The modes start at a₀ between half and twice `start`.

    depth: N. At 1 the loss is a bowl, without a plateau.
    start: the scale of a₀, what the whole chain multiplies by at first.

    Saxe, McClelland & Ganguli 2014, arXiv:1312.6120; Deep Learning, section 8.2.3.
    """

    depth: int = 4
    start: float = 1e-4

    card = Card(
        dial="start",
        scale="log",
        ladder=(0.1, 1e-4, 1e-6),
        target=1e-4,
        budget=1000,
        reference=("adam", {"lr": 0.05, "beta2": 0.99}),
        control={"depth": 1},
        signature="the loss at the start over its gradient squared, in units of one over the "
        "largest curvature in the minimum: steps to the minimum at the speed of the start",
        threshold=20.0,
        truth="The minimum is 0, where the layers' product is S. Each set of modes makes a saddle "
        "where the others are not learned; for depth above 2 the saddles on the way have no "
        "negative curvature. Gradient flow is solved exactly.",
        source="Saxe, McClelland & Ganguli 2014",
        theory={"sgd": breaking_start_of_descent},
    )

    def __post_init__(self) -> None:
        require("deep_linear", "depth", self.depth, low=1, whole=True)
        require("deep_linear", "start", self.start, low=0, open_low=True, high=0.4)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((MODES, MODES),) * self.depth

    def instance(self, generator: torch.Generator) -> Tree:
        factors = 4 ** (torch.rand(MODES, generator=generator) - 0.5)
        output, first = (random_rotation(MODES, generator) for _ in range(2))
        between = [random_rotation(MODES, generator) for _ in range(self.depth - 1)]
        bases = torch.stack([first, *between, output])
        data = {
            "bases": bases,
            "target": (output * torch.tensor(STRENGTHS)) @ first.T,
            "strengths": self.start * factors,
        }
        return {"start": self.aligned(self.start * factors, data), **data}

    def aligned(self, strengths: torch.Tensor, data: Tree) -> torch.Tensor:
        """The balanced layers that multiply the modes by these strengths (*runs, modes): (*runs, dim)."""
        roots = strengths ** (1 / self.depth)
        bases = data["bases"]
        layers = torch.einsum("...m,lim,ljm->...lij", roots, bases[1:], bases[:-1])
        return layers.flatten(-3)

    def strengths(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """What the chain multiplies the modes by, uᵢᵀ W_N ⋯ W₁ vᵢ: (*runs, modes)."""
        bases = data["bases"]
        return torch.einsum(
            "...ij,...im,...jm->...m", self._product(x), bases[..., -1, :, :], bases[..., 0, :, :]
        )

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * (data["target"] - self._product(x)).square().sum((-2, -1))

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """|(W_N ⋯ W_l+1)ᵀ (W_N ⋯ W_1 − S)|, l = N … 1: the gradient with respect to what layer l gives."""
        slope = self._product(x) - data["target"]
        norms = [slope.flatten(-2).norm(dim=-1)]
        for layer in reversed(x.unflatten(-1, (self.depth, MODES, MODES)).unbind(-3)[1:]):
            slope = layer.mT @ slope
            norms.append(slope.flatten(-2).norm(dim=-1))
        return torch.stack(norms, -1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (self._product(x) - data["target"]).flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        """The balanced layers that have learned all modes."""
        return self.aligned(torch.tensor(STRENGTHS), data)[None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """The balanced layers that have learned some of the modes and nothing else, if there are two
        layers or more.

        A pair of one learned mode and one that is not turns down where the latter is the stronger;
        of its 2N weights two are not flat. Nor is one of the N weights of each pair of learned modes.
        At depth 2 two modes not learned can be joined by the product of two small weights, along
        which the curvatures are ± the strength: half of them are negative. At larger depths their
        weights are flat.
        """
        if self.depth == 1:
            return ()
        strengths, points = torch.tensor(STRENGTHS), []
        for rank in range(MODES, -1, -1):
            for learned in combinations(range(MODES), rank):
                missing = [j for j in range(MODES) if j not in learned]
                wrong = sum(STRENGTHS[j] > STRENGTHS[i] for i in learned for j in missing)
                joined = len(missing) ** 2 if self.depth == 2 else 0
                curved = rank**2 + 2 * rank * len(missing) + 2 * joined
                kept = torch.zeros(MODES)
                kept[list(learned)] = strengths[list(learned)]
                points.append(
                    CriticalPoint(
                        x=self.aligned(kept, data),
                        value=0.5 * sum(STRENGTHS[j] ** 2 for j in missing),
                        index=wrong + joined,
                        nullity=self.depth * MODES**2 - curved,
                    )
                )
        return tuple(points)

    def signature(self, data: Tree) -> float:
        value, gradient = self.value_and_gradient(data["start"], data)
        return (value / gradient.square().sum()).item() * self.sharpness()

    # Gradient flow.

    def sharpness(self) -> float:
        """The largest curvature in the balanced minimum, N s^(2 − 2/N) of the strongest mode."""
        return self.depth * STRENGTHS[0] ** (2 - 2 / self.depth)

    def time_to(self, strength: torch.Tensor, start: float, mode: int) -> torch.Tensor:
        """When gradient flow, from a₀ = start, has brought a mode to these strengths.

        With y = ln(a/(s − a)) the law is dt = a^(2/N − 1)/(N s) dy, whose integral from y(a₀) on is the
        trapezoidal sum over 2000 steps; at depth 2 it is ln(a(s − a₀)/(a₀(s − a)))/2s exactly.
        """
        s = STRENGTHS[mode]
        first, last = math.log(start / (s - start)), (strength / (s - strength)).log()
        y = first + (last - first)[..., None] * torch.linspace(0, 1, 2001)
        speed = (s * y.sigmoid()) ** (2 / self.depth - 1) / (self.depth * s)
        return torch.trapezoid(speed, y)

    # Claims.

    def _path(self, x: torch.Tensor, data: Tree, lr: float, time: float) -> torch.Tensor:
        """The modes' strengths along gradient descent, once a step: (steps, *runs, modes)."""
        points = islice(descent(self, data, x, lr), round(time / lr) + 1)
        return torch.stack([self.strengths(point, data) for point in points])

    def _deviation(self, start: float, lr: float, time: float) -> float:
        """How far strengths along descent at depth 2 are at most from those of gradient flow.

        There a(t) = s/(1 + (s/a₀ − 1) e^(−2st)).
        """
        two = replace(self, depth=2)
        data = two.example()
        path = two._path(two.aligned(torch.full((MODES,), start), data), data, lr, time)
        s, t = torch.tensor(STRENGTHS), lr * torch.arange(len(path))[:, None]
        return (path - s / (1 + (s / start - 1) * (-2 * s * t).exp())).abs().max().item()

    @Claim(
        "descent at lr 0.001 for 12,000 steps follows gradient flow's strengths to within",
        stated="below 0.02",
        within=(0.0, 0.02),
        source="Saxe, McClelland & Ganguli 2014, figure 3",
        slow=True,
    )
    def deviation_from_flow(self) -> float:
        return self._deviation(1e-3, 1e-3, 12.0)

    @Claim(
        "that deviation halves with the learning rate",
        stated=0.5,
        within=about(0.5, rel=0.1),
        source="derived: descent is Euler's method, of first order",
    )
    def deviation_halves(self) -> float:
        """The next order changes it by a relative lr · 2s, 3 % at lr = 0.004."""
        return self._deviation(1e-3, 4e-3, 4.0) / self._deviation(1e-3, 8e-3, 4.0)

    @Claim(
        "at depth 2, the first mode is half learned at this time",
        stated=1.0367,
        within=about(1.0367, rel=0.01),
        source="Saxe, McClelland & Ganguli 2014: ln(s/a₀ − 1)/2s",
    )
    def first_half_time(self) -> float:
        return self._half_time(0, 1.2)

    @Claim(
        "at depth 2, the second mode is half learned at this time",
        stated=1.9001,
        within=about(1.9001, rel=0.01),
        source="Saxe, McClelland & Ganguli 2014: ln(s/a₀ − 1)/2s",
    )
    def second_half_time(self) -> float:
        return self._half_time(1, 2.1)

    @Claim(
        "at depth 2, the third mode is half learned at this time",
        stated=3.4534,
        within=about(3.4534, rel=0.01),
        source="Saxe, McClelland & Ganguli 2014: ln(s/a₀ − 1)/2s",
    )
    def third_half_time(self) -> float:
        return self._half_time(2, 3.8)

    def _half_time(self, mode: int, time: float) -> float:
        """From a₀ = 0.001 at depth 2; a step of lr = 0.002 delays a mode by a relative lr · s, 0.8 %."""
        two = replace(self, depth=2)
        data = two.example()
        path = two._path(two.aligned(torch.full((MODES,), 1e-3), data), data, 2e-3, time)
        return 2e-3 * _first_above(path[:, mode], STRENGTHS[mode] / 2).item()

    @Claim(
        "from small random weights, not aligned, a mode's half time is still inverse to its "
        "strength: on average over starts the products of the two differ by at most this factor",
        stated="at most 1.1",
        within=(1.0, 1.1),
        source="Saxe, McClelland & Ganguli 2014",
    )
    def ratio_law_from_random_weights(self) -> float:
        """20 starts with weights N(0, 0.01²), at depth 2."""
        two = replace(self, depth=2)
        data = two.example()
        x = 0.01 * torch.randn(20, len(data["start"]), generator=torch.Generator().manual_seed(0))
        s = torch.tensor(STRENGTHS)
        path = two._path(x, data, 0.01, 10.0)
        products = s * _first_above(path, s / 2).mean(0)
        return (products.max() / products.min()).item()

    @Claim(
        "at depth 3, the plateau's length is this power of the start's scale",
        stated=-1 / 3,
        within=about(-1 / 3, abs=0.01),
        source="derived: −(1 − 2/N)",
    )
    def plateau_exponent_at_depth_3(self) -> float:
        return self._plateau_exponent(3, 1e-3)

    @Claim(
        "at depth 4, the plateau's length is this power of the start's scale",
        stated=-1 / 2,
        within=about(-1 / 2, abs=0.01),
        source="derived: −(1 − 2/N)",
    )
    def plateau_exponent_at_depth_4(self) -> float:
        return self._plateau_exponent(4, 1e-3)

    @Claim(
        "at depth 6, the plateau's length is this power of the start's scale",
        stated=-2 / 3,
        within=about(-2 / 3, abs=0.01),
        source="derived: −(1 − 2/N)",
    )
    def plateau_exponent_at_depth_6(self) -> float:
        return self._plateau_exponent(6, 1e-2)

    def _plateau_exponent(self, depth: int, start: float) -> float:
        """The slope of the logarithm of the strongest mode's half time, from this a₀ and a thirtieth of it."""
        deep = replace(self, depth=depth)
        data, starts = deep.example(), torch.tensor([start, start / 30])
        lr, half = 1 / deep.sharpness(), torch.tensor(STRENGTHS[0] / 2)
        longest = 1.1 * deep.time_to(half, starts[1].item(), 0).item()
        path = deep._path(deep.aligned(starts[:, None].expand(2, MODES), data), data, lr, longest)
        first, second = _first_above(path[..., 0], half)
        return ((second / first).log() / (starts[1] / starts[0]).log()).item()

    @Claim(
        "at depth 4, descent has half of each mode when gradient flow's exact solution says so: "
        "largest relative difference",
        stated=0.0,
        within=(0.0, 0.01),
        source="derived: dt = a^(2/N − 1)/(N s) d ln(a/(s − a))",
    )
    def half_times_at_depth_4(self) -> float:
        """At lr = 0.3/L from a₀ = 0.003."""
        deep = replace(self, depth=4)
        data, s, lr = deep.example(), torch.tensor(STRENGTHS), 0.3 / deep.sharpness()
        path = deep._path(deep.aligned(torch.full((MODES,), 3e-3), data), data, lr, 10.0)
        flow = torch.stack([deep.time_to(s[k] / 2, 3e-3, k) for k in range(MODES)])
        return (lr * _first_above(path, s / 2) / flow - 1).abs().max().item()

    @Claim(
        "along descent the gradient has so many peaks: a step for each mode",
        stated=3.0,
        within=(3.0, 3.0),
        source="Saxe, McClelland & Ganguli 2014, figure 3",
    )
    def steps_of_the_staircase(self) -> float:
        problem = replace(self, start=1e-3)
        data = problem.example()
        x = problem.aligned(torch.full((MODES,), 1e-3), data)
        points = torch.stack([*islice(descent(problem, data, x, 1 / problem.sharpness()), 700)])
        slopes = problem.value_and_gradient(points, data)[1].norm(dim=-1)
        inner = slopes[1:-1]
        return float(((inner > slopes[:-2]) & (inner > slopes[2:])).sum())

    def portrait(self) -> Curves:
        problem = replace(self, start=1e-3)
        data, lr = problem.example(), 0.5 / problem.sharpness()
        start = torch.full((MODES,), problem.start)
        path = problem._path(problem.aligned(start, data), data, lr, 20.0)
        times = lr * torch.arange(len(path))
        lines = {}
        for mode, s in enumerate(STRENGTHS):
            share = torch.linspace(-6.9, 6, 200).sigmoid()  # of s, from just above the start
            lines[f"gradient flow, s = {s:g}"] = (
                problem.time_to(s * share, problem.start, mode),
                s * share,
            )
        return Curves(
            caption=f"A linear network of depth {problem.depth} learns one mode after the other, each "
            "in a step at the end of a plateau: descent on top of the exact solution.",
            x_label="learning rate × steps",
            y_label="strength of the mode",
            lines=lines,
            dots={
                f"descent, s = {s:g}": (times[::40], path[::40, mode])
                for mode, s in enumerate(STRENGTHS)
            },
        )

    def _product(self, x: torch.Tensor) -> torch.Tensor:
        """W_N ⋯ W₁."""
        layers = x.unflatten(-1, (self.depth, MODES, MODES)).unbind(-3)
        return reduce(lambda product, layer: layer @ product, layers)
