"""The evidence for `block_hessian`: claims and portrait."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.descent import adam, descent, examples
from problems.ill_conditioning.block_hessian import (
    BETA1,
    BlockHessian,
    predicted_steps,
)
from problems.portrait import Curves
from problems.theory import ENOUGH, NEAR, Leads

INSTANCES = 5  # of which the median is taken
RUNGS = [10 ** (each / 2) for each in range(9)]  # the ladder's, and three between each two


def measured_steps(problem: BlockHessian, optimizer: str) -> int:
    """Return after how many steps, to 1 %, the median instance is at the target, with the best of some learning rates.

    Args:
        problem: The problem.
        optimizer: "sgd", with 2/L times 0.7, 0.8, 0.9 and 0.99, or "adam", with 0.01 to 3, six a decade.
    """
    data = examples(problem, range(INSTANCES))
    if optimizer == "adam":
        lr = torch.logspace(-2, 0.5, 16)[:, None, None]
        points = (x for x, _ in adam(problem, data, data["start"].expand(len(lr), -1, -1), lr))
    else:
        lr = 2 * torch.tensor([0.7, 0.8, 0.9, 0.99])[:, None, None]  # L = 1
        points = descent(problem, data, data["start"].expand(len(lr), -1, -1), lr)
    enough = problem.card.target * problem.loss(data["start"], data)
    following = 0
    for steps, x in enumerate(points):
        if steps == following:
            following += 1 + steps // 100
            if ((problem.loss(x, data) <= enough).sum(-1) > INSTANCES / 2).any():
                return steps
    raise AssertionError("the points do not end")


def _at_last_rung(problem: BlockHessian) -> BlockHessian:
    return problem.at_dial(problem.card.ladder[-1])


@claim(
    BlockHessian,
    "the distance to the minimum after 200 steps of Adam (eps = 0) at a heterogeneity of 1e4, over the distance at 1",
    stated=1.0,
    within=about(1.0, rel=1e-6),  # 200 steps of rounding
    source="derived: a block's scale cancels in m̂/√v̂",
)
def path_of_adam(problem: BlockHessian) -> float:
    left = []
    for rung in (_at_last_rung(problem), replace(problem, heterogeneity=1.0)):
        data = rung.example()
        points = adam(rung, data, data["start"], 0.1, eps=0.0)
        left.append(rung.distance(next(itertools.islice(points, 200, None))[0], data))
    return (left[0] / left[1]).item()


@claim(
    BlockHessian,
    "the gap after 1000 steps of descent, over the gap on the mixed twin",
    stated=1.0,
    within=about(1.0, rel=1e-9),  # 1000 steps of rounding
    source="derived: descent is invariant to rotations",
)
def descent_on_the_twin(problem: BlockHessian) -> float:
    """Measure it: the twin has the same curvatures, and the same error along them."""
    left = []
    for each in (problem, replace(problem, mixed=True)):
        data = each.example()
        points = descent(each, data, data["start"], 1.9)
        left.append(each.loss(next(itertools.islice(points, 1000, None)), data))
    return (left[0] / left[1]).item()


@claim(
    BlockHessian,
    "the factor on the gap of one step of Adam at its best learning rate, the mean of steps 50 to 250",
    stated=BETA1,
    within=about(BETA1, abs=0.01),  # the gap oscillates, at either end within a factor of e
    source="derived",
)
def rate_of_adam(problem: BlockHessian) -> float:
    """Compare with β₁, the best that is possible if v̂ is given, however it changes.

    With D = lr · diag(√v̂)⁻¹ a step takes the mean m to m' = β m + (1 − β) H e, then the error e to e − D m'. These two
    linear maps of (e, m) have the determinants β^dim and 1. So volumes shrink to β^dim in a step, lengths to √β in the
    geometric mean over 2 dim directions, and from most starts no faster: the gap to β. For constant D all modes reach
    that if the eigenvalues of D H lie between (1 − √β)²/(1 − β) and (1 + √β)²/(1 − β). At β = 0.9 the second is 1442
    times the first: a block leaves much room for v̂ to be uneven, and to change.
    """
    data = problem.example()
    lr = torch.logspace(-2, 0, 9)[:, None]
    points = adam(problem, data, data["start"].expand(len(lr), -1), lr)
    early, late = (problem.loss(x, data) for x, _ in itertools.islice(points, 50, 251, 200))
    return ((late / early) ** (1 / 200)).min().item()


@claim(
    BlockHessian,
    "steps to the target at the last rung, of Adam without momentum and with the v̂ of the start, over the bound",
    stated="at most 1",
    within=(0.0, 1.0),
    source="derived; of the form of the bound for Adam of Zhang et al. 2024",
    slow=True,
)
def bound_for_adam(problem: BlockHessian) -> float:
    """Compare with ln(1/target) r · block_condition, which does not depend on the heterogeneity.

    D = diag(|g₀|) has entries between c s_b and C s_b in block b, so D^-½ H D^-½ has curvatures between
    1/(C · block_condition) and 1/c. With lr = c a step leaves at most 1 − 1/(r · block_condition) of the gap, r = C/c.
    """
    rung = _at_last_rung(problem)
    data = rung.example()
    x = data["start"]
    first, gradient = rung.value_and_gradient(x, data)
    size = gradient.abs()
    scaled = size.view(rung.blocks, -1) / rung.curvatures()[:, :1]  # |g₀| over a block's largest
    lr, spread = scaled.min(), scaled.max() / scaled.min()
    bound = math.log(1 / rung.card.target) * spread.item() * rung.block_condition
    steps = 0
    while rung.loss(x, data) > rung.card.target * first:
        x = x - lr * rung.value_and_gradient(x, data)[1] / size
        steps += 1
    return steps / bound


@claim(
    BlockHessian,
    "share of nine rungs at which Adam's lead over descent is within a factor of 2 of the predicted one",
    stated=f"at least {ENOUGH}",
    within=(ENOUGH, 1.0),
    source="derived: `predicted_steps`",
    slow=True,
)
def lead_of_adam(problem: BlockHessian) -> float:
    (lead,) = leads(problem)
    return lead.share_near


def leads(problem: BlockHessian) -> tuple[Leads, ...]:
    """Return Adam's lead from heterogeneity 1 to 10,000."""
    rungs = [replace(problem, heterogeneity=each) for each in RUNGS]
    predicted, measured = (
        [(float(steps(rung, "sgd")), float(steps(rung, "adam"))) for rung in rungs]
        for steps in (predicted_steps, measured_steps)
    )
    return (Leads.of("adam", RUNGS, predicted, measured),)


@claim(
    BlockHessian,
    "share of nine rungs of the mixed twin at which the steps of tuned Adam are within a factor of 2 of the predicted",
    stated=f"at least {ENOUGH}",
    within=(ENOUGH, 1.0),
    source="derived: `predicted_steps`",
    slow=True,
    fails="Adam needs up to 2.6 times the predicted steps where a block's condition number is above 1442. There its "
    "rate depends on how v̂ changes and differs between coordinates, and the prediction takes v̂ for constant and equal.",
)
def adam_on_the_twin(problem: BlockHessian) -> float:
    twins = [replace(problem, heterogeneity=each, mixed=True) for each in RUNGS]
    ratios = [measured_steps(twin, "adam") / predicted_steps(twin, "adam") for twin in twins]
    return sum(1 / NEAR <= ratio <= NEAR for ratio in ratios) / len(twins)


def portrait(problem: BlockHessian) -> Curves:
    kinds = {
        "gradient descent": ("sgd", False),
        "Adam": ("adam", False),
        "Adam, blocks alike": ("adam", True),
    }
    lines, dots = {}, {}
    for name, (optimizer, mixed) in kinds.items():
        rungs = [replace(problem, heterogeneity=each, mixed=mixed) for each in RUNGS]
        steps = [predicted_steps(rung, optimizer) for rung in rungs]
        found = [measured_steps(rung, optimizer) for rung in rungs]
        lines[name] = (torch.tensor(RUNGS), torch.tensor(steps))
        dots[name] = (torch.tensor(RUNGS), torch.tensor(found))
    return Curves(
        caption="Gradient descent needs as many steps as the condition number of the whole Hessian says, and Adam "
        "only as many as that of a block. If the same curvatures are dealt out so that all blocks are alike, Adam's "
        "lead stops growing.",
        x_label="heterogeneity: scale of the first block over that of the last",
        y_label="steps to the target, tuned",
        lines=lines,
        dots=dots,
        x_scale="log",
        y_scale="log",
    )
