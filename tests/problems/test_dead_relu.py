"""What is known about units that are off for all examples, beyond the claims."""

from __future__ import annotations

import pytest
import torch

from problems.local_minima.dead_relu import DeadRelu


def test_the_network_is_that_of_torch():
    problem = DeadRelu(dead=0.0)
    data = problem.example()
    weight, bias, out, offset = problem.parts(data["start"])
    state = torch.nn.functional.linear(data["inputs"], weight, bias).relu()
    torch.testing.assert_close(problem.outputs(data["start"], data["inputs"]), state @ out + offset)


@pytest.mark.parametrize(("dead", "off"), [(0.0, 0), (0.25, 2), (1.0, 8)])
def test_so_many_units_are_off_and_by_so_much(dead, off):
    problem = DeadRelu(dead=dead)
    for seed in range(5):
        data = problem.example(seed)
        weight, bias, *_ = problem.parts(data["start"])
        largest = (data["inputs"] @ weight.T + bias).amax(0)
        assert (largest < 0).sum() == off
        torch.testing.assert_close(largest[8 - off :], torch.full((off,), -3.0))
        torch.testing.assert_close(weight.norm(dim=-1), torch.ones(8))
        assert (bias[: 8 - off].abs() <= 0.5).all()
        assert problem.at_end(data["start"], torch.zeros(()), data)["dead_at_end"] == off / 8


def test_with_all_units_dead_half_of_the_gap_stays():
    problem = DeadRelu(dead=1.0)
    for seed in range(5):
        data = problem.example(seed)
        (point,) = problem.critical_points(data)
        assert point.value == pytest.approx(problem.loss(data["start"], data).item() / 2)
