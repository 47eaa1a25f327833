"""A quadratic whose Hessian has blocks of different scales, as that of a transformer has."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch

from problems.geometry import random_rotation
from problems.ill_conditioning.quadratic import breaking_point_of_newton
from problems.problem import Card, CriticalPoint, Tree, dial
from problems.quadratic_form import QuadraticForm, gap_left
from problems.registry import register
from problems.theory import first_failing
from ravine import bounded

BETA1 = 0.9  # Adam's default
LONGEST = 10**8  # steps that are predicted at most
HETEROGENEITIES = [10 ** (each / 50) for each in range(401)]  # that are tried


def predicted_gap(problem: BlockHessian, optimizer: str, steps: int) -> float:
    """Return the gap that a number of steps leaves with the best learning rate, on average over starts.

    Mode i holds the share λᵢ/Σλ of the gap at the start, and a heavy ball leaves of it what `gap_left` says. With
    momentum β and curvatures in [m, L], its best learning rate is the smaller of (1 − √β)²/m, with which no mode is
    overdamped, and 2(1 + β)/(L + m), with which the steepest mode is as slow as the flattest. For few steps a larger m
    is better, so 64 values of it are tried, from the least curvature to L. Descent has β = 0, and momentum the β that
    is best for m, Polyak's.

    Adam is approximated by a heavy ball with β = β₁ on curvatures divided by √v̂, and v̂ by a constant: on average over
    starts and rotations, g² at the start is the block's mean square curvature in each of its coordinates. In truth v̂
    differs between coordinates, and falls. That changes little while the block's condition number is far below 1442,
    by the claim `rate_of_adam`; on the twin it is not, and Adam needs up to 2.6 times as many steps.

    Args:
        problem: The problem.
        optimizer: "sgd", "momentum" or "adam".
        steps: The number of steps.
    """
    curvatures = problem.curvatures()
    shares = curvatures / curvatures.sum()
    if optimizer == "adam":
        curvatures = curvatures / curvatures.square().mean(-1, keepdim=True).sqrt()
    low, high = curvatures.min(), curvatures.max()
    assumed = low * (high / low) ** torch.linspace(0, 1, 64, dtype=torch.float64)
    root = {
        "sgd": torch.zeros_like(assumed),
        "momentum": (high.sqrt() - assumed.sqrt()) / (high.sqrt() + assumed.sqrt()),
        "adam": torch.full_like(assumed, math.sqrt(BETA1)),
    }[optimizer]
    lr = torch.minimum((1 - root) ** 2 / assumed, 2 * (1 + root**2) / (high + assumed))
    each = gap_left(curvatures.flatten()[:, None, None], lr, root**2, steps)  # (modes, settings)
    return (shares.flatten()[:, None] * each).sum(0).min().item()


def predicted_steps(problem: BlockHessian, optimizer: str) -> int:
    """Return after how many steps `predicted_gap` is at the target, at most `LONGEST`."""
    target = problem.card.target
    return bisect.bisect_left(
        range(LONGEST), True, key=lambda steps: predicted_gap(problem, optimizer, steps) <= target
    )


def _breaking_point(optimizer: str) -> Callable[[BlockHessian, float], float]:
    """Return the function that finds the least heterogeneity, to 5 %, at which `budget` steps miss the target."""

    def breaking_point(problem: BlockHessian, budget: float) -> float:
        def fails(heterogeneity: float) -> bool:
            harder = replace(problem, heterogeneity=heterogeneity)
            return predicted_gap(harder, optimizer, int(budget)) > problem.card.target

        return first_failing(HETEROGENEITIES, fails)

    return breaking_point


@register("block_hessian")
@dataclass(frozen=True)
class BlockHessian(QuadraticForm):
    """A quadratic whose Hessian has blocks of different scales, so that one learning rate is wrong for most of them.

    f(x) = ½ (x − m)ᵀ H (x − m), H = diag(H₁, …, H_B), H_b = s_b Q_b diag(λ) Q_bᵀ,
    s from 1 to 1/heterogeneity and λ from 1 to 1/block_condition, both log-uniform.

    The condition number of H is heterogeneity · block_condition, and the steps of gradient descent grow with it. A
    learning rate for each block leaves block_condition; one for each coordinate gains little more, because within a
    block the modes lie across the axes. The start is m + N(0, I), so the gradient in block b is proportional to s_b,
    and Adam divides s_b out: its path does not depend on the heterogeneity, up to eps. The same holds
    for every method that is invariant to the scale of each block's gradient, such as Muon, which gets each block as a
    square matrix.

    To reach the target, Adam also needs a long memory, β₂ ≥ 0.99: √v̂ keeps the large gradients of the start, and a step
    shrinks with the gradient, like that of descent. Methods with a shorter memory (SOAP, whose default is 0.95) or none
    (Muon, sign descent) take steps as long as the learning rate says. One rate must then suffice for the way and be
    small enough for the target, so they miss it, or barely reach it, at any heterogeneity.

    The dial changes the condition number, and nothing that Adam sees. The twin with `mixed` changes what Adam sees,
    and nothing for descent: the same curvatures, and the start's errors along them, are dealt to the blocks in turn,
    the steepest first. Then all blocks are alike, each is nearly as badly conditioned as H, and Adam is slow, too.

    heterogeneity: the scale of the first block over that of the last. Beyond 1e8 the last block holds less of the gap
        than the target.
    block_condition: the condition number of each block.
    blocks: B.
    side: the number of rows and columns of each block's parameters; H_b is (side², side²).
    mixed: True for the twin with the same curvatures, and blocks that are alike.

    Zhang, Chen, Ding, Li, Sun & Luo 2024, arXiv:2402.16788.
    """

    heterogeneity: float = dial(1e2, low=1, high=1e8)
    block_condition: float = bounded(10.0, low=1, high=1e4)
    blocks: int = bounded(5, low=2)
    side: int = bounded(4, low=2)
    mixed: bool = False

    card = Card(
        scale="log",
        ladder=(1.0, 1e2, 1e4),
        target=1e-8,  # far below the last block's share of the gap at the last rung, 1e-4
        budget=1000,
        reference=("newton", {}),
        control={"mixed": True},
        breaks=("sgd", "ill_conditioning"),
        signature="condition number of the Hessian over the largest one of its blocks: what a "
        "learning rate for each block gains",
        threshold=10.0,
        truth="One minimum, 0 at m, and no other critical point; the Hessian is H everywhere. The path "
        "of Adam does not depend on the heterogeneity, up to eps. The control removes Adam's lead, not the "
        "ill-conditioning: its blocks are alike, and descent breaks on it as on the problem.",
        source="Zhang, Chen, Ding, Li, Sun & Luo 2024",
        theory={
            "sgd": _breaking_point("sgd"),
            "momentum": _breaking_point("momentum"),
            "adam": _breaking_point("adam"),
            "newton": breaking_point_of_newton,
        },
    )

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        return ((self.side, self.side),) * self.blocks

    @property
    def dim(self) -> int:
        """The number of parameters."""
        return self.blocks * self.side**2

    def curvatures(self) -> torch.Tensor:
        """Return the eigenvalues of each block, (blocks, side²)."""
        return self._dealt(self._separate())

    def instance(self, generator: torch.Generator) -> Tree:
        minimizer = torch.randn(self.dim, generator=generator)
        along = torch.randn(self.blocks, self.side**2, generator=generator)
        bases = [random_rotation(self.side**2, generator) for _ in range(self.blocks)]
        blocks = [
            (basis * each) @ basis.T for basis, each in zip(bases, self.curvatures(), strict=True)
        ]
        error = torch.einsum("bij,bj->bi", torch.stack(bases), self._dealt(along))
        return {
            "start": minimizer + error.flatten(),
            "minimizer": minimizer,
            "hessian": torch.block_diag(*blocks),
        }

    def signature(self, data: Tree) -> float:
        hessian, size = self.hessian(data["start"], data), self.side**2
        whole = torch.linalg.eigvalsh(hessian)
        blocks = [hessian[i : i + size, i : i + size] for i in range(0, self.dim, size)]
        parts = torch.linalg.eigvalsh(torch.stack(blocks))
        return (whole[-1] / whole[0] / (parts[:, -1] / parts[:, 0]).max()).item()

    def critical_points(self, data: Tree) -> tuple[CriticalPoint, ...]:
        return (CriticalPoint(data["minimizer"], 0.0, index=0),)

    def _separate(self) -> torch.Tensor:
        """Return the eigenvalues of each block where each has its own scale, (blocks, side²)."""
        spread = partial(torch.linspace, 0, 1, dtype=torch.float64)
        scales = self.heterogeneity ** -spread(self.blocks)
        return scales[:, None] * self.block_condition ** -spread(self.side**2)

    def _dealt(self, modes: torch.Tensor) -> torch.Tensor:
        """Return numbers that belong to the modes of `_separate` in the places of these modes, (blocks, side²) both."""
        if not self.mixed:
            return modes
        order = self._separate().flatten().argsort(descending=True, stable=True)
        return modes.flatten()[order].unflatten(0, (-1, self.blocks)).T
