"""Three units to train without error: as hard as splitting sets, so no method is always fast."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from problems.limits.set_splitting import colorings, planted
from problems.problem import Card, Problem, Tree, dial
from problems.registry import register
from ravine import bounded


@register("blum_rivest")
@dataclass(frozen=True)
class BlumRivest(Problem):
    """Two hidden units and an AND, to be trained on examples that encode a set-splitting problem.

    f(a, a₀, b, b₀) = mean cross-entropy of p(x) = σ(a·x + a₀) σ(b·x + b₀) on these examples: the origin is positive,
    each of the n unit vectors is negative, and the sum of the unit vectors of each of m triples of elements positive.

    Steps in place of sigmoids classify all of them right if and only if the elements have a colouring with two colours
    that leaves no triple of one colour: an element's colour says which of the two planes cuts its unit vector off.
    Whether there is one is NP-complete; here one is planted. Weights of −1 for one colour, n for the other and a bias
    of ½ then make no error, and scaled up they bring f arbitrarily near to its infimum 0. Descent mostly ends where a
    single plane, the sum of the coordinates, gets all examples right but the origin.

    Solved means no error with steps in place of sigmoids.

    elements: n; dim is 2 (n + 1).
    ratio: m/n, triples per element; 0 leaves none, and one plane is enough. Descent fares the worse the more there are,
        though beyond ln 2/ln(4/3) = 2.41 of them hardly any colouring but the planted one is left.

    Blum & Rivest 1992, "Training a 3-node neural network is NP-complete"; Deep Learning, section 8.2.8.
    """

    elements: int = dial(10, low=3, high=24)
    ratio: float = bounded(2.0, low=0)

    card = Card(
        scale="log",
        ladder=(4, 10, 20),
        target=0.01,
        budget=1000,
        reference=("momentum", {"lr": 1.0, "momentum": 0.9}),
        control={"ratio": 0.0},
        removes={"local_minimum": {"ratio": 0.0}},
        breaks=("sgd", "local_minimum"),
        signature="bits that a colouring takes: log₂ of the colourings over those that split all triples",
        threshold=3.0,
        truth="The floor 0 is an infimum, approached along the planted weights, which make no error. "
        "All but the origin is right with a single plane.",
        source="Blum & Rivest 1992",
        exceptions={
            "reference": "Finding a colouring is NP-complete; of instances with 20 elements "
            "descent solves next to none.",
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        n = self.elements
        colors, triples = planted(n, round(self.ratio * n), generator)
        inputs = torch.cat([torch.zeros(1, n), torch.eye(n), triples.to(torch.get_default_dtype())])
        positive = torch.ones(len(inputs), dtype=torch.bool)
        positive[1 : n + 1] = False
        start = torch.randn(2 * (n + 1), generator=generator) / math.sqrt(n)
        return {"start": start, "inputs": inputs, "positive": positive, "colors": colors}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self._loss_and_odds(self._fields(x, data), data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        fields, positive = self._fields(x, data), data["positive"]
        value, odds = self._loss_and_odds(fields, data)
        # 1 − σ of each field, for the negatives over the odds against.
        pull = (torch.nn.functional.logsigmoid(-fields) - odds.unsqueeze(-1)).exp()
        pull = torch.where(positive, -1.0, 1.0).unsqueeze(-1) * pull / positive.shape[-1]
        weights = torch.einsum("...nh,...nd->...hd", pull, data["inputs"])
        return value, torch.cat([pull.sum(-2).unsqueeze(-1), weights], -1).flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        """Return the infimum along the planted weights, 0, which is not attained."""
        return torch.zeros(())

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        """Return whether there is no error with steps in place of sigmoids: (*runs), bool."""
        return self.errors(x, data) == 0

    @property
    def solved_when(self) -> str:
        return "no example is on the wrong side, with steps in place of sigmoids"

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        return {"errors": self.errors(x, data)}

    def signature(self, data: Tree) -> float:
        triples = data["inputs"][self.elements + 1 :].bool()
        return self.elements - 1 - math.log2(len(colorings(triples, self.elements)))

    def errors(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the number of examples on the wrong side, with steps in place of sigmoids: (*runs)."""
        answers = (self._fields(x, data) > 0).all(-1)
        return (answers != data["positive"]).sum(-1)

    def _fields(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return a·x + a₀ and b·x + b₀ of each example: (*runs, examples, 2)."""
        weights = x.unflatten(-1, (2, self.elements + 1))
        fields = torch.einsum("...nd,...hd->...nh", data["inputs"], weights[..., 1:])
        return fields + weights[..., 0].unsqueeze(-2)

    def _loss_and_odds(self, fields: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss (*runs), and ln of the odds against each negative example, 0 for positive ones.

        ln((1 − p)/p) = ln(e^−a + e^−b + e^(−a−b)), which is exact where p is near 1.
        """
        a, b = fields.unbind(-1)
        odds = torch.logaddexp(torch.logaddexp(-a, -b), -a - b)
        odds = torch.where(data["positive"], 0.0, odds)
        log_p = torch.nn.functional.logsigmoid(fields).sum(-1)
        return -(log_p + odds).mean(-1), odds
