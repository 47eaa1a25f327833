"""The shift of a Hessian that gives Newton's step a wanted length: the secular equation."""

from __future__ import annotations

import torch

ITERATIONS = 60  # near the hard case each leads half as far again: at most 40 times in float64


def shifted_step(
    eigenvalues: torch.Tensor,
    gradient: torch.Tensor,
    radius: torch.Tensor | float,
    slope: torch.Tensor | float = 0.0,
) -> tuple[torch.Tensor, torch.Tensor]:
    """The step p = −(Λ + λ)⁻¹ g of the length radius + slope · λ, and λ (*runs, 1).

    It minimizes gᵀp + ½ pᵀΛp over |p| ≤ radius where the slope is 0, and plus |p|³/(3 slope)
    everywhere where the radius is. λ is at least max(0, −λ₁); it is 0 where p is no longer than
    wanted then. In the hard case p is too short at λ = −λ₁, for g has no part in the lowest
    eigenvector; along that one, uphill or downhill alike, the rest of the length is added. So
    where g = 0 there is a step if λ₁ < 0, and none else.

    eigenvalues: Λ, in ascending order (*runs, dim).
    gradient: g in the basis of the eigenvectors (*runs, dim).

    Unknown is what λ exceeds its least value by, which keeps its digits where λ loses them. In it
    1/|p| − 1/(radius + slope · λ) rises and is concave: Newton's method, begun where one of the
    components alone has the length, comes from the left and never overshoots. What is rounding of
    an eigendecomposition, in Λ and in g, counts as 0. Moré & Sorensen 1983.
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
    """What g is divided by, 1 where it is 0, the step, its length, and the wanted one."""
    shifted = torch.where(slopes != 0, above + excess, 1.0)
    step = -slopes / shifted
    return shifted, step, step.norm(dim=-1, keepdim=True), radius + slope * excess
