"""The evidence for `schwefel`: claims and portrait."""

from __future__ import annotations

from dataclasses import replace

import torch

from problems.claims import about, claim
from problems.local_minima._certificates.multimodal import share_solved
from problems.local_minima.schwefel import Schwefel
from problems.portrait import Curves


def portrait(problem: Schwefel) -> Curves:
    dense, some = torch.logspace(-1, 0, 65), torch.logspace(-1, 0, 9)
    shares = [
        share_solved(problem.at_dial(spread), count=1000, lr=0.5, steps=300)
        for spread in some.tolist()
    ]
    predicted = [problem.at_dial(spread).predicted_share() for spread in dense.tolist()]
    return Curves(
        caption="The share of random starts from which gradient descent finds the best minimum is the share of the "
        "volume that its basin has. Once starts are spread over the domain, hardly any does.",
        x_label="share of the domain in which runs start",
        y_label="share of starts that end in the best minimum",
        lines={"": (dense, torch.tensor(predicted))},
        dots={"": (some, torch.tensor(shares))},
        x_scale="log",
    )


@claim(
    Schwefel,
    "Descent ends at this coordinate",
    stated=420.9687,
    within=about(420.9687, abs=5e-5),
    source="Schwefel 1981, four digits",
    formula=True,
)
def where_the_minimum_is(problem: Schwefel) -> float:
    """Descend from 400 on −z sin √z alone, without the problem's constants."""
    z = torch.tensor(400.0)
    for _ in range(200):
        point = z.clone().requires_grad_()
        (slope,) = torch.autograd.grad(-point * point.sqrt().sin(), point)
        z = z - slope
    return z.item()


@claim(
    Schwefel,
    "There −z sin √z is",
    stated=-418.9829,
    within=about(-418.9829, abs=5e-5),
    source="Schwefel 1981, four digits",
    formula=True,
)
def how_low_it_is(problem: Schwefel) -> float:
    z = torch.tensor(where_the_minimum_is(problem))
    return (-z * z.sqrt().sin()).item()


@claim(
    Schwefel,
    "The line through the minimizer has so many minima in the domain",
    stated=7,
    within=(7, 7),
    source="tan u = −u/2 has seven roots with u² < 500, and φ(−z) − 418.98 = −(φ(z) − 418.98)",
)
def minima_on_a_line(problem: Schwefel) -> float:
    """Count them: four of the roots, and three more on the negative side."""
    return replace(problem, spread=1.0).signature(problem.example())


@claim(
    Schwefel,
    "From starts all over the domain gradient descent finds the minimum this often, in two dimensions",
    stated=0.0390,
    within=about(0.0390, abs=0.0092),
    source="((79.03 + 118.44)/1000)²; three standard errors of 4000 starts",
)
def share_of_descent(problem: Schwefel) -> float:
    return share_solved(replace(problem, spread=1.0, dim=2), count=4000, lr=0.5, steps=300)
