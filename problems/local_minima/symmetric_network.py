"""A network whose minima come in many equal copies, some of them far worse conditioned than others."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from problems.geometry import random_rotation
from problems.local_minima.network import TaughtNetwork
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import Refused, bounded, require

Activation = Literal["relu", "tanh"]
SPREAD = 0.3  # of the start's weights around the teacher's, of length 1


@register("symmetric_network")
@dataclass(frozen=True)
class SymmetricNetwork(TaughtNetwork):
    """A network that a teacher of the same size has taught: its minima are many, and all equal.

    f(x) = ½ mean (v·a(W_m … a(W_1 u)) − y)², y the teacher's output, m hidden layers of n units,
    a = max(0, ·) or tanh, no biases.

    The units of a layer can be renamed: (n!)^m copies of any minimum. With tanh the weights into and out of a
    unit can also change their signs: (n! 2ⁿ)^m. With relu the weights into a unit can be multiplied by α and
    those out of it divided: a curve of minima, and mn flat directions in the Hessian. All copies cost the same,
    and descent from a renamed start takes the renamed path; but from a rescaled start it does not. At constant
    loss the largest curvature grows like α², or α⁻² for small α, while the others shrink: the farther out a
    start that computes the same function lies, the harder it is. Gradient flow does not come back from there,
    for it conserves |w|² − v² of every unit. Newton's method would not see α.

    The start is a copy of the teacher, its units renamed at random, its weights moved by a third of their size,
    then all units rescaled by α.

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
    units: int = bounded(4, low=1)
    layers: int = bounded(1, low=1)
    points: int = 40
    activation: Activation = bounded("relu", choices=get_args(Activation))
    rescaling: float = dial(6.0, above=0, high=1e3)

    card = Card(
        scale="log",
        ladder=(1.0, 6.0, 32.0),
        target=1e-4,
        budget=1000,
        reference=("damped_newton", {"damping": 1e-3}),
        control={"rescaling": 1.0},
        breaks=("sgd", "ill_conditioning"),
        signature="largest curvature at the rescaled teacher over that at the teacher",
        threshold=3.0,
        truth="The minimum, 0, is reached at the teacher's weights and at all their copies: (n!)^m by "
        "renaming, times 2^(mn) by signs with tanh; with relu each lies on an mn-dimensional surface of "
        "minima, where the Hessian has mn zeros.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.2; Dinh et al. 2017",
        exceptions={
            "signature": "The loss is that of the control: the curvature is measured where the start lies.",
        },
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require("symmetric_network", "inputs", self.inputs, low=self.units, whole=True)
        least = 2 * self.units * self.inputs  # fewer leave more directions flat
        require("symmetric_network", "points", self.points, low=least, whole=True)
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
        teacher = self.join([*teacher, 2.0 * signs - 1])
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
        *weights, last = self.parts(x)
        state = inputs
        for weight in weights:
            state = torch.einsum("...pi,...ni->...pn", state, weight)
            state = state.relu() if self.activation == "relu" else state.tanh()
        return torch.einsum("...pn,...n->...p", state, last)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (self.outputs(x, data["inputs"]) - data["targets"]) / math.sqrt(self.points)

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return the teacher, its units renamed in a circle; with relu also the same rescaled."""
        orders = [torch.arange(self.units).roll(k) for k in range(self.units)]
        teacher = data["teacher"]
        copies = torch.stack([self.renamed(teacher, [order] * self.layers) for order in orders])
        if self.activation == "tanh":
            return copies
        return torch.cat([copies, self.rescaled(copies, self.rescaling)])

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the teacher, with one hidden layer: with more, some units may never be on."""
        if self.layers > 1:
            return ()
        flat = self.units if self.activation == "relu" else 0
        return (CriticalPoint(data["teacher"], 0.0, 0, flat),)

    def signature(self, data: Tree) -> float:
        far = self._largest_curvature(data, self.rescaling)
        return (far / self._largest_curvature(data, 1.0)).item()

    def renamed(self, x: torch.Tensor, names: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return the same network with unit names[l][j] of layer l in the place of its unit j: (*runs, dim)."""
        weights = self.parts(x)
        for layer, order in enumerate(names):
            weights[layer] = weights[layer][..., order, :]
            weights[layer + 1] = weights[layer + 1][..., order]
        return self.join(weights)

    def rescaled(self, x: torch.Tensor, factor: float) -> torch.Tensor:
        """Return the weights into all units times α, those out of them over α: with relu the same network.

        Between hidden layers the two cancel.
        """
        first, *hidden, last = self.parts(x)
        return self.join([factor * first, *hidden, last / factor])

    def _largest_curvature(self, data: Tree, factor: float) -> torch.Tensor:
        x = self.rescaled(data["teacher"], factor)
        return torch.linalg.eigvalsh(self.hessian(x, data))[-1]
