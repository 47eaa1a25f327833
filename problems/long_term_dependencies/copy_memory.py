"""Say ten symbols again after a long pause: a recurrent network must remember them all that time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.long_term_dependencies.recurrent_network import RecurrentNetwork
from problems.portrait import Curves
from problems.problem import Card, Cell, Tree
from problems.registry import register
from ravine import Refused, require

SYMBOLS = 10
KINDS = 8
BITS = 3  # of a symbol


@register("copy_memory")
@dataclass(frozen=True)
class CopyMemory(RecurrentNetwork):
    """Ten symbols, a pause of T steps, and the ten again, by a linear recurrent network.

    f(x) = 1/(T + 20) Σₖ mean −ln softmax(h V + c)[sₖ] at step T + 10 + k, h_t = h_{t−1} W + u_t U + b;
    u_k shows sₖ, one of eight symbols, for k = 1 … 10, and then nothing.

    Whoever remembers nothing has 10 ln 8/(T + 20), and the start does: V = 0, c = 0. Blank answers
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

    delay: int = 10
    hidden: int = 32
    radius: float = 0.9

    linear = True
    batch, probe = 16, 32
    inputs = KINDS
    outputs = KINDS
    answers = SYMBOLS

    card = Card(
        dial="delay",
        scale="log",
        ladder=(10, 50, 500),
        standard={"ladder": (10, 20, 40)},
        target=0.1,
        budget=300,
        reference=("adam", {"lr": 0.005}),
        control={"radius": 1.0},
        removes={"vanishing_gradient": {"radius": 1.0}},
        signature="factor by which a gradient vanishes on its way from the last step to the first",
        threshold=10.0,
        truth="The infimum is 0, not attained: a shift register of ten symbols of three bits, which goes "
        "round in ten steps, shows the k-th one at step T + 10 + k, and the larger V the surer the answer. "
        "Without memory the least is 10 ln 8/(T + 20).",
        source="Hochreiter & Schmidhuber 1997; Arjovsky, Shah & Bengio 2016, section 4.1",
        exceptions={
            "reference": "at delay 500 gradients vanish by 1e-23: no method remembers within 300 steps"
        },
        cell=Cell(trials=5, tuning_seeds=2, seeds=3, dtype="float32"),
    )

    def __post_init__(self) -> None:
        require("copy_memory", "delay", self.delay, low=1, whole=True)
        require("copy_memory", "hidden", self.hidden, low=SYMBOLS * BITS, whole=True)
        require("copy_memory", "radius", self.radius, low=0, open_low=True, high=10)
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

    def signature(self, data: Tree) -> float:
        return 1 / self.backward_gain(data)

    def baseline(self) -> float:
        """The loss of the best answers without memory."""
        return SYMBOLS * math.log(KINDS) / (self.delay + 2 * SYMBOLS)

    def planted(self, certainty: float = 15.0) -> torch.Tensor:
        """A shift register that solves it, the better the larger `certainty`: (dim,).

        A symbol comes into slot 0 as three bits ±1, and moves a slot a step, from the last back to the
        first. The one that came at step k is in slot (t − k) mod 10 at step t, so at T + 10 + k in slot
        T mod 10, where V reads it. A logit is `certainty` times how alike its symbol's bits are to these:
        the right one is first by 2 · certainty.
        """
        recurrent, inward, offset, outward, answer = (torch.zeros(shape) for shape in self.shapes)
        codes = 2.0 * ((torch.arange(KINDS)[:, None] >> torch.arange(BITS)) & 1) - 1
        inward[:, :BITS] = codes
        for slot in range(SYMBOLS):
            following = (slot + 1) % SYMBOLS
            for bit in range(BITS):
                recurrent[BITS * slot + bit, BITS * following + bit] = 1
        read = BITS * (self.delay % SYMBOLS)
        outward[read : read + BITS] = certainty * codes.T
        return torch.cat([each.flatten() for each in (recurrent, inward, offset, outward, answer)])

    # What is known.

    @Claim(
        "the start's loss over 10 ln 8/(T + 20), what memoryless answers cost",
        stated=1.0,
        within=about(1.0, abs=1e-12),  # rounding: all logits are 0
        source="Arjovsky, Shah & Bengio 2016, section 4.1",
    )
    def start_over_baseline(self) -> float:
        data = self.example()
        return self.loss(data["start"], data).item() / self.baseline()

    def _loss_of_planted(self) -> float:
        return self.loss(self.planted(), self.example()).item()

    @Claim(
        "the loss of the planted shift register at T = 10",
        stated="10/(T + 20) · 3 e^−30 = 9.4e-14, towards 0, the infimum",
        within=(0, 1e-13),
        source="planted; Hochreiter & Schmidhuber 1997 foresee such solutions",
    )
    def planted_loss(self) -> float:
        return replace(self, delay=10)._loss_of_planted()

    @Claim(
        "the loss of the planted shift register at T = 500",
        stated="10/(T + 20) · 3 e^−30 = 5.4e-15, towards 0, the infimum",
        within=(0, 1e-14),
        source="planted",
    )
    def planted_loss_at_500(self) -> float:
        return replace(self, delay=500)._loss_of_planted()

    @Claim(
        "the loss of the planted register over 3 e^(−2 certainty) · 10/(T + 20), at a certainty of 5",
        stated=1.0,
        within=about(1.0, abs=1e-3),  # symbols that differ in two bits add 3 e^−20
        source="three symbols differ from the right one in one bit",
    )
    def planted_order(self) -> float:
        loss = self.loss(self.planted(certainty=5.0), self.example()).item()
        return loss / (3 * math.exp(-10) * SYMBOLS / (self.delay + 2 * SYMBOLS))

    @Claim(
        "ln of the gradient's way back, per step from T = 50 to 150",
        stated="ln 0.9 = −0.10536",
        within=about(math.log(0.9), rel=1e-9),  # rounding
        source="W = 0.9 Q, and the network is linear",
    )
    def vanishing(self) -> float:
        short, long = (
            problem.backward_gain(problem.example())
            for problem in (replace(self, radius=0.9, delay=delay) for delay in (50, 150))
        )
        return math.log(long / short) / 100

    def portrait(self) -> Curves:
        delays = [1, 10, 20, 50, 100]
        problems = [replace(self, delay=delay) for delay in delays]
        gains = [problem.backward_gain(problem.example()) for problem in problems]
        at = torch.tensor(delays, dtype=torch.float64)
        return Curves(
            caption="What is left of a gradient on its way from the last step of a linear network to the "
            f"first: a factor {self.radius:g} for each of the T + 19 steps.",
            x_label="delay T",
            y_label="norm of ∂h_{T+20}/∂h_1",
            lines={f"{self.radius:g}^(T + 19)": (at, self.radius ** (at + 2 * SYMBOLS - 1))},
            dots={"at the start": (at, torch.tensor(gains))},
            y_scale="log",
        )
