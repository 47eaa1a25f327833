"""Saddles in a row, each of which brings descent nearer to the ridge of the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.descent import descent
from problems.problem import Card, CriticalPoint, Problem, Tree, dial
from problems.registry import register
from ravine import bounded

TAU = math.e
GAMMA = 1.0
PATIENCE = 5000  # steps that the signature waits


@register("octopus")
@dataclass(frozen=True)
class Octopus(Problem):
    """Saddles in a row, each of which brings descent nearer to the ridge of the next.

    With i the first of the coordinates with |x_i| < 2τ, τ = e, and γ = 1:

    f(x) = Σ_{j<i} [L(|x_j| − 4τ)² − ν] + a(|x_i|) + b(|x_i|) x²_{i+1} + Σ_{j>i+1} L x_j² + GL z²

    over d = `saddles` coordinates x_j and one more, z; ν = (37L + 13γ)τ²/6. Up to τ, a = −γx² and b = L;
    from there to 2τ polynomials join these, twice differentiably, to the bowl around 4τ and to b = −γ.

    From near 0 one coordinate after the other runs off to ±4τ, each from its saddle. Meanwhile all later
    ones shrink by 1 − 2 lr L a step, and in their turn must grow that much again, at 1 + 2 lr γ. So each
    stay is 1 + ln(1/|1 − 2 lr L|)/ln(1 + 2 lr γ) times as long as the one before (4.1 for L = 2 at
    lr = 1/4L), and the whole way is exponential in d. A step in a random direction at each saddle makes
    it linear, and so do Adam, and heavy ball, which overshoots. Descent at lr = 1/L would overshoot in all
    coordinates; z keeps it below that rate.

    f is defined in the tube |x_j| ≤ 6τ, |x_j| ≤ τ for j > i; a step that leaves it is projected back,
    coordinate by coordinate. Nothing is shifted or rotated: the rounding of a coordinate that is not 0 at
    the saddle would be noise, which shortens the way. Starts are uniform in [−1, 1]^(d + 1). After T
    steps the smallest coordinate is 2^-T: after 149 steps in float32, 1074 in float64, it is the smallest
    number there is, which lr γ no longer changes, and descent stays for good.

    saddles: d, how many are in the row; x is (d + 1,).
    steepness: L, half the curvature across.
    guard: G, the curvature along z over 2L. 4 limits the rate of descent to 1/4L; 1 is the original.

    Du, Jin, Lee, Jordan, Póczos & Singh 2017, arXiv:1705.10412.
    """

    saddles: int = dial(5, low=1)
    steepness: float = bounded(2.0, low=1, high=100)
    guard: float = bounded(4.0, low=1, high=100)

    card = Card(
        scale="linear",
        ladder=(1, 3, 6),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.1, "momentum": 0.9}),
        control={"saddles": 1},
        breaks=("sgd", "saddle"),
        same=("plateau",),
        signature="how many times as long descent stays at the second or third saddle as at the one "
        "before, at the rate 1/4L",
        threshold=2.0,
        truth="The minimum is −dν, at the 2^d points (±4τ, …, ±4τ, 0). The saddles are 0 and those with k "
        "leading coordinates at ±4τ and 0 elsewhere, −kν, one direction down each, of curvature −2γ.",
        source="Du et al. 2017",
        exceptions={
            "random_search": "noise leaves each saddle as soon as the first",
        },
    )

    def instance(self, generator: torch.Generator) -> Tree:
        return {"start": 2 * torch.rand(self.saddles + 1, generator=generator) - 1}

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.value_and_gradient(x, data)[0]

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        z, L = x[..., -1:], self.steepness
        size = torch.where(x < 0, -x, x)[..., :-1]  # |x|, but curved at 0 where its square is
        in_place, current = self._stages(x)
        nothing = torch.zeros_like(z)
        after = torch.cat([nothing.bool(), current[..., :-1]], -1)
        rise, rise_slope = self._rise(size)
        pull, pull_slope = self._pull(size)
        across = torch.where(after, torch.cat([nothing, pull[..., :-1]], -1), L)
        next_square = torch.cat([size[..., 1:].square(), nothing], -1)
        left = size - 4 * TAU

        bowl, later = L * left * left - self._drop, across * size * size
        value = torch.where(in_place, bowl, torch.where(current, rise, later)).sum(-1)
        running = rise_slope + pull_slope * next_square
        slope = torch.where(current, running, 2 * across * size)
        slope = torch.where(in_place, 2 * L * left, slope)
        slope = torch.cat([slope, 2 * self.guard * L * z.abs()], -1)
        return value + self.guard * L * (z * z).sum(-1), torch.where(x < 0, -slope, slope)

    def project(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        in_place, current = self._stages(x)
        wide, narrow = x.clamp(-6 * TAU, 6 * TAU), x.clamp(-TAU, TAU)
        inside = torch.where(in_place | current, wide[..., :-1], narrow[..., :-1])
        return torch.cat([inside, x[..., -1:]], -1)

    def floor(self, data: Tree) -> torch.Tensor:
        return torch.tensor(-self.saddles * self._drop, dtype=torch.float64)

    def minimizers(self, data: Tree) -> torch.Tensor:
        """Return two of the 2^d minima."""
        corner = torch.full_like(data["start"], 4 * TAU)
        corner[-1] = 0
        return torch.stack([corner, -corner])

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.cat([x[..., :-1].abs() - 4 * TAU, x[..., -1:]], -1).norm(dim=-1)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """Return the saddles and the minimum without negative coordinates."""
        corner = self.minimizers(data)[0]
        rank = torch.arange(self.saddles + 1, device=corner.device)
        return tuple(
            CriticalPoint(
                torch.where(rank < k, corner, 0.0),
                -k * self._drop,
                index=int(k < self.saddles),
            )
            for k in range(self.saddles + 1)
        )

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """Return how many of the saddles each run has left."""
        return {"saddles_left": self._stages(x)[0].sum(-1)}

    def signature(self, data: Tree) -> float:
        first = min(len(data["start"]) - 1, 3)  # their stays do not depend on what follows
        start = torch.cat([data["start"][:first], torch.zeros(1)])
        stays = replace(self, saddles=first).stays(start, PATIENCE)
        return (stays[-1] / stays[-2]).item() if first > 1 else 1.0

    def stays(self, start: torch.Tensor, most: int) -> torch.Tensor:
        """Return how many of up to `most` steps of descent, at 1/4L, each saddle takes: (*runs, saddles)."""
        counts = torch.zeros_like(start[..., :-1])
        path = descent(self, {}, start, 1 / (4 * self.steepness))
        for _ in range(most):
            current = self._stages(next(path))[1]
            if not current.any():
                break
            counts += current
        return counts

    def _stages(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return which coordinates have run off in their turn, and which is the next: (*runs, saddles) each."""
        in_place = (x[..., :-1].abs() >= 2 * TAU).cumprod(-1).bool()
        turn = torch.cat([torch.ones_like(in_place[..., :1]), in_place[..., :-1]], -1)
        return in_place, turn & ~in_place

    def _rise(self, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return a(|x|) and its slope: −γx², and from τ on what joins that to the bowl around 4τ."""
        far = (size / TAU - 1).clamp(min=0)
        cubic = (10 * GAMMA - 14 * self.steepness) * far * far
        quartic = (5 * self.steepness - 3 * GAMMA) * far**3
        value = TAU**2 * far * (cubic / 3 + quartic / 2) - GAMMA * size * size
        return value, TAU * (cubic + 2 * quartic) - 2 * GAMMA * size

    def _pull(self, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return b(|x|) and its slope: from L at τ to −γ at 2τ."""
        left = (size / TAU - 2).clamp(-1, 0)
        height = self.steepness + GAMMA
        value = -GAMMA - height * left**3 * (10 + 15 * left + 6 * left * left)
        return value, -30 * height / TAU * (left * (1 + left)).square()

    @property
    def _drop(self) -> float:
        """ν, by which the loss falls from each saddle to the next, and from the last to the minimum."""
        return (37 * self.steepness + 13 * GAMMA) * TAU**2 / 6
