"""Measure what a task, or a problem at a rung, is like before any optimizer is compared: its signature.

Gradient descent takes 64 steps at a tenth of the stable rate; the numbers are those at its last point, the medians over
three seeds. The same code measures tasks and rungs.

Features that most rungs cannot have are left out: the tail of the noise (37 of 44 problems have no noise), the ratio
of gradients along a chain, the likeness of blocks, the imbalance of classes. `density` stands in for the last two:
like them it says how unequal coordinates are.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterable, Iterator

import pandas
import torch

from benchmarks.catalog.suites import suites
from benchmarks.engine.instances import Instances
from benchmarks.engine.measurements import SPECTRUM_UP_TO, noise
from benchmarks.engine.search_space import measure_units
from benchmarks.study.task import TASKS, Task
from optimizers.lanczos import lanczos
from problems import PROBLEMS, Problem

FEATURES = ("condition", "negative", "growth", "noise", "density", "stability")
STEPS, SEEDS = 64, 3
SHARE = 0.1  # of the stable rate
CEILING = 10.0  # times the gap at the start: a step that leads higher is not taken
DRAWS = 64  # of the noise
EXAMPLES = 512  # of a task, at most, whose mean loss has the curvature
PRODUCTS, PROBES = 40, 2  # of Lanczos, where the Hessian is too large to be diagonalized
FLAT = 1e-6  # of the largest |λ|: curvatures below it are neither negative nor positive
MOST_CONDITION, MOST_CHANGE = 12.0, 6.0  # decades


def signature(problem: Problem) -> dict[str, float]:
    """Return the features of a task or of a problem at its rung.

    Args:
        problem: A task, or a problem at one value of its dial.

    Returns:
        By name, NaN for what cannot be had:

        - condition: log₁₀ of the largest |λ| over the median |λ|, at most 12;
        - negative: the share of negative curvatures;
        - growth: log₁₀ of |gᵀHg| at the end over that at the start, from −6 to 6;
        - noise: tr S / (tr S + |g|²), with S the covariance of the gradients that an optimizer sees; 0 without noise;
        - density: |g|₁² / (dim |g|₂²), 1 if all coordinates of the gradient are alike;
        - stability: log₁₀ of the share of the stability limit in use at the end, −1 if curvature did not change.
    """
    instances = Instances(problem, tuple(f"signature|{seed}" for seed in range(SEEDS)))
    data, start, exact = instances.data, instances.data["start"], _exact(problem)
    first, _ = _spectrum(exact, start, instances)
    # Where the start is flat, the first step goes no farther than the solutions are.
    most = measure_units(instances, slice(None))["length/gradient"]
    steepest = first.abs().amax(-1, keepdim=True)
    rate = torch.where(steepest > 0, 2 * SHARE / steepest, most).clamp(max=most)
    x = _walk(problem, instances, rate)

    values, weights = _spectrum(exact, x, instances)
    largest = values.abs().amax(-1)
    gradient = exact.value_and_gradient(x, data)[1]
    squared = gradient.square().sum(-1)
    features = {
        "condition": (largest / _median(values.abs(), weights)).log10().clamp(max=MOST_CONDITION),
        "negative": (weights * (values < -FLAT * largest.unsqueeze(-1))).sum(-1),
        "growth": _change(_bend(exact, x, instances) / _bend(exact, start, instances)),
        "noise": torch.zeros_like(squared),
        "density": gradient.abs().sum(-1).square() / (gradient.shape[-1] * squared),
        "stability": _change(rate.squeeze(-1) * values.amax(-1).clamp(min=0) / 2),
    }
    if problem.noisy:
        some = itertools.islice(instances.draws("signature"), DRAWS)
        draws = [draw for draw in some if draw is not None]
        variance = noise(problem, x, data, draws, gradient, None)["noise_sq"]
        features["noise"] = variance / (variance + squared)
    return {
        name: float(each[torch.isfinite(each)].median()) if torch.isfinite(each).any() else math.nan
        for name, each in features.items()
    }


def rungs() -> Iterator[tuple[str, float, Problem]]:
    """Yield name, dial and problem of each rung of the standard suite's ladders."""
    for name, given in suites()["standard"].problems.items():
        problem = PROBLEMS[name]
        fields = {field: value for field, value in given.items() if field != "ladder"}
        for dial in given.get("ladder", problem.card.ladder):
            rung = dataclasses.replace(problem, **fields).at_dial(dial)  # type: ignore[type-var]
            yield name, float(dial), rung


def unmeasured(
    tasks: Iterable[str], there: pandas.DataFrame
) -> Iterator[tuple[str, float, Problem]]:
    """Yield name, dial and problem of each task and rung without a signature; the dial of a task is NaN.

    Args:
        tasks: The names of the tasks.
        there: The signatures that exist: `name`, `dial` and features.
    """
    done = set() if there.empty else set(zip(there["name"], there["dial"].fillna(0.0), strict=True))
    every = [(name, math.nan, TASKS[name]) for name in tasks]
    for name, dial, problem in itertools.chain(every, rungs()):
        if (name, 0.0 if math.isnan(dial) else dial) not in done:
            yield name, dial, problem


def _exact(problem: Problem) -> Problem:
    """Return the problem whose `loss` has the curvature that is measured: of a task, that of many examples."""
    if not isinstance(problem, Task):
        return problem
    count = len(problem.parts()[0].inputs)
    return dataclasses.replace(problem, batch=min(EXAMPLES, count))  # type: ignore[type-var]


def _walk(problem: Problem, instances: Instances, rate: torch.Tensor) -> torch.Tensor:
    """Return the points (instances, 1, dim) to which gradient descent leads, or the last ones below the ceiling.

    From a flat start, such as a saddle, a rate that is stable there may lead to where it is not.
    """
    data, memory = instances.data, None
    x, floor = data["start"], problem.floor(data)
    ceiling = floor + CEILING * (problem.loss(x, data) - floor)
    for draw in itertools.islice(instances.draws(), STEPS):
        gradient = problem.sampled_value_and_gradient(x, data, draw)[1]
        if draw is not None:
            gradient, memory = problem.seen(gradient, data, draw, memory)
        moved = problem.project(x - rate * gradient, data)
        x = torch.where((problem.loss(moved, data) <= ceiling).unsqueeze(-1), moved, x)
    return x


def _spectrum(
    problem: Problem, x: torch.Tensor, instances: Instances
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return curvatures at x and their weights, each (instances, 1, count); the weights sum to 1.

    All of them where the Hessian can be diagonalized; else those of Lanczos from random vectors, each with its share of
    the vector: Golub & Meurant 1994; Ghorbani, Krishnan & Xiao 2019, arXiv:1901.10159. These are coarse around 0, where
    one value stands for many curvatures of both signs: at the start of `deep_tanh` 83 % are negative, and of the whole
    Hessian 45 %.
    """
    data, dim = instances.data, x.shape[-1]
    if dim <= SPECTRUM_UP_TO:
        values = torch.linalg.eigvalsh(problem.hessian(x, data))
        return values, torch.full_like(values, 1 / dim)
    normal = instances.normals()
    probes = torch.cat([normal() for _ in range(PROBES)], 1)
    points = x.expand_as(probes)
    going = torch.ones_like(probes[..., :1], dtype=torch.bool)
    _, matrix = lanczos(
        lambda vector, who: problem.hvp(points, data, vector), probes, PRODUCTS, going
    )
    values, axes = torch.linalg.eigh(matrix)
    weights = axes[..., 0, :].square() / PROBES
    return values.flatten(1).unsqueeze(1), weights.flatten(1).unsqueeze(1)


def _median(values: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return the weighted median along the last axis: the mean of both middle values if there are two."""
    ordered, order = values.sort(-1)
    below = weights.gather(-1, order).cumsum(-1)
    low, high = (
        (below < 0.5 + shift).sum(-1, keepdim=True).clamp(max=values.shape[-1] - 1)
        for shift in (-1e-9, 1e-9)
    )
    return (ordered.gather(-1, low) + ordered.gather(-1, high)).squeeze(-1) / 2


def _bend(problem: Problem, x: torch.Tensor, instances: Instances) -> torch.Tensor:
    """Return |gᵀHg| at x (instances, 1)."""
    gradient = problem.value_and_gradient(x, instances.data)[1]
    return (problem.hvp(x, instances.data, gradient) * gradient).sum(-1).abs()


def _change(ratio: torch.Tensor) -> torch.Tensor:
    """Return log₁₀ of a ratio, within six decades; NaN stays NaN."""
    return ratio.log10().clamp(-MOST_CHANGE, MOST_CHANGE)
