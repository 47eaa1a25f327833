"""Saddles in a row, each of which brings descent nearer to the ridge of the next."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.descent import descent
from problems.portrait import Curves
from problems.problem import Card, CriticalPoint, Problem, Tree
from problems.registry import register
from ravine import require

TAU = math.e
GAMMA = 1.0
PATIENCE = 5000  # steps that the signature waits
NEAR = 1e-3  # of the height: how far down "in the minimum" is, for the counts of steps


@register("octopus")
@dataclass(frozen=True)
class Octopus(Problem):
    """Saddles in a row, each of which brings descent nearer to the ridge of the next.

    With i the first of the coordinates with |x_i| < 2τ, τ = e, and γ = 1:

    f(x) = Σ_{j<i} [L(|x_j| − 4τ)² − ν] + a(|x_i|) + b(|x_i|) x²_{i+1} + Σ_{j>i+1} L x_j²,

    ν = (37L + 13γ)τ²/6; a = −γx² and b = L up to τ, and from there to 2τ polynomials join these, twice
    differentiably, to the bowl around 4τ and to b = −γ.

    over the d = `saddles` coordinates, and GL z² for one more, z.

    From near 0 one coordinate after the other runs off to ±4τ, each from its saddle. While the k-th one does, all
    later ones shrink by 1 − 2 lr L a step; when their turn comes they first have to grow that much again,
    at 1 + 2 lr γ. Each stay is therefore 1 + ln(1/|1 − 2 lr L|)/ln(1 + 2 lr γ) times as long as the one
    before, and the whole way is exponential in d: at lr = 1/4L that is 4.1 for L = 2, at lr → 0 it is
    1 + L/γ. A step in a random direction at each saddle makes the way linear. So does what does not
    shrink so fast: Adam, and heavy ball, which overshoots. So would descent at lr = 1/L, where all
    coordinates overshoot: z does not let it come near that.

    It is defined in the tube that descent takes: |x_j| ≤ 6τ, and |x_j| ≤ τ for j > i, beyond which the pieces do
    not fit together and some fall below the minimum. A step that leaves the tube leads to the nearest of its
    points, coordinate by coordinate.

    Nothing is shifted or rotated, unlike elsewhere: the rounding of a coordinate that is not 0 at the
    saddle would be noise, and noise is the cure. Only starts differ, uniform in [−1, 1]^(d + 1). After T
    steps the smallest coordinate is 2^-T: after 149 in float32, 1074 in float64, it is the smallest number
    there is, which lr γ does not change any more, and descent stays for good.

    saddles: d, how many are in the row; x is (d + 1,).
    steepness: L, the curvature 2L across, over γ.
    guard: G, the curvature along z over 2L. At 4 it limits the rate of descent to 1/4L; 1 leaves the
        original.

    Du, Jin, Lee, Jordan, Póczos & Singh 2017, arXiv:1705.10412.
    """

    saddles: int = 5
    steepness: float = 2.0
    guard: float = 4.0

    card = Card(
        dial="saddles",
        scale="linear",
        ladder=(1, 3, 6),
        target=1e-4,
        budget=1000,
        reference=("momentum", {"lr": 0.1, "momentum": 0.9}),
        control={"saddles": 1},
        signature="how many times as long descent stays at the second or third saddle as at the one "
        "before, at the rate 1/4L",
        threshold=2.0,
        truth="The minimum is −dν, at the 2^d points (±4τ, …, ±4τ, 0). The saddles are 0 and those with k "
        "leading coordinates at ±4τ and 0 elsewhere, −kν, one direction down each, of curvature −2γ.",
        source="Du et al. 2017",
        exceptions={
            "random_search": "noise is the cure: it leaves each saddle as soon as the first"
        },
    )

    def __post_init__(self) -> None:
        require("octopus", "saddles", self.saddles, low=1, whole=True)
        require("octopus", "steepness", self.steepness, low=1, high=100)
        require("octopus", "guard", self.guard, low=1, high=100)

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
        """Two of the 2^d."""
        corner = torch.full((self.saddles + 1,), 4 * TAU, dtype=torch.float64)
        corner[-1] = 0
        return torch.stack([corner, -corner])

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return torch.cat([x[..., :-1].abs() - 4 * TAU, x[..., -1:]], -1).norm(dim=-1)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        """The saddles, and the minimum, where no coordinate is negative."""
        corner = self.minimizers(data)[0]
        return tuple(
            CriticalPoint(
                torch.where(torch.arange(self.saddles + 1) < k, corner, 0.0),
                -k * self._drop,
                index=int(k < self.saddles),
            )
            for k in range(self.saddles + 1)
        )

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        """How many of the saddles were left."""
        return {"saddles_left": self._stages(x)[0].sum(-1)}

    def signature(self, data: Tree) -> float:
        first = min(self.saddles, 3)  # their stays do not depend on what follows
        start = torch.cat([data["start"][:first], torch.zeros(1)])
        stays = replace(self, saddles=first).stays(start, PATIENCE)
        return (stays[-1] / stays[-2]).item() if first > 1 else 1.0

    def growth(self) -> float:
        """1 + ln 2/ln(1 + γ/2L), by which stays grow at the rate 1/4L."""
        return 1 + math.log(2) / math.log1p(GAMMA / (2 * self.steepness))

    def stays(self, start: torch.Tensor, most: int) -> torch.Tensor:
        """How many steps of descent at the rate 1/4L each saddle takes, up to `most`: (*runs, saddles)."""
        counts = torch.zeros_like(start[..., :-1])
        path = descent(self, {}, start, 1 / (4 * self.steepness))
        for _ in range(most):
            current = self._stages(next(path))[1]
            if not current.any():
                break
            counts += current
        return counts

    def steps_down(self, perturbed: bool, most: int) -> torch.Tensor:
        """Steps of descent at the rate 1/4L to the minimum from ten starts, infinite beyond `most`: (10,).

        Perturbed as in Jin et al. 2017, arXiv:1703.00887: where the gradient is below γτ/100, and the step
        before was not perturbed, x is first moved to a random point of the ball of radius τ/100.
        """
        generator = torch.Generator().manual_seed(0)
        x = torch.stack([self.instance(generator)["start"] for _ in range(10)])
        steps, rested = torch.full((10,), math.inf), torch.zeros(10, 1, dtype=torch.bool)
        for k in range(most + 1):
            value, gradient = self.value_and_gradient(x, {})
            steps = torch.where((value <= self.floor({}) * (1 - NEAR)) & steps.isinf(), k, steps)
            if steps.isfinite().all():
                break
            if perturbed:
                low = gradient.norm(dim=-1, keepdim=True) <= GAMMA * TAU / 100
                rested = low & ~rested
                way = torch.randn(x.shape, generator=generator)
                far = TAU / 100 * torch.rand(10, 1, generator=generator) ** (1 / x.shape[-1])
                x = torch.where(rested, x + far * way / way.norm(dim=-1, keepdim=True), x)
                gradient = self.value_and_gradient(x, {})[1]
            x = self.project(x - gradient / (4 * self.steepness), {})
        return steps

    def portrait(self) -> Curves:
        lines, dots = {}, {}
        for steepness, saddles in ((1.0, 5), (2.0, 4)):
            problem = self._original(steepness, saddles)
            stays, growth = problem._median_stays(), problem.growth()
            count = torch.arange(1, saddles + 1)
            lines[f"× {growth:.2f} each"] = (count, stays[-1] * growth ** (count - saddles))
            dots[f"L = {steepness:g}"] = (count, stays)
        return Curves(
            caption="Each saddle holds descent up longer than the one before, by a constant factor.",
            x_label="saddle",
            y_label="steps of descent beside it, median of 10 starts",
            lines=lines,
            dots=dots,
            y_scale="log",
        )

    @Claim(
        "stay of descent beside the fifth saddle over that beside the fourth, at L = 1",
        stated=2.71,
        within=about(2.7095, rel=0.05),  # stays are whole steps, and a start has its own first one
        source="Du et al. 2017, figures 3 and 4; 1 + ln 2/ln 1.5",
    )
    def growth_at_1(self) -> float:
        stays = self._original(1.0, 5)._median_stays()
        return (stays[4] / stays[3]).item()

    @Claim(
        "stay of descent beside the fourth saddle over that beside the third, at L = 2",
        stated=4.11,
        within=about(4.106, rel=0.05),  # as above
        source="Du et al. 2017, figures 3 and 4; 1 + ln 2/ln 1.25",
        slow=True,
    )
    def growth_at_2(self) -> float:
        stays = self._original(2.0, 4)._median_stays()
        return (stays[3] / stays[2]).item()

    @Claim(
        "steps of descent to the minimum past 5 saddles, at L = 1, median of ten starts",
        stated=497,
        within=about(
            497, rel=0.1
        ),  # ten starts: the first stay, and all others with it, vary by as much
        source="Du et al. 2017, figure 3",
    )
    def steps_of_descent_at_1(self) -> float:
        return self._original(1.0, 5).steps_down(False, 2000).median().item()

    @Claim(
        "steps of descent to the minimum past 5 saddles, at L = 2, median of ten starts",
        stated=3747,
        within=about(3747, rel=0.1),  # as above
        source="Du et al. 2017, figure 3",
        slow=True,
    )
    def steps_of_descent_at_2(self) -> float:
        return self._original(2.0, 5).steps_down(False, 6000).median().item()

    @Claim(
        "runs of descent, of ten, that are past 5 saddles after 20,000 steps, at L = 3",
        stated=0,
        within=(0, 0),
        source="Du et al. 2017, figure 3",
        slow=True,
    )
    def arrivals_of_descent_at_3(self) -> float:
        return self._original(3.0, 5).steps_down(False, 20_000).isfinite().sum().item()

    @Claim(
        "steps of perturbed descent to the minimum past 5 saddles, at L = 3, median of ten starts",
        stated=219,
        within=(0, 250),
        source="Du et al. 2017, figure 3",
    )
    def steps_of_perturbed_descent(self) -> float:
        return self._original(3.0, 5).steps_down(True, 2000).median().item()

    @Claim(
        "steps of perturbed descent to the minimum past 10 saddles, at L = 3, median of ten starts",
        stated=496,
        within=about(496, rel=0.1),  # ten starts
        source="Du et al. 2017, figure 4",
    )
    def steps_of_perturbed_descent_past_10(self) -> float:
        return self._original(3.0, 10).steps_down(True, 2000).median().item()

    @Claim(
        "runs of descent, of ten, that are past 10 saddles after 3000 steps, at L = 1",
        stated=0,
        within=(0, 0),
        source="Du et al. 2017, figure 4",
        slow=True,
    )
    def arrivals_of_descent_past_10(self) -> float:
        return self._original(1.0, 10).steps_down(False, 3000).isfinite().sum().item()

    def _original(self, steepness: float, saddles: int) -> Octopus:
        return replace(self, steepness=steepness, saddles=saddles, guard=1.0)

    def _median_stays(self) -> torch.Tensor:
        generator = torch.Generator().manual_seed(0)
        starts = torch.stack([self.instance(generator)["start"] for _ in range(10)])
        return self.stays(starts, PATIENCE).median(0).values

    def _stages(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Which coordinates have run off, all before them too; and the one whose turn it is: (*runs, saddles)."""
        in_place = (x[..., :-1].abs() >= 2 * TAU).cumprod(-1).bool()
        turn = torch.cat([torch.ones_like(in_place[..., :1]), in_place[..., :-1]], -1)
        return in_place, turn & ~in_place

    def _rise(self, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """a(|x|) and its slope: −γx², and from τ on what joins that to the bowl around 4τ."""
        far = (size / TAU - 1).clamp(min=0)
        cubic = (10 * GAMMA - 14 * self.steepness) * far * far
        quartic = (5 * self.steepness - 3 * GAMMA) * far**3
        value = TAU**2 * far * (cubic / 3 + quartic / 2) - GAMMA * size * size
        return value, TAU * (cubic + 2 * quartic) - 2 * GAMMA * size

    def _pull(self, size: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """b(|x|), by which the next coordinate's square counts, and its slope: from L at τ to −γ at 2τ."""
        left = (size / TAU - 2).clamp(-1, 0)
        height = self.steepness + GAMMA
        value = -GAMMA - height * left**3 * (10 + 15 * left + 6 * left * left)
        return value, -30 * height / TAU * (left * (1 + left)).square()

    @property
    def _drop(self) -> float:
        """ν, by which the loss falls from a saddle to the next, and from the last to the minimum."""
        return (37 * self.steepness + 13 * GAMMA) * TAU**2 / 6
