"""A line search that ends where the loss has fallen enough and the slope has flattened enough."""

from __future__ import annotations

from typing import NamedTuple

import torch

from optimizers.hyperparameter import Hyper
from optimizers.optimizer import Oracle

DECREASE = 1e-4  # c₁
EVALUATIONS = 20  # of the loss at most, in one search
GROWTH = (1.1, 10.0)  # at least of the last gap and at most of the step, while its end is downhill
MARGIN = 0.01  # of a bracket, within which no trial is near its ends
SHRINK = 2 / 3  # of a bracket: where a trial left more, the next one halves it
VISIBLE = 10  # units of the loss's rounding: the least gain that a trial must promise


class Found(NamedTuple):
    """Where a search ended.

    length: t (*runs, 1).
    x, gradient: the point x + t d and the gradient there (*runs, dim).
    foretold: t φ′(0) (*runs, 1); after a search that failed, with the t at which to go on.
    """

    length: torch.Tensor
    x: torch.Tensor
    gradient: torch.Tensor
    foretold: torch.Tensor


def strong_wolfe(
    oracle: Oracle, direction: torch.Tensor, first: torch.Tensor, curvature: Hyper
) -> Found:
    """A step t along a direction d that satisfies, with φ(t) = f(x + t d), both of

        φ(t) ≤ φ(0) + c₁ t φ′(0), c₁ = 1e-4, and |φ′(t)| ≤ c₂ |φ′(0)|, c₂ = `curvature`.

    `first` (*runs, 1) is tried first, or what it takes for the loss to show a gain. While φ falls
    and its end is steep the step grows; once a minimum lies between two steps, lo, the best so far,
    and hi, the bracket narrows to it. The next trial is where the cubic through both values and
    slopes is least, or the parabola where hi's slope was never asked for: a trial without the first
    property costs its loss, a third of a gradient, and no more. Values that are not finite are not
    interpolated: the bracket is halved.

    After 20 trials, or where the next one promises a gain that the loss's rounding would hide, the
    best step with the first property is taken; 0 where there is none or d is not downhill. Runs
    that have found their step ask, and pay, no more. Nocedal & Wright 2006, "Numerical
    optimization", algorithms 3.5 and 3.6, with (3.58) and (3.59).
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
        # Where the loss is no lower nobody looks at the gradient: it might not even be finite.
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
    """What to try first where nothing is known of the scale: min(1, 1/|g|₁), as torch.optim.LBFGS does."""
    return (1 / gradient.abs().sum(-1, keepdim=True)).clamp(max=1)


def dot(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Scalar products, (*runs, 1)."""
    return (left * right).sum(-1, keepdim=True)


class _Trial(NamedTuple):
    """t, φ(t) and φ′(t), each (*runs, 1); the slope is NaN where nobody has asked for it."""

    step: torch.Tensor
    value: torch.Tensor
    slope: torch.Tensor


def _choose(where: torch.Tensor, first: _Trial, second: _Trial) -> _Trial:
    return _Trial(*(torch.where(where, *each) for each in zip(first, second, strict=True)))


def _longer(lo: _Trial, trial: _Trial) -> torch.Tensor:
    """The next step while there is no hi: where the cubic has its minimum, if it has one farther on."""
    least, most = lo.step + GROWTH[0] * (trial.step - lo.step), GROWTH[1] * trial.step
    cubic = _cubic(lo, trial)
    return torch.where(cubic > trial.step, cubic.clamp(least, most), most)


def _between(lo: _Trial, hi: _Trial, before: torch.Tensor) -> torch.Tensor:
    """The next step in a bracket whose width was `before`."""
    width = hi.step - lo.step
    bend = hi.value - lo.value - lo.slope * width
    parabola = lo.step - 0.5 * lo.slope * width**2 / bend
    share = (torch.where(hi.slope.isnan(), parabola, _cubic(lo, hi)) - lo.step) / width
    believed = (share > 0) & (share < 1) & (width.abs() <= SHRINK * before.abs())
    believed &= hi.value < torch.finfo(width.dtype).max
    return lo.step + torch.where(believed, share.clamp(MARGIN, 1 - MARGIN), 0.5) * width


def _cubic(a: _Trial, b: _Trial) -> torch.Tensor:
    """Where the cubic with both values and slopes has its minimum; NaN where it has none."""
    middle = a.slope + b.slope - 3 * (a.value - b.value) / (a.step - b.step)
    root = (middle**2 - a.slope * b.slope).sqrt() * (b.step - a.step).sign()
    share = (b.slope + root - middle) / (b.slope - a.slope + 2 * root)
    return b.step - (b.step - a.step) * share
