"""Gradients sent in a few bits: with one, their signs, every step stays on the same line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from problems.claims import Claim, about
from problems.portrait import Curves
from problems.problem import Card, Tree
from problems.quadratic_form import QuadraticForm
from problems.registry import register
from ravine import require

BLOCK = 100  # steps whose examples are drawn at once
MEAN = math.sqrt(2 / math.pi)  # of |n|, n ~ N(0, 1)
RATE = 0.03  # of the claims: below the edge of stability, near 2/dim


@register("sign_compression")
@dataclass(frozen=True)
class SignCompression(QuadraticForm):
    """Least squares without noise, whose gradients are rounded to a few bits per coordinate.

    f(x) = ½ E (a·(x − m))², a = s ∘ |n| with n ~ N(0, I), new at every step, and s a vector of signs.
    Seen is the gradient a (a·(x − m)) of one example, each coordinate's size rounded to one of
    2^(bits − 1) equal levels up to the largest of them: with one bit, its sign times half of that.

    All examples solve one and the same system, and gradients go to zero with the error. But the signs
    of each are s or −s. From one bit every method that adds up what it has seen, however it scales
    coordinates alike, moves along s and nowhere else: of its start it keeps all that is not on that
    line, and almost surely it never converges, at whatever rate. A second bit is enough to leave the
    line. So is error feedback: adding to the next gradient what the rounding of this one has lost.

    The start is m + H^-½ z with Gaussian z, so that every mode counts alike in the gap.

    dim: x is (dim,).
    bits: per coordinate, one of them for the sign.

    Karimireddy, Rebjock, Stich & Jaggi 2019, arXiv:1901.09847, section 3; Bernstein et al. 2018,
    arXiv:1802.04434; Deep Learning, section 8.2.6.
    """

    dim: int = 20
    bits: int = 1

    card = Card(
        dial="bits",
        scale="list",
        ladder=(8, 2, 1),
        target=1e-3,
        budget=1000,
        reference=("sgd", {"lr": RATE}),
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

    def __post_init__(self) -> None:
        require("sign_compression", "dim", self.dim, low=2, whole=True)
        require("sign_compression", "bits", self.bits, low=1, high=32, whole=True)

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

    def sampled_loss(self, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
        return 0.5 * (draw["example"] * (x - data["minimizer"])).sum(-1).square()

    def sampled_value_and_gradient(
        self, x: torch.Tensor, data: Tree, draw: Tree | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if draw is None:
            return self.value_and_gradient(x, data)
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
        return self.rounded(gradient), memory

    def rounded(self, gradient: torch.Tensor) -> torch.Tensor:
        """Each coordinate in the middle of its level, of 2^(bits − 1) between 0 and the largest."""
        levels = 2.0 ** (self.bits - 1)
        largest = gradient.abs().amax(-1, keepdim=True)
        size = gradient.abs() / largest.clamp(min=torch.finfo(gradient.dtype).tiny)
        middle = (levels * size).floor().clamp(max=levels - 1) + 0.5
        return gradient.sign() * middle * (largest / levels)

    def signature(self, data: Tree) -> float:
        stream = self.draws(data, torch.Generator().manual_seed(0))
        draws = [next(stream) for _ in range(10 * self.dim)]
        examples = {"example": torch.stack([draw["example"] for draw in draws])}
        x = data["start"].expand(len(draws), -1)
        gradient = self.sampled_value_and_gradient(x, data, examples)[1]
        along = torch.linalg.svdvals(self.seen(gradient, data, examples, None)[0]).square()
        return (along[0] / along.sum()).item()

    def predicted_share(self) -> float | None:
        return 0.0 if self.bits == 1 else None

    def best_on_the_line(self, data: Tree) -> torch.Tensor:
        """The least loss on start + R s: (*runs)."""
        error, signs = data["start"] - data["minimizer"], data["signs"]
        force = torch.einsum("...i,...ij->...j", signs, data["hessian"])
        least = (error * force).sum(-1).square() / (signs * force).sum(-1)
        return self.loss(data["start"], data) - 0.5 * least

    def at_end(self, x: torch.Tensor, steps: torch.Tensor, data: Tree) -> dict[str, torch.Tensor]:
        return {"loss_over_best_on_line": self.loss(x, data) / self.best_on_the_line(data)}

    # What is claimed.

    def _points(
        self, lr: torch.Tensor, steps: int, momentum: float = 0.0
    ) -> Iterator[torch.Tensor]:
        """Heavy ball on what is seen, from the example's start."""
        data = self.example()
        stream = self.draws(data, torch.Generator().manual_seed(0))
        x = data["start"].expand(len(lr), -1)
        velocity = torch.zeros_like(x)
        for _ in range(steps):
            yield x
            draw = next(stream)
            gradient = self.sampled_value_and_gradient(x, data, draw)[1]
            velocity = momentum * velocity + self.seen(gradient, data, draw, None)[0]
            x = x - lr[:, None] * velocity
        yield x

    def _gap_left(self, steps: int) -> float:
        *_, end = self._points(torch.tensor([RATE]), steps)
        data = self.example()
        return (self.loss(end, data) / self.loss(data["start"], data)).item()

    @Claim(
        "How far steps of one bit ever lead off the line start + R s, over how far along it, at any of "
        "20 rates with momentum 0.9",
        stated=0.0, within=(0.0, 1e-9),
        source="Karimireddy et al. 2019, section 3: the theorem after the counterexamples",
    )  # fmt: skip
    def stays_on_a_line(self) -> float:
        data = self.example()
        unit, off, along = data["signs"] / math.sqrt(self.dim), 0.0, 0.0
        for x in self._points(torch.logspace(-4, -2, 20), 1000, momentum=0.9):
            moved = x - data["start"]
            part = moved @ unit
            off = max(off, (moved - part[:, None] * unit).norm(dim=-1).max().item())
            along = max(along, part.abs().max().item())
        return off / along

    @Claim(
        "The least loss that steps of one bit ever reach, at the best of 20 rates, over the least on the line",
        stated=1.0, within=(1 - 1e-9, 1.01), source="derived here: a parabola along s",
    )  # fmt: skip
    def reaches_the_best_on_the_line(self) -> float:
        """A small rate passes close by the best point, and none below."""
        data = self.example()
        points = self._points(torch.logspace(-4, -2, 20), 1000)
        return (
            min(self.loss(x, data).min() for x in points).item()
            / self.best_on_the_line(data).item()
        )

    @Claim(
        "The gap that 2000 steps of one bit leave, without error feedback",
        stated="most of it", within=(0.5, math.inf), source="Karimireddy et al. 2019, section 3",
    )  # fmt: skip
    def one_bit_fails(self) -> float:
        *_, end = self._points(torch.tensor([1e-3]), 2000)
        data = self.example()
        return (self.loss(end, data) / self.loss(data["start"], data)).item()

    @Claim(
        "The gap that 2000 steps of one bit leave, with error feedback",
        stated="none", within=(0.0, 1e-6), source="Karimireddy et al. 2019, algorithm 2",
    )  # fmt: skip
    def error_feedback_cures(self) -> float:
        """p ← lr g + e, x ← x − C(p), e ← p − C(p), with C(p) = |p|₁/dim · sign p: the same examples."""
        data = self.example()
        x, lost = data["start"], torch.zeros(self.dim)
        stream = self.draws(data, torch.Generator().manual_seed(0))
        for _ in range(2000):
            wanted = 0.02 * self.sampled_value_and_gradient(x, data, next(stream))[1] + lost
            sent = wanted.abs().mean() * wanted.sign()
            x, lost = x - sent, wanted - sent
        return (self.loss(x, data) / self.loss(data["start"], data)).item()

    @Claim(
        "The gap that 2000 steps of two bits leave",
        stated="none", within=(0.0, 1e-6), source="measured here",
    )  # fmt: skip
    def two_bits_suffice(self) -> float:
        return replace(self, bits=2)._gap_left(2000)

    @Claim(
        "The mean step of sign descent in units of its rate, on x/4 with gradients 4 (one in four) and "
        "−1: uphill",
        stated=0.5, within=about(0.5, abs=0.005), source="Karimireddy et al. 2019, counterexample 1",
    )  # fmt: skip
    def climbs_on_average(self) -> float:
        """¾ − ¼, over a million draws. The mean gradient is ¼, so f climbs by rate/8 a step."""
        large = torch.rand(1_000_000, generator=torch.Generator().manual_seed(0)) < 0.25
        gradient = torch.where(large, 4.0, -1.0)
        return -gradient.sign().mean().item()

    @Claim(
        "The least loss that sign descent reaches on ε|x₁ + x₂| + |x₁ − x₂| from (1, 1), over that at the "
        "start",
        stated=1.0, within=about(1.0, abs=1e-9), source="Karimireddy et al. 2019, counterexample 2",
    )  # fmt: skip
    def stuck_on_a_kink(self) -> float:
        """A subgradient is ±ε(1, 1) ± (1, −1) with ε = ½, whose signs are ±(1, −1)."""
        x, least = torch.ones(2), math.inf
        for step in range(1000):
            total, difference = x.sum(), x[0] - x[1]
            least = min(least, (0.5 * total.abs() + difference.abs()).item())
            across = torch.tensor([1.0, -1.0]) * (1.0 if difference >= 0 else -1.0)
            x = x - 0.1 / math.sqrt(step + 1) * (0.5 * total.sign() + across).sign()
        return least / 1.0

    @Claim(
        "The least loss that sign descent on one of two squares at a time reaches, over that at the start",
        stated=1.0, within=about(1.0, abs=1e-9), source="Karimireddy et al. 2019, counterexample 3",
    )  # fmt: skip
    def stuck_on_least_squares(self) -> float:
        """(a₁·x)² + (a₂·x)² with a = ±(1, −1) + ε(1, 1), ε = ½, from (1, 1): on x₁ + x₂ = 2 it is at
        least 8ε². The scaled sign |g|₁/2 · sign g, at rates from 0.001 to 0.1."""
        rows = torch.tensor([[1.5, -0.5], [-0.5, 1.5]])
        x, least = torch.ones(20, 2), math.inf
        lr = torch.logspace(-3, -1, 20)[:, None]
        generator = torch.Generator().manual_seed(0)
        for which in torch.randint(2, (1000,), generator=generator).tolist():
            least = min(least, (x @ rows.T).square().sum(-1).min().item())
            gradient = 2 * (x @ rows[which])[:, None] * rows[which]
            x = x - lr * gradient.abs().mean(-1, keepdim=True) * gradient.sign()
        return least / 2.0

    def portrait(self) -> Curves:
        data = self.example()
        start, steps = self.loss(data["start"], data), torch.arange(1001)
        lines = {}
        for bits in (1, 2, 3):
            points = replace(self, bits=bits)._points(
                torch.tensor([0.002 if bits == 1 else RATE]), 1000
            )
            gaps = torch.stack([self.loss(x, data)[0] for x in points]) / start
            lines["one bit" if bits == 1 else f"{bits} bits"] = (steps, gaps)
        level = (self.best_on_the_line(data) / start).expand(5)
        return Curves(
            caption="With one bit descent stays above the best point of its line; two are enough.",
            x_label="step",
            y_label="gap",
            lines=lines,
            dots={"best on the line": (torch.linspace(0, 1000, 5), level)},
            y_scale="log",
        )
