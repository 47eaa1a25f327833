"""What is known about the monkey saddle, measured on ours by plain loops."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.saddles.monkey_saddle import PASSAGE, MonkeySaddle, breaking_point_of_descent
from problems.saddles.newton_iteration import newton_iteration
from ravine import Refused

PLAIN = {"center": torch.zeros(2, dtype=torch.float64), "basis": torch.eye(2, dtype=torch.float64)}


def drawn(problem, count=1):
    return [problem.instance(torch.Generator().manual_seed(seed)) for seed in range(count)]


def solved(problem, data, lr, momentum=0.0):
    end = next(islice(descent(problem, data, data["start"], lr, momentum), 1000, None))
    height = problem.loss(data["start"], data) - problem.floor(data)
    return bool((problem.loss(end, data) - problem.floor(data)) / height <= problem.card.target)


@pytest.mark.parametrize("wall", [1.0, 0.5, 3.0])
def test_curvatures_at_the_minima_and_none_at_the_saddle(wall):
    problem = MonkeySaddle(wall=wall)
    (data,) = drawn(problem)
    assert problem.hessian(data["center"], data).abs().max() < 1e-12
    for point in problem.minimizers(data):
        assert (point - data["center"]).norm() == pytest.approx(3 / wall)
        curvatures = torch.linalg.eigvalsh(problem.hessian(point, data))
        assert curvatures.tolist() == pytest.approx([9 / wall, 27 / wall])


def test_a_third_of_a_turn_changes_nothing():
    problem = MonkeySaddle()
    x = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    c, s = math.cos(2 * math.pi / 3), math.sin(2 * math.pi / 3)
    turned = x @ torch.tensor([[c, s], [-s, c]])
    torch.testing.assert_close(problem.loss(turned, PLAIN), problem.loss(x, PLAIN))
    sixth = x @ torch.tensor([[0.5, 0.75**0.5], [-(0.75**0.5), 0.5]])
    assert not torch.allclose(problem.loss(sixth, PLAIN), problem.loss(x, PLAIN))


def test_the_flow_keeps_the_imaginary_part_of_the_cube_without_a_wall():
    problem = MonkeySaddle(wall=1e-9)
    start = torch.tensor([1.0, 0.1])
    path = islice(descent(problem, PLAIN, start, 1e-3), 600)
    kept = torch.tensor([complex(*x.tolist()) ** 3 for x in path])
    assert kept.real[-1] < -kept.real[0]
    assert (kept.imag / kept.imag[0] - 1).abs().max() < 0.02


def test_the_wall_takes_three_quarters_cubed_of_it_on_the_way_in():
    """Along the ridge v u² is in proportion to (1 + qu/3)³: from u = 1/q to 0, (3/4)³."""
    problem = MonkeySaddle()
    angle = 1e-9
    path = descent(problem, PLAIN, torch.tensor([1.0, angle]), 1e-3)
    u, v = next(islice(path, 4000, None)).tolist()
    assert v * u * u / angle == pytest.approx(0.75**3 * (1 + u / 3) ** 3, rel=0.01)


def test_with_absolute_curvatures_newton_halves_one_coordinate_and_doubles_the_other():
    problem = MonkeySaddle(wall=1e-9)
    x = torch.tensor([0.1, 1e-6])
    curvatures, basis = torch.linalg.eigh(problem.hessian(x, PLAIN))
    assert curvatures.tolist() == pytest.approx([-0.6, 0.6])
    gradient = problem.value_and_gradient(x, PLAIN)[1]
    step = -basis @ ((basis.T @ gradient) / curvatures.abs())
    assert (x + step).tolist() == pytest.approx([0.05, 2e-6], rel=1e-4)


def test_newton_ends_on_the_saddle_from_every_rung():
    for rung in MonkeySaddle.card.ladder:
        problem = MonkeySaddle(angle=rung)
        (data,) = drawn(problem)
        end = next(islice(newton_iteration(problem, data, data["start"]), 40, None))
        assert (end - data["center"]).norm() < 1e-8


def test_descent_breaks_at_the_angle_that_the_passage_says():
    """At nine tenths of the largest stable rate, 2/27; heavy ball runs over the saddle at any angle."""
    breaks = breaking_point_of_descent(MonkeySaddle(), 1000)
    assert breaks == pytest.approx((PASSAGE / 74.07) ** 3, rel=1e-3)
    for factor, expected in [(10, True), (0.3, False)]:
        problem = MonkeySaddle(angle=factor * breaks)
        assert all(solved(problem, data, 0.9 * 2 / 27) == expected for data in drawn(problem))
    steepest = MonkeySaddle(angle=1e-12)
    assert all(solved(steepest, data, 0.01, 0.9) for data in drawn(steepest))


def test_the_wall_is_a_unit_of_length():
    x = torch.randn(20, 2, generator=torch.Generator().manual_seed(0))
    scaled = 8 * MonkeySaddle(wall=2.0).loss(x / 2, PLAIN)
    torch.testing.assert_close(scaled, MonkeySaddle().loss(x, PLAIN))


def test_refuses_angles_on_the_ridge_or_beyond_the_valley():
    for fields in ({"angle": 0.0}, {"angle": 1.1}, {"wall": 0.0}):
        with pytest.raises(Refused, match=f"monkey_saddle.{next(iter(fields))}"):
            MonkeySaddle(**fields)
