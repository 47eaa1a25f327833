"""Gradients sent in a few bits: with one, their signs, every step stays on the same line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from problems.inexact_gradients.sampled import Sampled, first_draws
from problems.problem import Card, Tree, dial
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import bounded

BLOCK = 100  # steps whose examples are drawn at once
MEAN = math.sqrt(2 / math.pi)  # of |n|, n ~ N(0, 1)


@register("sign_compression")
@dataclass(frozen=True)
class SignCompression(Sampled, QuadraticForm):
    """Least squares without noise, whose gradients are rounded to a few bits per coordinate.

    f(x) = ½ E (a·(x − m))², a = s ∘ |n| with n ~ N(0, I), new at every step, and s a vector of signs.
    Seen is the gradient a (a·(x − m)) of one example, each coordinate's size rounded to the middle of
    one of 2^(bits − 1) equal levels up to the largest: with one bit, its sign times half of that.

    All examples solve the same system, but the signs of their gradients are s or −s. With one bit
    every method that sums them, scaling all coordinates alike, moves along s only, and almost surely
    never converges. A second bit is enough to leave the line; so is error feedback, which adds to the
    next gradient what this one has lost. Starts are m + H^-½ z, z Gaussian: all modes count alike.

    dim: x is (dim,).
    bits: per coordinate, one of them for the sign.

    Karimireddy, Rebjock, Stich & Jaggi 2019, arXiv:1901.09847, section 3; Bernstein et al. 2018,
    arXiv:1802.04434; Deep Learning, section 8.2.6.
    """

    dim: int = bounded(20, low=2)
    bits: int = dial(1, low=1, high=32)

    card = Card(
        scale="list",
        ladder=(8, 2, 1),
        target=1e-3,
        budget=1000,
        reference=("sgd", {"lr": 0.03}),
        control={"bits": 8},
        signature="share of the seen gradients, squared, that lies along a single direction",
        threshold=0.99,
        truth="One minimum, 0 at m; H = (1 − 2/π) I + (2/π) s sᵀ. With one bit x stays on the line "
        "start + R s, where f is at least f₀ (1 − (sᵀHe)²/(sᵀHs eᵀHe)), e = start − m: nearly all of f₀.",
        source="Karimireddy, Rebjock, Stich & Jaggi 2019, section 3",
        exceptions={
            "reference": "with one bit per coordinate no step leaves a line that misses the minimum",
            "ranked": "with one bit all methods stay on the same line, with more it is an easy bowl",
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer, whitened, side = torch.randn(3, self.dim, generator=generator)
        signs = side.sign()
        # H^-½ has 1/√(1 − 2/π) across s, and 1/√(1 − 2/π + dim 2/π) along it.
        across, along = 1 - MEAN**2, 1 - MEAN**2 + self.dim * MEAN**2
        part = signs * (signs @ whitened) / self.dim
        return {
            "start": minimizer + (whitened - part) / math.sqrt(across) + part / math.sqrt(along),
            "minimizer": minimizer,
            "signs": signs,
            "hessian": across * torch.eye(self.dim) + MEAN**2 * signs[:, None] * signs,
        }

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree]:
        while True:
            sizes = torch.randn(BLOCK, self.dim, generator=generator).abs()
            yield from ({"example": row} for row in data["signs"] * sizes)

    def at_draw(self, x: torch.Tensor, data: Tree, draw: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        example = draw["example"]
        residual = (example * (x - data["minimizer"])).sum(-1, keepdim=True)
        return 0.5 * residual.squeeze(-1).square(), residual * example

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        if draw is None:
            return self.hvp(x, data, vector)
        example = draw["example"]
        return (example * vector).sum(-1, keepdim=True) * example

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        if draw is None:
            return self.hessian(x, data)
        example = draw["example"].expand(x.shape)
        return example.unsqueeze(-1) * example.unsqueeze(-2)

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        levels = 2.0 ** (self.bits - 1)
        largest = gradient.abs().amax(-1, keepdim=True)
        size = gradient.abs() / largest.clamp(min=torch.finfo(gradient.dtype).tiny)
        middle = (levels * size).floor().clamp(max=levels - 1) + 0.5
        return gradient.sign() * middle * (largest / levels), memory

    def signature(self, data: Tree) -> float:
        examples = first_draws(self, data, 10 * self.dim)
        x = data["start"].expand(10 * self.dim, -1)
        gradient = self.sampled_value_and_gradient(x, data, examples)[1]
        along = torch.linalg.svdvals(self.seen(gradient, data, examples, None)[0]).square()
        return (along[0] / along.sum()).item()

    def predicted_share(self) -> float | None:
        return 0.0 if self.bits == 1 else None

    def best_on_the_line(self, data: Tree) -> torch.Tensor:
        """Return the least loss on start + R s: (*runs)."""
        error, signs = data["start"] - data["minimizer"], data["signs"]
        force = torch.einsum("...i,...ij->...j", signs, data["hessian"])
        least = (error * force).sum(-1).square() / (signs * force).sum(-1)
        return self.loss(data["start"], data) - 0.5 * least

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        return {"loss_over_best_on_line": self.loss(x, data) / self.best_on_the_line(data)}
