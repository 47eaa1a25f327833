"""A network whose minima come in many equal copies, some of them far worse conditioned than others."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, permutations, product
from typing import Literal, get_args

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.geometry import random_rotation
from problems.portrait import Plane
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import Refused, nearest, require

Activation = Literal["relu", "tanh"]
SPREAD = 0.3  # of the start's weights around the teacher's, of length 1


@register("symmetric_network")
@dataclass(frozen=True)
class SymmetricNetwork(Problem):
    """A network that a teacher of the same size has taught: its minima are many, and all equal.

    f(x) = ½ mean (v·a(W_m … a(W_1 u)) − y)², y the same for the teacher's weights, so that 0 is reached;
    m hidden layers of n units, a = max(0, ·) or tanh, no biases.

    The units of a layer can be renamed: (n!)^m copies of any minimum. With tanh the weights into and
    out of a unit can also change their signs: (n! 2ⁿ)^m. With relu the weights into a unit can be
    multiplied by α and those out of it divided: a curve of minima, and mn flat directions in the
    Hessian. None of this is a bad minimum, for all copies cost the same, and descent from a renamed
    start takes the renamed path. But not from a rescaled one: at constant loss the largest curvature
    grows like α², or α⁻² for small α, while the others shrink, so that a start that computes the very
    same function is harder the farther out it lies. Gradient flow does not come back from there: it
    conserves |w|² − v² of every unit.

    The start is a copy of the teacher, its units renamed at random, its weights moved by a third of
    their size, then all units rescaled by α. A method that does not see the coordinates, as Newton's
    does not, would not see α.

    inputs: of the network, at least as many as units: the teacher's units are orthogonal.
    units: n.
    layers: m.
    points: examples, u ~ N(0, I).
    activation: a.
    rescaling: α, 1 with tanh, which knows no such symmetry.

    Dinh, Pascanu, Bengio & Bengio 2017, arXiv:1703.04933; Hecht-Nielsen 1990; Sussmann 1992; Du, Hu &
    Lee 2018, arXiv:1806.00900; Deep Learning, section 8.2.2.
    """

    inputs: int = 4
    units: int = 4
    layers: int = 1
    points: int = 40
    activation: Activation = "relu"
    rescaling: float = 6.0

    card = Card(
        dial="rescaling",
        scale="log",
        ladder=(1.0, 6.0, 32.0),
        target=1e-4,
        budget=1000,
        reference=("damped_newton", {"damping": 1e-3}),
        control={"rescaling": 1.0},
        signature="largest curvature at the rescaled teacher over that at the teacher",
        threshold=3.0,
        truth="The minimum, 0, is reached at the teacher's weights and at all their copies: (n!)^m by "
        "renaming, times 2^(mn) by signs with tanh; with relu each lies on an mn-dimensional surface of "
        "minima, where the Hessian has mn zeros.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.2; Dinh et al. 2017",
    )

    def __post_init__(self) -> None:
        require("symmetric_network", "units", self.units, low=1, whole=True)
        require("symmetric_network", "inputs", self.inputs, low=self.units, whole=True)
        require("symmetric_network", "layers", self.layers, low=1, whole=True)
        least = 2 * self.units * self.inputs  # fewer leave more directions flat
        require("symmetric_network", "points", self.points, low=least, whole=True)
        require("symmetric_network", "rescaling", self.rescaling, low=0, high=1e3, open_low=True)
        if self.activation not in get_args(Activation):
            allowed = nearest(str(self.activation), get_args(Activation))
            raise Refused(f"symmetric_network.activation is {self.activation!r}: {allowed}")
        if self.activation == "tanh" and self.rescaling != 1:
            raise Refused(
                f"symmetric_network.rescaling is {self.rescaling!r}, but must be 1 with tanh: "
                "rescaled it is another function"
            )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        hidden = ((self.units, self.units),) * (self.layers - 1)
        return ((self.units, self.inputs), *hidden, (self.units,))

    def instance(self, generator: torch.Generator) -> Tree:
        inputs = torch.randn(self.points, self.inputs, generator=generator)
        teacher = [random_rotation(self.inputs, generator)[: self.units]]
        for _ in range(self.layers - 1):
            teacher.append(random_rotation(self.units, generator))
        signs = torch.randint(0, 2, (self.units,), generator=generator)
        teacher = join([*teacher, 2.0 * signs - 1])
        names = [torch.randperm(self.units, generator=generator) for _ in range(self.layers)]
        noise = torch.randn(len(teacher), generator=generator) * SPREAD / math.sqrt(self.inputs)
        start = self.rescaled(self.renamed(teacher + noise, names), self.rescaling)
        return {
            "start": start,
            "teacher": teacher,
            "inputs": inputs,
            "targets": self.outputs(teacher, inputs),
        }

    def outputs(self, x: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """What the network makes of its inputs: (*runs, dim), (*runs, points, inputs) -> (*runs, points)."""
        *weights, last = self.parts(x)
        state = inputs
        for weight in weights:
            state = torch.einsum("...pi,...ni->...pn", state, weight)
            state = state.relu() if self.activation == "relu" else state.tanh()
        return torch.einsum("...pn,...n->...p", state, last)

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * (self.outputs(x, data["inputs"]) - data["targets"]).square().mean(-1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (self.outputs(x, data["inputs"]) - data["targets"]) / math.sqrt(self.points)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def minimizers(self, data: Tree) -> torch.Tensor:
        """The teacher, its units renamed in a circle; with relu the same rescaled."""
        order = torch.arange(self.units)
        copies = torch.stack(
            [
                self.renamed(data["teacher"], [order.roll(k)] * self.layers)
                for k in range(self.units)
            ]
        )
        if self.activation == "tanh":
            return copies
        return torch.cat([copies, self.rescaled(copies, self.rescaling)])

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """The teacher; of more layers it is not stated how many units are never on."""
        if self.layers > 1:
            return ()
        flat = self.units if self.activation == "relu" else 0
        return (CriticalPoint(data["teacher"], 0.0, 0, flat),)

    def signature(self, data: Tree) -> float:
        far = self._largest_curvature(data, self.rescaling)
        return (far / self._largest_curvature(data, 1.0)).item()

    def portrait(self) -> Plane:
        data = self.example()
        *weights, last = self.parts(data["teacher"])
        zeros = [torch.zeros_like(each) for each in weights]
        axes = torch.stack([join([*weights, torch.zeros_like(last)]), join([*zeros, last])])
        return Plane(
            caption="The minima, all equal, lie on a hyperbola; whoever starts far out on it stays there, "
            "where the valley is narrow.",
            window=((-0.2, 4.0), (-0.2, 4.0)),
            paths=(
                ("sgd", {"lr": 0.05}),
                ("momentum", {"lr": 0.01, "momentum": 0.9}),
                ("adam", {"lr": 0.02}),
            ),
            start=3.5 * axes[0] + 0.05 * axes[1],
            origin=torch.zeros_like(axes[0]),
            axes=axes,
            x_label="weights into the units, in those of the teacher",
            y_label="weights out of the units",
        )

    # The symmetries.

    def parts(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The parameter tensors that x concatenates, after the runs' dimensions."""
        sizes = [math.prod(shape) for shape in self.shapes]
        pieces = x.split(sizes, dim=-1)
        return [each.unflatten(-1, shape) for each, shape in zip(pieces, self.shapes, strict=True)]

    def renamed(self, x: torch.Tensor, names: Sequence[torch.Tensor]) -> torch.Tensor:
        """The same network, unit names[l][j] of layer l in the place of its unit j."""
        weights = self.parts(x)
        for layer, order in enumerate(names):
            weights[layer] = weights[layer][..., order, :]
            weights[layer + 1] = weights[layer + 1][..., order]
        return join(weights, x.dim())

    def flipped(self, x: torch.Tensor, signs: Sequence[torch.Tensor]) -> torch.Tensor:
        """With tanh the same network, the weights into and out of the units times ±1."""
        weights = self.parts(x)
        for layer, each in enumerate(signs):
            weights[layer] = each[:, None] * weights[layer]
            weights[layer + 1] = weights[layer + 1] * each
        return join(weights, x.dim())

    def rescaled(self, x: torch.Tensor, factor: float) -> torch.Tensor:
        """With relu the same network, the weights into all units times α, those out of them over α.

        Between hidden layers the two cancel.
        """
        first, *hidden, last = self.parts(x)
        return join([factor * first, *hidden, last / factor], x.dim())

    def _copies(self, x: torch.Tensor) -> Iterator[torch.Tensor]:
        """x with its units renamed in all ways, and with tanh their signs flipped."""
        orders = [torch.tensor(each) for each in permutations(range(self.units))]
        signs = [torch.ones(self.units)]
        if self.activation == "tanh":
            signs = [torch.tensor(each) for each in product((1.0, -1.0), repeat=self.units)]
        for names in product(orders, repeat=self.layers):
            renamed = self.renamed(x, names)
            for flips in product(signs, repeat=self.layers):
                yield self.flipped(renamed, flips)

    def _equal_copies(self) -> int:
        """How many different copies of the teacher cost nothing, of a network with two layers of three."""
        data = self.example()
        copies = torch.stack(list(self._copies(data["teacher"])))
        equal = copies[self.loss(copies, data) < 1e-24]
        return len(torch.unique((equal * 1e9).round(), dim=0))

    def _largest_curvature(self, data: Tree, factor: float) -> torch.Tensor:
        x = self.rescaled(data["teacher"], factor)
        return torch.linalg.eigvalsh(self.hessian(x, data))[-1]

    def _drift(self, lr: float) -> float:
        """The largest change of a unit's |w|² − v² after descent for a time of 2."""
        problem = replace(self, rescaling=1.0)
        data = problem.example()
        path = descent(problem, data, data["start"], lr)
        end = next(islice(path, round(2 / lr), None))
        return (problem._imbalance(end) - problem._imbalance(data["start"])).abs().max().item()

    def _imbalance(self, x: torch.Tensor) -> torch.Tensor:
        """|w|² − v² of every unit of a network with one hidden layer: (*runs, units)."""
        first, last = self.parts(x)
        return first.square().sum(-1) - last.square()

    # The claims.

    @Claim(
        "equal copies of a minimum: two layers of three units, relu",
        stated=36,
        within=(36, 36),
        source="Goodfellow, Bengio & Courville 2016, section 8.2.2: (n!)^m",
    )
    def copies_by_name(self) -> float:
        return replace(self, inputs=3, units=3, layers=2)._equal_copies()

    @Claim(
        "equal copies of a minimum: two layers of three units, tanh",
        stated=2304,
        within=(2304, 2304),
        source="Hecht-Nielsen 1990; Sussmann 1992: (n! 2ⁿ)^m",
    )
    def copies_by_name_and_sign(self) -> float:
        small = replace(self, inputs=3, units=3, layers=2, activation="tanh", rescaling=1.0)
        return small._equal_copies()

    @Claim(
        "the largest difference between the losses along 300 steps of descent from the start and from its "
        "24 copies, over the loss at the start",
        stated=0,
        within=about(0, abs=1e-10),  # rounding
        source="derived: descent commutes with renaming, so the copies are no worse as minima",
    )
    def difference_between_copies(self) -> float:
        problem = replace(self, rescaling=1.0)
        data = problem.example()
        starts = torch.stack(list(problem._copies(data["start"])))
        path = islice(descent(problem, data, starts, 0.1), 301)
        losses = torch.stack([problem.loss(x, data) for x in path])
        return ((losses.amax(-1) - losses.amin(-1)).max() / losses[0, 0]).item()

    @Claim(
        "the largest change of the loss at the start, rescaled by 1 to 10, over that loss",
        stated=0,
        within=about(0, abs=1e-12),  # rounding
        source="Dinh et al. 2017",
    )
    def change_by_rescaling(self) -> float:
        data = self.example()
        factors = (1.0, 2.0, 4.0, 10.0)
        copies = torch.stack([self.rescaled(data["start"], each) for each in factors])
        losses = self.loss(copies, data)
        return ((losses - losses[0]).abs().max() / losses[0]).item()

    @Claim(
        "zeros of the Hessian at a minimum, below 1e-10",
        stated=4,
        within=(4, 4),
        source="derived: one direction of rescaling for each unit",
    )
    def flat_directions(self) -> float:
        data = self.example()
        curvatures = torch.linalg.eigvalsh(self.hessian(data["teacher"], data))
        return (curvatures.abs() < 1e-10).sum().item()

    @Claim(
        "exponent of α by which the largest curvature grows, from α = 16 to 32",
        stated=2,
        within=about(2, abs=0.01),  # of the order of α⁻²
        source="Dinh et al. 2017, section 4",
    )
    def exponent_of_curvature(self) -> float:
        data = self.example()
        return math.log2(self._largest_curvature(data, 32.0) / self._largest_curvature(data, 16.0))

    @Claim(
        "exponent of α by which the largest curvature grows, from α = 1/16 to 1/32",
        stated=-2,
        within=about(-2, abs=0.01),  # of the order of α²
        source="Dinh et al. 2017, section 4",
    )
    def exponent_of_curvature_below(self) -> float:
        data = self.example()
        ratio = self._largest_curvature(data, 1 / 32) / self._largest_curvature(data, 1 / 16)
        return -math.log2(ratio)

    @Claim(
        "the largest of |w·∂f/∂w − v ∂f/∂v| of any unit at 100 points, over the gradient",
        stated=0,
        within=about(0, abs=1e-12),  # rounding
        source="derived: Euler's identity of a function that rescaling leaves alone",
    )
    def imbalance_of_the_gradient(self) -> float:
        data = self.example()
        points = torch.randn(100, len(data["start"]), generator=torch.Generator().manual_seed(0))
        first, last = self.parts(points)
        gradient = self.value_and_gradient(points, data)[1]
        by_first, by_last = self.parts(gradient)
        difference = (first * by_first).sum(-1) - last * by_last
        return (difference.abs().amax(-1) / gradient.norm(dim=-1)).max().item()

    @Claim(
        "drift of |w|² − v² in descent at lr 1e-2, over that at 1e-3, at equal time: first order",
        stated=10,
        within=about(10, rel=0.05),  # the next order, of lr
        source="Du, Hu & Lee 2018: gradient flow conserves it",
        slow=True,
    )
    def drift_ratio(self) -> float:
        return self._drift(1e-2) / self._drift(1e-3)


def join(weights: Sequence[torch.Tensor], dims: int = 1) -> torch.Tensor:
    """x (*runs, dim) from its parameter tensors, of which x has `dims` dimensions."""
    return torch.cat([each.flatten(dims - 1) for each in weights], -1)
