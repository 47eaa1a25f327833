"""The lines and their slopes, and what Adam and gradient descent make of them."""

from __future__ import annotations

import math

import pytest
import torch

from problems.inexact_gradients._certificates.reddi import adam_points
from problems.inexact_gradients.reddi import Reddi
from problems.inexact_gradients.sampled import first_draws
from ravine import Refused


def slopes(problem, steps):
    return problem.slopes(first_draws(problem, {}, steps))


@pytest.mark.parametrize(
    ("fields", "mean"),
    [
        ({"variant": "periodic", "large": 3.0}, 1 / 3),
        ({"variant": "periodic", "large": 5.5}, 3.5 / 3),
        ({"variant": "online", "large": 4.0}, 1 / 4),
        ({"variant": "online", "large": 101.0}, 1 / 101),
        ({"variant": "stochastic", "large": 20.0, "margin": 0.5}, 0.5),
        ({"variant": "stochastic", "large": 101.0, "margin": 0.02}, 0.02),
    ],
)
def test_the_loss_is_the_mean_of_what_is_seen(fields, mean):
    problem = Reddi(dim=3, **fields)
    assert problem.slope == pytest.approx(mean)
    steps = 12 * 101
    found = slopes(problem, steps)
    assert set(found.flatten().tolist()) == {-1.0, fields["large"]}
    if fields["variant"] != "stochastic":
        torch.testing.assert_close(found.mean(0), torch.full((3,), mean))
        assert not torch.equal(found[:, 0], found[:, 1])  # each line begins somewhere in its period
        assert torch.equal(found[problem.period :], found[: -problem.period])
    else:
        measured = slopes(Reddi(dim=500, **fields), steps)
        error = measured.std() / math.sqrt(measured.numel())
        assert abs(measured.mean() - mean) < 4 * error


def test_rungs_share_their_random_numbers():
    """A line that is steep at C = 1000 is so at C = 100 too."""
    rare, often = (slopes(Reddi(large=large), 2000) > 0 for large in (1000.0, 100.0))
    assert rare.any()
    assert (often | ~rare).all()


def test_the_minimum_is_at_the_border():
    problem = Reddi(dim=2)
    data = problem.example()
    assert data["start"].abs().max() <= 0.5
    ends = torch.tensor([[-1.0, -1.0], [1.0, 1.0]])
    lowest, highest = problem.loss(ends, data)
    assert lowest == problem.floor(data)
    assert highest == -problem.floor(data)
    assert problem.distance(ends[0], data) == 0
    torch.testing.assert_close(problem.project(3 * ends, data), ends)


def test_adam_of_the_paper_by_hand():
    """β₁ = ½, β₂ = ¾, slopes 2 and −1: m = 1, 0 and v = 1, 1; then m = −½, v = 1."""
    points = list(adam_points([2.0, -1.0, -1.0], 0.5, 0.5, 0.75))
    assert points == pytest.approx([0.0, -0.5, -0.5, -0.5 + 0.25 / math.sqrt(3)])
    assert list(adam_points([1.0], 10.0, 0.0, 0.5)) == [0.0, -1.0]  # projected


def test_bad_fields_are_refused():
    for fields, message in [
        (
            {"variant": "periodic", "large": 2.0},
            "reddi.large is 2.0, but must be a number, above 2",
        ),
        ({"variant": "online", "large": 10.5}, "reddi.large is 10.5, but must be whole"),
        ({"variant": "online", "large": 1.0}, "reddi.large"),
        ({"large": 2.0, "margin": 3.0}, "reddi.large"),
        ({"margin": 0.0}, "reddi.margin"),
        ({"variant": "ofline"}, "reddi.variant is 'ofline'"),
    ]:
        with pytest.raises(Refused, match=message):
            Reddi(**fields)
