"""Add two marked numbers of a long sequence: a recurrent network must keep the first until the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.long_term_dependencies.recurrent_network import RecurrentNetwork
from problems.portrait import Curves
from problems.problem import Card, Cell, Tree
from problems.registry import register
from ravine import require


@register("adding")
@dataclass(frozen=True)
class Adding(RecurrentNetwork):
    """Sequences of random numbers of which two are marked: a tanh network answers with their sum.

    f(x) = mean (y_T − v_i − v_j)², y_T = h_T V + c, h_t = tanh(h_{t−1} W + u_t U + b); u_t is the pair of
    a number v_t, uniform in [0, 1], and of a mark: 1 at i, in the first half, and at j, in the second.

    Whoever always answers 1 has a loss of 1/6, and the start does: V = 0 and c = 1. To do better the
    network must keep v_i for up to T steps, and what the loss says of it must come back as many: each
    step multiplies that by W and by slopes of tanh, so that it vanishes exponentially in T. Solved is
    a tenth of the start's loss. Each step sees 32 new sequences; the loss is that of 64 others.

    length: T.
    hidden: states of the network.
    radius: the start's W is this times a random rotation.

    Hochreiter & Schmidhuber 1997, section 5.4, with the marks of Le, Jaitly & Hinton 2015,
    arXiv:1504.00941, who give 0.1767 for the answer 1; it is 1/6. Deep Learning, section 8.2.5.
    """

    length: int = 10
    hidden: int = 40
    radius: float = 0.9

    inputs = 2
    outputs = 1
    first_answer = 1.0

    card = Card(
        dial="length",
        scale="log",
        ladder=(10, 50, 500),
        standard={"ladder": (10, 20, 40)},
        target=0.1,
        budget=500,
        reference=("adam", {"lr": 0.01}),
        control={"length": 2},
        removes={"vanishing_gradient": {"length": 2}},
        signature="least factor by which a gradient vanishes on its way from the last step to the first",
        threshold=3.0,
        truth="The infimum is 0: a few states with small weights, and one large bias, add the marked "
        "numbers as exactly as is wanted. It is not attained, for tanh is not linear anywhere. The "
        "best answer without memory is 1, with a loss of 1/6.",
        source="Hochreiter & Schmidhuber 1997, section 5.4; Le, Jaitly & Hinton 2015",
        exceptions={
            "reference": "at length 50 and beyond no method gets below the answer 1 within 500 steps"
        },
        cell=Cell(trials=5, tuning_seeds=2, seeds=3, dtype="float32"),
    )

    def __post_init__(self) -> None:
        require("adding", "length", self.length, low=2, whole=True)
        require("adding", "hidden", self.hidden, low=3, whole=True)
        require("adding", "radius", self.radius, low=0, open_low=True, high=10)

    def examples(self, count: int, generator: torch.Generator) -> Tree:
        half = self.length // 2
        first = torch.randint(0, half, (count,), generator=generator)
        second = torch.randint(half, self.length, (count,), generator=generator)
        values = torch.rand(self.length, count, generator=generator)
        return {"values": values, "marked": torch.stack([first, second])}

    def encoded(self, examples: Tree, dtype: torch.dtype) -> torch.Tensor:
        return torch.stack([examples["values"].to(dtype), self._marks(examples).to(dtype)], -1)

    def score(self, outputs: torch.Tensor, examples: Tree) -> torch.Tensor:
        sums = (examples["values"] * self._marks(examples)).sum(-2)
        return (outputs[..., 0, :, 0] - sums).square().mean(-1)

    def signature(self, data: Tree) -> float:
        return 1 / self.backward_gain(data)

    def planted(self, scale: float = 1e-3, bias: float = 20.0) -> torch.Tensor:
        """Weights that add, the better the smaller `scale` and the larger `bias`: (dim,).

        Two states are p = tanh(scale · v + bias (mark − 1)) and q = tanh(bias (mark − 1)): p − q is
        scale · v at a mark, up to (scale · v)³/3, and elsewhere next to nothing, both being at −1. A third
        one, s, adds up 1/100 of these, which is so small that its tanh does nothing.
        """
        recurrent, inward, offset, outward, answer = (torch.zeros(shape) for shape in self.shapes)
        recurrent[:3, 2] = torch.tensor([0.01, -0.01, 1.0])
        inward[:, :2] = torch.tensor([[scale, 0.0], [bias, bias]])
        offset[:2] = -bias
        outward[:3, 0] = torch.tensor([1.0, -1.0, 100.0]) / scale  # the last step is not yet in s
        return torch.cat([each.flatten() for each in (recurrent, inward, offset, outward, answer)])

    def _marks(self, examples: Tree) -> torch.Tensor:
        """Which steps are marked: (*runs, steps, count)."""
        marked = examples["marked"][..., None, :]
        steps = torch.arange(self.length, device=marked.device)[:, None]
        return (marked == steps).any(-3)

    # What is known.

    def _loss_of_planted(self) -> float:
        return self.loss(self.planted(), self.example()).item()

    @Claim(
        "the loss of the answer 1, over 20,000 sequences",
        stated="1/6",
        within=about(1 / 6, abs=3 * 0.197 / math.sqrt(20_000)),  # three standard errors
        source="the variance of a sum of two uniform numbers; Hochreiter & Schmidhuber 1997",
    )
    def baseline(self) -> float:
        examples = self.examples(20_000, torch.Generator().manual_seed(0))
        return self.score(torch.ones(1, 20_000, 1), examples).item()

    @Claim(
        "the loss of planted weights at T = 10",
        stated="towards 0, the infimum",
        within=(0, 1e-9),  # (scale²/3)², and what the sum's tanh takes away
        source="planted",
    )
    def planted_loss(self) -> float:
        return replace(self, length=10)._loss_of_planted()

    @Claim(
        "the loss of planted weights at T = 500",
        stated="towards 0, the infimum",
        within=(0, 1e-9),
        source="planted",
    )
    def planted_loss_at_500(self) -> float:
        return replace(self, length=500)._loss_of_planted()

    @Claim(
        "the loss of smaller planted weights over that of planted ones ten times as large",
        stated="1e-4: the error is of the order of the scale squared",
        within=(0, 1.1e-4),
        source="tanh z = z − z³/3 + …",
    )
    def planted_order(self) -> float:
        data = self.example()
        large, small = (self.loss(self.planted(scale=scale), data) for scale in (1e-1, 1e-2))
        return (small / large).item()

    @Claim(
        "ln of the gradient's way back, per step from T = 50 to 200",
        stated="at most ln 0.9 = −0.105",
        within=(-0.5, math.log(0.9)),
        source="each step multiplies by 0.9 times a rotation, and by slopes of tanh below 1",
    )
    def vanishing(self) -> float:
        short, long = (
            problem.backward_gain(problem.example())
            for problem in (replace(self, radius=0.9, length=length) for length in (50, 200))
        )
        return math.log(long / short) / 150

    def portrait(self) -> Curves:
        lengths = [2, 5, 10, 20, 50, 100]
        problems = [replace(self, length=length) for length in lengths]
        gains = [problem.backward_gain(problem.example()) for problem in problems]
        at = torch.tensor(lengths, dtype=torch.float64)
        return Curves(
            caption="What is left of a gradient on its way from the last step of a tanh network to the "
            f"first: each of the T − 1 steps takes a factor {self.radius:g} of its weights (line), and "
            "the slopes of tanh take more.",
            x_label="length T",
            y_label="norm of ∂h_T/∂h_1",
            lines={"weights alone": (at, self.radius ** (at - 1))},
            dots={"at the start": (at, torch.tensor(gains))},
            y_scale="log",
        )
