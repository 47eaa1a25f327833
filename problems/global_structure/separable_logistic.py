"""Logistic regression on separable examples: the loss falls for ever, and there is no minimum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.claims import Claim, about
from problems.geometry import random_rotation
from problems.portrait import Curves
from problems.problem import Card, Problem, Tree
from problems.registry import register
from ravine import require

LIMIT = math.log(2) / 3  # of w₁
CONSTANT = math.log(0.5 * (2 ** (-2 / 3) + 2 ** (1 / 3)))  # of w₂ − ln t at rate ½ and margin 1
PUBLISHED = "Soudry et al. 2018, theorem 3"


@register("separable_logistic")
@dataclass(frozen=True)
class SeparableLogistic(Problem):
    """Two examples that a line separates, so that larger weights are always better.

    f(w) = Σ ln(1 + e^(−w·xᵢ)), x₁ = (2, γ), x₂ = (−1, γ), labels multiplied in, axes rotated.

    The widest margin is γ, and w* = (0, 1/γ) the shortest weight that puts both examples at 1. Along
    it f falls for ever: there is no critical point, however small the gradient gets. Gradient
    descent follows w* to infinity, but only by the logarithm of time: w₁ → ln 2/3 and
    γ w₂ = ln(γ² lr t) + O(1), so that the direction is off by 1/ln t and the loss is 1/(γ² lr t).
    Newton's method gains a factor e in each step, whatever the margin.

    Were the support vectors alike, the rest of w would point along w* too, and the direction
    would be right much sooner than the theory says.

    inverse_margin: 1/γ.
    noise: counts each example once more with the other label, by this weight. This makes a minimum,
        at w* ln(1/noise).

    Soudry, Hoffer, Nacson, Gunasekar & Srebro 2018, arXiv:1710.10345; Deep Learning, section 8.2.7.
    """

    inverse_margin: float = 30.0
    noise: float = 0.0

    card = Card(
        dial="inverse_margin",
        scale="log",
        ladder=(1.0, 30.0, 300.0),
        target=1e-3,
        budget=1000,
        reference=("newton", {}),
        control={"noise": 0.1},
        removes={"no_critical_point": {"noise": 0.1}},
        signature="by how much the loss at 20 times the widest-margin weight exceeds that at 40 times",
        threshold=1e3,
        truth="The floor 0 is an infimum: no critical point. In the limit of many steps of descent "
        "w₁ = ln 2/3 and loss · lr · t = 1/γ². With noise c there is one minimum, "
        "2 ln(1 + c) + 2c ln(1 + 1/c).",
        source="Soudry et al. 2018, arXiv:1710.10345",
    )

    def __post_init__(self) -> None:
        require("separable_logistic", "inverse_margin", self.inverse_margin, low=0, open_low=True)
        require("separable_logistic", "noise", self.noise, low=0, high=1)

    def instance(self, generator: torch.Generator) -> Tree:
        start = torch.randn(2, generator=generator)
        basis = random_rotation(2, generator)
        examples = torch.tensor([[2.0, 1 / self.inverse_margin], [-1.0, 1 / self.inverse_margin]])
        widest = basis[:, 1] * self.inverse_margin
        return {"start": start, "examples": examples @ basis.T, "widest": widest}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        margins = torch.einsum("...d,...nd->...n", x, data["examples"])
        right = torch.nn.functional.logsigmoid(margins)  # exact where softplus is cut off
        wrong = right - margins  # ln σ(−z) = ln σ(z) − z
        return -(right + self.noise * wrong).sum(-1)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        margins = torch.einsum("...d,...nd->...n", x, data["examples"])
        right = torch.nn.functional.logsigmoid(margins)
        value = -(right + self.noise * (right - margins)).sum(-1)
        slope = self.noise * margins.sigmoid() - (-margins).sigmoid()
        return value, torch.einsum("...n,...nd->...d", slope, data["examples"])

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        examples = data["examples"]
        margins = torch.einsum("...d,...nd->...n", x, examples)
        bend = (1 + self.noise) * margins.sigmoid() * (-margins).sigmoid()
        return torch.einsum("...n,...ni,...nj->...ij", bend, examples, examples)

    def floor(self, data: Tree) -> torch.Tensor:
        """The minimum where there is noise, and else what the loss falls to but never reaches."""
        c = self.noise
        lowest = 2 * (math.log1p(c) + c * math.log1p(1 / c)) if c else 0.0
        return torch.tensor(lowest, dtype=torch.float64)

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        if not self.noise:
            return None
        return (x - math.log(1 / self.noise) * data["widest"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor | None:
        return math.log(1 / self.noise) * data["widest"][None] if self.noise else None

    def signature(self, data: Tree) -> float:
        nearer, farther = self.loss(torch.stack([20 * data["widest"], 40 * data["widest"]]), data)
        return (nearer / farther).item()

    def descend(self, steps: int, rate: float = 0.5) -> tuple[float, float]:
        """w after so many steps of gradient descent from 0, along the axes of the docstring."""
        margin, exp = 1 / self.inverse_margin, math.exp
        first = second = 0.0
        for _ in range(steps):
            a = 1 / (1 + exp(2 * first + margin * second))
            b = 1 / (1 + exp(margin * second - first))
            first += rate * (2 * a - b)
            second += rate * margin * (a + b)
        return first, second

    def _unit(self) -> SeparableLogistic:
        return SeparableLogistic(inverse_margin=1.0)

    @Claim(
        "the weight across the widest margin settles, after 10⁴ steps",
        stated=LIMIT,
        within=about(LIMIT, abs=1e-4),
        source=PUBLISHED,
    )
    def residual(self) -> float:
        """The weights e^(−w·xᵢ) of the examples become those of w* = Σ αᵢ xᵢ: α = (⅓, ⅔)/γ²."""
        return self._unit().descend(10_000)[0]

    @Claim(
        "loss times steps, after 10⁶ of them",
        stated=2.0,
        within=about(2.0, abs=1e-4),
        source=PUBLISHED,
        slow=True,
    )
    def loss_times_steps(self) -> float:
        """dw₂/dt = γ · loss and loss ∝ e^(−γ w₂) give 1/(γ² lr t), at margin 1 and rate ½: 2/t."""
        first, second = self._unit().descend(1_000_000)
        margins = (2 * first + second, second - first)
        return 1_000_000 * sum(math.log1p(math.exp(-each)) for each in margins)

    @Claim(
        "the weight along the widest margin, less ln t, after 10⁶ steps",
        stated=CONSTANT,
        within=about(CONSTANT, abs=1e-4),
        source=PUBLISHED,
        slow=True,
    )
    def constant(self) -> float:
        """e^(−w₂) (2^(−2/3) + 2^(1/3)) = 2/t."""
        return self._unit().descend(1_000_000)[1] - math.log(1_000_000)

    @Claim(
        "the error of the direction, times ln t, after 10⁴ steps",
        stated=LIMIT,
        within=about(LIMIT, rel=0.01),
        source=PUBLISHED,
    )
    def direction_error(self) -> float:
        """It is w₁/w₂ = (ln 2/3)/(ln t − 0.057): 0.6 % more at 10⁴."""
        first, second = self._unit().descend(10_000)
        return first / math.hypot(first, second) * math.log(10_000)

    @Claim(
        "for a factor e of time the weight grows by this many times 1/γ, at 1/γ = 3",
        stated=1.0,
        within=about(1.0, rel=0.01),
        source=PUBLISHED,
    )
    def growth(self) -> float:
        """From 10⁴ to 10⁵ steps; γ² lr t is 556 at first, and corrections are of the order of its inverse."""
        problem = SeparableLogistic(inverse_margin=3.0)
        shorter, longer = (math.hypot(*problem.descend(steps)) for steps in (10_000, 100_000))
        return (longer - shorter) / math.log(10) / problem.inverse_margin

    @Claim(
        "with one example, x = 1, the weight less ln(lr t) after 10⁶ steps",
        stated=0.0,
        within=about(0.0, abs=1e-4),
        source="Soudry et al. 2018, section 2",
        slow=True,
    )
    def one_example(self) -> float:
        weight = 0.0
        for _ in range(1_000_000):
            weight += 1 / (1 + math.exp(weight))
        return weight - math.log(1_000_000)

    def portrait(self) -> Curves:
        counts = [10 ** (k / 4) for k in range(4, 21)]
        steps = torch.tensor(counts)
        lines, dots = {}, {}
        for inverse in (1.0, 10.0):
            problem = SeparableLogistic(inverse_margin=inverse)
            name = f"1/margin {inverse:g}"
            lines[name] = (steps, 2 * inverse**2 / steps)
            losses = []
            for count in counts[::2]:
                first, second = problem.descend(round(count))
                margins = (2 * first + second / inverse, second / inverse - first)
                losses.append(sum(math.log1p(math.exp(-each)) for each in margins))
            dots[name] = (steps[::2], torch.tensor(losses))
        return Curves(
            caption="The loss of gradient descent falls like 1/(γ² lr t), for ever: it has no "
            "minimum to arrive at.",
            x_label="steps",
            y_label="loss",
            lines=lines,
            dots=dots,
            x_scale="log",
            y_scale="log",
        )
