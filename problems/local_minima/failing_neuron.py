"""One neuron whose only minimum gets an example wrong, though the examples are separable."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import torch

from problems.claims import Claim, about
from problems.geometry import random_rotation
from problems.local_minima.one_neuron import OneNeuron
from problems.portrait import Curves
from problems.problem import Card, CriticalPoint, Tree
from problems.registry import register
from ravine import Refused, require

EXAMPLES = ((1.0, 0.0), (1.0, 1.0), (-1.0, 5.0))
WANTED = 0.8
START = 0.5  # from the origin: far out the unit is saturated
RANGE = 1.4  # times atanh t: in there is the input of the second kind at the minimum


@register("failing_neuron")
@dataclass(frozen=True)
class FailingNeuron(OneNeuron):
    """A single neuron whose one and only minimum misclassifies an example that it could have right.

    f(w) = ½ Σ cᵢ (tanh(w·x_i) − 0.8)² / Σ cᵢ, x_i = (1, 0), (1, 1), (−1, 5), the first two M times
    each, the third once: c = (M, M, 1). The plane is rotated by the seed.

    w = (1, 1) classifies all examples right. But the squared error also punishes outputs above 0.8,
    and to get the third example right the second ones must be pushed there. Where there are enough
    of them, from M = 351.77 on, the minimum gives the third example up; there is only one minimum,
    and no other critical point, so that no method, however global, does better. Every method solves
    it, and every solution is wrong: it is the loss that fails here.

    repeats: M.
    asymptotic: the target is the asymptote 1 instead, which punishes nothing. Then separable examples
        leave no critical point, and descent separates them on its way to infinity.

    Deep Learning, section 8.2.2; Brady, Raghavan & Slawny 1989; Sontag & Sussmann 1991; Gori & Tesi
    1992.
    """

    repeats: int = 1000
    asymptotic: bool = False

    card = Card(
        dial="repeats",
        scale="log",
        ladder=(10, 1000, 100_000),
        target=1e-4,
        budget=1000,
        reference=("sgd", {"lr": 0.5}),
        control={"asymptotic": True},
        signature="examples that are wrong where descent ends",
        threshold=0.5,
        truth="One minimum, strict, and no other critical point: the inputs p of the three kinds solve "
        "p₃ = 5 p₂ − 6 p₁, h(p₁) = −1.2 h(p₂), h(p₃) = −M h(p₂)/5, h(p) = (tanh p − 0.8)/cosh² p. At "
        "M = 1000 it is at (1.0603, 0.0766), and p₃ = −0.677. With asymptotic targets the infimum, 0, "
        "is at infinity.",
        source="Goodfellow, Bengio & Courville 2016, section 8.2.2; Brady, Raghavan & Slawny 1989",
        exceptions={
            "ranked": "all descend to the one minimum, and are wrong there",
            "random_search": "in a plane a thousand evaluations are enough",
        },
    )

    def __post_init__(self) -> None:
        require("failing_neuron", "repeats", self.repeats, low=1, high=10**6, whole=True)
        if not isinstance(self.asymptotic, bool):
            raise Refused(
                f"failing_neuron.asymptotic is {self.asymptotic!r}, but must be true or false"
            )

    @property
    def wanted(self) -> float:
        return 1.0 if self.asymptotic else WANTED

    def instance(self, generator: torch.Generator) -> Tree:
        rotation = random_rotation(2, generator)
        start = torch.randn(2, generator=generator)
        counts = torch.tensor([self.repeats, self.repeats, 1.0])
        return {
            "start": START * start / start.norm(),
            "rotation": rotation,
            "examples": torch.tensor(EXAMPLES) @ rotation.T,
            "counts": counts / counts.sum(),
        }

    def floor(self, data: Tree) -> torch.Tensor:
        return data["start"].new_tensor(0.0 if self.asymptotic else self._lowest())

    def minimizers(self, data: Tree) -> torch.Tensor | None:
        return None if self.asymptotic else self._minimizer(data)[None]

    def distance(self, x: torch.Tensor, data: Tree) -> torch.Tensor | None:
        return None if self.asymptotic else (x - self._minimizer(data)).norm(dim=-1)

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        if self.asymptotic:
            return ()
        return (CriticalPoint(self._minimizer(data), self._lowest(), 0),)

    def predicted_share(self) -> float:
        """All runs: there is one minimum, and the target asks for no more."""
        return 1.0

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        return {"wrong": self.wrong(x, data)}

    def signature(self, data: Tree) -> float:
        return self.wrong(self.settle(data["start"], data), data).item()

    def portrait(self) -> Curves:
        repeats = torch.logspace(0, 6, 121)
        measured = torch.tensor([1.0, 10, 100, 300, 1000, 10_000, 100_000])
        ends = []
        for each in measured.tolist():
            problem = replace(self, repeats=int(each))
            data = problem.example()
            ends.append(problem.settle(data["start"], data) @ data["examples"][2])
        return Curves(
            caption="Where there are more than 352 of each of the other examples, the input of the lonely "
            "one is negative at the minimum: it is wrong.",
            x_label="how often each of the other examples comes",
            y_label="input of the lonely example at the minimum",
            lines={
                "stationary": (
                    repeats,
                    torch.tensor([_inputs(each)[2] for each in repeats.tolist()]),
                ),
                "right above, wrong below": (repeats, torch.zeros_like(repeats)),
            },
            dots={"where descent ends": (measured, torch.stack(ends))},
            x_scale="log",
        )

    @Claim(
        "the input of the third example at the minimum, M = 1000: negative is wrong",
        stated=-0.677,
        within=about(-0.677, abs=5e-4),  # its last digit
        source="own data; the phenomenon is Brady, Raghavan & Slawny's (1989)",
    )
    def input_of_the_lonely_example(self) -> float:
        return self._settled(1000)[2].item()

    @Claim(
        "the same with M = 100: right",
        stated=0.460,
        within=about(0.460, abs=5e-4),  # its last digit
        source="own data",
    )
    def input_with_fewer_repeats(self) -> float:
        return self._settled(100)[2].item()

    @Claim(
        "the sum of the squared errors over two at the minimum, M = 1000",
        stated=1.15619,
        within=about(1.15619, abs=5e-6),  # its last digit
        source="own data",
    )
    def cost_of_the_minimum(self) -> float:
        problem = replace(self, repeats=1000)
        data = problem.example()
        end = problem.settle(data["start"], data)
        return (problem.loss(end, data) * 2001).item()

    @Claim(
        "M from which on the third example is wrong, by bisection over where descent ends",
        stated=351.77,
        within=(351, 352),  # the largest whole M at which it is right, and the next one
        source="derived: p₃ = 0 where 5 p₂ = 6 p₁, h(p₁) = −1.2 h(p₂) and M = 4/h(p₂)",
        slow=True,
    )
    def first_failing_repeats(self) -> float:
        right, wrong = 100, 1000
        while wrong - right > 1:
            middle = (right + wrong) // 2
            if self._settled(middle)[2] > 0:
                right = middle
            else:
                wrong = middle
        return (right + wrong) / 2

    @Claim(
        "distance of the minimum with M = 1,000,000 from (atanh 0.8, 0), where the third example has "
        "no say, times M",
        stated=55.69,
        within=about(55.69, rel=1e-3),  # the next term is of the order of 55.69/M times a curvature
        source="derived, to first order in 1/M",
    )
    def distance_from_the_limit(self) -> float:
        """h(p₃) is −1.6 · 0.36 there, and h' is 0.36²: p₂ moves by −5 h(p₃)/(0.36² M) = 22.22/M and p₁
        by −1.2 times that, so w by (−26.67, 48.89)/M."""
        first, second, _ = self._settled(10**6)
        goal = math.atanh(WANTED)
        return 1e6 * math.hypot(first.item() - goal, (second - first).item())

    @Claim(
        "critical points in all",
        stated=1,
        within=(1, 1),
        source="derived: the zeros of eight functions of one variable, as in `count_critical_points`",
    )
    def critical_points_in_all(self) -> float:
        return self.count_critical_points(self.example())

    @Claim(
        "the farthest from the minimum that any of 300 random descents ends",
        stated=0,
        within=about(0, abs=1e-8),  # rounding, over a curvature of 0.02
        source="own computation",
    )
    def farthest_end(self) -> float:
        data = self.example()
        starts = 3 * torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
        return self.distance(self.settle(starts, data), data).max().item()  # type: ignore[union-attr]

    @Claim(
        "examples that are wrong after descent where the targets are the asymptotes",
        stated=0,
        within=(0, 0),
        source="Sontag & Sussmann 1991; Gori & Tesi 1992",
    )
    def wrong_with_asymptotic_targets(self) -> float:
        problem = replace(self, asymptotic=True)
        return problem.signature(problem.example())

    def _settled(self, repeats: int) -> torch.Tensor:
        """The inputs of the three kinds of examples where descent ends: (3,)."""
        problem = replace(self, repeats=repeats)
        data = problem.example()
        return data["examples"] @ problem.settle(data["start"], data)

    def _minimizer(self, data: Tree) -> torch.Tensor:
        first, second, _ = _inputs(self.repeats)
        w = data["rotation"].new_tensor([first, second - first])
        return torch.einsum("...ij,j->...i", data["rotation"], w)

    def _lowest(self) -> float:
        first, second, third = (0.5 * (math.tanh(p) - WANTED) ** 2 for p in _inputs(self.repeats))
        return (self.repeats * (first + second) + third) / (2 * self.repeats + 1)


def _slope(p: float) -> float:
    """h(p) = (tanh p − t)/cosh² p."""
    return (math.tanh(p) - WANTED) / math.cosh(p) ** 2


@lru_cache(maxsize=512)
def _inputs(repeats: float) -> tuple[float, float, float]:
    """The inputs p of the three kinds of examples at the minimum.

    (−1, 5) = 5 (1, 1) − 6 (1, 0), so p₃ = 5 p₂ − 6 p₁, and the gradient is zero where h(p₁) =
    −1.2 h(p₂) and h(p₃) = −M h(p₂)/5. For p₂ from atanh t to 1.4 of it, p₁ is the root that lies
    between 0 and atanh t, and h(p₃) + M h(p₂)/5 goes from below zero to above.
    """
    goal = math.atanh(WANTED)

    def first(second: float) -> float:
        low, high, height = 0.0, goal, -1.2 * _slope(second)
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if _slope(middle) < height else (low, middle)
        return low

    low, high = goal, RANGE * goal
    for _ in range(60):
        second = (low + high) / 2
        rising = _slope(5 * second - 6 * first(second)) + repeats * _slope(second) / 5
        low, high = (second, high) if rising < 0 else (low, second)
    return first(low), low, 5 * low - 6 * first(low)
