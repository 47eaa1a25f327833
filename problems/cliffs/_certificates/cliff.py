"""The evidence for `cliff`: claims and portrait."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.cliffs.cliff import Cliff
from problems.descent import descent
from problems.portrait import Curves

# What is known of one unit with T = 50.


def _steepest(problem: Cliff, weight: float, steps: int = 50) -> tuple[float, float]:
    """Return the distance from the line to the bias with the largest gradient, and that gradient.

    The grid is refined around the peak until it is 1e-16 wide: from w = 6 on the peak is narrower than
    the spacing of any grid over the whole window.
    """
    problem, w = replace(problem, units=1, steps=steps), torch.tensor(weight)
    line = problem.cliff_line(w).item()
    middle, half, top = line, 0.3, 0.0
    while half > 1e-14:
        b = torch.linspace(middle - half, middle + half, 801)
        slopes = problem._each_unit(w.expand_as(b), b)[1].norm(dim=-1)
        at = slopes.argmax()
        middle, top, half = b[at].item(), slopes[at].item(), half / 20
    return abs(middle - line), top


@claim(
    Cliff,
    "the distance from b = ½ − w σ(½) to the bias with the largest gradient, at w = 5",
    stated="4.5e-5",
    within=(0, 1e-4),
    source="Pascanu, Mikolov & Bengio 2013, section 2.3: x_0 is the unstable fixed point there",
)
def offset_at_5(problem: Cliff) -> float:
    return _steepest(problem, 5.0)[0]


@claim(
    Cliff,
    "the same at w = 6",
    stated="0 to the digits of a grid",
    within=(0, 1e-7),
    source="Pascanu, Mikolov & Bengio 2013, section 2.3",
)
def offset_at_6(problem: Cliff) -> float:
    return _steepest(problem, 6.0)[0]


@claim(
    Cliff,
    "the same at w = 7",
    stated="0 to the digits of a grid",
    within=(0, 1e-9),
    source="Pascanu, Mikolov & Bengio 2013, section 2.3",
)
def offset_at_7(problem: Cliff) -> float:
    return _steepest(problem, 7.0)[0]


@claim(
    Cliff,
    "the largest gradient at w = 5",
    stated=6.77e3,
    within=about(6.77e3, rel=0.005),  # of the last digit
    source="measured; (w σ'(½))^50 is 3.2e3",
)
def height_at_5(problem: Cliff) -> float:
    return _steepest(problem, 5.0)[1]


@claim(
    Cliff,
    "the largest gradient at w = 6",
    stated=1.96e7,
    within=about(1.96e7, rel=0.005),
    source="measured; (w σ'(½))^50 is 2.9e7",
)
def height_at_6(problem: Cliff) -> float:
    return _steepest(problem, 6.0)[1]


@claim(
    Cliff,
    "the largest gradient at w = 7",
    stated=2.53e10,
    within=about(2.53e10, rel=0.005),
    source="measured; (w σ'(½))^50 is 6.4e10",
)
def height_at_7(problem: Cliff) -> float:
    return _steepest(problem, 7.0)[1]


@claim(
    Cliff,
    "the factor by which the largest gradient grows with a step of the unit, at w = 6, from T = 20 to 50",
    stated="w σ'(½) = 1.410",
    within=about(1.410, rel=0.02),  # the window's far field still counts at T = 20
    source="Pascanu, Mikolov & Bengio 2013, section 2.3",
)
def growth_per_step(problem: Cliff) -> float:
    return (_steepest(problem, 6.0)[1] / _steepest(problem, 6.0, steps=20)[1]) ** (1 / 30)


def _ends(problem: Cliff, starts: torch.Tensor, threshold: float, steps: int) -> torch.Tensor:
    """Return the losses that descent at the rate 0.1 reaches from these starts of one unit."""
    problem = replace(problem, units=1, steps=50)
    path = descent(problem, {}, starts, 0.1, threshold=threshold)
    return problem.loss(next(itertools.islice(path, steps, None)), {})


@claim(
    Cliff,
    "the loss of descent at the rate 0.1 from w = 5, b = −2.3: one step throws it 15.7 far",
    stated="0.09, the upper plateau",
    within=about(0.09, abs=1e-6),
    source="figure 6 of Pascanu, Mikolov & Bengio 2013; our start",
)
def thrown(problem: Cliff) -> float:
    return _ends(problem, torch.tensor([[5.0, -2.3]]), math.inf, 300)[0].item()


@claim(
    Cliff,
    "the same where gradients are clipped at 1, after 3000 steps",
    stated="3e-7",
    within=(0, 1e-5),
    source="figure 6 of Pascanu, Mikolov & Bengio 2013; our start",
    slow=True,
)
def clipped(problem: Cliff) -> float:
    return _ends(problem, torch.tensor([[5.0, -2.3]]), 1.0, 3000)[0].item()


def _share_lost(problem: Cliff, threshold: float) -> float:
    """Return the share of 40 starts, w = 5, 5.5 … 7 and 0.05, 0.1 … 0.4 above the cliff."""
    w, above = torch.cartesian_prod(torch.linspace(5, 7, 5), torch.linspace(0.05, 0.4, 8)).unbind(
        -1
    )
    starts = torch.stack([w, problem.cliff_line(w) + above], -1)
    return (_ends(problem, starts, threshold, 1000) > 0.08).double().mean().item()


@claim(
    Cliff,
    "the share of 40 starts on a grid from which descent at the rate 0.1 ends on a dead plateau",
    stated="most",
    within=(0.5, 1.0),
    source="measured; clipping is what section 3.2 of Pascanu, Mikolov & Bengio 2013 proposes",
    slow=True,
)
def share_thrown(problem: Cliff) -> float:
    return _share_lost(problem, math.inf)


@claim(
    Cliff,
    "the same where gradients are clipped at 1",
    stated=0,
    within=(0, 0),
    source="measured",
    slow=True,
)
def share_thrown_where_clipped(problem: Cliff) -> float:
    return _share_lost(problem, 1.0)


def portrait(problem: Cliff) -> Curves:
    """Draw a cut along the bias of one unit, at a weight that is held, as in the book's figure 8.3."""
    one, w = replace(problem, units=1), torch.tensor(4.8)
    edge, data = one.cliff_line(w), one.example()
    b = edge + torch.linspace(-1.0, 7.0, 1601)
    paths = {}
    for name, longest in (("gradient descent", math.inf), ("clipped descent", 0.1)):
        points = [edge + 0.55]
        for _ in range(9 if longest == math.inf else 60):
            slope = one.value_and_gradient(torch.stack([w, points[-1]]), data)[1][1]
            points.append(points[-1] - slope.clamp(-longest, longest))
        at = torch.stack(points)
        paths[name] = at, one.loss(torch.stack([w.expand_as(at), at], -1), data)
    return Curves(
        caption="The loss of a recurrent unit along its bias b, at the weight w = 4.8. Gradient descent comes down "
        "the slope for eight steps. The ninth starts on the face of the cliff, where the gradient is hundreds of "
        "times larger, and throws the unit far out onto a plateau. If the gradient is clipped, the steps stay at the "
        "foot.",
        x_label="bias b",
        y_label="loss",
        lines={"loss": (b, one.loss(torch.stack([w.expand_as(b), b], -1), data))},
        paths=paths,
    )
