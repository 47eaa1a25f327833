"""The evidence for `sign_compression`: claims and portrait."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import torch

from problems.claims import about, claim
from problems.inexact_gradients.sampled import descent_on_draws
from problems.inexact_gradients.sign_compression import SignCompression
from problems.portrait import Curves

RATE = 0.03  # below the edge of stability, near 2/dim


def _points(
    problem: SignCompression, lr: torch.Tensor, steps: int, momentum: float = 0.0
) -> Iterator[torch.Tensor]:
    """Heavy ball on what is seen, from the example's start, at each of the rates (runs,)."""
    data = problem.example()
    draws = islice(problem.draws(data, torch.Generator().manual_seed(0)), steps)
    x = data["start"].expand(len(lr), -1)
    return descent_on_draws(problem, data, x, draws, lr[:, None], momentum)


def _gap_left(problem: SignCompression, lr: float) -> float:
    """The gap after 2000 steps."""
    *_, end = _points(problem, torch.tensor([lr]), 2000)
    data = problem.example()
    return (problem.loss(end, data) / problem.loss(data["start"], data)).item()


@claim(SignCompression,
    "How far steps of one bit ever lead off the line start + R s, over how far along it, at any of "
    "20 rates with momentum 0.9",
    stated=0.0, within=(0.0, 1e-9),
    source="Karimireddy et al. 2019, section 3: the theorem after the counterexamples",
)  # fmt: skip
def stays_on_a_line(problem: SignCompression) -> float:
    data = problem.example()
    unit, off, along = data["signs"] / math.sqrt(problem.dim), 0.0, 0.0
    for x in _points(problem, torch.logspace(-4, -2, 20), 1000, momentum=0.9):
        moved = x - data["start"]
        part = moved @ unit
        off = max(off, (moved - part[:, None] * unit).norm(dim=-1).max().item())
        along = max(along, part.abs().max().item())
    return off / along


@claim(SignCompression,
    "The least loss that steps of one bit ever reach, at the best of 20 rates, over the least on the line",
    stated=1.0, within=(1 - 1e-9, 1.01), source="derived here: a parabola along s",
)  # fmt: skip
def reaches_the_best_on_the_line(problem: SignCompression) -> float:
    """A small rate passes close by the best point, and none below."""
    data = problem.example()
    points = _points(problem, torch.logspace(-4, -2, 20), 1000)
    least = min(problem.loss(x, data).min() for x in points).item()
    return least / problem.best_on_the_line(data).item()


@claim(SignCompression,
    "The gap that 2000 steps of one bit leave, without error feedback",
    stated="most of it", within=(0.5, math.inf), source="Karimireddy et al. 2019, section 3",
)  # fmt: skip
def one_bit_fails(problem: SignCompression) -> float:
    return _gap_left(problem, 1e-3)


@claim(SignCompression,
    "The gap that 2000 steps of one bit leave, with error feedback",
    stated="none", within=(0.0, 1e-6), source="Karimireddy et al. 2019, algorithm 2",
)  # fmt: skip
def error_feedback_cures(problem: SignCompression) -> float:
    """p ← lr g + e, x ← x − C(p), e ← p − C(p), with C(p) = |p|₁/dim · sign p: the same examples."""
    data = problem.example()
    x, lost = data["start"], torch.zeros(problem.dim)
    stream = problem.draws(data, torch.Generator().manual_seed(0))
    for _ in range(2000):
        wanted = 0.02 * problem.sampled_value_and_gradient(x, data, next(stream))[1] + lost
        sent = wanted.abs().mean() * wanted.sign()
        x, lost = x - sent, wanted - sent
    return (problem.loss(x, data) / problem.loss(data["start"], data)).item()


@claim(SignCompression,
    "The gap that 2000 steps of two bits leave",
    stated="none", within=(0.0, 1e-6), source="measured here",
)  # fmt: skip
def two_bits_suffice(problem: SignCompression) -> float:
    return _gap_left(replace(problem, bits=2), RATE)


@claim(SignCompression,
    "The mean step of sign descent in units of its rate, on x/4 with gradients 4 (one in four) and "
    "−1: uphill",
    stated=0.5, within=about(0.5, abs=0.005), source="Karimireddy et al. 2019, counterexample 1",
    formula=True,
)  # fmt: skip
def climbs_on_average(problem: SignCompression) -> float:
    """¾ − ¼, over a million draws. The mean gradient is ¼, so f climbs by rate/8 a step."""
    large = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0)) < 0.25
    gradient = torch.where(large, 4.0, -1.0)
    return -gradient.sign().mean().item()


@claim(SignCompression,
    "The least loss that sign descent reaches on ε|x₁ + x₂| + |x₁ − x₂| from (1, 1), over that at the "
    "start",
    stated=1.0, within=about(1.0, abs=1e-9), source="Karimireddy et al. 2019, counterexample 2",
    formula=True,
)  # fmt: skip
def stuck_on_a_kink(problem: SignCompression) -> float:
    """A subgradient is ±ε(1, 1) ± (1, −1) with ε = ½, whose signs are ±(1, −1)."""
    x, least = torch.ones(2), math.inf
    for step in range(1000):
        total, difference = x.sum(), x[0] - x[1]
        least = min(least, (0.5 * total.abs() + difference.abs()).item())
        across = torch.tensor([1.0, -1.0]) * (1.0 if difference >= 0 else -1.0)
        x = x - 0.1 / math.sqrt(step + 1) * (0.5 * total.sign() + across).sign()
    return least / 1.0


@claim(SignCompression,
    "The least loss that sign descent on one of two squares at a time reaches, over that at the start",
    stated=1.0, within=about(1.0, abs=1e-9), source="Karimireddy et al. 2019, counterexample 3",
    formula=True,
)  # fmt: skip
def stuck_on_least_squares(problem: SignCompression) -> float:
    """(a₁·x)² + (a₂·x)² with a = ±(1, −1) + ε(1, 1), ε = ½, from (1, 1): on x₁ + x₂ = 2 it is at
    least 8ε². The scaled sign |g|₁/2 · sign g, at rates from 0.001 to 0.1."""
    rows = torch.tensor([[1.5, -0.5], [-0.5, 1.5]])
    x, least = torch.ones(20, 2), math.inf
    lr = torch.logspace(-3, -1, 20)[:, None]
    generator = torch.Generator().manual_seed(0)
    for which in torch.randint(2, (1000,), generator=generator).tolist():
        least = min(least, (x @ rows.T).square().sum(-1).min().item())
        gradient = 2 * (x @ rows[which])[:, None] * rows[which]
        x = x - lr * gradient.abs().mean(-1, keepdim=True) * gradient.sign()
    return least / 2.0


def portrait(problem: SignCompression) -> Curves:
    data = problem.example()
    start, steps = problem.loss(data["start"], data), torch.arange(0, 1001, 50)
    dots = {}
    for bits in (1, 2, 3):
        lr = torch.tensor([0.002 if bits == 1 else RATE])
        points = _points(replace(problem, bits=bits), lr, 1000)
        gaps = torch.stack([problem.loss(x, data)[0] for x in points]) / start
        dots["one bit" if bits == 1 else f"{bits} bits"] = (steps, gaps[steps])
    level = (problem.best_on_the_line(data) / start).expand(2)
    return Curves(
        caption="With one bit gradient descent stays above the best point of its line, a bound; two bits are enough.",
        x_label="step",
        y_label="gap",
        lines={"bound for one bit": (steps[[0, -1]], level)},
        dots=dots,
        y_scale="log",
    )
