"""What is known about the winding ravine beside its claims."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from problems.descent import descent, examples
from problems.ill_conditioning.winding_ravine import WindingRavine


def test_loss_is_the_formula():
    problem = WindingRavine(shear=6.0, swing=2.0, across=5.0, along=0.1)
    data = problem.example()
    x = data["minimizer"] + torch.tensor([1.5, -0.7])
    expected = 0.05 * 1.5**2 + 2.5 * (-0.7 - 2 * math.sin(3 * 1.5)) ** 2
    assert problem.loss(x, data) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("swing", [1.0, 2.0])
def test_starts_lie_on_both_sides_and_are_paired(swing):
    straight, winding = (WindingRavine(shear=shear, swing=swing) for shear in (0.0, 8.0))
    starts = []
    for seed in range(60):
        one, other = straight.example(seed), winding.example(seed)
        u, v = ((one["start"] - one["minimizer"]) / swing).tolist()
        assert abs(v) < 5
        assert (other["start"] - other["minimizer"])[0] == pytest.approx(swing * u, rel=1e-12)
        losses = straight.loss(one["start"], one), winding.loss(other["start"], other)
        torch.testing.assert_close(*losses)
        starts.append(u)
    sizes = [abs(u) for u in starts]
    assert 5 <= min(sizes) < 5.5
    assert 9.5 < max(sizes) <= 10
    assert min(starts) < 0 < max(starts)


@pytest.mark.parametrize(("shear", "rel"), [(0.0, 1e-3), (1.0, 0.15), (3.0, 0.15), (8.0, 0.15)])
def test_signature_is_the_mean_over_the_bends(shear, rel):
    """It is 1 + s²w²/2, but for the last winding that is not whole."""
    problem = WindingRavine(shear=shear)
    assert problem.signature(problem.example()) == pytest.approx(1 + shear**2 / 2, rel=rel)


def most_solved(problem):
    """Return how many of ten instances descent solves within the budget, with the best of 27 rates up to 2/L."""
    data = examples(problem, range(10))
    lr = torch.logspace(-1, 0.3, 27)[:, None, None] / (problem.across * (1 + problem.shear**2))
    points = descent(problem, data, data["start"].expand(len(lr), -1, -1), lr)
    enough = problem.card.target * problem.loss(data["start"], data)
    solved = torch.zeros(len(lr), 10, dtype=torch.bool)
    for x in itertools.islice(points, 1 + round(problem.budget)):
        solved |= problem.loss(x, data) <= enough
    return solved.sum(-1).max().item()


def test_the_bend_breaks_descent_by_a_longer_path_and_steeper_walls_together():
    steeper = 1 + 1.5**2
    both = WindingRavine(shear=1.5)
    longer, steep = (
        WindingRavine(shear=1.5, across=1 / steeper),
        WindingRavine(shear=0.0, across=steeper),
    )
    assert most_solved(both) == 0 and most_solved(longer) == most_solved(steep) == 10
    assert both.card.breaks == ("sgd", "winding_path")
    assert [*both.card.removes] == ["winding_path"]
    assert both.without("winding_path") == WindingRavine(shear=0.0)
