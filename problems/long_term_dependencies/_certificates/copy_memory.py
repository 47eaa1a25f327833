"""The evidence for `copy_memory`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.long_term_dependencies._certificates.recurrent_network import backward_gains
from problems.long_term_dependencies.copy_memory import BITS, KINDS, SYMBOLS, CopyMemory
from problems.portrait import Curves


def baseline(problem: CopyMemory) -> float:
    """The loss of the best answers without memory."""
    return SYMBOLS * math.log(KINDS) / (problem.delay + 2 * SYMBOLS)


def planted(problem: CopyMemory, certainty: float = 15.0) -> torch.Tensor:
    """A shift register that solves it, the better the larger `certainty`: (dim,).

    A symbol comes into slot 0 as three bits ±1, and moves a slot a step, from the last back to the
    first. The one that came at step k is in slot (t − k) mod 10 at step t, so at T + 10 + k in slot
    T mod 10, where V reads it. A logit is `certainty` times how alike its symbol's bits are to these:
    the right one is first by 2 · certainty.
    """
    recurrent, inward, offset, outward, answer = (torch.zeros(shape) for shape in problem.shapes)
    codes = 2.0 * ((torch.arange(KINDS)[:, None] >> torch.arange(BITS)) & 1) - 1
    inward[:, :BITS] = codes
    for slot in range(SYMBOLS):
        following = (slot + 1) % SYMBOLS
        for bit in range(BITS):
            recurrent[BITS * slot + bit, BITS * following + bit] = 1
    read = BITS * (problem.delay % SYMBOLS)
    outward[read : read + BITS] = certainty * codes.T
    return torch.cat([each.flatten() for each in (recurrent, inward, offset, outward, answer)])


@claim(
    CopyMemory,
    "the start's loss over 10 ln 8/(T + 20), what memoryless answers cost",
    stated=1.0,
    within=about(1.0, abs=1e-12),  # rounding: all logits are 0
    source="Arjovsky, Shah & Bengio 2016, section 4.1",
)
def start_over_baseline(problem: CopyMemory) -> float:
    data = problem.example()
    return problem.loss(data["start"], data).item() / baseline(problem)


def _loss_of_planted(problem: CopyMemory) -> float:
    return problem.loss(planted(problem), problem.example()).item()


@claim(
    CopyMemory,
    "the loss of the planted shift register at T = 10",
    stated="10/(T + 20) · 3 e^−30 = 9.4e-14, towards 0, the infimum",
    within=(0, 1e-13),
    source="planted; Hochreiter & Schmidhuber 1997 foresee such solutions",
)
def planted_loss(problem: CopyMemory) -> float:
    return _loss_of_planted(replace(problem, delay=10))


@claim(
    CopyMemory,
    "the loss of the planted shift register at T = 500",
    stated="10/(T + 20) · 3 e^−30 = 5.4e-15, towards 0, the infimum",
    within=(0, 1e-14),
    source="planted",
)
def planted_loss_at_500(problem: CopyMemory) -> float:
    return _loss_of_planted(replace(problem, delay=500))


@claim(
    CopyMemory,
    "the loss of the planted register over 3 e^(−2 certainty) · 10/(T + 20), at a certainty of 5",
    stated=1.0,
    within=about(1.0, abs=1e-3),  # symbols that differ in two bits add 3 e^−20
    source="three symbols differ from the right one in one bit",
)
def planted_order(problem: CopyMemory) -> float:
    loss = problem.loss(planted(problem, certainty=5.0), problem.example()).item()
    return loss / (3 * math.exp(-10) * SYMBOLS / (problem.delay + 2 * SYMBOLS))


@claim(
    CopyMemory,
    "ln of the gradient's way back, per step from T = 50 to 150",
    stated="ln 0.9 = −0.10536",
    within=about(math.log(0.9), rel=1e-9),  # rounding
    source="W = 0.9 Q, and the network is linear",
)
def vanishing(problem: CopyMemory) -> float:
    short, long = backward_gains(replace(problem, radius=0.9), (50, 150))
    return math.log(long / short) / 100


def portrait(problem: CopyMemory) -> Curves:
    delays = [1, 10, 20, 50, 100]
    at = torch.tensor(delays, dtype=torch.float64)
    return Curves(
        caption="What is left of a gradient on its way from the last step of a linear network to the first: a factor "
        f"{problem.radius:g} for each of the T + 19 steps.",
        x_label="delay T",
        y_label="norm of ∂hₜ/∂h₁, t = T + 20",
        lines={"": (at, problem.radius ** (at + 2 * SYMBOLS - 1))},
        dots={"": (at, torch.tensor(backward_gains(problem, delays)))},
        y_scale="log",
    )
