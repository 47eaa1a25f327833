"""Say ten symbols again after a long pause: a recurrent network must remember them all that time."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.long_term_dependencies.recurrent_network import RecurrentNetwork
from problems.problem import Card, SampleSizes, Tree, dial
from problems.registry import register
from ravine import Refused, bounded

SYMBOLS = 10
KINDS = 8
BITS = 3  # of a symbol


@register("copy_memory")
@dataclass(frozen=True)
class CopyMemory(RecurrentNetwork):
    """Ten symbols, a pause of T steps, and the ten again, by a linear recurrent network.

    f(x) = 1/(T + 20) Σₖ mean −ln softmax(h V + c)[sₖ] at step T + 10 + k, h_t = h_{t−1} W + u_t U + b;
    u_k shows sₖ, one of eight symbols, for k = 1 … 10, and then nothing.

    Without memory the loss is 10 ln 8/(T + 20), as at the start: V = 0, c = 0. Blank answers
    during the pause count as right, which a constant would make them. The start's W is `radius` times a
    rotation: what came in at step k leaves step T + 10 + k multiplied by radius^(T + 10), and gradients
    come back as small. With radius 1 nothing fades, the symbols can be read off the first states, and
    W may stay what it is: that is the control. Solved is a tenth of the start's loss. Each step sees 16
    new sequences; the loss is that of 32 others.

    delay: T.
    hidden: states of the network, at least 30: ten symbols of three bits.
    radius: the start's W is this times a random rotation.

    Hochreiter & Schmidhuber 1997; as a copying task Arjovsky, Shah & Bengio 2016, arXiv:1511.06464, with a
    sign for the end of the pause, which a network for one T does without. Deep Learning, section 8.2.5.
    """

    delay: int = dial(10, low=1)
    hidden: int = bounded(32, low=SYMBOLS * BITS)
    radius: float = bounded(0.9, above=0, high=10)

    linear = True
    batch, probe = 16, 32
    inputs = KINDS
    outputs = KINDS
    answers = SYMBOLS

    card = Card(
        scale="log",
        ladder=(10, 50, 500),
        standard={"ladder": (5, 10, 20)},
        target=0.1,
        budget=300,
        reference=("adam", {"lr": 0.005}),
        control={"radius": 1.0},
        removes={"vanishing_gradient": {"radius": 1.0}},
        breaks=("adam", "vanishing_gradient"),
        signature="factor by which a gradient vanishes on its way from the last step to the first",
        threshold=10.0,
        truth="The infimum is 0, not attained: a shift register of ten symbols of three bits, which goes "
        "round in ten steps, shows the k-th one at step T + 10 + k, and the larger V the surer the answer. "
        "Without memory the least is 10 ln 8/(T + 20).",
        source="Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016, section 4.1",
        exceptions={
            "reference": "at delay 500 gradients vanish by 1e-23: no method remembers within 300 steps"
        },
        cell=SampleSizes(trials=5, tuning_seeds=2, seeds=3, dtype="float32"),
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        # The states of a linear network grow without bound where the radius is above 1.
        if self.radius > 1 and (self.delay + SYMBOLS) * math.log10(self.radius) > 30:
            raise Refused(
                f"copy_memory.radius is {self.radius!r}, but must be at most "
                f"{10 ** (30 / (self.delay + SYMBOLS)):.4g} at delay {self.delay}: float32 overflows beyond"
            )

    def examples(self, count: int, generator: torch.Generator) -> Tree:
        return {"symbols": torch.randint(0, KINDS, (SYMBOLS, count), generator=generator)}

    def encoded(self, examples: Tree, dtype: torch.dtype) -> torch.Tensor:
        shown = torch.nn.functional.one_hot(examples["symbols"], KINDS).to(dtype)
        return torch.nn.functional.pad(shown, (0, 0, 0, 0, 0, self.delay + SYMBOLS))

    def score(self, outputs: torch.Tensor, examples: Tree) -> torch.Tensor:
        symbols = examples["symbols"][..., None].expand(*outputs.shape[:-1], 1)
        surprise = -outputs.log_softmax(-1).gather(-1, symbols)[..., 0]
        return surprise.mean(-1).sum(-1) / (self.delay + 2 * SYMBOLS)
