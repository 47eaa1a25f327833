"""The same matrix applied at every step of a long chain."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import torch

from problems.geometry import random_rotation
from problems.long_term_dependencies.linear_chain import THEORY, LinearChain
from problems.problem import Card, Tree, dial
from problems.registry import register
from ravine import Refused, bounded, require

Kind = Literal["symmetric", "non_normal", "orthogonal"]


@register("matrix_power")
@dataclass(frozen=True)
class MatrixPower(LinearChain):
    """A linear recurrent network: find the input from which t equal steps lead to the wanted state.

    f(x) = ½ |Wᵗ Uᵀ (x − m)|², U a random rotation through which the input is read.

    With W = V diag(λ) V⁻¹ the gradient is multiplied by diag(λ)ᵗ on its way back: what is above 1 explodes and what is
    below vanishes, exponentially in t. One step stretches a vector by `low` to `high`, so t steps spread the gains by
    (high/low)^t and the curvatures by (high/low)^2t. The start is m + U W⁻ᵗ z with Gaussian z: every mode counts alike
    in the gap. A method that pays for the condition number breaks at a t that grows with the logarithm of the budget.

    dim: x and the state are (dim,).
    steps: t.
    kind: "symmetric": W is diagonal, log-uniform from low to high; "non_normal": W = aI + bN, N the shift,
        a = (low + high)/2, b = (high − low)/2, whose eigenvalues are all a and say nothing about its gains, which
        spread alike; "orthogonal": a rotation, the control: gains of 1.
    low, high: the least and the largest gain of one step.

    W is kept in its own basis, because rounding U W Uᵀ would change a non-normal one: at dim 100 it moves the
    eigenvalues of 0.9 I + 0.5 N by 0.35.

    Deep Learning, sections 8.2.5 and 10.7; Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063.
    """

    dim: int = bounded(20, low=1)
    steps: int = dial(20, low=1)
    kind: Kind = bounded("symmetric", choices=get_args(Kind))
    low: float = bounded(0.9, above=0)
    high: float = 1.1

    card = Card(
        scale="linear",
        ladder=(1, 20, 50),
        quick={},
        target=1e-4,
        budget=1000,
        reference=("newton", {}),
        control={"kind": "orthogonal"},
        removes={
            "vanishing_gradient": {"kind": "orthogonal"},
            "exploding_gradient": {"kind": "orthogonal"},
        },
        breaks=("sgd", "vanishing_gradient"),
        same=("exploding_gradient", "ill_conditioning"),
        signature="largest over smallest factor by which the steps multiply a gradient",
        threshold=10.0,
        truth="One minimum, 0 at m, and no other critical point; the Hessian is U (Wᵗ)ᵀWᵗ Uᵀ.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.5; Pascanu, Mikolov & Bengio 2013",
        theory=THEORY,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require("matrix_power", "high", self.high, low=self.low)
        if self.kind == "orthogonal":
            return
        if self.dim == 1 and self.low != self.high:
            raise Refused(
                f"matrix_power.high is {self.high!r}, but must be low ({self.low!r}) where dim is 1"
            )
        if self.steps > self.longest():
            raise Refused(
                f"matrix_power.steps is {self.steps}, but must be at most {self.longest()} "
                f"with gains from {self.low:g} to {self.high:g}: float64 loses the smallest beyond"
            )

    def longest(self) -> int:
        """Return the largest t that leaves (high/low)^2t below 1e12, and the curvatures within 1e±100."""
        spread = 2 * math.log10(self.high / self.low)
        size = 2 * max(abs(math.log10(self.low)), abs(math.log10(self.high)))
        return int(min(12 / max(spread, 1e-9), 100 / max(size, 1e-9)))

    def weights(self) -> torch.Tensor:
        """Return W in its own basis, for the kinds that are not random there: (dim, dim)."""
        if self.kind == "symmetric":
            share = torch.linspace(0, 1, self.dim, dtype=torch.float64)
            return torch.diag(self.low ** (1 - share) * self.high**share)
        middle, half = (self.low + self.high) / 2, (self.high - self.low) / 2
        diagonal = torch.full((self.dim,), middle, dtype=torch.float64)
        return torch.diag(diagonal) + torch.diag(torch.full_like(diagonal[1:], half), 1)

    def curvatures(self, length: int) -> torch.Tensor:
        """Return the squared gains of Wᵗ at t = length, the same for every instance: (dim,)."""
        if self.kind == "orthogonal":
            return torch.ones(self.dim, dtype=torch.float64)
        return torch.linalg.svdvals(torch.linalg.matrix_power(self.weights(), length)).square()

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        residual = torch.randn(self.dim, generator=generator)
        inputs = random_rotation(self.dim, generator)
        weights = inputs if self.kind == "orthogonal" else self.weights()
        # A triangular W has no negative entry: its powers lose no digits of the vanishing gains.
        power = torch.linalg.matrix_power(weights, self.steps)
        if self.kind == "orthogonal":
            error = power.T @ residual
        else:
            error = torch.linalg.solve_triangular(power, residual[:, None], upper=True)[:, 0]
        through = power @ inputs.T
        return {
            "start": minimizer + inputs @ error,
            "minimizer": minimizer,
            "inputs": inputs,
            "weights": weights,
            "root": through,
            "hessian": through.T @ through,
        }

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.outputs(x, data)

    def chain(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return |(Wᵀ)ˢ r|, s = 0 … steps: the gradient with respect to the state s steps before the end."""
        vector = self.residuals(x, data)
        norms = [vector.norm(dim=-1)]
        for _ in range(self.steps):
            vector = torch.einsum("...i,...ij->...j", vector, data["weights"])
            norms.append(vector.norm(dim=-1))
        return torch.stack(norms, -1)

    def signature(self, data: Tree) -> float:
        gains = torch.linalg.svdvals(torch.linalg.matrix_power(data["weights"], self.steps))
        return (gains[0] / gains[-1]).item()
