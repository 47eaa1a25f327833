"""A gradient with a bias, which no averaging removes: every method comes to rest in the same wrong place."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.geometry import random_rotation
from problems.portrait import Curves
from problems.problem import Card, Tree
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import require

BLOCK = 100  # steps whose noise is drawn at once


@register("biased_gradient")
@dataclass(frozen=True)
class BiasedGradient(QuadraticForm):
    """A bowl whose gradients are all shifted by the same vector.

    f(x) = ½ (x − m)ᵀ H (x − m); seen is H (x − m) + b + ξ, with ξ ~ N(0, s² I) new at every step.

    The noise ξ averages out, the bias b does not: what is seen vanishes on average at m − H⁻¹b, where
    f is ½ bᵀH⁻¹b. A bias of a given length does the more harm the flatter H is: along a mode of
    curvature h a share b²/2h of it remains, which is κ times as much for the flattest mode as for
    the steepest. Estimates that are cut off early, truncated gradients through time and lossy
    compression have such a bias; which optimizer follows them is of no consequence.

    The start is m + H^-½ z with Gaussian z, so that every mode counts alike in the gap.

    dim: x is (dim,).
    bias: |b| over that at which the gap at rest is just the target: there it is bias² times it.
    condition: κ; the curvatures are log-uniform from 1/κ to 1.
    noise: s, in the same unit: a whole Newton step is left with noise² times the target by ξ.

    Deep Learning, section 8.2.6; Bertsekas & Tsitsiklis 2000, doi:10.1137/S1052623497331063.
    """

    dim: int = 20
    bias: float = 2.0
    condition: float = 100.0
    noise: float = 0.1

    card = Card(
        dial="bias",
        scale="log",
        ladder=(0.1, 0.5, 10.0),
        target=1e-2,
        budget=1000,
        reference=("sgd", {"lr": 1.0}),
        control={"bias": 0.0},
        signature="gap over the target where the mean of what is seen vanishes",
        threshold=1.0,
        truth="One minimum, 0 at m. What is seen leads to m − H⁻¹b, where the gap is bias² times the "
        "target, whatever the method.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.6; Bertsekas & Tsitsiklis 2000",
        exceptions={
            "reference": "from bias 1 on, the point where the gradients that are seen vanish lies "
            "outside the target",
            "random_search": "it compares losses, which have no bias",
            "ranked": "the bias alone decides: all methods that come to rest do so at the same point",
        },
    )

    def __post_init__(self) -> None:
        require("biased_gradient", "dim", self.dim, low=1, whole=True)
        require("biased_gradient", "bias", self.bias, low=0)
        require("biased_gradient", "condition", self.condition, low=1, high=1e12)
        require("biased_gradient", "noise", self.noise, low=0)

    def curvatures(self) -> torch.Tensor:
        """The eigenvalues of H: (dim,)."""
        return self.condition ** -torch.linspace(0, 1, self.dim, dtype=torch.float64)

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer, whitened, direction = torch.randn(3, self.dim, generator=generator)
        basis = random_rotation(self.dim, generator)
        curvatures = self.curvatures().to(basis)
        allowed = self.card.target * whitened.square().sum()  # of bᵀH⁻¹b = Σ (qᵀb)²/h
        harm = ((direction @ basis).square() / curvatures).sum()
        return {
            "start": minimizer + basis @ (whitened / curvatures.sqrt()),
            "minimizer": minimizer,
            "hessian": (basis * curvatures) @ basis.T,
            "bias": self.bias * direction * (allowed / harm).sqrt(),
            "spread": self.noise * (allowed / (1 / curvatures).sum()).sqrt(),
        }

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        while True:
            noises = data["spread"] * torch.randn(BLOCK, self.dim, generator=generator)
            yield from ({"noise": row} for row in noises)

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        return gradient + data["bias"] + draw["noise"], memory

    def signature(self, data: Tree) -> float:
        return self._gap(self.rest(data), data) / self.card.target

    def predicted_share(self) -> float:
        return 1.0 if self.bias < 1 else 0.0

    def rest(self, data: Tree) -> torch.Tensor:
        """Where what is seen vanishes on average, m − H⁻¹b: (dim,)."""
        return data["minimizer"] - torch.linalg.solve(data["hessian"], data["bias"])

    def _gap(self, x: torch.Tensor, data: Tree) -> float:
        return (self.loss(x, data) / self.loss(data["start"], data)).item()

    # What is claimed.

    def _descended(self, data: Tree, lr: float, momentum: float, steps: int) -> torch.Tensor:
        """The mean over the second half of the points of heavy ball on what is seen."""
        x, velocity = data["start"], torch.zeros(self.dim)
        total, stream = torch.zeros(self.dim), self.draws(data, torch.Generator().manual_seed(0))
        for step in range(steps):
            total += x if step >= steps // 2 else 0.0
            exact = self.value_and_gradient(x, data)[1]
            gradient, _ = self.seen(exact, data, next(stream), None)
            velocity = momentum * velocity + gradient
            x = x - lr * velocity
        return total / (steps - steps // 2)

    @Claim(
        "How far descent without noise ends from m − H⁻¹b, over how far m is from there",
        stated=0.0, within=(0.0, 1e-9), source="derived here: the fixed point of x − lr (H (x − m) + b)",
    )  # fmt: skip
    def comes_to_rest_at_the_wrong_place(self) -> float:
        problem = replace(self, noise=0.0)
        data = problem.example()
        rest = problem.rest(data)
        end = problem._descended(data, 1.0, 0.0, 6000)
        return ((end - rest).norm() / (data["minimizer"] - rest).norm()).item()

    @Claim(
        "How far the mean point of heavy ball with noise is from m − H⁻¹b, over how far m is from there",
        stated="hardly", within=(0.0, 0.02), source="derived here: the mean obeys the same recursion",
    )  # fmt: skip
    def noise_averages_out(self) -> float:
        """Noise is a tenth of the bias, and the mean over 4000 steps has a 60th of that."""
        data = self.example()
        rest = self.rest(data)
        end = self._descended(data, 0.3, 0.9, 8000)
        return ((end - rest).norm() / (data["minimizer"] - rest).norm()).item()

    @Claim(
        "The gap at rest at bias 3, over the target",
        stated=9.0, within=about(9.0, rel=1e-6), source="derived here: ½ bᵀH⁻¹b",
    )  # fmt: skip
    def gap_at_rest(self) -> float:
        """Measured by descent without noise, to the rounding of what it forgets of the start."""
        problem = replace(self, bias=3.0, noise=0.0)
        data = problem.example()
        return self._gap(problem._descended(data, 1.0, 0.0, 6000), data) / self.card.target

    @Claim(
        "The loss at rest at condition 100 over that at condition 1, on average over biases of one length",
        stated=23.05, within=about(23.05, rel=0.02), source="derived here: tr H⁻¹/dim",
    )  # fmt: skip
    def flat_directions_amplify(self) -> float:
        """½ bᵀH⁻¹b is ½|b|² where H = I. Of 10,000 directions the mean is known to 0.4 %."""
        data = self.example()
        bias = torch.randn(10_000, self.dim, generator=torch.Generator().manual_seed(0))
        rest = data["minimizer"] - torch.linalg.solve(data["hessian"], bias.T).T
        return (self.loss(rest, data).mean() / (0.5 * bias.square().sum(-1).mean())).item()

    @Claim(
        "The part of the bias along the flattest mode, in what it adds to the loss, over the part along "
        "the steepest",
        stated=100.0, within=about(100.0, rel=1e-6), source="derived here: b²/2h along a mode",
    )  # fmt: skip
    def the_flattest_mode_suffers_most(self) -> float:
        data = self.example()
        basis = torch.linalg.eigh(data["hessian"]).eigenvectors
        ends = torch.linalg.solve(data["hessian"], basis[:, [0, -1]]).T
        flat, steep = self.loss(data["minimizer"] - ends, data)
        return (flat / steep).item()

    def portrait(self) -> Curves:
        biases = torch.logspace(-1, 1, 5)
        steps = torch.arange(0, 1000, 5)
        paths = {}
        for bias in biases.tolist():
            problem = replace(self, bias=bias)
            data = problem.example()
            x, stream, gaps = (
                data["start"],
                problem.draws(data, torch.Generator().manual_seed(0)),
                [],
            )
            for _ in range(1000):
                gaps.append(self._gap(x, data))
                exact = problem.value_and_gradient(x, data)[1]
                x = x - problem.seen(exact, data, next(stream), None)[0]
            paths[f"bias {bias:.2g}"] = (steps, torch.tensor(gaps)[steps])
        return Curves(
            caption="Descent comes to rest at a gap of bias² times the target, dotted.",
            x_label="step",
            y_label="gap",
            lines=paths,
            dots={"predicted": (torch.full((5,), 1000), self.card.target * biases.square())},
            y_scale="log",
        )
