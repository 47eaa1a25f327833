"""One tanh unit on three kinds of examples in the plane: what can be said of it whatever they are."""

from __future__ import annotations

import torch

from problems.problem import Problem, Tree

TINY = 1e-10  # a gradient that is zero but for rounding
STRICT = 1e-6  # a curvature that is none of a plateau
STRIDE = 0.2  # the longest step of `settle`


class OneNeuron(Problem):
    """f(w) = ½ Σ cᵢ (tanh(w·xᵢ) − t)², three examples xᵢ in the plane, without bias and hidden units.

    `data` has the "examples", (3, 2), rotated, and their "counts" c, (3,). All belong to the class whose
    target is t: an example of the other class is −x with target −t, and costs the same. So the unit
    classifies those right for which w·x > 0.
    """

    @property
    def wanted(self) -> float:
        """t."""
        raise NotImplementedError

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        error = self._inputs(x, data).tanh() - self.wanted
        return 0.5 * (data["counts"] * error.square()).sum(-1)

    def residuals(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return data["counts"].sqrt() * (self._inputs(x, data).tanh() - self.wanted)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        output = self._inputs(x, data).tanh()
        error = output - self.wanted
        slopes = data["counts"] * error * (1 - output.square())
        gradient = torch.einsum("...n,...ni->...i", slopes, data["examples"])
        return 0.5 * (data["counts"] * error.square()).sum(-1), gradient

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        output = self._inputs(x, data).tanh()
        slope = 1 - output.square()
        bends = data["counts"] * slope * (slope - 2 * output * (output - self.wanted))
        examples = data["examples"]
        return torch.einsum("...n,...ni,...nj->...ij", bends, examples, examples)

    def wrong(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """How many of the three examples are classified wrong: (*runs)."""
        return (self._inputs(x, data) <= 0).to(x.dtype).sum(-1)

    def settle(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Where descent from x ends, by 300 steps of |H|⁻¹ g that are at most a fifth long."""
        for _ in range(300):
            gradient = self.value_and_gradient(x, data)[1]
            curvatures, basis = torch.linalg.eigh(self.hessian(x, data))
            along = torch.einsum("...ij,...i->...j", basis, gradient)
            step = torch.einsum("...ij,...j->...i", basis, along / (curvatures.abs() + 1e-12))
            x = x - step * (STRIDE / step.norm(dim=-1, keepdim=True)).clamp(max=1)
        return x

    def certified(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Which points are strict minima, (*runs): a small gradient alone is found on any plateau."""
        gradient = self.value_and_gradient(x, data)[1]
        curvatures = torch.linalg.eigvalsh(self.hessian(x, data))
        return (gradient.norm(dim=-1) < TINY) & (curvatures[..., 0] > STRICT)

    def _inputs(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.einsum("...i,...ni->...n", x, data["examples"])


def _slope(inputs: torch.Tensor, wanted: float) -> torch.Tensor:
    """h(p) = (tanh p − t)(1 − tanh² p), whose last factor is 1/cosh² p."""
    return (inputs.tanh() - wanted) / inputs.cosh().square()
