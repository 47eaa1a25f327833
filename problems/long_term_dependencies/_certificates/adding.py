"""The evidence for `adding`: claims and portrait."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.long_term_dependencies._certificates.recurrent_network import backward_gains
from problems.long_term_dependencies.adding import Adding
from problems.portrait import Curves


def planted(problem: Adding, scale: float = 1e-3, bias: float = 20.0) -> torch.Tensor:
    """Weights that add, the better the smaller `scale` and the larger `bias`: (dim,).

    Two states are p = tanh(scale · v + bias (mark − 1)) and q = tanh(bias (mark − 1)): p − q is
    scale · v at a mark, up to (scale · v)³/3, and elsewhere next to nothing, both being at −1. A third
    one, s, adds up 1/100 of these, which is so small that its tanh does nothing.
    """
    recurrent, inward, offset, outward, answer = (torch.zeros(shape) for shape in problem.shapes)
    recurrent[:3, 2] = torch.tensor([0.01, -0.01, 1.0])
    inward[:, :2] = torch.tensor([[scale, 0.0], [bias, bias]])
    offset[:2] = -bias
    outward[:3, 0] = torch.tensor([1.0, -1.0, 100.0]) / scale  # the last step is not yet in s
    return torch.cat([each.flatten() for each in (recurrent, inward, offset, outward, answer)])


def _loss_of_planted(problem: Adding) -> float:
    return problem.loss(planted(problem), problem.example()).item()


@claim(
    Adding,
    "the loss of the answer 1, over 20,000 sequences",
    stated="1/6",
    within=about(1 / 6, abs=3 * 0.197 / math.sqrt(20_000)),  # three standard errors
    source="the variance of a sum of two uniform numbers; Hochreiter & Schmidhuber 1997",
)
def baseline(problem: Adding) -> float:
    examples = problem.examples(20_000, torch.Generator().manual_seed(0))
    return problem.score(torch.ones(1, 20_000, 1), examples).item()


@claim(
    Adding,
    "the loss of planted weights at T = 10",
    stated="towards 0, the infimum",
    within=(0, 1e-9),  # (scale²/3)², and what the sum's tanh takes away
    source="planted",
)
def planted_loss(problem: Adding) -> float:
    return _loss_of_planted(replace(problem, length=10))


@claim(
    Adding,
    "the loss of planted weights at T = 500",
    stated="towards 0, the infimum",
    within=(0, 1e-9),
    source="planted",
)
def planted_loss_at_500(problem: Adding) -> float:
    return _loss_of_planted(replace(problem, length=500))


@claim(
    Adding,
    "the loss of smaller planted weights over that of planted ones ten times as large",
    stated="1e-4: the error is of the order of the scale squared",
    within=(0, 1.1e-4),
    source="tanh z = z − z³/3 + …",
)
def planted_order(problem: Adding) -> float:
    data = problem.example()
    large, small = (problem.loss(planted(problem, scale=scale), data) for scale in (1e-1, 1e-2))
    return (small / large).item()


@claim(
    Adding,
    "ln of the gradient's way back, per step from T = 50 to 200",
    stated="at most ln 0.9 = −0.105",
    within=(-0.5, math.log(0.9)),
    source="each step multiplies by 0.9 times a rotation, and by slopes of tanh below 1",
)
def vanishing(problem: Adding) -> float:
    short, long = backward_gains(replace(problem, radius=0.9), (50, 200))
    return math.log(long / short) / 150


def portrait(problem: Adding) -> Curves:
    lengths = [2, 5, 10, 20, 50, 100]
    at = torch.tensor(lengths, dtype=torch.float64)
    return Curves(
        caption="What is left of a gradient on its way from the last step of a tanh network to the first: each of "
        f"the T − 1 steps takes a factor {problem.radius:g}, that of its weights, and the slopes of tanh take more.",
        x_label="length T",
        y_label="norm of ∂hₜ/∂h₁, t = T",
        lines={"weights alone, predicted": (at, problem.radius ** (at - 1))},
        dots={"with tanh, measured": (at, torch.tensor(backward_gains(problem, lengths)))},
        y_scale="log",
    )
