"""The mountain of figure 8.4: one top, and no way down that says which side is lower."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.checks.contracts import has_the_stated_critical_points
from problems.global_structure._certificates import mountain as evidence
from problems.global_structure.mountain import Mountain


def test_values_are_a_normal_density_and_distribution():
    problem = Mountain(dim=2, tilt=0.7, height=2.0)
    upright = {"center": torch.zeros(2), "ahead": torch.tensor([1.0, 0.0])}
    below = 1 - 0.5 * (1 + math.erf(0.3 / 2**0.5))
    expected = 2 * math.exp(-0.5 * (0.3**2 + 0.4**2)) + 0.7 * below
    assert problem.loss(torch.tensor([0.3, 0.4]), upright).item() == pytest.approx(expected)


@pytest.mark.parametrize("dim", [1, 2, 4])
def test_the_top_is_where_the_book_of_calculus_puts_it(dim):
    """y₁ = −δ/√2π at height 1, with all curvatures −e^(−c²/2) = −0.980302 at δ = ½."""
    problem = Mountain(dim=dim)
    data = problem.example()
    (top,) = problem.critical_points(data)
    assert (top.x - data["center"]) @ data["ahead"] == pytest.approx(-0.199471, abs=1e-6)
    curvatures = torch.linalg.eigvalsh(problem.hessian(top.x, data))
    torch.testing.assert_close(curvatures, torch.full((dim,), -0.980302), atol=1e-6, rtol=0)
    assert problem.control().critical_points(data) == ()
    has_the_stated_critical_points(Mountain(dim=dim, height=2.0))


def test_descents_get_round_as_often_as_foretold():
    problem = Mountain(dim=3)
    measured = evidence.share_that_gets_round(problem, 1000, 400)
    assert measured == pytest.approx(evidence.predicted_share_round(problem, 200), abs=0.06)


def test_what_the_card_takes_away_is_the_way_down_that_leads_away():
    """Without the mountain there is no minimum either, but downhill is the way to the lower ground everywhere."""
    problem = Mountain()
    assert problem.card.breaks == ("sgd", "misleading_slope") and [*problem.card.removes] == [
        "misleading_slope"
    ]
    data, without = problem.example(), problem.without("misleading_slope")
    far = data["center"] + 2 * torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    slope = without.value_and_gradient(far, data)[1]
    assert (slope @ data["ahead"] < 0).all() and without.minimizers(data) is None
    assert problem.value_and_gradient(data["start"], data)[1] @ data["ahead"] > 0


def test_starts_are_behind_the_mountain():
    problem, across = Mountain(dim=4), []
    for seed in range(100):
        data = problem.example(seed)
        offset = data["start"] - data["center"]
        assert (offset @ data["ahead"]).item() == pytest.approx(-1)
        assert data["ahead"].norm().item() == pytest.approx(1)
        across.append(offset + data["ahead"])
    # N(0, ¼) in three directions: five standard errors of 300 numbers.
    squares = torch.stack(across).square().sum().item() / 300
    assert squares == pytest.approx(0.25, rel=5 * math.sqrt(2 / 300))
