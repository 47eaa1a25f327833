"""The evidence for `scale_invariant`: claims and portrait."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.descent import adam, descent, examples
from problems.ill_conditioning.scale_invariant import (
    ScaleInvariant,
    steps_of_adam,
    steps_of_descent,
)
from problems.portrait import Curves
from problems.theory import ENOUGH, Leads

RUNGS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4)  # the ladder's, and six between
METHODS = ("gradient descent", "Adam")
SEEDS = range(100, 109)  # other examples than those that the prediction takes for typical


def _steps(problem: ScaleInvariant, method: str, **values: float) -> int:
    """Return the steps to the target by the median of nine runs, at the best of 25 rates over three decades."""
    data = examples(problem, SEEDS)
    rates = torch.logspace(-1.5, 1.5, 25)[:, None, None]
    start = data["start"].expand(len(rates), -1, -1)
    if method == "Adam":
        lr = 0.25 * rates / math.sqrt(problem.spread)
        points = (x for x, _ in adam(problem, data, start, lr, eps=0.0, **values))
    else:
        points = descent(problem, data, start, rates / problem.spread, **values)
    enough = problem.card.target * problem.loss(data["start"], data)
    return _first(problem.loss(x, data) <= enough for x in points)


def _first(solved: Iterable[torch.Tensor]) -> int:
    """Return the first step after which more than half of the runs (rates, runs) at some rate have been solved."""
    ever = torch.tensor(False)
    for steps, now in enumerate(solved):
        ever = ever | now
        if (2 * ever.sum(-1) > ever.shape[-1]).any():
            return steps
    raise AssertionError("the points do not end")


@claim(
    ScaleInvariant,
    "|w|² after 100 steps of descent, less what it was, is η² Σ |g|²: largest relative error of a layer",
    stated=0.0,
    within=(0.0, 1e-10),  # rounding of 100 steps
    source="van Laarhoven 2017; Arora, Li & Lyu 2019: the gradient stands at right angles to w",
)
def growth_of_the_norm(problem: ScaleInvariant) -> float:
    data = problem.example()
    lr = 1 / problem.spread
    points = torch.stack([*itertools.islice(descent(problem, data, data["start"], lr), 101)])
    gradients = problem.split(problem.value_and_gradient(points[:100], data)[1])
    squares = problem.split(points[[0, -1]]).square().sum(-1)
    added = lr**2 * gradients.square().sum((0, -1))
    return ((squares[0] + added) / squares[1] - 1).abs().max().item()


@claim(
    ScaleInvariant,
    "the effective rate η/|w|² of the smallest layer after 1000 steps at η = 1/spread, over r²/(η sin²θ)",
    stated=1.0,
    within=about(1.0, rel=2e-3),  # later steps add half the effective rate, at most 1e-3, to |w|²
    source="derived: the first step throws it to η sin θ/r",
)
def rate_after_the_throw(problem: ScaleInvariant) -> float:
    data, lr = problem.example(), 1 / problem.spread
    end = next(itertools.islice(descent(problem, data, data["start"], lr), 1000, None))
    square = problem.split(end)[-1].square().sum()
    sine = problem.angles(data["start"], data)[-1].sin()
    return (lr**2 * sine**2 / problem.norms()[-1] ** 2 / square).item()


@claim(
    ScaleInvariant,
    "exponent of the spread by which the steps of descent at its best constant rate grow, from 100 to 1000",
    stated=1.0,
    within=about(1.0, abs=0.05),  # 25 rates: the best one may be 15 % off
    source="derived: of effective rates η/R² and r²/η the lesser is at most r/R; 2 for a quadratic",
    slow=True,
)
def exponent_of_descent(problem: ScaleInvariant) -> float:
    few, many = (
        _steps(replace(problem, spread=spread), "gradient descent") for spread in (1e2, 1e3)
    )
    return math.log10(many / few)


@claim(
    ScaleInvariant,
    "steps of heavy ball with β = 0.9 over those of descent, each at its best rate, at spread 100",
    stated=1.0,
    within=about(1.0, rel=0.2),  # the steps of descent are the first to order 1/(1 − β), of 300
    source="derived: it acts like a rate of η/(1 − β)",
    slow=True,
)
def momentum_over_descent(problem: ScaleInvariant) -> float:
    problem = replace(problem, spread=100.0)
    return _steps(problem, "gradient descent", momentum=0.9) / _steps(problem, "gradient descent")


@claim(
    ScaleInvariant,
    "exponent of the spread by which the steps of Adam at its best rate grow, from 1e3 to 1e5, at β₂ = 1 − 1e-7",
    stated=0.4,
    within=about(0.4, abs=0.05),  # the few steps that do not grow with it
    source="derived",
    slow=True,
)
def exponent_of_adam(problem: ScaleInvariant) -> float:
    """Measure it; up to factors that do not grow, and for steps of length a = η√n at first:

    The layer of norm 1 turns by about a sin θ a step, which takes T ~ 1/a. That of norm r is thrown to |w| ~ a. There
    its gradient is sin θ/a, while √v̂ is the first one's share, 1/(r√t): it turns by (a/|w|) (r√t) sin θ/a, which
    takes r T^(3/2)/a ~ 1. So T^(5/2) ~ 1/r.
    """
    few, many = (
        _steps(replace(problem, spread=spread), "Adam", beta2=1 - 1e-7) for spread in (1e3, 1e5)
    )
    return math.log10(many / few) / 2


def _predicted(problem: ScaleInvariant, spreads: Iterable[float]) -> torch.Tensor:
    """Return the fewest steps of descent and of Adam that theory predicts, (spreads, 2)."""
    rungs = [replace(problem, spread=spread) for spread in spreads]
    return torch.tensor([[steps_of_descent(each), steps_of_adam(each)] for each in rungs])


def _measured(problem: ScaleInvariant, spreads: Iterable[float]) -> torch.Tensor:
    """Return the fewest steps of descent and of Adam, (spreads, 2)."""
    rungs = [replace(problem, spread=spread) for spread in spreads]
    return torch.tensor([[float(_steps(each, name)) for name in METHODS] for each in rungs])


@claim(
    ScaleInvariant,
    "share of nine spreads from 1 to 1e4 at which the predicted lead of Adam over descent is within a factor of 2",
    stated=f"at least {ENOUGH}",
    within=(ENOUGH, 1.0),
    source="derived: effective rates of descent, and Adam with one second moment a layer",
    slow=True,
)
def predicted_lead(problem: ScaleInvariant) -> float:
    """Compare the ratios of the fewest steps: 0.2 at spread 1, where Adam is behind, and 70 at 1e4."""
    (lead,) = leads(problem)
    return lead.share_near


def leads(problem: ScaleInvariant) -> tuple[Leads, ...]:
    """Return Adam's lead from spread 1 to 10,000."""
    predicted, measured = (each(problem, RUNGS).tolist() for each in (_predicted, _measured))
    return (Leads.of("adam", RUNGS, predicted, measured),)


def _decayed(problem: ScaleInvariant, lr: float, decay: float) -> torch.Tensor:
    """Return |w|² and the loss of each layer over 20 times of forgetting: descent with decay, without noise."""
    data, x, found = problem.example(), problem.example()["start"], []
    forgets = round(1 / (lr * decay))
    for step in range(40 * forgets):
        if step >= 20 * forgets:
            layers = 1 - problem.angles(x, data).cos()
            found.append(torch.stack([problem.split(x).square().sum(-1), layers]))
        x = (1 - lr * decay) * x - lr * problem.value_and_gradient(x, data)[1]
    return torch.stack(found)


@claim(
    ScaleInvariant,
    "with weight decay λ = 0.1 and no noise, the mean of η/|w|² in the long run, at η = 0.02",
    stated=2.0,
    within=about(2.0, rel=0.05),  # the orbit is no cycle: the rate swings from 1.4 to 2.9
    source="derived; the edge of stability of Lyu, Li & Arora 2022, arXiv:2206.07085",
    slow=True,
)
def rate_with_decay(problem: ScaleInvariant) -> float:
    """Compare with the cycle of two points θ, −θ: both |w|²(1 − q²) = η² sin²θ/|w|² and tan 2θ = η sin θ/(q|w|²) hold.

    With q = 1 − ηλ that is cos 2θ = q and η/|w|² = √(2(2 − ηλ)). It does not attract, but the orbit is around it.
    """
    return (0.02 / _decayed(problem, 0.02, 0.1)[:, 0]).mean().item()


@claim(
    ScaleInvariant,
    "the loss of a layer that is left there, over 1 − √(1 − ηλ/2), which is about ηλ/4",
    stated=1.0,
    within=about(1.0, rel=0.1),  # as its η/|w|², squared
    source="derived: that of the cycle",
    slow=True,
)
def loss_with_decay(problem: ScaleInvariant) -> float:
    return _decayed(problem, 0.02, 0.1)[:, 1].mean().item() / (1 - math.sqrt(1 - 0.001))


def _held(
    problem: ScaleInvariant, kind: type[torch.optim.Optimizer], lr: float, decay: float
) -> tuple[float, float]:
    """Return the means of |w|^4 and of |w|²|g|² in the long run, under noise: each step's target is t + N(0, I)."""
    problem = replace(problem, spread=10.0)
    data, generator = problem.example(), torch.Generator().manual_seed(0)
    x = torch.nn.Parameter(data["start"].repeat(16, 1))
    optimizer = kind([x], lr=lr, weight_decay=decay)  # type: ignore[call-arg]
    found = []
    for step in range(12_000):
        noise = torch.randn(x.shape, generator=generator)
        draw = {**data, "target": data["target"] + noise}
        x.grad = problem.value_and_gradient(x.detach(), draw)[1]
        if step >= 8000:
            norms, slopes = (problem.split(each).square().sum(-1) for each in (x.detach(), x.grad))
            found.append(torch.stack([norms.square(), norms * slopes]))
        optimizer.step()
    powers, slopes = torch.stack(found).mean((0, 2, 3)).tolist()
    return powers, slopes


@claim(
    ScaleInvariant,
    "under noise SGD with L2 decay holds |w|⁴ at η E|ĝ|²/(λ(2 − ηλ)), for ĝ the gradient at norm 1: over that",
    stated=1.0,
    within=about(1.0, rel=0.02),  # |w|² fluctuates by √(ηλ), and its square by twice as much
    source="van Laarhoven 2017; Wan et al. 2021: η E|ĝ|²/2λ to first order in ηλ",
    slow=True,
)
def equilibrium_of_sgd(problem: ScaleInvariant) -> float:
    """Compare with the balance |w|² = (1 − ηλ)²|w|² + η²|ĝ|²/|w|². Decoupled decay is the same for SGD."""
    lr, decay = 0.1, 0.02
    powers, slopes = _held(problem, torch.optim.SGD, lr, decay)
    return powers / (lr * slopes / (decay * (2 - lr * decay)))


@claim(
    ScaleInvariant,
    "under noise AdamW holds |w|² at η n/(λ(2 − ηλ)), whatever the gradient: root mean square over that",
    stated=1.0,
    within=about(
        1.0, rel=0.05
    ),  # v̂ lags behind |w|, and the mean gradient, a tenth of the noise, adds up over steps
    source="derived; Kosson, Messmer & Jaggi 2024, arXiv:2305.17212: η n/2λ to first order in ηλ",
    slow=True,
)
def equilibrium_of_adamw(problem: ScaleInvariant) -> float:
    """Compare with the balance |w|² = (1 − ηλ)²|w|² + η² n.

    Independent gradients count with a total weight of 1 in the sum of all m, so |w|² grows as without momentum.
    """
    lr, decay = 0.01, 0.2
    powers, _ = _held(problem, torch.optim.AdamW, lr, decay)
    return math.sqrt(powers) / (lr * problem.width**2 / (decay * (2 - lr * decay)))


@claim(
    ScaleInvariant,
    "with the decay in the gradient, Adam holds |w|³ at η n σ/2λ, where σ is the noise: root of mean |w|⁴ over that",
    stated=1.0,
    within=about(1.0, rel=0.05),  # as for AdamW
    source="derived; Kosson, Messmer & Jaggi 2024",
    slow=True,
)
def equilibrium_of_adam(problem: ScaleInvariant) -> float:
    """Compare with the balance 2ηλ|w|²/√v = η² n: a weight decays by λw/√v, and √v is σ/|w|."""
    lr, decay = 0.01, 0.2
    powers, slopes = _held(problem, torch.optim.Adam, lr, decay)
    noise = math.sqrt(slopes / problem.width**2)
    return powers ** (3 / 4) / (lr * problem.width**2 * noise / (2 * decay))


def portrait(problem: ScaleInvariant) -> Curves:
    spreads = torch.tensor(RUNGS)
    predicted, measured = _predicted(problem, RUNGS), _measured(problem, RUNGS)
    return Curves(
        caption="The fewest steps at a constant rate: those of gradient descent grow like the spread of the norms, "
        "those of Adam like its power 2/5.",
        x_label="largest norm over the least",
        y_label="steps to the target",
        lines={name: (spreads, predicted[:, i]) for i, name in enumerate(METHODS)},
        dots={name: (spreads, measured[:, i]) for i, name in enumerate(METHODS)},
        x_scale="log",
        y_scale="log",
    )
