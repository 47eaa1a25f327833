"""Rectified units that are off for all examples: a flat region where nothing pulls them back."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from problems.local_minima.network import TaughtNetwork
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import bounded

MARGIN = 3.0  # by which a dead unit's largest input is below zero
TAUGHT = 2  # units of the network that made the targets


@register("dead_relu")
@dataclass(frozen=True)
class DeadRelu(TaughtNetwork):
    """A rectifier network of which some units are off for all examples: no gradient wakes them.

    f(x) = ½ mean (v·max(0, W u + b) + c − y)², x = (W, b, v, c), targets y of a network of two units.

    A unit whose input is negative on all examples has the output 0, and none of its weights has a gradient or a
    curvature, in a region of positive measure. Descent leaves such a unit bit for bit where it is, and works
    with the others. If all are off, only the output's bias is left, and f ends at ½ var y: a bad minimum that is
    flat in all directions but one.

    The live units' weights have length 1, and their kinks lie within ½ of the origin; the dead units' biases
    make −3 their largest input. The output's bias starts a standard deviation of the targets away from their
    mean, so that with all units dead half of the gap stays.

    inputs: of the network.
    units: n, at least the two of the network that made the targets.
    points: examples, u ~ N(0, I).
    dead: share of the units that are off at the start, rounded to whole ones.

    Deep Learning, sections 8.2.2 and 6.3.1; Lu, Shin, Su & Karniadakis 2019, arXiv:1903.06733.
    """

    inputs: int = bounded(2, low=1)
    units: int = bounded(8, low=TAUGHT)
    points: int = bounded(30, low=10)
    dead: float = dial(0.5, low=0, high=1)

    card = Card(
        scale="linear",
        ladder=(0.0, 0.5, 1.0),
        target=1e-2,
        budget=1000,
        reference=("adam", {"lr": 0.05}),
        control={"dead": 0.0},
        removes={"local_minimum": {"dead": 0.0}},
        breaks=("sgd", "local_minimum"),
        signature="share of the hidden units whose weights have no gradient at the start",
        threshold=0.25,
        truth="The minimum, 0, is reached by the network that made the targets, its two units among ours and "
        "the others off. With all units off f is at least ½ var y, a minimum that is flat in all "
        "directions but the output bias'.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.2; Lu et al. 2019",
        exceptions={
            "reference": "with all units dead only the output bias has a gradient",
        },
    )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.units, self.inputs), (self.units,), (self.units,), (1,))

    @property
    def dead_units(self) -> int:
        """The number of units that are off at the start, the last ones."""
        return round(self.dead * self.units)

    def instance(self, generator: torch.Generator) -> Tree:
        inputs = torch.randn(self.points, self.inputs, generator=generator)
        taught = self._draw(TAUGHT, generator)
        weight, bias, out, offset = self._draw(self.units, generator)
        asleep = -(inputs @ weight.T).amax(0) - MARGIN
        off = torch.arange(self.units) >= self.units - self.dead_units
        bias = torch.where(off, asleep, bias)
        more = self.units - TAUGHT
        spare = [torch.zeros(more, self.inputs), -torch.ones(more), torch.zeros(more)]
        whole = [torch.cat(pair) for pair in zip(taught[:-1], spare, strict=True)]
        minimizer = self.join([*whole, taught[-1]])
        targets = self.outputs(minimizer, inputs)
        offset = targets.mean() + targets.std(correction=0) * offset.sign()
        return {
            "start": self.join([weight, bias, out, offset]),
            "asleep": asleep,
            "minimizer": minimizer,
            "inputs": inputs,
            "targets": targets,
        }

    def outputs(self, x: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        *_, out, offset = self.parts(x)
        return torch.einsum("...pn,...n->...p", self._states(x, inputs).relu(), out) + offset

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the start with all units off and the best output bias."""
        weight, _, out, _ = self.parts(data["start"])
        targets = data["targets"]
        x = self.join([weight, data["asleep"], out, targets.mean()[None]])
        return (CriticalPoint(x, targets.var(correction=0).item() / 2, 0, len(x) - 1),)

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        largest = self._states(x, data["inputs"]).amax(-2)
        return {"dead_at_end": (largest <= 0).to(x.dtype).mean(-1)}

    def signature(self, data: Tree) -> float:
        gradient = self.value_and_gradient(data["start"], data)[1]
        weight, bias, out, _ = self.parts(gradient)
        return ((weight == 0).all(-1) & (bias == 0) & (out == 0)).double().mean().item()

    def _states(self, x: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Return the hidden units' inputs: (*runs, points, units)."""
        weight, bias, *_ = self.parts(x)
        return torch.einsum("...pi,...ni->...pn", inputs, weight) + bias.unsqueeze(-2)

    def _draw(self, units: int, generator: torch.Generator) -> list[torch.Tensor]:
        """Draw the parameter tensors of a network whose units are all alive."""
        weight = torch.randn(units, self.inputs, generator=generator)
        bias = torch.rand(units, generator=generator) - 0.5
        out = torch.randn(units, generator=generator).sign()
        offset = torch.randn(1, generator=generator)
        return [weight / weight.norm(dim=-1, keepdim=True), bias, out, offset]
