"""Units that only say yes or no: their slope is zero, and that of smooth stand-ins nearly so."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

import torch

from problems.problem import Card, Problem, Tree, dial
from problems.registry import register
from ravine import bounded

STEP = 1e300  # so sharp that float64 knows only yes and no
SILENT = 0.01  # of the steepest slope: less counts as none


@register("step_units")
@dataclass(frozen=True)
class StepUnits(Problem):
    """A network of steep sigmoids, which as they become steps leave nothing to descend.

    f(W) = mean over the examples of ½ (Σⱼ σ(β wⱼ·x) − Σⱼ σ(β w*ⱼ·x))², x ~ N(0, I); starts and the
    planted w* are random unit vectors.

    With steps for sigmoids, β = ∞, f is piecewise constant: the gradient and the Hessian are zero
    wherever they exist, and the minimum, 0, is found by no method that follows slopes. A sigmoid
    of sharpness β has slopes, βσ' ~ β e^(−β|z|), for those few examples that lie within 1/β
    of a unit's plane: gradients are then sums over a share 1/β of the examples, right about them
    and silent about all the others.

    inputs, hidden: the shape of W; each unit counts alike.
    examples: how many.
    sharpness: β. At 1e4 hardly an example is near a plane: almost a step. From about 1e7 on float64 has
        no gradient left at most points, and 1e300 is the step itself.

    Deep Learning, section 8.2.8: limits shown for units with discrete outputs do not bind smooth ones.
    """

    inputs: int = bounded(10, low=1)
    hidden: int = bounded(3, low=1, high=6)
    examples: int = bounded(100, low=1)
    sharpness: float = dial(5.0, above=0, high=STEP)

    card = Card(
        scale="log",
        ladder=(1.0, 5.0, 1e4),
        target=0.01,
        budget=1000,
        reference=("momentum", {"lr": 1.0, "momentum": 0.9}),
        control={"sharpness": 1.0},
        removes={"no_signal": {"sharpness": 1.0}, "plateau": {"sharpness": 1.0}},
        breaks=("sgd", "no_signal"),
        same=("plateau",),
        signature="share of the answers to the examples whose slope is less than a hundredth of the "
        "steepest",
        threshold=0.1,
        truth="The minimum is 0, at the planted weights in any order. With steps the gradient is zero "
        "almost everywhere.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.8",
        exceptions={
            "reference": "What is almost a step has almost no slope; no gradient leads to the "
            "planted weights.",
            "smooth": "It is, but at sharpness 1e4 within 1e-4 only, where differences step across.",
            "signature": "It measures the slopes of the units inside the network, which the loss only averages.",
        },
    )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.hidden, self.inputs),)

    def instance(self, generator: torch.Generator) -> Tree:
        inputs = torch.randn(self.examples, self.inputs, generator=generator)
        both = torch.randn(2, self.hidden, self.inputs, generator=generator)
        planted, start = both / both.norm(dim=-1, keepdim=True)
        data = {"start": start.flatten(), "planted": planted.flatten(), "inputs": inputs}
        return {**data, "outputs": self._fields(data["planted"], data).sigmoid().sum(-1)}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        error = self._fields(x, data).sigmoid().sum(-1) - data["outputs"]
        return 0.5 * error.square().mean(-1)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        answers = self._fields(x, data).sigmoid()
        error = answers.sum(-1) - data["outputs"]
        pull = answers * (1 - answers) * (self._beta(x) / self.examples * error).unsqueeze(-1)
        gradient = torch.einsum("...nh,...nd->...hd", pull, data["inputs"])
        return 0.5 * error.square().mean(-1), gradient.flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return the planted units in every order: (hidden!, dim)."""
        planted = data["planted"].unflatten(-1, (self.hidden, self.inputs))
        orders = list(permutations(range(self.hidden)))
        return planted[torch.tensor(orders)].flatten(-2)

    def signature(self, data: Tree) -> float:
        answers = self._fields(data["start"], data).sigmoid()
        return (4 * answers * (1 - answers) < SILENT).double().mean().item()

    def _fields(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return β wⱼ·x of each example and unit: (*runs, examples, hidden)."""
        weights = x.unflatten(-1, (self.hidden, self.inputs))
        return self._beta(x) * torch.einsum("...nd,...hd->...nh", data["inputs"], weights)

    def _beta(self, x: torch.Tensor) -> float:
        """Return β, capped so that β wⱼ·x is finite in x's precision, because inf · 0 is NaN."""
        return min(self.sharpness, torch.finfo(x.dtype).max / 1e8)
