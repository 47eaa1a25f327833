"""The evidence for `ordering`: claims and portrait."""

from __future__ import annotations

import itertools
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.inexact_gradients.constant_rates import correlated_variance
from problems.inexact_gradients.ordering import RATE, Order, Ordering
from problems.inexact_gradients.sampled import descent_on_draws
from problems.portrait import Curves


def reshuffled_variance(lr: float, examples: int) -> float:
    """E e² at the end of an epoch, examples of variance 1 in another random order each time.

    With q = 1 − α an epoch adds Σ u_k z_k, u_k = α q^(N−1−k), to q^N e. In a random order z is
    exchangeable with Σ z = 0, so that the sum has variance (Σ u² − (Σ u)²/N) N/(N − 1).
    """
    u = lr * (1 - lr) ** torch.arange(examples - 1, -1, -1, dtype=torch.float64)
    spread = (u.square().sum() - u.sum() ** 2 / examples) * examples / (examples - 1)
    return (spread / (1 - (1 - lr) ** (2 * examples))).item()


def cyclic_variance(lr: float, examples: int) -> float:
    """The same in one random order for ever: (Σ u z)²/(1 − q^N)², on average over orders."""
    left = (1 - lr) ** examples
    return reshuffled_variance(lr, examples) * (1 + left) / (1 - left)


def _after_epochs(problem: Ordering, order: Order, epochs: int, dim: int) -> float:
    """The mean of (x − m)² at the ends of epochs, the first three passed, at the rate of the claims."""
    variant = replace(problem, dim=dim, order=order, correlation=0.0)
    data = {"means": torch.zeros(dim)}
    stream = variant.draws(data, torch.Generator().manual_seed(0))
    points, total = descent_on_draws(variant, data, data["means"], stream, RATE), 0.0
    epoch = problem.examples
    for x in itertools.islice(points, 4 * epoch, (3 + epochs) * epoch + 1, epoch):
        total += x.square().mean().item()
    return total / epochs


def _correlated_error(problem: Ordering, lr: float, correlation: float) -> float:
    """The measured over the predicted E e²."""
    problem = replace(problem, dim=4000, correlation=correlation)
    measured = problem.squared_error({"means": torch.zeros(4000)}, lr, 800, 200) / problem.dim
    return measured / correlated_variance(lr, correlation)


@claim(Ordering,
    "The variance at rest over the predicted one, at rate 0.1 and correlation 0.9",
    stated=1.0, within=about(1.0, rel=0.02), source="derived here: correlated_variance",
)  # fmt: skip
def variance_with_correlation(problem: Ordering) -> float:
    """It is 0.5014, 9.5 times that of independent examples. 4000 means over 40 memories of 20
    steps: known to 0.4 %."""
    return _correlated_error(problem, 0.1, 0.9)


@claim(Ordering,
    "The variance at rest over the predicted one, at rate 0.5 and correlation 0.5",
    stated=1.0, within=about(1.0, rel=0.02), source="derived here: correlated_variance",
)  # fmt: skip
def variance_with_weak_correlation(problem: Ordering) -> float:
    return _correlated_error(problem, 0.5, 0.5)


@claim(Ordering,
    "The variance at rest over the predicted one, at rate 0.1 and correlation −0.9",
    stated=1.0, within=about(1.0, rel=0.02), source="derived here: correlated_variance",
)  # fmt: skip
def variance_with_opposite_examples(problem: Ordering) -> float:
    """It is 0.00552, a tenth of that of independent examples."""
    return _correlated_error(problem, 0.1, -0.9)


@claim(Ordering,
    "The variance at rest with correlation 0.5 over that with independent examples, at rate 1.5: "
    "where steps overshoot, correlation helps",
    stated=0.6, within=about(0.6, rel=0.02), source="derived here: correlated_variance",
)  # fmt: skip
def correlation_helps_where_steps_overshoot(problem: Ordering) -> float:
    together = [
        _correlated_error(problem, 1.5, rho) * correlated_variance(1.5, rho) for rho in (0.5, 0.0)
    ]
    return together[0] / together[1]


@claim(Ordering,
    "The variance at the ends of epochs over that with independent examples, 100 sorted ones at "
    "rate 0.05",
    stated=47.17, within=about(47.17, rel=1e-3),
    source="Goodfellow, Bengio & Courville 2016, section 8.1.3, with the number derived here",
)  # fmt: skip
def sorted_examples(problem: Ordering) -> float:
    """(Σ u z)²/(1 − q^N)² for the normal quantiles in ascending order: nothing is random. (A
    Gaussian sample of variance 1 in their place gives 46.6 ± 2.9.)"""
    return _after_epochs(problem, "sorted", 1, 2) / correlated_variance(RATE, 0.0)


@claim(Ordering,
    "The variance at the ends of epochs over that with independent examples, 100 reshuffled ones "
    "at rate 0.05",
    stated=0.6208, within=about(0.6208, rel=0.03), source="derived here: reshuffled_variance",
)  # fmt: skip
def reshuffled_examples(problem: Ordering) -> float:
    """Of 500 means over 20 epochs it is known to 1.4 %."""
    return _after_epochs(problem, "reshuffled", 20, 500) / correlated_variance(RATE, 0.0)


@claim(Ordering,
    "The variance at the ends of epochs in a fixed random order over that with reshuffling",
    stated=1.0119, within=about(1.0119, rel=0.05), source="derived here: cyclic_variance",
)  # fmt: skip
def cyclic_examples(problem: Ordering) -> float:
    """Of 8000 orders the variance is known to 1.6 %."""
    return _after_epochs(problem, "cyclic", 1, 8000) / reshuffled_variance(RATE, problem.examples)


def portrait(problem: Ordering) -> Curves:
    correlations = 1 - torch.logspace(0, -3, 40)
    some = (0.0, 0.5, 0.9, 0.98)
    alone = correlated_variance(RATE, 0.0)
    measured = [
        _correlated_error(problem, RATE, rho) * correlated_variance(RATE, rho) for rho in some
    ]
    predicted = [correlated_variance(RATE, rho) / alone for rho in correlations.tolist()]
    return Curves(
        caption="The more alike successive examples are, the farther from the mean gradient descent rests, up to the "
        "distance of a single example.",
        x_label="examples that are alike, 1/(1 − ρ)",
        y_label="gap over that with independent examples",
        lines={"": (1 / (1 - correlations), torch.tensor(predicted))},
        dots={"": (1 / (1 - torch.tensor(some)), torch.tensor(measured) / alone)},
        x_scale="log",
        y_scale="log",
    )
