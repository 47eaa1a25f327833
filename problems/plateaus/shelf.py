"""A level shelf halfway down to the minimum: descent stops at its edge, momentum coasts over it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from problems.geometry import random_rotation
from problems.one_minimum import OneMinimum
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.registry import register
from ravine import bounded


def smooth_step(t: torch.Tensor) -> torch.Tensor:
    """Return e^(−1/t)/(e^(−1/t) + e^(−1/(1−t))), which is 0 up to t = 0, 1 from t = 1 on, and C^∞."""
    between = (t > 1e-3) & (t < 1 - 1e-3)  # beyond, e^-1000 is 0, and its slope 0 · ∞
    safe = torch.where(between, t, 0.5)
    return torch.where(between, (1 / (1 - safe) - 1 / safe).sigmoid(), (t > 0.5).to(t.dtype))


@register("shelf")
@dataclass(frozen=True)
class Shelf(OneMinimum):
    """A level shelf halfway down to the minimum: descent stops at its edge, momentum coasts over it.

    f = Σ φ(zᵢ), z = Qᵀ (x − m); φ(z) = z²/2 for z ≤ ½, exactly ½ for 1 ≤ z ≤ 1 + w, and ½ + y²/2 for
    y = z − 1 − w ≥ 1; C^∞ and never falling in between, by S(t) = e^(−1/t)/(e^(−1/t) + e^(−1/(1−t))).

    On the shelf, where all zᵢ are between 1 and 1 + w, gradient and Hessian are exactly zero, dim/2 above the
    minimum: a flat set of positive volume that is no minimum. Towards its edge all derivatives fade, so that
    small steps never arrive. A gradient of zero has no direction: no method of first order gets a signal there,
    however it scales gradients. Starts are ½ to 3/2 above the edge in each coordinate. Descent passes only if one
    step is longer than the shelf, which the bowl's curvature forbids from w ≈ ½ on; a heavy ball that arrives
    with velocity v coasts lr · v β/(1 − β) further.

    dim: x is (dim,).
    width: w. At 0 there is no shelf, but still a ledge where all derivatives are zero.

    Deep Learning, section 8.2.3.
    """

    dim: int = bounded(5, low=1)
    width: float = dial(1.0, low=0)

    card = Card(
        scale="linear",
        ladder=(0.0, 1.0, 3.0),
        target=1e-4,
        budget=1000,
        reference=("nesterov", {"lr": 0.1, "momentum": 0.99}),
        control={"width": 0.0},
        removes={"no_signal": {"width": 0.0}},
        breaks=("sgd", "no_signal"),
        same=("plateau",),
        signature="share of the straight way from the start to m on which the gradient is exactly zero",
        threshold=0.02,
        truth="The minimum is 0, at m. The loss is dim/2 all over the shelf, where gradient and Hessian are zero; "
        "a ball with velocity v coasts lr · v β/(1 − β) over it.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.3",
    )

    def instance(self, generator: torch.Generator) -> Tree:
        above = 0.5 + torch.rand(self.dim, generator=generator)
        minimizer = torch.randn(self.dim, generator=generator)
        data = {"minimizer": minimizer, "basis": random_rotation(self.dim, generator)}
        return {"start": self.place(1 + self.width + above, data), **data}

    def place(self, z: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the points with coordinates z: (*runs, dim) -> (*runs, dim)."""
        return data["minimizer"] + torch.einsum("...j,...ij->...i", z, data["basis"])

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        error = x - data["minimizer"]
        return self.profile(torch.einsum("...i,...ij->...j", error, data["basis"])).sum(-1)

    def profile(self, z: torch.Tensor) -> torch.Tensor:
        """Return φ(z), of the same shape."""
        beyond = z - 1 - self.width
        level, rise = smooth_step(2 * z - 1), smooth_step(beyond)
        return 0.5 * ((1 - level) * z.square() + level + rise * beyond.square())

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the minimum, and the middle of the shelf."""
        middle = self.place(torch.full_like(data["start"], 1 + self.width / 2), data)
        return (
            CriticalPoint(data["minimizer"], 0.0, 0),
            CriticalPoint(middle, self.dim / 2, 0, nullity=self.dim),
        )

    def signature(self, data: Tree) -> float:
        way = torch.linspace(0, 1, 1001, dtype=torch.float64)[1:, None]
        x = data["minimizer"] + way * (data["start"] - data["minimizer"])
        return (self.value_and_gradient(x, data)[1] == 0).all(-1).double().mean().item()
