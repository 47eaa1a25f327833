"""What is known about the octopus, measured on ours by plain loops."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.saddles.octopus import GAMMA, TAU, Octopus
from ravine import Refused

NONE = {}


def value(problem, *x):
    return problem.loss(torch.tensor(x), NONE).item()


def slope(problem, *x):
    return problem.value_and_gradient(torch.tensor(x), NONE)[1]


def in_the_tube(problem, count, seed=0):
    """Points all over the tube, and how many coordinates have run off at each."""
    generator = torch.Generator().manual_seed(seed)
    off = torch.randint(problem.saddles + 1, (count, 1), generator=generator)
    place = torch.arange(problem.saddles + 1)
    far, turn, near = torch.rand(3, count, problem.saddles + 1, generator=generator)
    x = torch.where(
        place < off, TAU * (2 + 4 * far), torch.where(place == off, 2 * TAU * turn, TAU * near)
    )
    return x * torch.randn(x.shape, generator=generator).sign(), off.squeeze(-1)


@pytest.mark.parametrize("steepness", [1.0, 2.0, 3.0])
def test_pieces_join_twice_differentiably(steepness):
    """Across τ and 2τ of the coordinate whose turn it is; the third derivative jumps."""
    problem = Octopus(saddles=3, steepness=steepness)
    for border, second in [(TAU, -2 * GAMMA), (2 * TAU, 2 * steepness)]:
        below, above = (torch.tensor([4 * TAU, border + side * 1e-7, 0.7, 0.2]) for side in (-1, 1))
        (v, g), (w, h) = (problem.value_and_gradient(x, NONE) for x in (below, above))
        assert v.item() == pytest.approx(w.item(), abs=1e-4)
        torch.testing.assert_close(g, h, rtol=0, atol=1e-5)
        hessians = [problem.hessian(x, NONE) for x in (below, above)]
        torch.testing.assert_close(*hessians, rtol=0, atol=1e-4)
        assert hessians[0][1, 1] == pytest.approx(second, abs=1e-4)


def test_way_of_one_coordinate_falls_all_along():
    """From the saddle to 4τ, past both borders, by ν."""
    problem = Octopus(saddles=2)
    along = torch.linspace(1e-3, 4 * TAU, 500)
    x = torch.stack([torch.full((500,), 4 * TAU), along, torch.zeros(500)], -1)
    values = problem.loss(x, NONE)
    assert (values.diff() < 0).all()
    assert values[0] - values[-1] == pytest.approx(107.1413, abs=1e-3)


def test_saddles_are_strict_and_have_the_stated_curvatures():
    problem = Octopus(saddles=4)
    for k, point in enumerate(problem.critical_points(NONE)[:-1]):
        curvatures = torch.linalg.eigvalsh(problem.hessian(point.x, NONE))
        assert curvatures.tolist() == pytest.approx([-2, 4, 4, 4, 16]), k


def test_mirrored_points_have_mirrored_gradients():
    problem = Octopus(saddles=3)
    x, _ = in_the_tube(problem, 200)
    signs = torch.where(x < 0, -1.0, 1.0)
    there, here = (problem.value_and_gradient(point, NONE) for point in (x, x.abs()))
    assert torch.equal(there[0], here[0])
    assert torch.equal(there[1], here[1] * signs)


def test_nothing_in_the_tube_lies_below_the_floor_but_points_beyond_it_do():
    problem = Octopus(saddles=3)
    x, _ = in_the_tube(problem, 5000)
    assert torch.equal(problem.project(x, NONE), x)
    assert (problem.loss(x, NONE) >= problem.floor(NONE)).all()
    beyond = torch.tensor([4 * TAU, 1.99 * TAU, 6 * TAU, 0.0])
    assert problem.loss(beyond, NONE) < problem.floor(NONE)
    assert problem.project(beyond, NONE)[2] == pytest.approx(TAU)


def test_a_step_out_of_the_tube_leads_back_into_it():
    problem = Octopus(saddles=4)
    x = 30 * torch.randn(500, 5, generator=torch.Generator().manual_seed(0))
    inside = problem.project(x, NONE)
    assert torch.equal(problem.project(inside, NONE), inside)
    for point in inside[:, :4].abs():
        off = int((point >= 2 * TAU).cumprod(-1).sum())
        assert (point[:off] <= 6 * TAU).all()
        assert (point[off + 1 :] <= TAU).all()
    assert torch.equal(inside[:, 4], x[:, 4])


def test_stays_grow_by_what_the_rate_says():
    """1 + ln(1/|1 − 2 lr L|)/ln(1 + 2 lr γ), at two other rates."""
    problem = Octopus(saddles=4, steepness=1.0, guard=1.0)
    start = torch.tensor([0.4, -0.6, 0.3, 0.5, 0.0])
    for lr in (0.1, 0.35):
        counts = torch.zeros(4)
        for x in islice(descent(problem, NONE, start, lr), 3000):
            current = problem._stages(x)[1]
            if not current.any():
                break
            counts += current
        grows = 1 + math.log(1 / abs(1 - 2 * lr)) / math.log(1 + 2 * lr)
        assert (counts[3] / counts[2]).item() == pytest.approx(grows, rel=0.05)


def test_the_guard_keeps_descent_from_overshooting_everywhere():
    """At 0.45, near 1/L, the original is passed in no time; the guard makes that rate diverge."""
    start = torch.tensor([0.4, -0.6, 0.3, 0.5, -0.2, 0.1])
    gaps = {}
    for guard in (1.0, 4.0):
        problem = Octopus(guard=guard)
        for x in islice(descent(problem, NONE, start, 0.45), 200):
            gaps[guard] = problem.loss(x, NONE) - problem.floor(NONE)
            if gaps[guard] > 1e6:
                break
    assert gaps[1.0] < 1e-6
    assert gaps[4.0] > 1e6


def test_coordinates_that_underflow_never_leave():
    """In float32 the last of six is the smallest number there is, and stays that when its turn comes."""
    problem = Octopus(saddles=6, guard=1.0)
    start = torch.tensor([0.4, -0.6, 0.3, 0.5, -0.2, 0.3, 0.0], dtype=torch.float32)
    x = next(islice(descent(problem, NONE, start, 1 / 8), 300, None))
    assert x[5] <= 2.0**-149
    turn = torch.cat([torch.full((5,), 4 * TAU), torch.tensor([2.0**-149, 0.0])])
    for dtype, left in [(torch.float32, 0), (torch.float64, 1)]:
        x = next(islice(descent(problem, NONE, turn.to(dtype), 1 / 8), 600, None))
        assert problem.at_end(x, torch.ones(1), NONE)["saddles_left"] == 5 + left


def test_each_saddle_left_is_counted():
    problem = Octopus(saddles=3)
    x = torch.tensor([[0.1, 0.2, 0.3, 0.0], [11.0, 0.2, -11.0, 0.0], [11.0, -11.0, 9.0, 0.0]])
    assert problem.at_end(x, torch.ones(3), NONE)["saddles_left"].tolist() == [0, 1, 3]


def test_one_saddle_is_the_first_of_many():
    one, many = Octopus(saddles=1), Octopus(saddles=3)
    for size in (0.3, 1.4 * TAU, 1.9 * TAU):
        assert value(one, size, 0.1) == pytest.approx(value(many, size, 0.0, 0.0, 0.1))
        assert slope(one, size, 0.1)[0] == pytest.approx(slope(many, size, 0.0, 0.0, 0.1)[0].item())


def test_refuses_what_is_no_octopus():
    for fields in ({"saddles": 0}, {"steepness": 0.5}, {"guard": 0.5}):
        with pytest.raises(Refused, match=f"octopus.{next(iter(fields))}"):
            replace(Octopus(), **fields)
