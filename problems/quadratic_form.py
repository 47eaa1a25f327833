"""What problems with a constant Hessian and one minimum, 0, have in common."""

from __future__ import annotations

import torch

from problems.problem import Problem, Tree


class QuadraticForm(Problem):
    """f(x) = ½ (x − m)ᵀ H (x − m): `data` has the "hessian" H, positive definite, and the "minimizer" m."""

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        error = x - data["minimizer"]
        gradient = torch.einsum("...i,...ij->...j", error, data["hessian"])
        return 0.5 * (error * gradient).sum(-1), gradient

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        return torch.einsum("...i,...ij->...j", vector, data["hessian"])

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return data["hessian"].expand(*x.shape, x.shape[-1])

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.zeros(())

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return (x - data["minimizer"]).norm(dim=-1)

    def minimizers(self, data: Tree) -> torch.Tensor:
        return data["minimizer"][None]
