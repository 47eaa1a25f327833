"""What quadratic forms of any sign that a quartic wall confines have in common."""

from __future__ import annotations

import math

import torch

from problems.problem import CriticalPoint, Problem, Tree

START = 0.5  # of the radius from within which Newton's method ends at the centre


class WalledForm(Problem):
    """f(x) = ½ yᵀ H y + (q/4)|y|⁴, y = x − c: `data` has the "hessian" H, its "curvatures" λ₁ ≤ … ≤ λ_n
    with their "basis", a column each, and the "center" c; q is the field `wall`.

    Where f is stationary, H y = −q|y|² y: y is 0 or an eigenvector with λ_i = −q|y|² < 0. So the critical
    points are c, with a direction down for each negative λ, and, for each of these λ, c ± √(−λ_i/q) v_i
    at the height −λ_i²/4q, with a direction down for each λ_j < λ_i. The lowest two are the minima.

    Newton's method ends at c from everywhere within |y| < ρ = √(min|λ|/5q): a step leads to
    (H + q|y|² + 2q yyᵀ)⁻¹ 2q|y|² y, which is no longer than 2q|y|³/(min|λ| − 3q|y|²) < |y|.
    """

    wall: float

    def start_near(
        self, curvatures: torch.Tensor, basis: torch.Tensor, generator: torch.Generator
    ) -> Tree:
        """Return the data of a form with these curvatures (dim,), ascending, and a start at ρ/2 from its centre."""
        center = torch.randn(len(curvatures), generator=generator)
        direction = torch.randn(len(curvatures), generator=generator)
        reach = (curvatures.abs().amin() / (5 * self.wall)).sqrt()
        return {
            "start": center + START * reach * direction / direction.norm(),
            "center": center,
            "curvatures": curvatures,
            "basis": basis,
            "hessian": (basis * curvatures) @ basis.T,
        }

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        y = x - data["center"]
        bent = torch.einsum("...i,...ij->...j", y, data["hessian"])
        return 0.5 * (y * bent).sum(-1) + self.wall / 4 * (y * y).sum(-1).square()

    def floor(self, data: Tree) -> torch.Tensor:
        return -self._deepest(data).square() / (4 * self.wall)

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        y = x - data["center"]
        radius = (self._deepest(data) / self.wall).sqrt()
        arm = radius.unsqueeze(-1) * data["basis"][..., 0]
        return torch.minimum((y - arm).norm(dim=-1), (y + arm).norm(dim=-1))

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return the lowest two points; they are the same where no curvature is negative."""
        arm = (self._deepest(data) / self.wall).sqrt() * data["basis"][:, 0]
        return data["center"] + torch.stack([arm, -arm])

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return all of them; where negative curvatures are equal, two of each sphere that they fill."""
        center, curvatures = data["center"], data["curvatures"]
        found = [CriticalPoint(center, 0.0, _count(curvatures < 0), _count(curvatures == 0))]
        for k, curvature in enumerate(curvatures[curvatures < 0].tolist()):
            arm = math.sqrt(-curvature / self.wall) * data["basis"][:, k]
            index = _count(curvatures < curvature)
            equal = _count(curvatures == curvature) - 1
            value = -(curvature**2) / (4 * self.wall)
            found += [CriticalPoint(center + way * arm, value, index, equal) for way in (1, -1)]
        return tuple(found)

    def _deepest(self, data: Tree) -> torch.Tensor:
        """Return −λ₁, or 0 where no curvature is negative."""
        return (-data["curvatures"][..., 0]).clamp(min=0)


def _count(where: torch.Tensor) -> int:
    return int(where.sum())
