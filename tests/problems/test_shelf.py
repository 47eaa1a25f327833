"""The shelf's profile, and who gets over it."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.plateaus.shelf import Shelf, smooth_step
from ravine import Refused


def test_the_profile_is_a_bowl_a_shelf_and_a_bowl():
    problem = Shelf(width=2.0)
    z = torch.tensor([-3.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0])
    wanted = torch.tensor([4.5, 0.0, 0.125, 0.5, 0.5, 0.5, 1.0, 2.5])
    torch.testing.assert_close(problem.profile(z), wanted)


@pytest.mark.parametrize("width", [0.0, 1.0, 3.0])
def test_the_profile_never_falls_outwards(width):
    z = torch.linspace(0, 6 + width, 10_001)
    assert (Shelf(width=width).profile(z).diff() >= 0).all()


def test_derivatives_fade_at_both_edges():
    """The first four, one hundredth off the edge: e^(−50) and e^(−100) times powers."""
    for edge, side in ((1.0, -0.01), (2.0, 0.01)):
        z = torch.tensor(edge + side, requires_grad=True)
        derivative = Shelf().profile(z)
        for _ in range(4):
            (derivative,) = torch.autograd.grad(derivative, z, create_graph=True)
            assert derivative.abs() < 1e-5
    assert Shelf().profile(torch.tensor(2.5)) > 0.5


def test_the_smooth_step_is_finite_everywhere():
    t = torch.tensor([-1.0, 0.0, 1e-300, 1e-9, 0.5, 1 - 1e-9, 1.0, 2.0], requires_grad=True)
    values = smooth_step(t)
    (slopes,) = torch.autograd.grad(values.sum(), t)
    torch.testing.assert_close(values[4].item(), 0.5)
    assert slopes[4].item() == pytest.approx(2.0)
    assert values.isfinite().all()
    assert slopes.isfinite().all()
    assert (smooth_step(1 - t) + values == 1).all()


def last(problem, lr, momentum, steps=300):
    data = problem.example()
    start = data["start"] * torch.ones_like(torch.as_tensor(lr))
    *_, end = islice(descent(problem, data, start, lr, momentum), steps)
    return problem.loss(end, data) / problem.dim


def test_momentum_coasts_where_descent_stops():
    """At a width of 1 the same rate ends on the shelf, of height ½ a coordinate, or in the bowl."""
    assert last(Shelf(), 0.1, 0.0) >= 0.5
    assert last(Shelf(), 0.1, 0.9) < 1e-6


def test_one_long_step_clears_a_ledge_but_no_wide_shelf():
    assert last(Shelf(width=0.0), 1.7, 0.0) < 1e-4
    rates = torch.linspace(0.1, 1.99, 20)[:, None]
    assert (last(Shelf(width=2.0), rates, 0.0, steps=60) > 0.05).all()


def test_refuses_what_would_make_the_truth_false():
    for fields in ({"dim": 0}, {"width": -1.0}):
        with pytest.raises(Refused, match=r"shelf\."):
            Shelf(**fields)
