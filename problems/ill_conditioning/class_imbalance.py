"""Softmax regression on classes of unequal frequency: descent learns each class at the speed of its frequency."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from problems.theory import first_failing
from ravine import bounded

START = 0.1  # standard deviation of the weights at the start


def _breaking_exponent_of_descent(problem: ClassImbalance, budget: float) -> float:
    """Return the least exponent up to the ladder's end, to 0.01, at which descent needs more steps than the budget.

    Without label noise it is infinity, for then no rate is too large.
    """
    if not problem.noise:
        return math.inf

    exponents = [each / 100 for each in range(round(100 * problem.card.ladder[-1]) + 1)]
    return first_failing(
        exponents, lambda each: steps_of_descent(replace(problem, exponent=each)) > budget
    )


def _breaking_exponent_of_signs(problem: ClassImbalance, budget: float) -> float:
    """Return infinity where the budget is enough, for the steps do not depend on the exponent."""
    enough = not problem.noise or budget >= steps_of_sign_descent(problem)
    return math.inf if enough else 0.0


@register("class_imbalance")
@dataclass(frozen=True)
class ClassImbalance(Problem):
    """Softmax regression on classes of unequal frequency: descent learns each class at the speed of its frequency.

    f(W) = −Σ_jk π_k q_jk ln p_jk, p_k = softmax(W e_k), with one input e_k for each class and Zipf's frequencies
    π_k ∝ 1/k^exponent. Input k has the label k with the probability q_kk = 1 − η_k, and each other label with
    η_k/(classes − 1).

    Gradient and curvature of column k of W, on which input k depends alone, are π_k times those of the column's own
    loss. The most frequent class limits descent's learning rate, and the rarest needs π_1/π_c times as many steps.
    Without label noise, descent brings the loss of class k down like 1/(π_k lr t), and sign descent that of all classes
    alike like e^(−2 lr t). Label noise gives the loss a minimum, and descent a largest stable rate.

    The loss is the mean over examples: what weighs less than the target need not be learned. With ten classes nothing
    gets harder from an exponent of 4.5 on. In a text the exponent is 1, and rare words weigh more: with 1e5 words,
    half of a text is words other than the 240 most frequent.

    classes: c; x is W (classes × inputs), row by row.
    noise: η_k is between half and twice this, drawn for each class. Without noise the loss has no minimum.

    Kunstner, Milligan, Yadav, Schmidt & Bietti 2024, arXiv:2402.19449.
    """

    classes: int = bounded(10, low=2)
    exponent: float = dial(3.0, low=0, high=10)
    noise: float = bounded(0.1, low=0, below=0.5)

    card = Card(
        scale="linear",
        ladder=(0.0, 2.0, 4.0),
        target=1e-4,
        budget=200,
        reference=("adam", {"lr": 0.5}),
        control={"exponent": 0.0},
        breaks=("sgd", "ill_conditioning"),
        signature="largest over smallest curvature at the start, but for the shifts of all logits of an input",
        threshold=10.0,
        truth="The loss is convex. Its minimum is the entropy of the labels, where p = q; adding a number to all "
        "logits of an input changes nothing. Without label noise the floor 0 is an infimum.",
        source="Kunstner et al. 2024, arXiv:2402.19449",
        theory={"sgd": _breaking_exponent_of_descent, "sign_sgd": _breaking_exponent_of_signs},
    )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.classes, self.classes),)

    def frequencies(self) -> torch.Tensor:
        """Return π, the most frequent class first: (classes)."""
        weights = torch.arange(1.0, self.classes + 1, dtype=torch.float64) ** -self.exponent
        return weights / weights.sum()

    def joint(self, noise: torch.Tensor) -> torch.Tensor:
        """Return π_k q_jk, the share of the examples that have the label j and the input k, for these η (classes)."""
        others = (1 - torch.eye(self.classes, dtype=torch.float64)) / (self.classes - 1)
        return self.frequencies() * (torch.diag(1 - noise) + noise * others)

    def instance(self, generator: torch.Generator) -> Tree:
        start = START * torch.randn(self.classes**2, generator=generator)
        noise = self.noise * 4 ** (torch.rand(self.classes, generator=generator) - 0.5)
        return {"start": start, "frequencies": self.frequencies(), "joint": self.joint(noise)}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return -(self._logits(x).log_softmax(-2) * data["joint"]).sum((-2, -1))

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        logs = self._logits(x).log_softmax(-2)
        gradient = data["frequencies"].unsqueeze(-2) * logs.exp() - data["joint"]
        return -(logs * data["joint"]).sum((-2, -1)), gradient.flatten(-2)

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        chances, moved = self._logits(x).softmax(-2), self._logits(vector)
        product = chances * (moved - (chances * moved).sum(-2, keepdim=True))
        return (data["frequencies"].unsqueeze(-2) * product).flatten(-2)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return ∂²f/∂W_jk ∂W_lm = δ_km π_k (δ_jl p_jk − p_jk p_lk): (*runs, dim, dim).

        Probabilities below ε² count as 0, for LAPACK may fail on the subnormal numbers that they lead to.
        """
        chances = self._logits(x).softmax(-2).mT
        chances = chances.where(chances > torch.finfo(chances.dtype).eps ** 2, 0.0)
        blocks = chances.diag_embed() - chances[..., :, None] * chances[..., None, :]
        blocks = data["frequencies"][..., None, None] * blocks  # (…, k, j, l)
        return blocks.movedim(-3, -1).diag_embed().transpose(-3, -2).flatten(-4, -3).flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        """Return the entropy of the labels given the inputs, 0 without noise."""
        return -torch.xlogy(data["joint"], self._labels(data)).sum((-2, -1))

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        """Return the distance to the minimizers, which a shift of all logits of an input leaves in their set."""
        if not self.noise:
            return None
        error = self._logits(x) - self._labels(data).log()
        return (error - error.mean(-2, keepdim=True)).flatten(-2).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor | None:
        """Return the minimizer of mean 0 over the logits of each input."""
        if not self.noise:
            return None
        logits = self._labels(data).log()
        return (logits - logits.mean(-2, keepdim=True)).flatten(-2)[None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        minimizers = self.minimizers(data)
        if minimizers is None:
            return ()
        (x,) = minimizers
        return (CriticalPoint(x, self.floor(data).item(), index=0, nullity=self.classes),)

    def signature(self, data: Tree) -> float:
        curvatures = torch.linalg.eigvalsh(self.hessian(data["start"], data))
        return (curvatures[-1] / curvatures[self.classes]).item()

    def _logits(self, x: torch.Tensor) -> torch.Tensor:
        """Return W (*runs, classes, inputs): its columns are the logits of each input."""
        return x.unflatten(-1, (self.classes, self.classes))

    def _labels(self, data: Tree) -> torch.Tensor:
        """Return q, whose columns are the distributions of the labels of each input."""
        return data["joint"] / data["frequencies"].unsqueeze(-2)


# From W = 0, a class has one unknown: its margin m, by which the logit of the right label leads all others.


def loss_of_class(problem: ClassImbalance, margin: torch.Tensor) -> torch.Tensor:
    """Return what a class's loss is above its entropy: KL(q‖p) at these margins, with η = `noise`."""
    others, noise = problem.classes - 1, problem.noise
    wrong = others / (others + margin.exp())
    left = (1 - noise) * (math.log1p(-noise) + torch.log1p(others * (-margin).exp()))
    return left + (noise * (math.log(noise) - wrong.log()) if noise else 0.0)


def margin_at_minimum(problem: ClassImbalance) -> float:
    """Return m* = ln((1 − η)(c − 1)/η)."""
    return math.log((1 - problem.noise) * (problem.classes - 1) / problem.noise)


def time_of_flow(problem: ClassImbalance, margin: torch.Tensor) -> torch.Tensor:
    """Return π_k t, for the time t at which gradient flow from W = 0 takes a class to these margins, below m*.

    The margin obeys dm/d(π_k t) = c/(c − 1) (1 − η − p), p = e^m/(e^m + c − 1). By partial fractions in e^m,

        π_k t = (c − 1)/(c (1 − η)) (m − (1/η) ln(1 − η (e^m − 1)/((1 − η)(c − 1) − η))),

    without noise ((c − 1) m + e^m − 1)/c, so that the loss (c − 1) e^−m comes near (1 − 1/c)/(π_k t).
    """
    others, noise = problem.classes - 1, problem.noise
    grown = torch.expm1(margin) / ((1 - noise) * others - noise)
    curved = -torch.log1p(-noise * grown) / noise if noise else grown
    return others / (problem.classes * (1 - noise)) * (margin + curved)


def steps_of_descent(problem: ClassImbalance) -> float:
    """Predict the steps to the target of descent at the largest stable rate: gradient flow for the time lr · steps.

    The rate is 2/L, L = π_1 (1 − η) η c/(c − 1), the largest curvature at the minimum. Every class has η = `noise`.
    Too few where the frequencies are nearly uniform, for then a few long steps do not follow the flow, and with little
    noise, where 2/L takes the frequent classes far beyond the minimum.
    """
    noise, frequencies = problem.noise, problem.frequencies()
    sharpness = frequencies[0] * (1 - noise) * noise * problem.classes / (problem.classes - 1)
    margins = torch.linspace(0, margin_at_minimum(problem), 20_001, dtype=torch.float64)[:-1]
    times, losses = time_of_flow(problem, margins), loss_of_class(problem, margins)
    steps = torch.logspace(0, 8, 8001, dtype=torch.float64)
    reached = torch.searchsorted(times, 2 / sharpness * steps[:, None] * frequencies)
    gaps = (frequencies * losses[reached.clamp(max=len(losses) - 1)]).sum(-1) / losses[0]
    return steps[gaps <= problem.card.target][0].item()


def steps_of_sign_descent(problem: ClassImbalance) -> float:
    """Predict the steps to the target of sign descent at the largest rate that gets there, whatever the frequencies.

    Each step adds 2 lr to a margin, until it jumps to and fro over m*, with an error that is uniform up to 2 lr over
    the classes. The curvature is (1 − η) η along a margin, so ⅔ (1 − η) η lr² is left of the loss: this gives lr,
    and m*/(2 lr) the steps.
    """
    height = loss_of_class(problem, torch.zeros((), dtype=torch.float64)).item()
    curvature = problem.noise * (1 - problem.noise)
    lr = math.sqrt(problem.card.target * height / (2 / 3 * curvature))
    return margin_at_minimum(problem) / (2 * lr)
