"""The evidence for `failing_neuron`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.local_minima._certificates.one_neuron import count_critical_points
from problems.local_minima.failing_neuron import FailingNeuron, _inputs
from problems.local_minima.one_neuron import WANTED
from problems.portrait import Curves


def portrait(problem: FailingNeuron) -> Curves:
    repeats = torch.logspace(0, 6, 121)
    measured = torch.tensor([1.0, 10, 100, 300, 1000, 10_000, 100_000])
    ends = []
    for each in measured.tolist():
        variant = replace(problem, repeats=int(each))
        data = variant.example()
        ends.append(variant.settle(data["start"], data) @ data["examples"][2])
    return Curves(
        caption="Where there are more than 352 of each of the other examples, the neuron's input on the lonely one "
        "is negative at the minimum: its answer there is wrong.",
        x_label="copies of each of the other examples",
        y_label="input at the minimum",
        lines={
            "lonely example": (
                repeats,
                torch.tensor([_inputs(each)[2] for each in repeats.tolist()]),
            ),
            "border between right and wrong": (repeats, torch.zeros_like(repeats)),
        },
        dots={"lonely example": (measured, torch.stack(ends))},
        x_scale="log",
    )


@claim(
    FailingNeuron,
    "the input of the third example at the minimum, M = 1000: negative is wrong",
    stated=-0.677,
    within=about(-0.677, abs=5e-4),  # its last digit
    source="own data; the phenomenon is Brady, Raghavan & Slawny's (1989)",
)
def input_of_the_lonely_example(problem: FailingNeuron) -> float:
    return _settled(problem, 1000)[2].item()


@claim(
    FailingNeuron,
    "the same with M = 100: right",
    stated=0.460,
    within=about(0.460, abs=5e-4),  # its last digit
    source="own data",
)
def input_with_fewer_repeats(problem: FailingNeuron) -> float:
    return _settled(problem, 100)[2].item()


@claim(
    FailingNeuron,
    "half of the sum of the squared errors at the minimum, M = 1000",
    stated=1.15619,
    within=about(1.15619, abs=5e-6),  # its last digit
    source="own data",
)
def cost_of_the_minimum(problem: FailingNeuron) -> float:
    problem = replace(problem, repeats=1000)
    data = problem.example()
    end = problem.settle(data["start"], data)
    return (problem.loss(end, data) * 2001).item()


@claim(
    FailingNeuron,
    "M from which on the third example is wrong, by bisection over where descent ends",
    stated=351.77,
    within=(351, 352),  # the largest whole M at which it is right, and the next one
    source="derived: p₃ = 0 where 5 p₂ = 6 p₁, h(p₁) = −1.2 h(p₂) and M = 4/h(p₂)",
    slow=True,
)
def first_failing_repeats(problem: FailingNeuron) -> float:
    right, wrong = 100, 1000
    while wrong - right > 1:
        middle = (right + wrong) // 2
        if _settled(problem, middle)[2] > 0:
            right = middle
        else:
            wrong = middle
    return (right + wrong) / 2


@claim(
    FailingNeuron,
    "distance of the minimum with M = 1,000,000 from (atanh 0.8, 0), where the third example has "
    "no say, times M",
    stated=55.69,
    within=about(55.69, rel=1e-3),  # the next term is of the order of 55.69/M times a curvature
    source="derived, to first order in 1/M",
)
def distance_from_the_limit(problem: FailingNeuron) -> float:
    """Return the distance times M.

    At the limit h(p₃) is −1.6 · 0.36, and h' is 0.36²: p₂ moves by −5 h(p₃)/(0.36² M) = 22.22/M and p₁ by
    −1.2 times that, so w by (−26.67, 48.89)/M.
    """
    first, second, _ = _settled(problem, 10**6)
    goal = math.atanh(WANTED)
    return 1e6 * math.hypot(first.item() - goal, (second - first).item())


@claim(
    FailingNeuron,
    "critical points in all",
    stated=1,
    within=(1, 1),
    source="derived: the zeros of eight functions of one variable, as in `count_critical_points`",
)
def critical_points_in_all(problem: FailingNeuron) -> float:
    return count_critical_points(problem, problem.example())


@claim(
    FailingNeuron,
    "the farthest from the minimum that any of 300 random descents ends",
    stated=0,
    within=about(0, abs=1e-8),  # rounding, over a curvature of 0.02
    source="own computation",
)
def farthest_end(problem: FailingNeuron) -> float:
    data = problem.example()
    starts = 3 * torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    return problem.distance(problem.settle(starts, data), data).max().item()  # type: ignore[union-attr]


@claim(
    FailingNeuron,
    "examples that are wrong after descent where the targets are the asymptotes",
    stated=0,
    within=(0, 0),
    source="Sontag & Sussmann 1991; Gori & Tesi 1992",
)
def wrong_with_asymptotic_targets(problem: FailingNeuron) -> float:
    problem = replace(problem, asymptotic=True)
    return problem.signature(problem.example())


def _settled(problem: FailingNeuron, repeats: int) -> torch.Tensor:
    """Return the inputs of the three kinds of examples where descent ends: (3,)."""
    problem = replace(problem, repeats=repeats)
    data = problem.example()
    return data["examples"] @ problem.settle(data["start"], data)
