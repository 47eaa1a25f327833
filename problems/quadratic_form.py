"""Problems with a constant Hessian and the minimum 0, and how far gradient descent gets on them."""

from __future__ import annotations

import torch

from problems.one_minimum import OneMinimum
from problems.problem import Tree


class QuadraticForm(OneMinimum):
    """A quadratic with a constant Hessian: f(x) = ½ (x − m)ᵀ H (x − m).

    `data` has the "minimizer" m, and the "hessian" H, positive definite, or its diagonal, the "curvatures", if H has
    nothing else.
    """

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        error = x - data["minimizer"]
        gradient = self.hvp(x, data, error)
        return 0.5 * (error * gradient).sum(-1), gradient

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        if "curvatures" in data:
            return vector * data["curvatures"]
        hessian = data["hessian"]
        if vector.dim() == 3 and hessian.shape[:-2] == (len(vector), 1):
            return torch.bmm(vector, hessian.squeeze(1))  # einsum's product, without its overhead
        return torch.einsum("...i,...ij->...j", vector, hessian)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        whole = data["curvatures"].diag_embed() if "curvatures" in data else data["hessian"]
        return whole.expand(*x.shape, x.shape[-1])


class RootForm(QuadraticForm):
    """A quadratic by a root of its Hessian: f(x) = ½ |R (x − m)|², exact to rounding where (x − m)ᵀ H (x − m) cancels.

    `data` also has the "root" R, RᵀR = H.
    """

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return 0.5 * self.outputs(x, data).square().sum(-1)

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        outputs = self.outputs(x, data)
        gradient = torch.einsum("...i,...ij->...j", outputs, data["root"])
        return 0.5 * outputs.square().sum(-1), gradient

    def outputs(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return R (x − m): (*runs, dim)."""
        return torch.einsum("...j,...ij->...i", x - data["minimizer"], data["root"])


def gap_left(
    curvatures: torch.Tensor, lr: torch.Tensor, momentum: torch.Tensor, steps: int
) -> torch.Tensor:
    """Return the gap after a number of steps of heavy ball, on average over whitened starts.

    On a mode of curvature λ the error obeys e[t+1] = (1 + β − lr·λ) e[t] − β e[t−1], e[−1] = e[0]:
    a power of a 2 × 2 matrix. A whitened start gives every mode the same expected share of the gap,
    so the gap is the mean of (e[t]/e[0])² over the modes. β = 0 is gradient descent, with
    (1 − lr·λ)^2t.

    Args:
        curvatures: The curvatures of the modes, (dim,).
        lr: The learning rates, (*settings).
        momentum: The values of β, (*settings).
        steps: The number of steps.

    Returns:
        The gaps, (*settings).
    """
    slope = 1 + momentum[..., None] - lr[..., None] * curvatures
    lag = -momentum[..., None].expand_as(slope)
    one, zero = torch.ones_like(slope), torch.zeros_like(slope)
    step = torch.stack([torch.stack([slope, lag], -1), torch.stack([one, zero], -1)], -2)
    error = torch.linalg.matrix_power(step, steps)[..., 0, :].sum(-1)
    return error.square().mean(-1)


def gap_left_by_descent(curvatures: torch.Tensor, steps: int) -> float:
    """Return the gap after gradient descent with the best constant learning rate, 2/(L + μ)."""
    lr = 2 / (curvatures.max() + curvatures.min())
    return gap_left(curvatures, lr, torch.zeros_like(lr), steps).item()


def gap_left_by_momentum(curvatures: torch.Tensor, steps: int) -> float:
    """Return the gap after heavy ball with the best of Polyak's constants.

    For curvatures in [m, L] they are lr = 4/(√L + √m)² and β = ((√L − √m)/(√L + √m))². For many steps m = μ is best;
    for few, a larger m gains more on the other modes than it loses on the flattest. So this tries 64 values of m from
    μ to L. Polyak 1964.
    """
    largest, smallest = curvatures.max().sqrt(), curvatures.min().sqrt()
    assumed = smallest * (largest / smallest) ** torch.linspace(0, 1, 64, dtype=curvatures.dtype)
    lr = 4 / (largest + assumed) ** 2
    momentum = ((largest - assumed) / (largest + assumed)) ** 2
    return gap_left(curvatures, lr, momentum, steps).min().item()
