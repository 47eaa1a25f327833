"""What is known about units that are off for all examples, beyond the claims."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.local_minima.dead_relu import MARGIN, DeadRelu
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


def preactivations(problem, x, data):
    weight, bias, *_ = problem.parts(x)
    return data["inputs"] @ weight.T + bias


def test_the_network_is_that_of_torch():
    problem = DeadRelu(dead=0.0)
    data = drawn(problem)
    weight, bias, out, offset = problem.parts(data["start"])
    state = torch.nn.functional.linear(data["inputs"], weight, bias).relu()
    torch.testing.assert_close(problem.outputs(data["start"], data["inputs"]), state @ out + offset)


@pytest.mark.parametrize(("dead", "off"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_so_many_units_are_off_and_by_so_much(dead, off):
    problem = DeadRelu(dead=dead)
    for seed in range(5):
        data = drawn(problem, seed)
        largest = preactivations(problem, data["start"], data).amax(0)
        assert (largest < 0).sum() == off
        torch.testing.assert_close(largest[8 - off :], torch.full((off,), -MARGIN))
        assert problem.at_end(data["start"], torch.zeros(()), data)["dead_at_end"] == off / 8


def test_rungs_differ_in_the_biases_of_the_dead_only():
    alive, half = (drawn(DeadRelu(dead=each)) for each in (0.0, 0.5))
    assert torch.equal(alive["targets"], half["targets"])
    weight, bias, out, offset = (
        a != b
        for a, b in zip(
            DeadRelu().parts(alive["start"]), DeadRelu().parts(half["start"]), strict=True
        )
    )
    assert not weight.any() and not out.any() and not offset.any()
    assert bias.tolist() == [False] * 4 + [True] * 4


def test_no_step_of_newton_wakes_them_either():
    """Where gradient and curvature are zero, any damping leaves them at rest."""
    problem = DeadRelu()
    data = drawn(problem)
    start = data["start"]
    gradient = problem.value_and_gradient(start, data)[1]
    damped = problem.hessian(start, data) + 10.0 * torch.eye(len(start))
    step = torch.linalg.solve(damped, gradient)
    weight, bias, out, _ = problem.parts(step)
    for each in (weight, bias, out):
        assert not each[4:].any()
        assert each[:4].all()


def test_the_flat_minimum_is_far_above_the_floor():
    problem = DeadRelu()
    for seed in range(5):
        data = drawn(problem, seed)
        (point,) = problem.critical_points(data)
        dead = drawn(DeadRelu(dead=1.0), seed)
        assert point.value == pytest.approx(problem.loss(dead["start"], dead).item() / 2)
        move = torch.randn(len(point.x), generator=torch.Generator().manual_seed(seed))
        weight = 0.02 * move
        weight[-1] = 0
        torch.testing.assert_close(
            problem.loss(point.x + weight, data), torch.tensor(point.value), rtol=0, atol=1e-14
        )


def test_momentum_solves_it_where_all_units_are_alive():
    problem = DeadRelu(dead=0.0)
    for seed in range(2):
        data = drawn(problem, seed)
        end = next(islice(descent(problem, data, data["start"], 0.03, 0.9), 500, None))
        gap = problem.loss(end, data) / problem.loss(data["start"], data)
        assert gap <= problem.card.target


def test_refuses_what_is_no_share():
    for fields in ({"dead": 1.5}, {"dead": -0.1}, {"units": 1}, {"points": 5}, {"inputs": 0}):
        with pytest.raises(Refused, match=f"dead_relu.{next(iter(fields))}"):
            DeadRelu(**fields)
