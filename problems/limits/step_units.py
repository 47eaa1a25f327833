"""Units that only say yes or no: their slope is zero, and that of smooth stand-ins nearly so."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice, permutations

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.portrait import Curves
from problems.problem import Card, Problem, Tree
from problems.registry import register
from ravine import require

STEP = 1e300  # so sharp that float64 knows only yes and no
SILENT = 0.01  # of the steepest slope: less counts as none
REACH = 2 * math.acosh(SILENT**-0.5)  # of β|z|, where the slope is that


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

    inputs: int = 10
    hidden: int = 3
    examples: int = 100
    sharpness: float = 5.0

    card = Card(
        dial="sharpness",
        scale="log",
        ladder=(1.0, 5.0, 1e4),
        target=0.01,
        budget=1000,
        reference=("momentum", {"lr": 1.0, "momentum": 0.9}),
        control={"sharpness": 1.0},
        removes={"no_signal": {"sharpness": 1.0}, "plateau": {"sharpness": 1.0}},
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
        },
    )

    def __post_init__(self) -> None:
        require("step_units", "inputs", self.inputs, low=1, whole=True)
        require("step_units", "hidden", self.hidden, low=1, high=6, whole=True)
        require("step_units", "examples", self.examples, low=1, whole=True)
        require("step_units", "sharpness", self.sharpness, low=0, high=STEP, open_low=True)

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
        pull = answers * (1 - answers) * (self.sharpness / self.examples * error).unsqueeze(-1)
        gradient = torch.einsum("...nh,...nd->...hd", pull, data["inputs"])
        return 0.5 * error.square().mean(-1), gradient.flatten(-2)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        """The planted units in every order."""
        planted = data["planted"].unflatten(-1, (self.hidden, self.inputs))
        orders = list(permutations(range(self.hidden)))
        return planted[torch.tensor(orders)].flatten(-2)

    def signature(self, data: Tree) -> float:
        answers = self._fields(data["start"], data).sigmoid()
        return (4 * answers * (1 - answers) < SILENT).double().mean().item()

    def _fields(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """β wⱼ·x of each example and unit: (*runs, examples, hidden)."""
        weights = x.unflatten(-1, (self.hidden, self.inputs))
        return self.sharpness * torch.einsum("...nd,...hd->...nh", data["inputs"], weights)

    @Claim(
        "with steps, this share of 1000 points has a gradient of exactly zero",
        stated=1.0,
        within=(1.0, 1.0),
        source="derived",
    )
    def no_gradient(self) -> float:
        problem = replace(self, sharpness=STEP)
        data = problem.example()
        x = torch.randn(1000, len(data["start"]), generator=torch.Generator().manual_seed(0))
        gradients = problem.value_and_gradient(x, data)[1]
        return (gradients == 0).all(-1).double().mean().item()

    @Claim(
        "slope of a unit far from its plane, over β e^(−β|z|), at β = 10 and |z| = 1",
        stated=1.0,
        within=about(1.0, rel=2e-4),
        source="derived",
    )
    def saturation(self) -> float:
        """One example x = 1 of a wanted answer 1, seen from w = −1; the rest is (1 − σ)² (1 + …)."""
        unit = StepUnits(inputs=1, hidden=1, examples=1, sharpness=10.0)
        data = {"inputs": torch.ones(1, 1), "outputs": torch.ones(1)}
        gradient = unit.value_and_gradient(-torch.ones(1), data)[1]
        return gradient.abs().item() / (10 * math.exp(-10))

    @Claim(
        "share of silent answers at the start, for β = 10, on 50 instances",
        stated=math.erfc(REACH / (10 * math.sqrt(2))),
        within=about(math.erfc(REACH / (10 * math.sqrt(2))), abs=0.012),
        source="derived",
    )
    def silence(self) -> float:
        """z ~ N(0, 1), and β|z| > 2 arcosh 10 leaves 4σ' < 0.01; 15,000 answers: three standard errors."""
        problem = replace(self, sharpness=10.0)
        return sum(problem.signature(problem.example(seed)) for seed in range(50)) / 50

    @Claim(
        "mistakes of a perceptron until it makes none, over Novikoff's bound, at most, on 5 instances",
        stated="at most 1",
        within=(0.0, 1.0),
        source="Novikoff 1962",
    )
    def mistakes(self) -> float:
        """One step unit learns what it can represent without a gradient: (R/margin)² mistakes at most."""
        problem = replace(self, hidden=1)
        worst = 0.0
        for seed in range(5):
            data = problem.example(seed)
            inputs, planted = data["inputs"], data["planted"]
            signed = inputs * (inputs @ planted).sign()[:, None]
            bound = (inputs.norm(dim=-1).max() / (signed @ planted).min()).item() ** 2
            weights, count = torch.zeros_like(planted), 0
            while (wrong := signed @ weights <= 0).any():
                weights = weights + signed[wrong.to(torch.int8).argmax()]
                count += 1
                assert count <= bound
            worst = max(worst, count / bound)
        return worst

    def portrait(self) -> Curves:
        sharpness = torch.logspace(0, 4, 33)
        heard = [math.erf(REACH / (beta * math.sqrt(2))) for beta in sharpness.tolist()]
        some, shares, gaps = sharpness[::4], [], []
        for beta in some.tolist():
            problem = replace(self, sharpness=beta)
            trees = [problem.example(seed) for seed in range(5)]
            data = {name: torch.stack([tree[name] for tree in trees]) for name in trees[0]}
            shares.append(1 - sum(map(problem.signature, trees)) / len(trees))
            *_, x = islice(descent(problem, data, data["start"], 0.1, momentum=0.9), 300)
            gap = problem.loss(x, data) / problem.loss(data["start"], data)
            gaps.append(gap.median().item())
        return Curves(
            caption="The sharper the sigmoids, the fewer answers have a slope, and the less of the gap "
            "descent closes: none of it where they are steps.",
            x_label="β",
            y_label="share",
            lines={"answers with a slope": (sharpness, torch.tensor(heard))},
            dots={
                "answers with a slope": (some, torch.tensor(shares)),
                "gap left after 300 steps": (some, torch.tensor(gaps)),
            },
            x_scale="log",
        )
