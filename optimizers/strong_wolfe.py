"""A line search that ends when the loss has fallen enough and the slope has flattened enough."""

from __future__ import annotations

from typing import NamedTuple

import torch

from optimizers.hyperparameter import Hyper
from optimizers.optimizer import Oracle

DECREASE = 1e-4  # c₁
EVALUATIONS = 20  # the most evaluations of the loss in one search
GROWTH = (1.1, 10.0)  # least of the last gap and most of the step, while its end is downhill
MARGIN = 0.01  # a trial's least distance from a bracket's ends, as a share of its width
SHRINK = 2 / 3  # of a bracket: if a trial left more, the next one halves it
VISIBLE = 10  # roundings of the loss: the least gain that a trial must predict


class Found(NamedTuple):
    """The result of a search.

    Attributes:
        length: t, (*runs, 1).
        x: The point x + t d, (*runs, dim).
        gradient: The gradient there, (*runs, dim).
        foretold: The predicted change t φ′(0), (*runs, 1); after a failed search with the t that would be tried next.
    """

    length: torch.Tensor
    x: torch.Tensor
    gradient: torch.Tensor
    foretold: torch.Tensor


def strong_wolfe(
    oracle: Oracle, direction: torch.Tensor, first: torch.Tensor, curvature: Hyper
) -> Found:
    """Return a step t along a direction d that satisfies both strong Wolfe conditions, with φ(t) = f(x + t d):

        φ(t) ≤ φ(0) + c₁ t φ′(0), c₁ = 1e-4, and |φ′(t)| ≤ c₂ |φ′(0)|, c₂ = `curvature`.

    The first trial is `first`, or the least t for which the loss can show a gain if that is larger. The step grows as
    long as φ falls and is still steep at its end; once a minimum lies between two steps, lo, the best so far, and hi,
    the bracket narrows to it. The next trial is the minimum of the cubic through both values and slopes, or of the
    parabola if hi's slope was not evaluated: a trial without the first property costs only its loss, a third of a
    gradient. Values that are not finite are not interpolated: the bracket is halved.

    The search ends after 20 trials, or when the next one predicts a gain that the loss's rounding would hide; t is
    then the best step with the first property, and 0 if there is none or d is not downhill. Runs that have found
    their step evaluate, and pay, no more. Nocedal & Wright 2006, "Numerical optimization", algorithms 3.5 and 3.6,
    with (3.58) and (3.59).

    Args:
        oracle: The current point x.
        direction: d, (*runs, dim).
        first: The t to try first, (*runs, 1).
        curvature: c₂, a number or (*runs, 1).

    Returns:
        t, the point there and its gradient.
    """
    x, end, gradient = oracle.x, oracle.x, oracle.gradient
    slope = dot(gradient, direction)
    zero = _Trial(torch.zeros_like(slope), oracle.value, slope)
    lo, hi = zero, zero._replace(step=torch.full_like(slope, torch.inf))
    hidden = VISIBLE * torch.finfo(slope.dtype).eps * zero.value.abs()
    searching = oracle.alive.unsqueeze(-1) & (slope < 0)
    visible = 2 * hidden / slope.abs()
    step = torch.where(visible.isfinite(), visible.maximum(first), first)

    for _ in range(EVALUATIONS):
        searching = searching & ((step - lo.step).abs() * lo.slope.abs() > hidden)
        if not searching.any():
            break
        there = x + torch.where(searching, step, lo.step) * direction
        value = oracle.at(there, who=searching).value
        lower = searching & (value <= zero.value + DECREASE * step * slope) & (value < lo.value)
        # The gradient is evaluated only where the loss is lower: elsewhere it might not be finite.
        point = oracle.at(torch.where(lower, there, x), who=lower)
        trial = _Trial(step, value, dot(point.gradient, direction))
        end = torch.where(lower, point.x, end)
        gradient = torch.where(lower, point.gradient, gradient)

        width = hi.step - lo.step
        grown = _longer(lo, trial)
        behind = _choose(lower & (trial.slope * width >= 0), lo, hi)
        blind = trial._replace(slope=torch.full_like(slope, torch.nan))
        hi = _choose(searching & ~lower, blind, behind)
        lo = _choose(lower, trial, lo)
        searching = searching & ~(lower & (trial.slope.abs() <= curvature * slope.abs()))
        following = torch.where(hi.step.isinf(), grown, _between(lo, hi, width))
        step = torch.where(searching, following, step)

    going_on = torch.where(lo.step > 0, lo.step, step)
    foretold = torch.where(slope < 0, going_on * slope, 0.0)
    return Found(lo.step, end, gradient, foretold)


def first_length(gradient: torch.Tensor) -> torch.Tensor:
    """Return the first t to try if no scale is known, min(1, 1/|g|₁), as in torch.optim.LBFGS; (*runs, 1)."""
    return (1 / gradient.abs().sum(-1, keepdim=True)).clamp(max=1)


def dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the scalar products of two (*runs, dim), as (*runs, 1)."""
    return (left * right).sum(-1, keepdim=True)


class _Trial(NamedTuple):
    """t, φ(t) and φ′(t), each (*runs, 1); the slope is NaN if it was not evaluated."""

    step: torch.Tensor
    value: torch.Tensor
    slope: torch.Tensor


def _choose(where: torch.Tensor, first: _Trial, second: _Trial) -> _Trial:
    return _Trial(*(torch.where(where, *each) for each in zip(first, second, strict=True)))


def _longer(lo: _Trial, trial: _Trial) -> torch.Tensor:
    """Return the next step while there is no hi: the cubic's minimum, if it has one farther on."""
    least, most = lo.step + GROWTH[0] * (trial.step - lo.step), GROWTH[1] * trial.step
    cubic = _cubic(lo, trial)
    return torch.where(cubic > trial.step, cubic.clamp(least, most), most)


def _between(lo: _Trial, hi: _Trial, before: torch.Tensor) -> torch.Tensor:
    """Return the next step in a bracket whose width was `before`."""
    width = hi.step - lo.step
    bend = hi.value - lo.value - lo.slope * width
    parabola = lo.step - 0.5 * lo.slope * width**2 / bend
    share = (torch.where(hi.slope.isnan(), parabola, _cubic(lo, hi)) - lo.step) / width
    believed = (share > 0) & (share < 1) & (width.abs() <= SHRINK * before.abs())
    believed &= hi.value < torch.finfo(width.dtype).max
    return lo.step + torch.where(believed, share.clamp(MARGIN, 1 - MARGIN), 0.5) * width


def _cubic(a: _Trial, b: _Trial) -> torch.Tensor:
    """Return the minimum of the cubic through both values and slopes; NaN if it has none."""
    middle = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    root = (middle**2 - a.slope * b.slope).sqrt() * (b.step - a.step).sign()
    share = (b.slope + root - middle) / (b.slope - a.slope + 2 * root)
    return b.step - (b.step - a.step) * share
