"""A wide bowl with a fine ripple, which fades as dimensions are added."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from problems.local_minima.multimodal import Multimodal
from problems.problem import Card, dial
from problems.registry import register
from ravine import bounded


@register("griewank")
@dataclass(frozen=True)
class Griewank(Multimodal):
    """A wide bowl with a fine ripple, which fades as dimensions are added.

    f = Σ zᵢ²/4000 + r (1 − Π cos(zᵢ/√i)), z = Qᵀ (x − m).

    Up to r = 0.0023016 there is no critical point but the minimum; above it there is one, on the axis of z₁.
    The ripple is the same everywhere, so it wins where the bowl is flat: within about 2000 r of m. In many
    dimensions the product is small nearly everywhere, and the function becomes easier (Locatelli 2003):
    descent from the classical box solves nothing in 5 dimensions, and more than a quarter of the starts in
    20. The minima next to the best are only 0.0074 higher: hence the target.

    dim: x is (dim,).
    ripple: r; the classical value is 1.

    Griewank 1981 (J. Optimization Theory and Applications 34); Locatelli 2003 (J. Global Optimization 25);
    Deep Learning, section 8.2.2.
    """

    dim: int = bounded(5, low=1)
    ripple: float = dial(0.02, low=0)

    box = (-600.0, 600.0)
    shown = slice(1900, 2101)  # the middle twentieth: ripples are some 6 long
    card = Card(
        scale="log",
        ladder=(0.002, 0.008, 0.02),
        target=1e-6,
        budget=1000,
        reference=("momentum", {"lr": 100.0, "momentum": 0.9}),
        control={"ripple": 0.002},
        removes={"local_minimum": {"ripple": 0.002}},
        breaks=("sgd", "local_minimum"),
        signature="minima among the starts on a line through m along the axis of z₁",
        threshold=2.0,
        truth="The minimum is 0, at m, and up to r = 0.0023016 there is no other critical point. At r = 1 the "
        "next minima are 0.0074 high, near z₁ = ±π, z₂ = ±√2 π.",
        source="Griewank 1981; Locatelli 2003; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={"reference": "at r = 0.02 runs end in one of many minima around the best"},
    )

    def landscape(self, z: torch.Tensor) -> torch.Tensor:
        widths = torch.arange(1, self.dim + 1, dtype=z.dtype, device=z.device).sqrt()
        return z.square().sum(-1) / 4000 + self.ripple * (1 - (z / widths).cos().prod(-1))
