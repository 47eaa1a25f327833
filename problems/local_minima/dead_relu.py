"""Rectified units that are off for all examples: a flat region where nothing pulls them back."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import islice

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.portrait import Curves
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import require

MARGIN = 3.0  # by which a dead unit's largest input is below zero
TAUGHT = 2  # units of the network that made the targets


@register("dead_relu")
@dataclass(frozen=True)
class DeadRelu(Problem):
    """A rectifier network of which some units are off for all examples: no gradient wakes them.

    f(x) = ½ mean (v·max(0, W u + b) + c − y)², x = (W, b, v, c), targets y of a network of two units.

    A unit whose input is negative on all examples puts out nothing, and none of its weights has a
    gradient or a curvature; nor has any small change of them an effect: a region of positive measure,
    not a point. Descent leaves such a unit bit for bit where it is, and works with the others. Where
    all are off, only the output's bias is left, and f ends at ½ var y: a bad minimum that is flat in
    all directions but one.

    The live units' weights have length 1, their kinks lie within ½ of the origin; the dead ones'
    biases are such that their largest input is −3. The output's bias is a standard deviation of the
    targets away from their mean, so that with all units dead half of the gap stays.

    inputs: of the network.
    units: n, at least the two of the network that made the targets.
    points: examples, u ~ N(0, I).
    dead: share of the units that are off at the start, rounded to whole ones.

    Deep Learning, sections 8.2.2 and 6.3.1; Lu, Shin, Su & Karniadakis 2019, arXiv:1903.06733.
    """

    inputs: int = 2
    units: int = 8
    points: int = 30
    dead: float = 0.5

    card = Card(
        dial="dead",
        scale="linear",
        ladder=(0.0, 0.5, 1.0),
        target=1e-2,
        budget=1000,
        reference=("adam", {"lr": 0.05}),
        control={"dead": 0.0},
        removes={"local_minimum": {"dead": 0.0}},
        signature="share of the hidden units whose weights have no gradient at the start",
        threshold=0.25,
        truth="The minimum, 0, is reached by the network that made the targets, its two units among ours and "
        "the others off. With all units off f is at least ½ var y, a minimum that is flat in all "
        "directions but the output bias'.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.2; Lu et al. 2019",
        exceptions={
            "reference": "with all units dead only the output bias has a gradient: nothing that goes by "
            "the gradient solves it",
        },
    )

    def __post_init__(self) -> None:
        require("dead_relu", "inputs", self.inputs, low=1, whole=True)
        require("dead_relu", "units", self.units, low=TAUGHT, whole=True)
        require("dead_relu", "points", self.points, low=10, whole=True)
        require("dead_relu", "dead", self.dead, low=0, high=1)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.units, self.inputs), (self.units,), (self.units,), (1,))

    @property
    def dead_units(self) -> int:
        """How many units are off at the start, the last ones."""
        return round(self.dead * self.units)

    def instance(self, generator: torch.Generator) -> Tree:
        inputs = torch.randn(self.points, self.inputs, generator=generator)
        taught = self._draw(TAUGHT, generator)
        drawn = self._draw(self.units, generator)
        asleep = -(inputs @ drawn["weight"].T).amax(0) - MARGIN
        off = torch.arange(self.units) >= self.units - self.dead_units
        drawn["bias"] = torch.where(off, asleep, drawn["bias"])
        more = self.units - TAUGHT
        minimizer = {
            "weight": torch.cat([taught["weight"], torch.zeros(more, self.inputs)]),
            "bias": torch.cat([taught["bias"], -torch.ones(more)]),
            "out": torch.cat([taught["out"], torch.zeros(more)]),
            "offset": taught["offset"],
        }
        minimizer = _join(minimizer)
        targets = self.outputs(minimizer, inputs)
        drawn["offset"] = targets.mean() + targets.std(correction=0) * drawn["offset"].sign()
        return {
            "start": _join(drawn),
            "asleep": asleep,
            "minimizer": minimizer,
            "inputs": inputs,
            "targets": targets,
        }

    def outputs(self, x: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """What the network makes of its inputs: (*runs, dim), (*runs, points, inputs) -> (*runs, points)."""
        weight, bias, out, offset = self.parts(x)
        state = torch.einsum("...pi,...ni->...pn", inputs, weight) + bias.unsqueeze(-2)
        return torch.einsum("...pn,...n->...p", state.relu(), out) + offset

    def parts(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The parameter tensors that x concatenates, after the runs' dimensions."""
        pieces = x.split([math.prod(shape) for shape in self.shapes], dim=-1)
        return [each.unflatten(-1, shape) for each, shape in zip(pieces, self.shapes, strict=True)]

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * (self.outputs(x, data["inputs"]) - data["targets"]).square().mean(-1)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """The start with all units off and the best output bias."""
        weight, _, out, _ = self.parts(data["start"])
        targets = data["targets"]
        x = torch.cat([weight.flatten(), data["asleep"], out, targets.mean()[None]])
        return (CriticalPoint(x, targets.var(correction=0).item() / 2, 0, len(x) - 1),)

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        weight, bias, *_ = self.parts(x)
        inputs = torch.einsum("...pi,...ni->...pn", data["inputs"], weight) + bias.unsqueeze(-2)
        return {"dead_at_end": (inputs.amax(-2) <= 0).to(x.dtype).mean(-1)}

    def signature(self, data: Tree) -> float:
        gradient = self.value_and_gradient(data["start"], data)[1]
        weight, bias, out, _ = self.parts(gradient)
        return ((weight == 0).all(-1) & (bias == 0) & (out == 0)).double().mean().item()

    def portrait(self) -> Curves:
        steps = 500
        lines = {}
        for dead in (0.0, 0.25, 0.5, 0.75, 1.0):
            problem = replace(self, dead=dead)
            data = problem.example()
            path = islice(descent(problem, data, data["start"], 0.05, 0.9), steps)
            losses = torch.stack([problem.loss(x, data) for x in path])
            lines[f"{problem.dead_units} of {self.units} units dead"] = (
                torch.arange(steps),
                losses,
            )
        return Curves(
            caption="The more units are dead, the higher descent with momentum ends; with all of them it "
            "ends at half the targets' variance.",
            x_label="step",
            y_label="loss",
            lines=lines,
            y_scale="log",
        )

    @Claim(
        "parameters that have a gradient where all units are dead: the output bias",
        stated=1,
        within=(1, 1),
        source="derived",
    )
    def parameters_with_a_gradient(self) -> float:
        problem = replace(self, dead=1.0)
        data = problem.example()
        return problem.value_and_gradient(data["start"], data)[1].count_nonzero().item()

    @Claim(
        "rank of the Hessian where all units are dead",
        stated=1,
        within=(1, 1),
        source="derived",
    )
    def rank_of_the_hessian(self) -> float:
        problem = replace(self, dead=1.0)
        data = problem.example()
        return torch.linalg.matrix_rank(problem.hessian(data["start"], data)).item()

    @Claim(
        "where descent with all units dead ends, over half the variance of the targets",
        stated=1,
        within=about(1, abs=1e-12),  # rounding
        source="derived: the best constant",
    )
    def end_over_the_variance(self) -> float:
        problem = replace(self, dead=1.0)
        data = problem.example()
        end = next(islice(descent(problem, data, data["start"], 0.5), 100, None))
        return (2 * problem.loss(end, data) / data["targets"].var(correction=0)).item()

    @Claim(
        "the largest change of the loss where all units are dead, among 1000 moves of all hidden weights "
        "by up to 0.1",
        stated=0,
        within=(0, 0),
        source="derived: the flat region has positive measure",
    )
    def change_in_the_flat_region(self) -> float:
        problem = replace(self, dead=1.0)
        data = problem.example()
        start = data["start"]
        moves = torch.rand(1000, len(start), generator=torch.Generator().manual_seed(0)) * 0.2 - 0.1
        moves[:, -1] = 0
        losses = problem.loss(start + moves, data)
        return (losses - problem.loss(start, data)).abs().max().item()

    @Claim(
        "the farthest that any weight of a dead unit is from the start after 500 steps with momentum",
        stated=0,
        within=(0, 0),
        source="derived: what has no gradient does not move",
    )
    def move_of_the_dead(self) -> float:
        data = self.example()
        end = next(islice(descent(self, data, data["start"], 0.05, 0.9), 500, None))
        weight, bias, out, _ = self.parts(end - data["start"])
        dead = slice(self.units - self.dead_units, None)
        return max(each[dead].abs().max().item() for each in (weight, bias, out))

    @Claim(
        "the largest difference between the losses, along 200 steps with momentum, and those of a network "
        "that never had the dead units",
        stated=0,
        within=about(0, abs=1e-12),  # rounding
        source="derived",
    )
    def difference_to_the_smaller_network(self) -> float:
        data = self.example()
        live = self.units - self.dead_units
        smaller = replace(self, units=live, dead=0.0)
        weight, bias, out, offset = self.parts(data["start"])
        start = torch.cat([weight[:live].flatten(), bias[:live], out[:live], offset])
        paths = (
            descent(self, data, data["start"], 0.05, 0.9),
            descent(smaller, data, start, 0.05, 0.9),
        )
        return max(
            (self.loss(x, data) - smaller.loss(y, data)).abs().item()
            for x, y in islice(zip(*paths, strict=False), 200)
        )

    def _draw(self, units: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Live units whose weights have length 1 and whose kinks lie within ½ of the origin."""
        weight = torch.randn(units, self.inputs, generator=generator)
        return {
            "weight": weight / weight.norm(dim=-1, keepdim=True),
            "bias": torch.rand(units, generator=generator) - 0.5,
            "out": torch.randn(units, generator=generator).sign(),
            "offset": torch.randn(1, generator=generator),
        }


def _join(parts: dict[str, torch.Tensor]) -> torch.Tensor:
    """x from its parameter tensors."""
    return torch.cat([parts[name].flatten() for name in ("weight", "bias", "out", "offset")])
