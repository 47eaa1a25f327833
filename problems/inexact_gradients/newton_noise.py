"""Newton's method on minibatches: dividing by a noisy Hessian takes a hundred times as many examples."""

from __future__ import annotations

import math
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

BLOCK = 50  # steps whose minibatches are drawn at once


def _breaking_point_of_newton(problem: NewtonNoise, budget: float) -> float:
    """The largest d/B that Newton's method bears at the best constant rate.

    A step leads to (1 − lr) e + lr · w, with w the error of least squares on the minibatch alone. So
    of the gap (1 − lr)^2t is left, and noise adds (1 − (1 − lr)^2t) lr/(2 − lr) times that of w,
    ½ noise² d/(B − d − 1).
    """
    steps = int(budget / (1 + 2 * problem.dim))
    if steps < 20:  # a noisy run is judged by as many
        return 0.0
    lr = torch.linspace(0.01, 1, 100, dtype=torch.float64)[:, None]
    t = torch.arange(steps - max(20, round(steps / 10)), steps)
    left = ((1 - lr) ** (2 * t)).mean(-1)
    share = lr[:, 0] / (2 - lr[:, 0]) * (1 - left)
    curvatures = problem.curvatures()
    allowed = (problem.card.target - left) / share * curvatures.mean() / problem.noise**2
    most = allowed.max().clamp(min=0).item()  # d/(B − d − 1)
    return most / (1 + most * (1 + 1 / problem.dim))


@register("newton_noise")
@dataclass(frozen=True)
class NewtonNoise(QuadraticForm):
    """Least squares, where each step sees the gradient and the Hessian of one small minibatch.

    f(x) = ½ (x − m)ᵀ S (x − m): the mean squared error of a linear model, less that of the best one.
    Examples are a ~ N(0, S), y = a·m + N(0, noise²); S is rotated, its eigenvalues from 1/condition
    to 1. Of B of them one sees H_B = AᵀA/B and the gradient H_B (x − m) − Aᵀε/B.

    The gradient of a minibatch errs by (q + noise²) tr S + |Sδ|² over B, squared and on average, where
    δ = x − m and q = δᵀSδ. Newton's step errs by H_B⁻¹Aᵀε/B, whatever δ is: least squares on the
    minibatch alone. That is noise² tr S⁻¹/(B − d − 1), and infinite for B ≤ d + 1. In relation to
    what they should be, at condition 1480 and 50 parameters a step from B = 10,000 is as noisy as a gradient
    from 100.

    Starts are one unit away from m. H_B and Aᵀε are drawn as what they are, a Wishart matrix (by
    Bartlett's factor) and a Gaussian vector, at a cost that does not depend on B.

    dim: d.
    parameters_per_example: d/B, at most 1; B is a whole number.
    condition: of S.
    noise: the standard deviation of what the model cannot explain.

    Deep Learning, section 8.1.3: with so many examples Hessians are estimated, and section 8.2.6.
    """

    dim: int = 10
    parameters_per_example: float = 0.2
    condition: float = 100.0
    noise: float = 1.0

    card = Card(
        dial="parameters_per_example",
        scale="log",
        ladder=(0.005, 0.1, 0.9),
        target=0.05,
        budget=2100,
        reference=("sgd", {"lr": 0.04}),
        control={"parameters_per_example": 0.005, "condition": 1.0},
        signature="noise of a Newton step over that of a gradient, at the start: mean squares, each "
        "in relation to what it should be",
        threshold=2.0,
        truth="One minimum, 0 at m. A whole Newton step leaves ½ noise² d/(B − d − 1), from "
        "wherever it starts, which is infinite for B ≤ d + 1.",
        source="Goodfellow, Bengio & Courville 2016, section 8.1.3; Wishart 1928, Bartlett 1933",
        theory={"newton": _breaking_point_of_newton},
    )

    def __post_init__(self) -> None:
        require("newton_noise", "dim", self.dim, low=1, whole=True)
        require(
            "newton_noise", "parameters_per_example", self.parameters_per_example,
            low=0, high=1, open_low=True,
        )  # fmt: skip
        require("newton_noise", "condition", self.condition, low=1, high=1e12)
        require("newton_noise", "noise", self.noise, low=0, open_low=True)

    @property
    def batch(self) -> int:
        """B."""
        return round(self.dim / self.parameters_per_example)

    @property
    def budget(self) -> float:
        """That of 100 steps of Newton's method, up to dim 10; 2100 beyond."""
        return min(self.card.budget, 100 * (1 + 2 * self.dim))

    def curvatures(self) -> torch.Tensor:
        """The eigenvalues of S: (dim,)."""
        return self.condition ** -torch.linspace(0, 1, self.dim, dtype=torch.float64)

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        away = torch.randn(self.dim, generator=generator)
        basis = random_rotation(self.dim, generator)
        curvatures = self.curvatures().to(basis)
        return {
            "start": minimizer + away / away.norm(),
            "minimizer": minimizer,
            "hessian": (basis * curvatures) @ basis.T,
            "root": basis * curvatures.sqrt(),  # times its transpose it is S
        }

    def minibatches(
        self, data: Tree, count: int, generator: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """H_B (count, dim, dim) and Aᵀε/B (count, dim) of that many minibatches.

        AᵀA is R L Lᵀ Rᵀ with RRᵀ = S and L lower triangular: Gaussians below its diagonal, and on it
        the roots of χ² with B, B − 1, … degrees of freedom. Given A, Aᵀε is N(0, noise² AᵀA).
        """
        freedom = self.batch - torch.arange(self.dim, dtype=data["root"].dtype)
        # torch.distributions.Gamma is this, but takes no generator.
        gamma = torch._standard_gamma  # pyright: ignore[reportPrivateImportUsage]
        square = gamma((freedom / 2).expand(count, -1), generator=generator)
        factor = torch.randn(count, self.dim, self.dim, generator=generator).tril(-1)
        factor.diagonal(dim1=-2, dim2=-1).copy_((2 * square).sqrt())
        factor = data["root"] @ factor / math.sqrt(self.batch)
        noise = torch.randn(count, self.dim, generator=generator) * self.noise
        shaken = torch.einsum("kij,kj->ki", factor, noise) / math.sqrt(self.batch)
        return factor @ factor.mT, shaken

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        while True:
            for hessian, noise in zip(*self.minibatches(data, BLOCK, generator), strict=True):
                yield {"hessian": hessian, "noise": noise}

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return self.sampled_value_and_gradient(x, data, draw)[0]

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if draw is None:
            return self.value_and_gradient(x, data)
        error = x - data["minimizer"]
        product = torch.einsum("...i,...ij->...j", error, draw["hessian"])
        value = (error * (0.5 * product - draw["noise"])).sum(-1)
        return value, product - draw["noise"]

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.hvp(x, data if draw is None else draw, vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.hessian(x, data if draw is None else draw)

    def signature(self, data: Tree) -> float:
        away = data["start"] - data["minimizer"]
        generator = torch.Generator().manual_seed(0)
        gradients, steps = self._noise_to_signal(data, away.expand(1000, -1), generator)
        return steps / gradients

    # What theory says, on average over directions of δ, one unit long.

    def gradient_noise(self) -> float:
        """The mean square of what a minibatch's gradient errs by, over that of the gradient."""
        total, square = self.curvatures().sum(), self.curvatures().square().mean()
        q = self.curvatures().mean()
        return (((q + self.noise**2) * total + square) / (self.batch * square)).item()

    def step_noise(self) -> float:
        """The same of Newton's step: the mean of an inverse Wishart matrix is S⁻¹ B/(B − d − 1)."""
        spare = self.batch - self.dim - 1
        return (
            (self.noise**2 * (1 / self.curvatures()).sum() / spare).item()
            if spare > 0
            else math.inf
        )

    def equal_batch(self) -> float:
        """The minibatch whose Newton step is as noisy as the gradient of this one."""
        needed = self.noise**2 * (1 / self.curvatures()).sum() / self.gradient_noise()
        return needed.item() + self.dim + 1

    # What is claimed.

    def _with(self, batch: int, condition: float = 100.0) -> NewtonNoise:
        """Fifty parameters and so many examples, as in the claims."""
        return replace(self, dim=50, parameters_per_example=50 / batch, condition=condition)

    def _noise_to_signal(
        self, data: Tree, away: torch.Tensor, generator: torch.Generator
    ) -> tuple[float, float]:
        """Mean squares of the error over those of what is right, of gradients and Newton steps."""
        hessians, noises = self.minibatches(data, len(away), generator)
        draw, x = {"hessian": hessians, "noise": noises}, data["minimizer"] + away
        seen, right = self.sampled_value_and_gradient(x, data, draw)[1], away @ data["hessian"]
        step = torch.linalg.solve(self.sampled_hessian(x, data, draw), seen)
        wrong = (seen - right).square().sum(-1).mean() / right.square().sum(-1).mean()
        return wrong.item(), (
            (step - away).square().sum(-1).mean() / away.square().sum(-1).mean()
        ).item()

    def _measured(self, count: int) -> tuple[float, float]:
        """Noise to signal of gradients and Newton steps, over random δ."""
        data, generator = self.example(), torch.Generator().manual_seed(1)
        away = torch.randn(count, self.dim, generator=generator)
        return self._noise_to_signal(data, away / away.norm(dim=-1, keepdim=True), generator)

    @Claim(
        "The noise of a gradient over the predicted one, of 100 examples for 50 parameters",
        stated=1.0, within=about(1.0, rel=0.03), source="derived here: Isserlis' theorem",
    )  # fmt: skip
    def noise_of_a_gradient(self) -> float:
        """It is predicted to be 1.166 times the gradient, squared."""
        problem = self._with(100)
        return problem._measured(2000)[0] / problem.gradient_noise()

    @Claim(
        "The noise of a Newton step from 100 examples for 50 parameters, over the step: mean squares",
        stated=22.54, within=about(22.54, rel=0.03),
        source="the mean of an inverse Wishart matrix, von Rosen 1988",
    )  # fmt: skip
    def noise_of_a_newton_step(self) -> float:
        return self._with(100)._measured(3000)[1]

    @Claim(
        "The same for a minibatch of 10,000", stated=0.1110, within=about(0.1110, rel=0.03),
        source="the mean of an inverse Wishart matrix, von Rosen 1988",
    )  # fmt: skip
    def noise_of_a_newton_step_from_many(self) -> float:
        return self._with(10_000)._measured(2000)[1]

    @Claim(
        "The noise of a Newton step from 999 examples over that of a gradient from 100, at condition "
        "100 and 50 parameters",
        stated=1.0, within=about(1.0, rel=0.03), source="derived here from the two formulas",
    )  # fmt: skip
    def ten_times_the_examples_at_condition_100(self) -> float:
        return self._with(999)._measured(3000)[1] / self._with(100).gradient_noise()

    @Claim(
        "The noise of a Newton step from 7052 examples over that of a gradient from 100, at condition "
        "1000 and 50 parameters",
        stated=1.0, within=about(1.0, rel=0.03), source="derived here from the two formulas",
    )  # fmt: skip
    def seventy_times_the_examples_at_condition_1000(self) -> float:
        return self._with(7052, 1e3)._measured(3000)[1] / self._with(100, 1e3).gradient_noise()

    @Claim(
        "The condition at which a Newton step takes 10,000 examples to be as little noisy as a "
        "gradient from 100, at 50 parameters",
        stated=1480.0, within=about(1480.0, rel=0.01),
        source="Goodfellow, Bengio & Courville 2016, section 8.1.3: 100 against 10,000",
    )  # fmt: skip
    def condition_of_the_textbook(self) -> float:
        low, high = 1.0, 1e6
        while high / low > 1.001:
            middle = math.sqrt(low * high)
            enough = self._with(100, middle).equal_batch() < 10_000
            low, high = (middle, high) if enough else (low, middle)
        return low

    @Claim(
        "What a whole Newton step leaves of the loss over the predicted ½ noise² d/(B − d − 1), "
        "wherever it starts",
        stated=1.0, within=about(1.0, rel=0.03), source="derived here; tr S S⁻¹ = d",
    )  # fmt: skip
    def loss_after_a_newton_step(self) -> float:
        data, generator = self.example(), torch.Generator().manual_seed(2)
        hessian, noise = self.minibatches(data, 10_000, generator)
        draw = {"hessian": hessian, "noise": noise}
        x = data["start"].expand(len(noise), -1)
        gradient = self.sampled_value_and_gradient(x, data, draw)[1]
        x = x - torch.linalg.solve(self.sampled_hessian(x, data, draw), gradient)
        spare = self.batch - self.dim - 1
        return self.loss(x, data).mean().item() / (0.5 * self.noise**2 * self.dim / spare)

    @Claim(
        "How much rarer ten times as large a squared error of a Newton step is at B = d + 1: the mean "
        "is infinite where it is at most ten times as rare",
        stated=0.1, within=about(0.1, rel=0.1),
        source="derived here: the smallest eigenvalue of a Wishart matrix",
    )  # fmt: skip
    def infinite_mean(self) -> float:
        """With one parameter and two examples the squared error is z²/χ² with 2 degrees of freedom:
        P(error² > t) = 1 − (1 + 1/t)^-½, near 1/2t. Of a million, 500 are above 1000."""
        few = replace(self, dim=1, parameters_per_example=0.5, condition=1.0, noise=1.0)
        data, generator = few.example(), torch.Generator().manual_seed(3)
        hessian, noise = few.minibatches(data, 1_000_000, generator)
        square = (noise / hessian[..., 0]).square()
        return ((square > 1000).sum() / (square > 100).sum()).item()

    def portrait(self) -> Curves:
        batches = torch.logspace(math.log10(60), 4, 30).round()
        some = torch.tensor([60.0, 100.0, 1e3, 1e4])
        predicted = [self._with(int(batch)) for batch in batches.tolist()]
        measured = [self._with(int(batch))._measured(1000) for batch in some.tolist()]
        return Curves(
            caption="A Newton step is noisier than a gradient from as many examples, and without "
            "bound where they are hardly more than the parameters, 50.",
            x_label="examples in the minibatch",
            y_label="noise over signal, mean squares",
            lines={
                "gradient": (batches, torch.tensor([each.gradient_noise() for each in predicted])),
                "Newton step": (batches, torch.tensor([each.step_noise() for each in predicted])),
            },
            dots={
                "gradient": (some, torch.tensor([each[0] for each in measured])),
                "Newton step": (some, torch.tensor([each[1] for each in measured])),
            },
            x_scale="log",
            y_scale="log",
        )
