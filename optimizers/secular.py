"""Solve the secular equation: find the shift of a Hessian that gives Newton's step a wanted length."""

from __future__ import annotations

import torch

ITERATIONS = 60  # near the hard case each grows the excess by half: 40 in float64


def shifted_step(
    eigenvalues: torch.Tensor,
    gradient: torch.Tensor,
    radius: torch.Tensor | float,
    slope: torch.Tensor | float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the step p = −(Λ + λ)⁻¹ g of length radius + slope · λ, and λ.

    p minimizes gᵀp + ½ pᵀΛp over |p| ≤ radius if the slope is 0, and gᵀp + ½ pᵀΛp + |p|³/(3 slope) over all p if
    the radius is. λ is at least max(0, −λ₁), and 0 if p is no longer than wanted then. In the hard case g has no
    component along the lowest eigenvector, and p is too short at λ = −λ₁: the rest of the length is added along that
    eigenvector, in either direction. So if g = 0 there is a step if λ₁ < 0, and none otherwise.

    The unknown is the excess of λ over its least value, which keeps its digits when λ loses them. As a function of
    it, 1/|p| − 1/(radius + slope · λ) increases and is concave: Newton's method, begun where one of the components
    alone has the length, approaches from the left and never overshoots. Rounding errors of an eigendecomposition, in
    Λ and in g, count as 0. Moré & Sorensen 1983.

    Args:
        eigenvalues: Λ, in ascending order, (*runs, dim).
        gradient: g in the basis of the eigenvectors, (*runs, dim).
        radius: The wanted length at λ = 0, a number or (*runs, 1).
        slope: By how much it grows with λ, a number or (*runs, 1).

    Returns:
        p in the basis of the eigenvectors (*runs, dim), and λ (*runs, 1).
    """
    rounding = gradient.shape[-1] * torch.finfo(gradient.dtype).eps
    sizes, lengths = eigenvalues.abs(), gradient.norm(dim=-1, keepdim=True)
    seen = sizes > rounding * sizes.amax(-1, keepdim=True)
    curvatures = torch.where(seen, eigenvalues, 0.0)
    slopes = torch.where(gradient.abs() > rounding * lengths, gradient, 0.0)
    least = (-curvatures[..., :1]).clamp(min=0)
    above, radius = curvatures + least, radius + slope * least

    gaps = slopes.abs() - radius * above
    halves = torch.hypot(radius - slope * above, 2 * (slope * slopes.abs()).sqrt())
    alone = torch.where(gaps > 0, 2 * gaps / (radius + slope * above + halves), 0.0)
    excess = alone.amax(-1, keepdim=True)
    shifted, step, length, wanted = _sized(excess, above, slopes, radius, slope)
    for _ in range(ITERATIONS):
        longer = length > (1 + rounding) * wanted
        if not longer.any():
            break
        rate = ((step / length).square() / shifted).sum(-1, keepdim=True)
        further = (length / wanted - 1) / (rate + slope * length / wanted**2)
        excess = torch.where(longer, excess + further, excess)
        shifted, step, length, wanted = _sized(excess, above, slopes, radius, slope)

    hard = (excess == 0) & (curvatures[..., :1] < 0)
    missing = ((wanted - length).clamp(min=0) * (wanted + length)).sqrt()
    along = torch.where(gradient[..., :1] > 0, -missing, missing)
    step = torch.cat([torch.where(hard, along, step[..., :1]), step[..., 1:]], -1)
    return step, least + excess


def _sized(
    excess: torch.Tensor,
    above: torch.Tensor,
    slopes: torch.Tensor,
    radius: torch.Tensor,
    slope: torch.Tensor | float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the divisors of g (1 where g is 0), the step, its length, and the wanted length."""
    shifted = torch.where(slopes != 0, above + excess, 1.0)
    step = -slopes / shifted
    return shifted, step, step.norm(dim=-1, keepdim=True), radius + slope * excess
