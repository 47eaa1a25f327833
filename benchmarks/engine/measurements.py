"""Measure curvature, stability and noise at a few points of the traced runs, afterwards and uncharged."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from problems import Problem, Tree

SPECTRUM_UP_TO = 512  # dimensions up to which the Hessian is diagonalized
DRAWS = 32  # draws of the noise per point
PRODUCTS = (
    8  # draws used for Hessian-vector products, if the Hessian is too large to be written out
)
CHAIN_POSITIONS = 5  # positions kept of a chain: enough to fit a line and its R²
STANDARD_ERRORS = 3  # above which a bias counts as real, not as sampling error

CURVATURE = ("lambda_min", "lambda_max", "negative_fraction")
GAINS = ("decrease", "decrease_negative")
NOISE = ("noise_sq", "noise_h", "bias", "bias_sq")


def measure(
    problem: Problem, x: torch.Tensor, data: Tree, share: torch.Tensor | None, draws: Sequence[Tree]
) -> dict[str, torch.Tensor]:
    """Measure at x (*runs, dim); each result is (*runs), float32, NaN where it is not finite.

    share: share of the stability limit per unit of curvature, see `Optimizer.stability`.
    draws: draws of the noise; empty for a problem without noise.
    """
    found: dict[str, torch.Tensor] = {}
    gradient = problem.value_and_gradient(x, data)[1]
    hessian = None
    if x.shape[-1] <= SPECTRUM_UP_TO:
        hessian = problem.hessian(x, data)
        finite = torch.isfinite(hessian).all(-1).all(-1) & torch.isfinite(gradient).all(-1)
        whole = torch.where(finite[..., None, None], hessian, 0.0)
        curved = curvature(whole, gradient)
        if share is not None:
            curved["stability"] = stability(whole, curved["lambda_max"], share)
        found |= {name: torch.where(finite, each, torch.nan) for name, each in curved.items()}
    if draws:
        found |= noise(problem, x, data, draws, gradient, hessian)
    chain = problem.chain(x, data)
    if chain is not None:
        length = chain.shape[-1]
        kept = torch.linspace(0, length - 1, min(length, CHAIN_POSITIONS)).round().long()
        found |= {f"chain.{k}": chain[..., at] for k, at in enumerate(kept.tolist())}
    return {name: each.float().cpu() for name, each in found.items()}


def curvature(hessian: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return λmin, λmax, the share of negative curvatures, and the gain ½ gᵀ(|H| + δ)⁻¹g of a saddle-free Newton step.

    The gain sums, over eigenvectors, the way down to the bottom of the parabola, or of the mirrored parabola
    where the curvature is negative. `decrease_negative` is the part along negative curvature. δ = √ε |λ|max, with
    ε the machine precision: eigenvalues have errors of order ε |λ|max, so that at √ε the sum keeps half of its
    digits; a smaller δ risks 0/0.
    """
    values, basis = torch.linalg.eigh(hessian)
    along = torch.einsum("...ij,...i->...j", basis, gradient)
    size = values.abs()
    shift = math.sqrt(torch.finfo(values.dtype).eps) * size.amax(-1, keepdim=True)
    gains = 0.5 * along.square() / (size + shift)
    gains = torch.where(along == 0, 0.0, gains)  # nothing to gain; avoids 0/0 if H = 0
    negative = values < 0
    answers = (
        values[..., 0], values[..., -1], negative.to(values.dtype).mean(-1),
        gains.sum(-1), torch.where(negative, gains, 0.0).sum(-1),
    )  # fmt: skip
    return dict(zip(CURVATURE + GAINS, answers, strict=True))


def stability(hessian: torch.Tensor, largest: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """Return q = λmax(D^½ H D^½), the share of the stability limit in use (*runs).

    D, `share` (*runs, 1 or dim), is lr P⁻¹/limit, so that q = lr λmax(P⁻¹H)/limit: both matrices have the
    same eigenvalues.
    """
    if share.shape[-1] == 1:
        return share[..., 0] * largest
    root = share.sqrt()
    scaled = root[..., :, None] * hessian * root[..., None, :]
    finite = torch.isfinite(scaled).all(-1).all(-1)
    ends = torch.linalg.eigvalsh(torch.where(finite[..., None, None], scaled, 0.0))[..., -1]
    return torch.where(finite, ends, torch.nan)


def noise(
    problem: Problem, x: torch.Tensor, data: Tree, draws: Sequence[Tree],
    exact: torch.Tensor, hessian: torch.Tensor | None,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Return tr S, tr(HS), the cosine of the mean noisy gradient with the exact gradient g, and the squared bias.

    The estimate of the squared bias is itself unbiased: |mean − g|² − tr S/n. Cosine and squared bias are NaN
    if n draws cannot resolve them: at a standstill under noise, g is far below the error of a mean of a few draws.
    """
    seen = torch.stack([_seen(problem, x, data, draw) for draw in draws])
    count = len(draws)
    mean = seen.mean(0)
    off = seen - mean
    trace = off.square().sum(-1).sum(0) / (count - 1)
    if hessian is not None:
        bent = torch.einsum("k...i,...ij->k...j", off, hessian)
        bends = (bent * off).sum(-1).sum(0) / (count - 1)
    else:
        some = off[:PRODUCTS]
        bends = (problem.hvp(x, data, some) * some).sum(-1).sum(0) / len(some) * count / (count - 1)
    along = (mean * exact).sum(-1)
    error = ((off * exact).sum(-1).square().sum(0) / (count - 1) / count).sqrt()
    cosine = along / (mean.norm(dim=-1) * exact.norm(dim=-1))
    bias = (mean - exact).square().sum(-1) - trace / count
    # n |mean − E|²/tr S has variance at most 2: for noise in one direction it is χ² with one degree of freedom.
    blur = STANDARD_ERRORS * math.sqrt(2) * trace / count
    told = (bias > blur) | (blur < exact.square().sum(-1))
    return {
        "noise_sq": trace,
        "noise_h": bends,
        "bias": torch.where(along.abs() > STANDARD_ERRORS * error, cosine, torch.nan),
        "bias_sq": torch.where(told, bias, torch.nan),
    }


def _seen(problem: Problem, x: torch.Tensor, data: Tree, draw: Tree) -> torch.Tensor:
    gradient = problem.sampled_value_and_gradient(x, data, draw)[1]
    return problem.seen(gradient, data, draw, None)[0]
