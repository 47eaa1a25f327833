"""What is known about a critical point with coins for signs, and about walled forms at large."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from problems.saddles.coin_toss import CoinToss
from problems.saddles.newton_iteration import newton_iteration
from ravine import Refused


def drawn(problem, count):
    return [problem.instance(torch.Generator().manual_seed(seed)) for seed in range(count)]


def signed(problem, curvatures, seed=0):
    """An instance with these curvatures, along random axes."""
    generator = torch.Generator().manual_seed(seed)
    basis = torch.linalg.qr(torch.randn(len(curvatures), len(curvatures), generator=generator)).Q
    return problem.start_near(torch.tensor(curvatures), basis, generator)


def test_the_lowest_two_curvatures_have_the_gap_and_all_others_their_sizes():
    for gap in (1.0, 0.03, 0.003):
        for data in drawn(CoinToss(gap=gap), 10):
            curvatures = data["curvatures"]
            assert torch.equal(curvatures, curvatures.sort().values)
            assert curvatures[:2].tolist() == [-1 - gap, -1]
            assert ((curvatures[2:].abs() >= 0.3) & (curvatures[2:].abs() <= 1)).all()
            torch.testing.assert_close(torch.linalg.eigvalsh(data["hessian"]), curvatures)


def test_rungs_differ_in_the_lowest_curvature_only():
    for wide, narrow in zip(
        drawn(CoinToss(gap=1.0), 5), drawn(CoinToss(gap=0.003), 5), strict=True
    ):
        for name in ("start", "center", "basis"):
            assert torch.equal(wide[name], narrow[name])
        assert torch.equal(wide["curvatures"][1:], narrow["curvatures"][1:])


def test_heads_only_leave_one_minimum():
    problem = CoinToss(dim=3, up=1.0)
    (data,) = drawn(problem, 1)
    assert (data["curvatures"] > 0).all()
    assert problem.floor(data) == 0
    (point,) = problem.critical_points(data)
    assert point.index == 0
    assert torch.equal(problem.minimizers(data), data["center"].expand(2, 3))
    away = problem.distance(data["start"], data)
    assert away == pytest.approx((data["start"] - data["center"]).norm().item())


def test_the_condition_at_the_minimum_is_one_over_the_gap():
    problem = CoinToss()
    for data in drawn(problem, 5):
        lowest, highest = data["curvatures"][0], data["curvatures"][-1]
        curvatures = torch.linalg.eigvalsh(problem.hessian(problem.minimizers(data)[1], data))
        assert curvatures[0] == pytest.approx(problem.gap, rel=1e-9)
        assert curvatures[-1] == pytest.approx(max(highest - lowest, -2 * lowest).item(), rel=1e-9)


def test_critical_points_are_all_where_newton_ends():
    """From 300 starts all over the place: each end is one of the stated points."""
    problem = CoinToss(dim=4)
    data = signed(problem, [-2.0, -1.0, -0.5, 1.0])
    stated = problem.critical_points(data)
    assert [point.index for point in stated] == [3, 0, 0, 1, 1, 2, 2]
    assert [point.value for point in stated] == [0, -100, -100, -25, -25, -6.25, -6.25]
    starts = 10 * torch.randn(300, 4, generator=torch.Generator().manual_seed(1))
    ends = next(islice(newton_iteration(problem, data, data["center"] + starts), 80, None))
    rests = problem.value_and_gradient(ends, data)[1].norm(dim=-1) < 1e-9
    assert rests.double().mean() > 0.9
    nearest = torch.cdist(ends[rests], torch.stack([point.x for point in stated]))
    assert nearest.amin(-1).max() < 1e-6
    assert len(nearest.argmin(-1).unique()) > 4


@pytest.mark.parametrize("curvatures", [[-1.0, -0.4, 1.0], [-1.0, -0.4, 0.3], [-1.0, -0.9, -0.35]])
def test_newton_is_drawn_to_the_centre_from_within_the_stated_radius(curvatures):
    """√(min|λ|/5q) is sharp: along the axis of a negative curvature the step grows from just beyond."""
    problem = CoinToss(dim=3)
    data = signed(problem, curvatures)
    flattest = data["curvatures"].abs().argmin()
    reach = math.sqrt(data["curvatures"].abs().min().item() / (5 * problem.wall))
    ways = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    ways = torch.cat([ways / ways.norm(dim=-1, keepdim=True), data["basis"].T])

    def lengths(radius, steps):
        path = newton_iteration(problem, data, data["center"] + radius * ways)
        return [(x - data["center"]).norm(dim=-1) for x in islice(path, steps + 1)]

    before, after = lengths(0.999 * reach, 1)
    assert (after < before).all()
    assert lengths(0.999 * reach, 12)[-1].max() < 1e-9
    before, after = lengths(1.001 * reach, 1)
    grows = bool(after[200 + flattest] > before[200 + flattest])
    assert grows == bool(data["curvatures"][flattest] < 0)
    start = (data["start"] - data["center"]).norm()
    assert start == pytest.approx(reach / 2)


def test_the_wall_is_a_unit_of_length():
    problem, other = CoinToss(), CoinToss(wall=0.04)
    for one, two in zip(drawn(problem, 3), drawn(other, 3), strict=True):
        x = torch.randn(10, generator=torch.Generator().manual_seed(0))
        here = problem.loss(one["center"] + 2 * x, one)
        assert here == pytest.approx(4 * other.loss(two["center"] + x, two).item())


def test_refuses_what_has_no_gap_or_no_coin():
    for fields, message in [
        ({"gap": 1e-4}, "coin_toss.gap is 0.0001, but must be a number, at least 0.0003"),
        ({"up": 1.5}, "coin_toss.up is 1.5"),
        ({"wall": 0.0}, "coin_toss.wall is 0.0, but must be a number, above 0"),
        ({"dim": 0}, "coin_toss.dim is 0"),
    ]:
        with pytest.raises(Refused, match=message):
            CoinToss(**fields)
