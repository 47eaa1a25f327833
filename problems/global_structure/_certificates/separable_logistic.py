"""The evidence for `separable_logistic`: claims and portrait."""

from __future__ import annotations

import math

import torch

from problems.claims import about, claim
from problems.global_structure.separable_logistic import SeparableLogistic
from problems.portrait import Curves

LIMIT = math.log(2) / 3  # of w₁
CONSTANT = math.log(0.5 * (2 ** (-2 / 3) + 2 ** (1 / 3)))  # of w₂ − ln t at rate ½ and margin 1
PUBLISHED = "Soudry et al. 2018, theorem 3"
UNIT = SeparableLogistic(inverse_margin=1.0)


def axes(problem: SeparableLogistic) -> torch.Tensor:
    """Return the axes of the problem's docstring, across the widest margin and along it, as rows: (2, 2)."""
    data = problem.example()
    along = data["widest"] / data["widest"].norm()
    across = torch.stack([along[1], -along[0]])
    return torch.stack([across * (data["examples"][0] @ across).sign(), along])


def descend(problem: SeparableLogistic, steps: int, rate: float = 0.5) -> tuple[float, float]:
    """Return w after `steps` of gradient descent from 0, in the axes of the problem's docstring.

    It is written out for the problem's two examples, to be fast.
    """
    (a1, a2), (b1, b2) = (problem.example()["examples"] @ axes(problem).T).tolist()
    exp, first, second = math.exp, 0.0, 0.0
    for _ in range(steps):
        a = 1 / (1 + exp(a1 * first + a2 * second))
        b = 1 / (1 + exp(b1 * first + b2 * second))
        first += rate * (a1 * a + b1 * b)
        second += rate * (a2 * a + b2 * b)
    return first, second


@claim(
    SeparableLogistic,
    "the weight across the widest margin settles, after 10⁴ steps",
    stated=LIMIT,
    within=about(LIMIT, abs=1e-4),
    source=PUBLISHED,
)
def residual(problem: SeparableLogistic) -> float:
    """Measure it: the weights e^(−w·xᵢ) of the examples become those of w* = Σ αᵢ xᵢ: α = (⅓, ⅔)/γ²."""
    return descend(UNIT, 10_000)[0]


@claim(
    SeparableLogistic,
    "loss times steps, after 10⁶ of them",
    stated=2.0,
    within=about(2.0, abs=1e-4),
    source=PUBLISHED,
    slow=True,
)
def loss_times_steps(problem: SeparableLogistic) -> float:
    """Measure it: dw₂/dt = γ · loss and loss ∝ e^(−γ w₂) give 1/(γ² lr t), at margin 1 and rate ½: 2/t."""
    first, second = descend(UNIT, 1_000_000)
    margins = (2 * first + second, second - first)
    return 1_000_000 * sum(math.log1p(math.exp(-each)) for each in margins)


@claim(
    SeparableLogistic,
    "the weight along the widest margin, less ln t, after 10⁶ steps",
    stated=CONSTANT,
    within=about(CONSTANT, abs=1e-4),
    source=PUBLISHED,
    slow=True,
)
def constant(problem: SeparableLogistic) -> float:
    """Measure it: e^(−w₂) (2^(−2/3) + 2^(1/3)) = 2/t."""
    return descend(UNIT, 1_000_000)[1] - math.log(1_000_000)


@claim(
    SeparableLogistic,
    "the error of the direction, times ln t, after 10⁴ steps",
    stated=LIMIT,
    within=about(LIMIT, rel=0.01),
    source=PUBLISHED,
)
def direction_error(problem: SeparableLogistic) -> float:
    """Measure it: w₁/w₂ = (ln 2/3)/(ln t − 0.057), 0.6 % more at 10⁴."""
    first, second = descend(UNIT, 10_000)
    return first / math.hypot(first, second) * math.log(10_000)


@claim(
    SeparableLogistic,
    "for a factor e of time the weight grows by this many times 1/γ, at 1/γ = 3",
    stated=1.0,
    within=about(1.0, rel=0.01),
    source=PUBLISHED,
)
def growth(problem: SeparableLogistic) -> float:
    """Measure it from 10⁴ to 10⁵ steps; γ² lr t is 556 at first, and corrections are of the order of its inverse."""
    problem = SeparableLogistic(inverse_margin=3.0)
    shorter, longer = (math.hypot(*descend(problem, steps)) for steps in (10_000, 100_000))
    return (longer - shorter) / math.log(10) / problem.inverse_margin


@claim(
    SeparableLogistic,
    "with one example, x = 1, the weight less ln(lr t) after 10⁶ steps",
    stated=0.0,
    within=about(0.0, abs=1e-4),
    source="Soudry et al. 2018, section 2",
    slow=True,
    formula=True,
)
def one_example(problem: SeparableLogistic) -> float:
    weight = 0.0
    for _ in range(1_000_000):
        weight += 1 / (1 + math.exp(weight))
    return weight - math.log(1_000_000)


def portrait(problem: SeparableLogistic) -> Curves:
    counts = [10 ** (k / 4) for k in range(4, 21)]
    steps = torch.tensor(counts)
    lines, dots = {}, {}
    for inverse in (1.0, 10.0):
        variant = SeparableLogistic(inverse_margin=inverse)
        name = f"1/margin {inverse:g}"
        lines[name] = (steps, 2 * inverse**2 / steps)
        losses = []
        for count in counts[::2]:
            first, second = descend(variant, round(count))
            margins = (2 * first + second / inverse, second / inverse - first)
            losses.append(sum(math.log1p(math.exp(-each)) for each in margins))
        dots[name] = (steps[::2], torch.tensor(losses))
    return Curves(
        caption="The loss of gradient descent falls like 1/(γ² lr t) in t steps, γ the margin, for ever: there is no "
        "minimum to arrive at.",
        x_label="steps",
        y_label="loss",
        lines=lines,
        dots=dots,
        x_scale="log",
        y_scale="log",
    )
