"""The removals: what each takes away from a contender's runs, and where it can matter."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas
import torch

from benchmarks.engine.contender import Removal
from benchmarks.engine.instances import Instances
from benchmarks.engine.measurements import SPECTRUM_UP_TO
from benchmarks.explain import steps
from benchmarks.explain.curvature import (
    constant,
    distance_to_solutions,
    modes,
    nearest_minimizer,
)
from benchmarks.explain.views import Absolute, Exact, Noiseless
from optimizers import Optimizer
from optimizers.clip import AdaptiveClip, Clip
from optimizers.wrapper import Wrapper
from problems import Problem, Tree
from problems.modifiers import Noise, Noisy, ProblemModifier
from problems.modifiers.noises import Biased

UNEVEN = 5.0  # largest over least curvature above which a Hessian is worth conditioning
ROUNDING = 1e-6  # of measured curvatures, relative: they are in single precision
STIFFENED = 2.0  # growth of the largest curvature above which steps are worth holding


class Cause(Removal):
    """The removal of a cause of failure. Subclasses are frozen dataclasses.

    Attributes:
        name: What is done, in words.
        cause: What it takes away, of `CAUSES` or `MEASURED`.
        beyond: The name of a removal that takes away part of the same; the gain counts only beyond that one's.
    """

    name = ""
    cause = ""
    beyond = ""


@dataclass(frozen=True)
class Nothing(Removal):
    """A removal of nothing: its runs are those of the optimizer itself, but leave no traces, which saves time."""

    name = "nothing"


@dataclass(frozen=True)
class ExactLoss(Cause):
    """The loss of each draw is the exact one; what the problem makes of the gradient of a draw stays."""

    name = "exact loss"
    cause = "noise"

    def problem(self, problem: Problem) -> Problem:
        return Noiseless(problem)


@dataclass(frozen=True)
class ExactGradient(Cause):
    """Loss and gradients are the exact ones."""

    name = "exact gradients"
    cause = "wrong_direction"
    beyond = ExactLoss.name

    def problem(self, problem: Problem) -> Problem:
        return Exact(problem)


@dataclass(frozen=True)
class Clipped(Cause):
    """Gradients are clipped to the median of their last 100 norms."""

    name = "gradients clipped"
    cause = "cliff"

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        return AdaptiveClip(optimizer, quantile=0.5)


@dataclass(frozen=True)
class Leashed(Cause):
    """No step is longer than about a quarter of the way from the start to the solutions."""

    name = "long steps shortened"
    cause = "cliff"

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        away = distance_to_solutions(instances.problem, instances.data)
        assert away is not None
        return steps.Leashed(optimizer, steps.LEASH * away.unsqueeze(-1))


@dataclass(frozen=True)
class Limited(Cause):
    """No gradient is longer than at the start."""

    name = "gradients as at the start"
    cause = "cliff"

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        problem, data = instances.problem, instances.data
        norm = problem.value_and_gradient(data["start"], data)[1].norm(dim=-1, keepdim=True)
        return Clip(optimizer).batched({"threshold": norm})


@dataclass(frozen=True)
class Held(Cause):
    """Steps shrink as the largest curvature grows above that of the start."""

    name = "steps held against curvature"
    cause = "sharpening"

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        return steps.Held(optimizer, *_with_curvature(instances))


@dataclass(frozen=True)
class Conditioned(Cause):
    """Gradients are scaled so that all upward curvatures are as large as the largest."""

    name = "curvatures made alike"
    cause = "ill_conditioning"

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        return steps.Conditioned(optimizer, *_with_curvature(instances))

    def gradient(self, gradient: torch.Tensor, instances: Instances) -> torch.Tensor:
        problem, data, constant = _with_curvature(instances)
        return steps.conditioning(modes(problem, data["start"], data), constant)(gradient)


@dataclass(frozen=True)
class Kick(Cause):
    """Points near a saddle are moved off its ridge."""

    name = "kicked off saddles"
    cause = "saddle"

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        away = distance_to_solutions(instances.problem, instances.data)
        if away is None:
            away = instances.data["start"].norm(dim=-1)
        longest = steps.KICK * away.unsqueeze(-1)
        return steps.Kicked(optimizer, *_with_curvature(instances), longest)


@dataclass(frozen=True)
class Signs(Cause):
    """The method sees |λ| for each negative curvature λ."""

    name = "curvatures made positive"
    cause = "negative_curvature"

    def problem(self, problem: Problem) -> Problem:
        return Absolute(problem)


@dataclass(frozen=True)
class Raised(Cause):
    """No gradient is shorter than the mean slope to the solutions, or to one that the problem states."""

    name = "small gradients raised"
    cause = "plateau"

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        return steps.Shown(optimizer, _raised(instances))

    def gradient(self, gradient: torch.Tensor, instances: Instances) -> torch.Tensor:
        return _raised(instances)(instances.data["start"], gradient)(gradient)


@dataclass(frozen=True)
class Fields(Cause):
    """The problem has other fields, with which it lacks the cause: of its card's `removes`."""

    fields: Mapping[str, Any]
    cause: str

    @property
    def name(self) -> str:  # type: ignore[override]
        return ", ".join(f"{name}={value}" for name, value in self.fields.items())

    def problem(self, problem: Problem) -> Problem:
        if isinstance(problem, ProblemModifier):
            return dataclasses.replace(problem, inner=self.problem(problem.inner))
        return dataclasses.replace(problem, **self.fields)  # type: ignore[type-var]


@dataclass(frozen=True)
class Both(Cause):
    """Two removals at once."""

    first: Cause
    second: Cause

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"{self.first.name} and {self.second.name}"

    @property
    def cause(self) -> str:  # type: ignore[override]
        return f"{self.first.cause}+{self.second.cause}"

    def problem(self, problem: Problem) -> Problem:
        return self.second.problem(self.first.problem(problem))

    def optimizer(self, optimizer: Optimizer, instances: Instances) -> Optimizer:
        return self.second.optimizer(self.first.optimizer(optimizer, instances), instances)

    def gradient(self, gradient: torch.Tensor, instances: Instances) -> torch.Tensor:
        return self.second.gradient(self.first.gradient(gradient, instances), instances)


@dataclass(frozen=True)
class Met:
    """What the runs of a cell met, as far as it was measured on their way.

    negative: The Hessian had a negative curvature.
    uneven: Its largest curvature was `UNEVEN` times the least, or that is unknown.
    stiffened: Its largest curvature grew `STIFFENED` times.
    curvature_used: The method asked for curvature.
    """

    negative: bool = True
    uneven: bool = True
    stiffened: bool = True
    curvature_used: bool = True


def met_by(traces: Mapping[str, np.ndarray], runs: pandas.DataFrame) -> Met:
    """Return what the runs of a cell met; what was not measured is taken for granted.

    Args:
        traces: Its traces, by column.
        runs: Its runs.
    """
    used = bool((runs[["hvps", "hessians"]] > 0).any(axis=None))
    if "lambda_min" not in traces:
        return Met(curvature_used=used)
    frame = pandas.DataFrame({
        name: traces[name] for name in ("trial", "seed", "lambda_min", "lambda_max")
    }).dropna()  # fmt: skip
    least, largest = frame["lambda_min"], frame["lambda_max"]
    first = frame.groupby(["trial", "seed"])["lambda_max"].transform("first")
    size = np.maximum(least.abs(), largest.abs())
    return Met(
        negative=bool((least < -ROUNDING * size).any()),
        uneven=bool((largest > UNEVEN * least).any()),
        stiffened=bool((largest > STIFFENED * first).any() or (runs["status"] == "diverged").any()),
        curvature_used=used,
    )


def removals(problem: Problem, optimizer: Optimizer, met: Met) -> Iterator[tuple[Cause, str]]:
    """Yield the removals that can matter to an optimizer on a problem, each once, and why one cannot be asked.

    Those that diagonalize the Hessian are not asked above `SPECTRUM_UP_TO` dimensions.

    Args:
        problem: At the rung where the optimizer breaks.
        optimizer: The optimizer.
        met: What its runs met there.

    Yields:
        Each removal, and a reason in words; the reason is empty if the removal can be asked.
    """
    fields: dict[str, list[str]] = {}
    for cause, changed in problem.card.removes.items():
        fields.setdefault(repr(dict(changed)), []).append(cause)
    for causes in fields.values():
        yield Fields(problem.card.removes[causes[0]], "/".join(causes)), ""
    draws, distorts = _inexact(problem)
    if draws:
        yield ExactLoss(), ""
    if distorts:
        yield ExactGradient(), ""
    data = problem.example()
    away = problem.distance(data["start"], data)
    known = away is not None and bool(torch.isfinite(away))
    large = len(data["start"]) > SPECTRUM_UP_TO
    too_large = f"more than {SPECTRUM_UP_TO} dimensions" if large else ""
    clips = _clips(optimizer)
    negative = met.negative and not constant(problem)
    if not clips:
        yield Clipped(), ""
    if known:
        yield Leashed(), ""
    elif not clips:
        yield Limited(), ""
    if met.stiffened:
        yield Held(), too_large
    if met.uneven:
        yield Conditioned(), too_large
    if negative:
        yield Kick(), too_large
    if negative and met.curvature_used:
        yield Signs(), too_large
    if negative:
        stated = known or nearest_minimizer(problem, data) is not None
        yield Raised(), "" if stated else "no solution is known"


def _inexact(problem: Problem) -> tuple[bool, bool]:
    """Return whether the exact loss differs from what optimizers see, and whether exact gradients differ from its own.

    Noise that is added to the loss leaves nothing else to remove, unless it is the same in each step: then the
    gradients are wrong, and an exact loss would be the same removal.
    """
    noises = []
    while isinstance(problem, ProblemModifier):
        if isinstance(problem, Noisy):
            noises.append(problem.noise)
        problem = problem.inner
    kinds = {type(each) for each in noises}
    adds = {each for each in kinds if each.errors is not Noise.errors}
    draws = problem.noisy or bool(adds - {Biased})
    distorts = any(each.seen is not Noise.seen for each in kinds)
    return draws, distorts or Biased in kinds or problem.has_own("seen")


def _clips(optimizer: Optimizer) -> bool:
    """True if a wrapper clips gradients, or the method itself does: it then has a hyperparameter `threshold`."""
    while isinstance(optimizer, Wrapper):
        if isinstance(optimizer, (Clip, AdaptiveClip)):
            return True
        optimizer = optimizer.inner
    return "threshold" in optimizer.hyperparameters


def _raised(instances: Instances) -> Callable[[torch.Tensor, torch.Tensor], steps.Multiplied]:
    away = distance_to_solutions(instances.problem, instances.data)
    if away is None:
        nearest = [nearest_minimizer(instances.problem, tree) for tree in instances.trees]
        away = instances.data["start"].new_tensor(nearest).unsqueeze(-1)
    return steps.raised(instances.problem, instances.data, away)


def _with_curvature(instances: Instances) -> tuple[Problem, Tree, bool]:
    """Return the problem, its instances, and True if its Hessian is constant."""
    problem, data = instances.problem, instances.data
    return problem, data, constant(problem)


def control(problem: Problem) -> Problem:
    """Return the problem without its pathology, and without the noise that a modifier adds."""
    without = problem.control()
    if isinstance(without, ProblemModifier):
        return dataclasses.replace(without, inner=control(without.inner))
    return without
