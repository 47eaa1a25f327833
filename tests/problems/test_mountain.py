"""The mountain of figure 8.4: one top, and no way down that says which side is lower."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.global_structure._certificates import mountain as evidence
from problems.global_structure.mountain import Mountain
from ravine import Refused


def upright(dim):
    """The instance whose mountain is at the origin, with the lower ground along the first axis."""
    return {"center": torch.zeros(dim), "ahead": torch.eye(dim)[0]}


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_the_top_is_where_the_book_of_calculus_puts_it(dim):
    """y₁ = −δ/√2π at height 1, with all curvatures −e^(−c²/2) = −0.980302 at δ = ½."""
    problem, data = Mountain(dim=dim), upright(dim)
    (top,) = problem.critical_points(data)
    assert top.x[0].item() == pytest.approx(-0.199471, abs=1e-6)
    assert problem.value_and_gradient(top.x, data)[1].norm() < 1e-15
    curvatures = torch.linalg.eigvalsh(problem.hessian(top.x, data))
    torch.testing.assert_close(curvatures, torch.full((dim,), -0.980302), atol=1e-6, rtol=0)


def test_nothing_else_is_critical():
    """Across, the gradient is zero on the axis only; there its sign changes at the top only."""
    problem, data = Mountain(dim=2), upright(2)
    along = torch.linspace(-6, 6, 2401)
    axis = problem.value_and_gradient(torch.stack([along, torch.zeros_like(along)], -1), data)[1]
    assert not axis[:, 1].any()
    assert torch.equal(axis[:, 0] > 0, along < -problem.behind)
    off = torch.cartesian_prod(along[::20], torch.linspace(0.05, 5, 60))
    assert (problem.value_and_gradient(off, data)[1][:, 1] < 0).all()


def test_far_out_lie_the_high_plain_and_the_low_one():
    problem, data = Mountain(dim=3), upright(3)
    far = torch.tensor([[-30.0, 0.0, 0.0], [30.0, 0.0, 0.0], [0.0, 30.0, 0.0]])
    torch.testing.assert_close(problem.loss(far, data), torch.tensor([0.5, 0.0, 0.25]))


def test_the_orbit_is_what_the_flow_draws():
    """The stated law against the direction of the gradient: dy₁/dr = g₁/g_r everywhere on it."""
    problem, data = Mountain(dim=2), upright(2)
    r, y, times = evidence.orbit(problem, torch.tensor([0.3, 0.8]))
    slopes = y.diff(dim=-1) / r.diff(dim=-1)
    middle = torch.stack([(y[:, 1:] + y[:, :-1]) / 2, (r[:, 1:] + r[:, :-1]) / 2], -1)
    gradient = problem.value_and_gradient(middle, data)[1]
    near = middle[..., 0].abs() < 5  # beyond, the gradient underflows
    expected = gradient[..., 0] / gradient[..., 1]
    torch.testing.assert_close(slopes[near], expected[near], rtol=1e-3, atol=1e-3)
    assert (y[:, -1] > 0).all()  # all get round
    for row in range(2):
        assert (times[row][y[row] < 0].diff() > 0).all()


def test_the_nearer_the_axis_the_later():
    problem = Mountain(dim=2)
    shares = [evidence.predicted_share_round(problem, time) for time in (10, 1e2, 1e4, 1e8)]
    assert shares == sorted(shares)
    assert shares[0] < 0.1
    assert shares[-1] > 0.5
    by_dim = [
        evidence.predicted_share_round(replace(problem, dim=dim), 500) for dim in (1, 2, 3, 5, 10)
    ]
    assert by_dim[0] == 0
    assert by_dim == sorted(by_dim)


def test_descents_get_round_as_often_as_foretold():
    problem = Mountain(dim=3)
    measured = evidence.share_that_gets_round(problem, 1000, 400)
    assert measured == pytest.approx(evidence.predicted_share_round(problem, 200), abs=0.06)


def test_without_the_mountain_descent_goes_straight_to_the_lower_ground():
    for dim in (1, 3):
        problem = Mountain(dim=dim).control()
        assert problem.critical_points(problem.example()) == ()
        for seed in range(3):
            data = problem.example(seed)
            x = next(islice(descent(problem, data, data["start"], 1.0), 200, None))
            assert problem.loss(x, data) < 0.1 * problem.loss(data["start"], data)
    behind = Mountain(dim=1)
    data = behind.example()
    x = next(islice(descent(behind, data, data["start"], 1.0), 2000, None))
    assert behind.loss(x, data).item() == pytest.approx(0.5, abs=1e-3)


def test_starts_are_behind_the_mountain():
    for seed in range(20):
        data = Mountain(dim=4).example(seed)
        offset = data["start"] - data["center"]
        assert (offset @ data["ahead"]).item() == pytest.approx(-1)
        assert data["ahead"].norm().item() == pytest.approx(1)


def test_values_are_a_normal_density_and_distribution():
    problem, data = Mountain(dim=2, tilt=0.7, height=2.0), upright(2)
    expected = 2 * math.exp(-0.5 * (0.3**2 + 0.4**2)) + 0.7 * (
        1 - 0.5 * (1 + math.erf(0.3 / 2**0.5))
    )
    assert problem.loss(torch.tensor([0.3, 0.4]), data).item() == pytest.approx(expected)


def test_refuses_a_mountain_that_is_none():
    for fields, message in [
        ({"tilt": 0.0}, "mountain.tilt is 0.0, but must be a number, above 0"),
        ({"height": -1.0}, "mountain.height is -1.0, but must be a number, at least 0"),
    ]:
        with pytest.raises(Refused, match=message):
            Mountain(**fields)
