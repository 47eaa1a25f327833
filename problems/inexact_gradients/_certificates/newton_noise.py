"""The evidence for `newton_noise`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.inexact_gradients.newton_noise import NewtonNoise
from problems.portrait import Curves

# What theory says, on average over directions of δ, one unit long.


def gradient_noise(problem: NewtonNoise) -> float:
    """The mean square of what a minibatch's gradient errs by, over that of the gradient."""
    total, square = problem.curvatures().sum(), problem.curvatures().square().mean()
    q = problem.curvatures().mean()
    return (((q + problem.noise**2) * total + square) / (problem.batch * square)).item()


def step_noise(problem: NewtonNoise) -> float:
    """The same of Newton's step: the mean of an inverse Wishart matrix is S⁻¹ B/(B − d − 1)."""
    spare = problem.batch - problem.dim - 1
    total = (problem.noise**2 * (1 / problem.curvatures()).sum()).item()
    return total / spare if spare > 0 else math.inf


def equal_batch(problem: NewtonNoise) -> float:
    """The minibatch whose Newton step is as noisy as the gradient of this one."""
    needed = problem.noise**2 * (1 / problem.curvatures()).sum() / gradient_noise(problem)
    return needed.item() + problem.dim + 1


def _with(problem: NewtonNoise, batch: int, condition: float = 100.0) -> NewtonNoise:
    """Fifty parameters and so many examples, as in the claims."""
    return replace(problem, dim=50, parameters_per_example=50 / batch, condition=condition)


def _measured(problem: NewtonNoise, count: int) -> tuple[float, float]:
    """Noise to signal of gradients and Newton steps, over random δ."""
    data, generator = problem.example(), torch.Generator().manual_seed(1)
    away = torch.randn(count, problem.dim, generator=generator)
    return problem.noise_to_signal(data, away / away.norm(dim=-1, keepdim=True), generator)


@claim(NewtonNoise,
    "The noise of a gradient over the predicted one, of 100 examples for 50 parameters",
    stated=1.0, within=about(1.0, rel=0.03), source="derived here: Isserlis' theorem",
)  # fmt: skip
def noise_of_a_gradient(problem: NewtonNoise) -> float:
    """It is predicted to be 1.166 times the gradient, squared."""
    problem = _with(problem, 100)
    return _measured(problem, 2000)[0] / gradient_noise(problem)


@claim(NewtonNoise,
    "The noise of a Newton step from 100 examples for 50 parameters, over the step: mean squares",
    stated=22.54, within=about(22.54, rel=0.03),
    source="the mean of an inverse Wishart matrix, von Rosen 1988",
)  # fmt: skip
def noise_of_a_newton_step(problem: NewtonNoise) -> float:
    return _measured(_with(problem, 100), 3000)[1]


@claim(NewtonNoise,
    "The same for a minibatch of 10,000", stated=0.1110, within=about(0.1110, rel=0.03),
    source="the mean of an inverse Wishart matrix, von Rosen 1988",
)  # fmt: skip
def noise_of_a_newton_step_from_many(problem: NewtonNoise) -> float:
    return _measured(_with(problem, 10_000), 2000)[1]


@claim(NewtonNoise,
    "The noise of a Newton step from 999 examples over that of a gradient from 100, at condition "
    "100 and 50 parameters",
    stated=1.0, within=about(1.0, rel=0.03), source="derived here from the two formulas",
)  # fmt: skip
def ten_times_the_examples_at_condition_100(problem: NewtonNoise) -> float:
    return _measured(_with(problem, 999), 3000)[1] / gradient_noise(_with(problem, 100))


@claim(NewtonNoise,
    "The noise of a Newton step from 7052 examples over that of a gradient from 100, at condition "
    "1000 and 50 parameters",
    stated=1.0, within=about(1.0, rel=0.03), source="derived here from the two formulas",
)  # fmt: skip
def seventy_times_the_examples_at_condition_1000(problem: NewtonNoise) -> float:
    return _measured(_with(problem, 7052, 1e3), 3000)[1] / gradient_noise(_with(problem, 100, 1e3))


@claim(NewtonNoise,
    "The condition at which a Newton step takes 10,000 examples to be as little noisy as a "
    "gradient from 100, at 50 parameters",
    stated=1480.0, within=about(1480.0, rel=0.01),
    source="Goodfellow, Bengio & Courville 2016, section 8.1.3: 100 against 10,000",
)  # fmt: skip
def condition_of_the_textbook(problem: NewtonNoise) -> float:
    low, high = 1.0, 1e6
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        enough = equal_batch(_with(problem, 100, middle)) < 10_000
        low, high = (middle, high) if enough else (low, middle)
    return low


@claim(NewtonNoise,
    "What a whole Newton step leaves of the loss over the predicted ½ noise² d/(B − d − 1), "
    "wherever it starts",
    stated=1.0, within=about(1.0, rel=0.03), source="derived here; tr S S⁻¹ = d",
)  # fmt: skip
def loss_after_a_newton_step(problem: NewtonNoise) -> float:
    data, generator = problem.example(), torch.Generator().manual_seed(2)
    draw = problem.minibatches(data, 10_000, generator)
    x = data["start"].expand(10_000, -1)
    gradient = problem.sampled_value_and_gradient(x, data, draw)[1]
    x = x - torch.linalg.solve(draw["hessian"], gradient)
    spare = problem.batch - problem.dim - 1
    return problem.loss(x, data).mean().item() / (0.5 * problem.noise**2 * problem.dim / spare)


@claim(NewtonNoise,
    "How much rarer ten times as large a squared error of a Newton step is at B = d + 1: the mean "
    "is infinite where it is at most ten times as rare",
    stated=0.1, within=about(0.1, rel=0.1),
    source="derived here: the smallest eigenvalue of a Wishart matrix",
)  # fmt: skip
def infinite_mean(problem: NewtonNoise) -> float:
    """With one parameter and two examples the squared error is z²/χ² with 2 degrees of freedom:
    P(error² > t) = 1 − (1 + 1/t)^-½, near 1/2t. Of a million, 500 are above 1000."""
    few = replace(problem, dim=1, parameters_per_example=0.5, condition=1.0, noise=1.0)
    data, generator = few.example(), torch.Generator().manual_seed(3)
    draw = few.minibatches(data, 1_000_000, generator)
    square = (draw["noise"] / draw["hessian"][..., 0]).square()
    return ((square > 1000).sum() / (square > 100).sum()).item()


def portrait(problem: NewtonNoise) -> Curves:
    batches = torch.logspace(math.log10(60), 4, 30).round()
    some = torch.tensor([60.0, 100.0, 1e3, 1e4])
    predicted = [_with(problem, int(batch), problem.condition) for batch in batches.tolist()]
    measured = [
        _measured(_with(problem, int(batch), problem.condition), 1000) for batch in some.tolist()
    ]
    return Curves(
        caption="A Newton step is noisier than a gradient from as many examples, and its noise has no bound where "
        "they are hardly more than the 50 parameters.",
        x_label="examples in the minibatch",
        y_label="noise over signal, mean squares",
        lines={
            "gradient": (batches, torch.tensor([gradient_noise(each) for each in predicted])),
            "Newton step": (batches, torch.tensor([step_noise(each) for each in predicted])),
        },
        dots={
            "gradient": (some, torch.tensor([each[0] for each in measured])),
            "Newton step": (some, torch.tensor([each[1] for each in measured])),
        },
        x_scale="log",
        y_scale="log",
    )
