"""What is measured at a few points of the traced runs, after them and never charged: curvature, stability, noise."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from problems import Problem, Tree

SPECTRUM_UP_TO = 512  # dimensions in which the Hessian is diagonalized
DRAWS = 32  # of the noise, at each point
PRODUCTS = (
    8  # of these draws that are multiplied with a Hessian that is too large to be written out
)
CHAIN_POSITIONS = 5  # of a chain that are kept: enough for a line and its fit
STANDARD_ERRORS = 3  # from which a bias is told from noise

CURVATURE = ("lambda_min", "lambda_max", "negative_fraction")
GAINS = ("decrease", "decrease_negative")
NOISE = ("noise_sq", "noise_h", "bias", "bias_sq")


def measure(
    problem: Problem, x: torch.Tensor, data: Tree, share: torch.Tensor | None, draws: Sequence[Tree]
) -> dict[str, torch.Tensor]:
    """All of it at x (*runs, dim): each answer is (*runs), float32, NaN where it is not finite.

    share: of the stability limit by unit of curvature, see `Optimizer.stability`; draws: of the noise.
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
    """The ends of the spectrum, the share of negative curvatures, and what a step that knows them all would gain.

    ½ gᵀ(|H| + δ)⁻¹g: along each eigenvector, down the parabola to its bottom or, where it has none, as far as
    the mirrored one's is. δ is √ε of the largest |λ| (ε is the rounding of the precision): eigenvalues come with
    errors of the order of ε |λ|max, so that at √ε the sum still has half of its digits; below it would be 0/0.
    """
    values, basis = torch.linalg.eigh(hessian)
    along = torch.einsum("...ij,...i->...j", basis, gradient)
    size = values.abs()
    shift = math.sqrt(torch.finfo(values.dtype).eps) * size.amax(-1, keepdim=True)
    gains = 0.5 * along.square() / (size + shift)
    gains = torch.where(along == 0, 0.0, gains)  # nothing to gain, and no 0/0 where H is 0
    negative = values < 0
    answers = (
        values[..., 0], values[..., -1], negative.to(values.dtype).mean(-1),
        gains.sum(-1), torch.where(negative, gains, 0.0).sum(-1),
    )  # fmt: skip
    return dict(zip(CURVATURE + GAINS, answers, strict=True))


def stability(hessian: torch.Tensor, largest: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    """q = λmax(D^½ H D^½), the share D (*runs, 1 or dim) of the limit by unit of curvature: (*runs).

    It is lr λmax(P⁻¹H)/limit, for D is lr P⁻¹/limit and both matrices have the same eigenvalues.
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
    """tr S and tr(HS) of the gradients that are seen, the cosine of their mean with the exact one, and its bias.

    The square of the bias is without bias itself: |mean − g|² − tr S/n. Cosine and square are NaN where n draws
    do not tell: at a standstill under noise the gradient is far below the error of any mean of a few draws.
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
    # n |mean − E|²/tr S has variance 2 at most: in one direction it is a χ² of one degree of freedom.
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
