"""One tanh unit on three kinds of examples in the plane: what can be said of it whatever they are."""

from __future__ import annotations

from itertools import product

import torch

from problems.problem import Problem, Tree

TINY = 1e-10  # a gradient that is zero but for rounding
STRICT = 1e-6  # a curvature that is none of a plateau
FAR = 40.0  # an input at which the unit is saturated
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

    def count_critical_points(self, data: Tree) -> int:
        """How many critical points there are whose λ (below) is at least 1e-11.

        Three vectors in the plane have one relation, Σ νᵢ xᵢ = 0. So the gradient Σ cᵢ h(pᵢ) xᵢ, with
        h(p) = (tanh p − t)(1 − tanh² p), is zero where cᵢ h(pᵢ) = λ νᵢ for some λ, and p belongs to a w
        where Σ νᵢ pᵢ = 0. h falls from 0 to its least, rises through 0 to its largest, and falls to 0:
        each h(pᵢ) has two pᵢ. What is left is to count the zeros of eight functions of λ.
        """
        a, b = data["examples"].unbind(-1)
        relation = torch.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2]])
        relation = torch.cat([relation, (a[0] * b[1] - a[1] * b[0])[None]])
        relation = relation / relation.abs().max()
        folds = self._folds()
        extremes = _slope(folds, self.wanted)
        size = torch.logspace(-11, 1, 4001)
        ends = (extremes * (data["counts"] / relation)[:, None]).flatten() * (1 - 1e-12)
        grid = torch.cat([-size, size, ends]).sort().values
        count = 0
        for side in (grid[grid < 0], grid[grid > 0]):
            inputs = [
                self._inverse(side * relation[i] / data["counts"][i], folds) for i in range(3)
            ]
            for branch in product((0, 1), repeat=3):
                terms = [relation[i] * inputs[i][branch[i]] for i in range(3)]
                total = torch.stack(terms).sum(0)
                count += int((total[:-1] * total[1:] < 0).sum())
        return count

    def _inputs(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.einsum("...i,...ni->...n", x, data["examples"])

    def _folds(self) -> torch.Tensor:
        """Where h is least and where it is largest: the roots of 3z² − 2tz − 1, z = tanh p."""
        root = (self.wanted**2 + 3) ** 0.5
        outputs = torch.tensor([(self.wanted - root) / 3, (self.wanted + root) / 3])
        return outputs.atanh().clamp(max=FAR)

    def _inverse(
        self, heights: torch.Tensor, folds: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Both p with h(p) equal to these heights, all of one sign, by bisection; NaN where there is none."""
        least, largest = folds.tolist()
        extremes = _slope(folds, self.wanted)
        there = (heights > extremes[0]) & (heights < extremes[1])
        down = heights[0] < 0
        found = []
        for low, high, rising in (
            (least, largest, True),
            (-FAR, least, False) if down else (largest, FAR, False),
        ):
            below, above = torch.full_like(heights, low), torch.full_like(heights, high)
            for _ in range(60):
                middle = (below + above) / 2
                under = (_slope(middle, self.wanted) < heights) == rising
                below, above = torch.where(under, middle, below), torch.where(under, above, middle)
            found.append(torch.where(there, below, torch.nan))
        return found[0], found[1]


def _slope(inputs: torch.Tensor, wanted: float) -> torch.Tensor:
    """h(p) = (tanh p − t)(1 − tanh² p), whose last factor is 1/cosh² p."""
    return (inputs.tanh() - wanted) / inputs.cosh().square()
