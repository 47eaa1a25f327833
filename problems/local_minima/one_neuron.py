"""One tanh unit on three kinds of examples in the plane: what can be said of it whatever they are."""

from __future__ import annotations

import torch

from problems.problem import CriticalPoint, Problem, Tree

WANTED = 0.8
TINY = 1e-10  # a gradient that is zero but for rounding
STRICT = 1e-6  # a curvature larger than any on a plateau
STRIDE = 0.2  # the longest step of `settle`


class OneNeuron(Problem):
    """f(w) = ½ Σ cᵢ (tanh(w·xᵢ) − t)², three examples xᵢ in the plane, without bias and hidden units.

    `data` has a "rotation" of the plane, the "examples", (3, 2), rotated, and their "counts" c, (3,). All
    belong to the class whose target is t: an example of the other class is −x with target −t, and costs the
    same. So the unit classifies those right for which w·x > 0.

    asymptotic: t is 1, the asymptote of tanh, and not 0.8. Then separable examples leave no critical point, and
        the infimum, 0, is at infinity.
    """

    asymptotic: bool

    def stated(self) -> tuple[tuple[tuple[float, float], float, int], ...]:
        """Return all critical points for t = 0.8, before the rotation, with value and index, the best first."""
        raise NotImplementedError

    @property
    def wanted(self) -> float:
        """The target t."""
        return 1.0 if self.asymptotic else WANTED

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

    def floor(self, data: Tree) -> torch.Tensor:
        return data["start"].new_tensor(0.0 if self.asymptotic else self.stated()[0][1])

    def minimizers(self, data: Tree) -> torch.Tensor | None:
        return None if self.asymptotic else self.place(self.stated()[0][0], data)[None]

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        return None if self.asymptotic else (x - self.place(self.stated()[0][0], data)).norm(dim=-1)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        stated = () if self.asymptotic else self.stated()
        return tuple(CriticalPoint(self.place(w, data), value, index) for w, value, index in stated)

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        return {"wrong": self.wrong(x, data)}

    def place(self, w: tuple[float, float], data: Tree) -> torch.Tensor:
        """Return where a point of the plane lies after the rotation: (2,), after the runs' dimensions."""
        rotation = data["rotation"]
        return torch.einsum("...ij,j->...i", rotation, rotation.new_tensor(w))

    def wrong(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Count which of the three examples are classified wrong: (*runs, 2) -> (*runs)."""
        return (self._inputs(x, data) <= 0).to(x.dtype).sum(-1)

    def settle(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return where descent from x ends, by 300 steps |H|⁻¹ g of a length of at most 0.2: (*runs, 2)."""
        for _ in range(300):
            gradient = self.value_and_gradient(x, data)[1]
            curvatures, basis = torch.linalg.eigh(self.hessian(x, data))
            along = torch.einsum("...ij,...i->...j", basis, gradient)
            step = torch.einsum("...ij,...j->...i", basis, along / (curvatures.abs() + 1e-12))
            x = x - step * (STRIDE / step.norm(dim=-1, keepdim=True)).clamp(max=1)
        return x

    def certified(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return which points are strict minima, bool (*runs); on a plateau the gradient alone is small."""
        gradient = self.value_and_gradient(x, data)[1]
        curvatures = torch.linalg.eigvalsh(self.hessian(x, data))
        return (gradient.norm(dim=-1) < TINY) & (curvatures[..., 0] > STRICT)

    def _inputs(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.einsum("...i,...ni->...n", x, data["examples"])
