"""How far heavy ball at a constant rate gets with noise, and how much noise the best rate bears."""

from __future__ import annotations

import math

import torch

from problems.noisy_runs import FEWEST, steps_judged

MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)  # that theory tries
RATES = 48  # that it tries with each


# Independent noise.


def steady_variance(
    curvature: torch.Tensor, variance: torch.Tensor, lr: torch.Tensor, momentum: torch.Tensor
) -> torch.Tensor:
    """Return E e² of heavy ball along a mode at rest: infinite from αh = 2(1 + β) on.

    α v (1 + β) / ((1 − β) h (2 (1 + β) − α h)) for a gradient h e + N(0, v): the fixed point of the
    second moments' recursion. β = 0 is gradient descent, α v / (h (2 − α h)).
    """
    room = 2 * (1 + momentum) - lr * curvature
    steady = lr * variance * (1 + momentum) / ((1 - momentum) * curvature * room)
    return torch.where(room > 0, steady, math.inf)


def expected_gap(
    h: torch.Tensor, steps: int, lr: torch.Tensor, momentum: torch.Tensor, window: int = 1
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return A and N: of heavy ball's gap at the start, A + noise · N is expected to be left.

    Noise has the variance noise · h along a mode of curvature h, and the start is m + N(0, I). With
    e[t+1] = s e[t] − β e[t−1] − α ξ and s = 1 + β − αh the moments (E e[t]², E e[t] e[t−1], E e[t−1]²)
    obey p ← M p + (α² noise · h, 0, 0). So p is p∞ + Mᵗ (p₀ − p∞), and its sums are geometric.

    Args:
        h: The curvatures, (dim,).
        steps: How many are taken.
        lr: The rates α, (settings,).
        momentum: The values of β, (settings,).
        window: Of how many of the last steps to return the mean.

    Returns:
        A and N, (settings,) each.
    """
    s, beta = 1 + momentum[:, None] - lr[:, None] * h, momentum[:, None].expand(-1, len(h))
    one, zero = torch.ones_like(s), torch.zeros_like(s)
    rows = [s.square(), -2 * s * beta, beta.square()], [s, -beta, zero], [one, zero, zero]
    step = torch.stack([torch.stack(row, -1) for row in rows], -2)
    first = torch.linalg.matrix_power(step, steps - window + 1)
    decay = (first - first @ torch.linalg.matrix_power(step, window)) / window
    forgotten = torch.linalg.solve(torch.eye(3, dtype=h.dtype) - step, decay)[..., 0, :]
    steady = steady_variance(h, h, lr[:, None], momentum[:, None])
    lagged = s / (1 + beta) * steady  # E e[t] e[t−1] at rest
    start = forgotten.sum(-1)
    noise = steady - (forgotten * torch.stack([steady, lagged, steady], -1)).sum(-1)
    return (h * start).sum(-1) / h.sum(), (h * noise).sum(-1) / h.sum()


def stable_settings(momenta: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rates and momenta that do not diverge at curvatures up to 1: (settings,) each."""
    momentum = torch.tensor(momenta, dtype=torch.float64).repeat_interleave(RATES)
    share = torch.logspace(-4, math.log10(0.98), RATES, dtype=torch.float64)
    return 2 * (1 + momentum) * share.repeat(len(momenta)), momentum


def largest_noise(
    curvatures: torch.Tensor, target: float, steps: int, momenta: tuple[float, ...] = MOMENTA
) -> float:
    """Return the most noise at which the best setting is expected to reach the target, as in `expected_gap`.

    The expected gap is A + noise · N for each setting; the best has the largest (target − A)/N.
    """
    if steps < FEWEST:
        return 0.0
    start, noise = expected_gap(curvatures, steps, *stable_settings(momenta), steps_judged(steps))
    return ((target - start) / noise).max().clamp(min=0).item()


def largest_newton_gap(target: float, steps: int) -> float:
    """Return the largest gap of whole Newton steps with which damped ones are expected to reach the target.

    A step leads to (1 − lr) e + lr · w, with w the error of a whole one. So of the gap (1 − lr)^2t
    is left, and noise adds (1 − (1 − lr)^2t) lr/(2 − lr) times that of w.
    """
    if steps < FEWEST:
        return 0.0
    lr = torch.linspace(0.01, 1, 100, dtype=torch.float64)[:, None]
    t = steps - torch.arange(steps_judged(steps))
    left = ((1 - lr) ** (2 * t)).mean(-1)
    share = lr[:, 0] / (2 - lr[:, 0]) * (1 - left)
    return ((target - left) / share).max().clamp(min=0).item()


# Noise that one step shares with the next.


def correlated_variance(lr: float, correlation: float) -> float:
    """Return E e² of gradient descent at rest, whose noise of variance 1 is correlated like ρ^|lag|.

    It is α² (1 + aρ)/((1 − a²)(1 − aρ)) with a = 1 − α, at curvature 1.
    """
    a = 1 - lr
    return lr**2 * (1 + a * correlation) / ((1 - a * a) * (1 - a * correlation))


def largest_correlation(target: float, steps: int) -> float:
    """Return the largest ρ at which gradient descent at the best of 60 rates is expected to reach the target.

    E e² and E eξ obey E e′² = a² E e² + 2aα E eξ + α² and E e′ξ′ = ρ (a E eξ + α); the start is 1
    away along each axis, and the gap E e².
    """
    if steps < FEWEST:
        return 0.0
    lr = torch.logspace(-3.5, -0.1, 60, dtype=torch.float64)
    correlation = torch.cat([torch.linspace(0, 0.9, 46), 1 - torch.logspace(-1, -3, 101)[1:]])
    correlation, a = correlation.to(lr)[:, None], 1 - lr
    square, along = torch.ones_like(lr + correlation), torch.zeros_like(lr + correlation)
    total, window = torch.zeros_like(square), steps_judged(steps)
    for step in range(steps):
        square = a.square() * square + 2 * a * lr * along + lr.square()
        along = correlation * (a * along + lr)
        total += square if step >= steps - window else 0.0
    bearable = (total <= target * window).any(-1)
    return correlation[bearable].max().item() if bearable.any() else 0.0
