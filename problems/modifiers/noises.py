"""The same problem seen through noise: the optimizer sees wrong gradients, the exact loss is unchanged."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal, Self

import torch

from problems.modifiers.modifier import ProblemModifier
from problems.problem import Card, Problem, Tree
from ravine import Refused, Registry, bounded, check_fields

TARGET = 1e-2  # the smallest target of a problem with inexact gradients
VISIBLE = 1e-3  # an error above this share of the gradient at the start is noise


class Noise:
    """An error of the gradient. Subclasses are frozen dataclasses.

    Attributes:
        strength: The size of the error, declared with its bounds; 0 is none. It is in units of the problem: lengths are
            relative to the gradient at the start, so that at 1 the noise is as long as the signal there.
        ladder: Three values of the strength, from harmless to extreme.
        scale: How to interpolate between them.
        remembers: True if `seen` has a memory.
    """

    strength: float
    ladder: tuple[float, float, float] = (0.01, 0.3, 10.0)
    scale: Literal["log", "linear"] = "log"
    remembers: bool = False

    def __post_init__(self) -> None:
        check_fields("noise", self)

    def errors(self, dim: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        """Return an endless stream of what is added to the gradient at each step.

        Args:
            dim: The length of the gradient.
            generator: The only source of randomness.

        Returns:
            Errors (dim,), in units of the gradient's root mean square at the start.
        """
        while True:
            yield torch.zeros(dim)

    def seen(
        self, gradient: torch.Tensor, unit: torch.Tensor, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the gradient that the optimizer sees, and the memory for the next step.

        Args:
            gradient: The gradient with its errors, (*runs, dim).
            unit: The gradient's root mean square at the start, (*runs, 1).
            memory: What was returned at the step before, leading with *runs; None at first.

        Returns:
            The gradient (*runs, dim), and the memory.
        """
        return gradient, memory


NOISES: Registry[Noise] = Registry("noise", package="problems.modifiers")


@NOISES.register("gaussian")
@dataclass(frozen=True)
class Gaussian(Noise):
    """Independent normal errors in each step, as from large minibatches."""

    strength: float = bounded(0.3, low=0)

    def errors(self, dim: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        while True:
            yield self.strength * torch.randn(dim, generator=generator)


@NOISES.register("heavy_tailed")
@dataclass(frozen=True)
class HeavyTailed(Noise):
    """Symmetric stable errors (α = 1.5) in each step, of mean 0 and infinite variance: a few are huge.

    Simsekli, Sagun & Gürbüzbalaban 2019, arXiv:1901.06053; drawn as Chambers, Mallows & Stuck 1976 do.
    """

    strength: float = bounded(0.3, low=0)

    def errors(self, dim: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        tail = 1.5
        while True:
            angle = math.pi * (torch.rand(dim, generator=generator) - 0.5)
            waiting = -(1 - torch.rand(dim, generator=generator)).log()
            stable = (tail * angle).sin() / angle.cos() ** (1 / tail)
            stable = stable * (((1 - tail) * angle).cos() / waiting) ** ((1 - tail) / tail)
            yield self.strength * stable


@NOISES.register("correlated")
@dataclass(frozen=True)
class Correlated(Noise):
    """Normal errors with a correlation of 0.9 from step to step, as from data that are not shuffled.

    The mean of many has the variance of the mean of 19 times fewer independent ones: (1 + ρ)/(1 − ρ) = 19.
    """

    strength: float = bounded(0.3, low=0)

    def errors(self, dim: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        kept = 0.9
        error = torch.randn(dim, generator=generator)
        while True:
            yield self.strength * error
            fresh = torch.randn(dim, generator=generator)
            error = kept * error + math.sqrt(1 - kept**2) * fresh


@NOISES.register("biased")
@dataclass(frozen=True)
class Biased(Noise):
    """The same error in each step, drawn from the seed: averaging does not help.

    With the Hessian H, descent ends at x* − H⁻¹ b, which is ½ bᵀH⁻¹b above the minimum.
    """

    strength: float = bounded(0.1, low=0)
    ladder = (1e-3, 0.03, 1.0)

    def errors(self, dim: int, generator: torch.Generator) -> Iterator[torch.Tensor]:
        direction = torch.randn(dim, generator=generator)
        bias = self.strength * math.sqrt(dim) * direction / direction.norm()
        while True:
            yield bias


@NOISES.register("delayed")
@dataclass(frozen=True)
class Delayed(Noise):
    """The gradient of `strength` steps before, as from workers that do not wait for each other.

    Gradient descent on a curvature λ is stable for lr λ < 2 sin(π/(4 strength + 2)).
    """

    strength: float = bounded(4.0, low=0)
    ladder = (1.0, 8.0, 64.0)
    remembers = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.strength, float) and not self.strength.is_integer():
            raise Refused(
                f"noise.strength is {self.strength!r}, but must be a whole number of steps"
            )

    def seen(
        self, gradient: torch.Tensor, unit: torch.Tensor, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        steps = round(self.strength)
        if memory is None:  # the first gradient stands for those before it
            memory = gradient.unsqueeze(-2).expand(*gradient.shape[:-1], steps, gradient.shape[-1])
        queue = torch.cat([memory, gradient.unsqueeze(-2)], -2)
        return queue[..., 0, :], queue[..., 1:, :]


@NOISES.register("quantised")
@dataclass(frozen=True)
class Quantised(Noise):
    """Each component rounded to a multiple of `strength`: less than half of it becomes 0."""

    strength: float = bounded(0.3, low=0)

    def seen(
        self, gradient: torch.Tensor, unit: torch.Tensor, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        step = self.strength * unit
        return step * (gradient / step).round(), memory


@NOISES.register("sign_compressed")
@dataclass(frozen=True)
class SignCompressed(Noise):
    """A mixture of the gradient and its signs: (1 − strength) g + strength · sign(g) |g|₁/dim.

    Bernstein et al. 2018, arXiv:1802.04434; Karimireddy et al. 2019, arXiv:1901.09847.
    """

    strength: float = bounded(1.0, low=0, high=1)
    ladder = (0.0, 0.5, 1.0)
    scale = "linear"

    def seen(
        self, gradient: torch.Tensor, unit: torch.Tensor, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        signs = gradient.abs().mean(-1, keepdim=True) * gradient.sign()
        return (1 - self.strength) * gradient + self.strength * signs, memory


@dataclass(frozen=True)
class Noisy(ProblemModifier):
    """A problem whose gradients the optimizer sees through noise; it is scored on the exact loss.

    The target is a gap of 0.01, or the inner problem's if that is larger: at a constant learning rate, noise leaves a
    gap that no budget closes. An inner problem with a `solved` of its own, as `product_cliff` and
    `generalized_smoothness` have, keeps it with its own target.

    Attributes:
        noise: The noise.
        walks: What the ladder varies: the strength of the noise, or the dial of `inner`.

    Raises:
        Refused: If a noise with a memory is added to a problem that corrupts its gradients itself.
    """

    noise: Noise
    walks: Literal["noise", "problem"] = "noise"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise.remembers and self.inner.has_own("seen"):
            raise Refused(
                f"noise={self.name} cannot be added to a problem with corrupted gradients of its own"
            )

    @property
    def name(self) -> str:
        """The registered name of the noise."""
        return next(name for name, each in NOISES.items() if type(each) is type(self.noise))

    @property
    def card(self) -> Card:  # type: ignore[override]
        inner, noise = self.inner.card, self.noise
        stated = replace(inner, target=max(inner.target, TARGET), theory={})
        if self.walks == "problem":
            return stated
        return replace(
            stated,
            dial="noise.strength",
            scale=noise.scale,
            ladder=noise.ladder,
            signature="error of the gradients seen over 64 steps at the start, relative to the gradient there",
            threshold=VISIBLE,
        )

    @property
    def dial(self) -> float:
        return self.noise.strength if self.walks == "noise" else self.inner.dial

    @property
    def dial_column(self) -> str:
        return "noise.strength" if self.walks == "noise" else self.inner.dial_column

    @property
    def has_whole_dial(self) -> bool:
        return self.noise.remembers if self.walks == "noise" else self.inner.has_whole_dial

    @property
    def settings(self) -> dict[str, Any]:
        return self.inner.settings | {"noise": self.name, "noise.strength": self.noise.strength}

    def at_dial(self, value: float) -> Self:
        if self.walks == "problem":
            return super().at_dial(value)
        rung = round(value) if self.noise.remembers else value
        return replace(self, noise=replace(self.noise, strength=float(rung)))  # type: ignore[type-var]

    def control(self) -> Self:
        """Return the problem without noise."""
        return replace(self, noise=replace(self.noise, strength=0.0))  # type: ignore[type-var]

    def predicted_share(self) -> float | None:
        """Return the inner problem's if neither its gradients nor its target change, and None otherwise."""
        same = self.noise.strength == 0 and self.card.target == self.inner.card.target
        return self.inner.predicted_share() if same else None

    def has_own(self, method: str) -> bool:
        return method in ("seen", "draws") or super().has_own(method)

    def instance(self, generator: torch.Generator) -> Tree:
        data = super().instance(generator)
        start = data["start"]
        value, gradient = self.inner.value_and_gradient(start, data["inner"])
        slope = gradient.norm() / math.sqrt(len(start))
        if slope == 0:  # on a plateau the mean slope down to the floor instead
            slope = (value - self.inner.floor(data["inner"])) / start.norm()
        return {**data, "unit": slope}

    def draws(self, data: Tree, generator: torch.Generator) -> Iterator[Tree] | None:
        inner = self.inner.draws(data["inner"], generator)
        if self.noise.strength == 0:
            return None if inner is None else ({"inner": draw} for draw in inner)
        return self._draws(data, generator, inner)

    def _draws(
        self, data: Tree, generator: torch.Generator, inner: Iterator[Tree] | None
    ) -> Iterator[Tree]:
        for error in self.noise.errors(len(data["start"]), generator):
            draw: Tree = {"noise": {"error": data["unit"] * error, "unit": data["unit"][None]}}
            yield draw if inner is None else {**draw, "inner": next(inner)}

    def value_and_gradient(self, x: torch.Tensor, data: Tree) -> tuple[torch.Tensor, torch.Tensor]:
        return self.inner.value_and_gradient(x, data["inner"])

    def hvp(self, x: torch.Tensor, data: Tree, vector: torch.Tensor) -> torch.Tensor:
        return self.inner.hvp(x, data["inner"], vector)

    def hessian(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        return self.inner.hessian(x, data["inner"])

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        """Return the inner loss plus the tilted plane e·(x − start) of the error e, whose gradient is e."""
        own, inner = data["inner"], draw.get("inner")
        known = inner is None
        loss = self.inner.loss(x, own) if known else self.inner.sampled_loss(x, own, inner)
        return loss + _tilt(x, data, draw)

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        value, gradient = self.inner.sampled_value_and_gradient(x, data["inner"], _inner(draw))
        if draw is None or "noise" not in draw:
            return value, gradient
        return value + _tilt(x, data, draw), gradient + draw["noise"]["error"]

    def sampled_hvp(
        self, x: torch.Tensor, data: Tree, draw: Tree | None, vector: torch.Tensor
    ) -> torch.Tensor:
        return self.inner.sampled_hvp(x, data["inner"], _inner(draw), vector)

    def sampled_hessian(self, x: torch.Tensor, data: Tree, draw: Tree | None) -> torch.Tensor:
        return self.inner.sampled_hessian(x, data["inner"], _inner(draw))

    def seen(
        self, gradient: torch.Tensor, data: Tree, draw: Tree, memory: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        inner = _inner(draw)
        if inner is not None:
            gradient, memory = self.inner.seen(gradient, data["inner"], inner, memory)
        if "noise" not in draw:
            return gradient, memory
        return self.noise.seen(gradient, draw["noise"]["unit"], memory)

    def solved(
        self, x: torch.Tensor, gap: torch.Tensor, gradient: torch.Tensor | None, data: Tree
    ) -> torch.Tensor:
        if self.inner.has_own("solved"):
            return self.inner.solved(x, gap, gradient, data["inner"])
        return gap <= self.card.target

    def signature(self, data: Tree) -> float:
        if self.walks == "problem":
            return super().signature(data)
        start = data["start"]
        exact = self.inner.value_and_gradient(start, data["inner"])[1]
        stream, memory, squares = self.draws(data, torch.Generator().manual_seed(0)), None, []
        if stream is None or self.noise.strength == 0:
            return 0.0
        for step in range(64):  # the gradient turns round halfway, so that a delay shows
            draw = next(stream)
            sign = 1.0 if step < 32 else -1.0
            noisy = sign * exact + draw["noise"]["error"]
            noisy, memory = self.seen(noisy, data, draw, memory)
            squares.append((noisy - sign * exact).square().mean())
        return float(torch.stack(squares).mean().sqrt() / data["unit"])


def noisy(problem: Problem, name: str, strength: float | None = None) -> Noisy:
    """Return a problem seen through a registered noise.

    Args:
        problem: The problem.
        name: The registered name of the noise.
        strength: Its strength; the noise's default if None.

    Returns:
        The problem with the noise.

    Raises:
        Refused: If the noise is not registered, or the strength is not allowed.
    """
    noise = NOISES.find(name)
    return Noisy(problem, noise if strength is None else replace(noise, strength=strength))  # type: ignore[type-var]


def _inner(draw: Tree | None) -> Tree | None:
    return None if draw is None else draw.get("inner")


def _tilt(x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor | float:
    noise = draw.get("noise")
    return 0.0 if noise is None else (noise["error"] * (x - data["start"])).sum(-1)
