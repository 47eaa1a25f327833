"""Add two marked numbers of a long sequence: a recurrent network must keep the first until the end."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from problems.long_term_dependencies.recurrent_network import RecurrentNetwork
from problems.problem import Card, SampleSizes, Tree, dial
from problems.registry import register
from ravine import bounded


@register("adding")
@dataclass(frozen=True)
class Adding(RecurrentNetwork):
    """Sequences of random numbers of which two are marked: a tanh network answers with their sum.

    f(x) = mean (y_T − v_i − v_j)², y_T = h_T V + c, h_t = tanh(h_{t−1} W + u_t U + b); u_t is the pair of
    a number v_t, uniform in [0, 1], and of a mark: 1 at i, in the first half, and at j, in the second.

    Always answering 1 has a loss of 1/6, as at the start: V = 0 and c = 1. To do better the
    network must keep v_i for up to T steps, and what the loss says of it must come back as many: each
    step multiplies that by W and by slopes of tanh, so that it vanishes exponentially in T. Solved is
    a tenth of the start's loss. Each step sees 32 new sequences; the loss is that of 64 others.

    length: T.
    hidden: states of the network.
    radius: the start's W is this times a random rotation.

    Hochreiter & Schmidhuber 1997, section 5.4, with the marks of Le, Jaitly & Hinton 2015,
    arXiv:1504.00941, who give 0.1767 for the answer 1; it is 1/6. Deep Learning, section 8.2.5.
    """

    length: int = dial(10, low=2)
    hidden: int = bounded(40, low=3)
    radius: float = bounded(0.9, above=0, high=10)

    inputs = 2
    outputs = 1
    first_answer = 1.0

    card = Card(
        scale="log",
        ladder=(10, 50, 500),
        standard={"ladder": (10, 20, 40)},
        target=0.1,
        budget=500,
        reference=("adam", {"lr": 0.01}),
        control={"length": 2},
        removes={"vanishing_gradient": {"length": 2}},
        breaks=("adam", "vanishing_gradient"),
        signature="least factor by which a gradient vanishes on its way from the last step to the first",
        threshold=3.0,
        truth="The infimum is 0: a few states with small weights, and one large bias, add the marked "
        "numbers as exactly as is wanted. It is not attained, for tanh is not linear anywhere. The "
        "best answer without memory is 1, with a loss of 1/6.",
        source="Hochreiter & Schmidhuber 1997, section 5.4; Le, Jaitly & Hinton 2015",
        exceptions={
            "reference": "at length 50 and beyond no method gets below the answer 1 within 500 steps",
            "signature": "It follows gradients inside the network; the control has another length of input.",
        },
        cell=SampleSizes(trials=5, tuning_seeds=2, seeds=3, dtype="float32"),
    )

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

    def _marks(self, examples: Tree) -> torch.Tensor:
        """Return which steps are marked: (*runs, steps, count), bool."""
        marked = examples["marked"][..., None, :]
        steps = torch.arange(self.length, device=marked.device)[:, None]
        return (marked == steps).any(-3)
