"""Logistic regression on separable examples: the loss falls for ever, and there is no minimum."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.problem import Card, Problem, Tree, dial
from problems.registry import register
from ravine import bounded


@register("separable_logistic")
@dataclass(frozen=True)
class SeparableLogistic(Problem):
    """Two examples that a line separates, so that larger weights are always better.

    f(w) = Σ ln(1 + e^(−w·xᵢ)), x₁ = (2, γ), x₂ = (−1, γ), labels multiplied in, axes rotated.

    The widest margin is γ, and w* = (0, 1/γ) the shortest weight that puts both examples at 1. Along
    it f falls for ever: there is no critical point, however small the gradient gets. Gradient
    descent follows w* to infinity, but only by the logarithm of time: w₁ → ln 2/3 and
    γ w₂ = ln(γ² lr t) + O(1), so that the direction is off by 1/ln t and the loss is 1/(γ² lr t): 1/t for
    want of a critical point, and 1/γ² for the curvature along w*, at w = 0 only 0.36 γ² times that across it.
    Newton's method gains a factor e in each step, whatever the margin.

    inverse_margin: 1/γ.
    noise: the weight of a copy of each example with the other label, which makes a minimum at
        w* ln(1/noise).

    Soudry, Hoffer, Nacson, Gunasekar & Srebro 2018, arXiv:1710.10345; Deep Learning, section 8.2.7.
    """

    inverse_margin: float = dial(30.0, above=0)
    noise: float = bounded(0.0, low=0, high=1)

    card = Card(
        scale="log",
        ladder=(4.0, 30.0, 300.0),
        target=1e-3,
        budget=1000,
        reference=("newton", {}),
        control={"noise": 0.1},
        removes={"no_critical_point": {"noise": 0.1}},
        breaks=("sgd", "no_critical_point"),
        also="ill_conditioning",
        signature="by how much the loss at 20 times the widest-margin weight exceeds that at 40 times",
        threshold=1e3,
        truth="The floor 0 is an infimum: no critical point. In the limit of many steps of descent "
        "w₁ = ln 2/3 and loss · lr · t = 1/γ². With noise c there is one minimum, "
        "2 ln(1 + c) + 2c ln(1 + 1/c).",
        source="Soudry et al. 2018, arXiv:1710.10345",
    )

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
        """Return the minimum where there is noise, and the infimum 0 elsewhere."""
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
