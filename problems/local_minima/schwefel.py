"""A wide landscape whose second-best minimum is at its other end, so that a good start says little."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from problems.local_minima.multimodal import Multimodal
from problems.problem import Card, CriticalPoint, SampleSizes, Tree, dial
from problems.registry import register
from ravine import bounded

# Where tan u = −u/2, z = ±u² is a turning point, of height DEPTH ∓ u³/√(4 + u²): those at u = 20.5175 and 17.3932.
OPTIMUM, DEPTH = 420.968746359982027, 418.982887272433706
WALL, WALL_DEPTH = 302.524935611911384, -300.544552657995810
EDGE = 500.0


@register("schwefel")
@dataclass(frozen=True)
class Schwefel(Multimodal):
    """A wide landscape whose second-best minimum is at the other end: a good start says little.

    f = Σ φ(zᵢ), φ(z) = 418.98 − z sin √|z| + max(0, |z| − 500)², z = o + Qᵀ (x − m).

    The last term keeps runs in the usual domain [−500, 500], beyond which the first two fall without end. There
    φ has seven minima and an eighth at the edge, deeper outwards on both sides: the best at 420.97, the
    second-best at −302.52. No slope leads from one to the other. Starts are contracted towards the optimum: with
    spread s they are uniform in o + s (box − o). The best basin begins at the wall z = 302.52, and holds each
    coordinate of a start with probability p = (79.03 + 118.44/s)/1000, at most 1: small steps solve the share
    p^dim of the runs.

    dim: x is (dim,).
    spread: s, the share of the domain in which runs start; 1 is the usual function. Up to 0.1286 all starts are
        in the best basin.

    Schwefel 1981, "Numerical optimization of computer models"; Deep Learning, section 8.2.2.
    """

    dim: int = bounded(2, low=1)
    spread: float = dial(0.35, above=0, high=1)

    box = (-EDGE, EDGE)
    card = Card(
        scale="log",
        ladder=(0.125, 0.35, 1.0),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.5, "momentum": 0.5}),
        control={"spread": 0.125},
        removes={"local_minimum": {"spread": 0.125}},
        signature="minima among the starts on a line through m along the axis of z₁",
        threshold=2.0,
        truth="The minimum is 0, at m, where all zᵢ = 420.9687; the second-best has one coordinate at "
        "−302.5249 and is 118.44 high. Small steps solve ((79.03 + 118.44/s)/1000)^dim of the runs.",
        source="Schwefel 1981; Goodfellow, Bengio & Courville 2016, section 8.2.2",
        exceptions={
            "reference": "the start decides: most lie in the basin of another minimum",
            "ranked": "local methods end in the basin where they start, or in another by chance",
            "signature": "The loss is that of the control: the spread of the starts decides.",
        },
        cell=SampleSizes(trials=9, seeds=50),
    )

    @property
    def optimum(self) -> float:
        return OPTIMUM

    def first(self, uniform: torch.Tensor) -> torch.Tensor:
        return OPTIMUM + self.spread * (super().first(uniform) - OPTIMUM)

    def landscape(self, z: torch.Tensor) -> torch.Tensor:
        size = z.abs()
        outside = (size - EDGE).clamp(min=0)
        return (DEPTH - z * size.sqrt().sin() + outside.square()).sum(-1)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the best minimum, the second-best, the wall beside the best and the corner between walls."""
        best = torch.full_like(data["start"], OPTIMUM)
        one = torch.arange(self.dim, device=best.device) == 0
        second, wall = torch.where(one, -WALL, best), torch.where(one, WALL, best)
        corner, height = torch.full_like(best, WALL), DEPTH - WALL_DEPTH
        return (
            CriticalPoint(data["minimizer"], 0.0, 0),
            CriticalPoint(self.place(second, data), DEPTH + WALL_DEPTH, 0),
            CriticalPoint(self.place(wall, data), height, 1),
            CriticalPoint(self.place(corner, data), self.dim * height, self.dim),
        )

    def predicted_share(self) -> float:
        """Return the share of the starts that lie beyond all walls."""
        each = (EDGE - OPTIMUM + (OPTIMUM - WALL) / self.spread) / (2 * EDGE)
        return min(1.0, each) ** self.dim
