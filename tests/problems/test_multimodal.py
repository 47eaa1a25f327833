"""What the multimodal test functions have in common: the seed moves and turns them, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from problems import PROBLEMS
from problems.local_minima.multimodal import Multimodal

NAMES = [name for name, problem in PROBLEMS.items() if isinstance(problem, Multimodal)]


def draw(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NAMES)
def test_coordinates_and_places_are_inverse(name):
    problem = PROBLEMS[name]
    data = draw(problem)
    z = torch.randn(7, problem.dim)
    torch.testing.assert_close(problem.coordinates(problem.place(z, data), data), z)
    center = torch.full((problem.dim,), problem.optimum)
    torch.testing.assert_close(problem.place(center, data), data["minimizer"])


@pytest.mark.parametrize("name", NAMES)
def test_the_landscape_is_moved_and_turned_as_it_is(name):
    problem = PROBLEMS[name]
    z = problem.first(torch.rand(5, problem.dim))
    for seed in (0, 1):
        data = draw(problem, seed)
        torch.testing.assert_close(
            problem.loss(problem.place(z, data), data), problem.landscape(z), rtol=1e-9, atol=1e-9
        )
    assert not torch.allclose(draw(problem, 0)["basis"], draw(problem, 1)["basis"].abs())
    identity = torch.eye(problem.dim)
    torch.testing.assert_close(data["basis"] @ data["basis"].T, identity)


@pytest.mark.parametrize("name", NAMES)
def test_starts_fill_the_box_and_do_not_move_with_the_minimizer(name):
    problem = PROBLEMS[name]
    data = [draw(problem, seed) for seed in range(200)]
    z = torch.stack([problem.coordinates(each["start"], each) for each in data])
    low, high = (float(problem.first(torch.tensor(end))) for end in (0.0, 1.0))
    width = high - low
    assert low - 1e-9 <= z.min() < low + 0.05 * width
    assert high - 0.05 * width < z.max() <= high + 1e-9
    assert z.mean().item() == pytest.approx((low + high) / 2, abs=0.1 * width)
    minimizers = torch.stack([each["minimizer"] for each in data])
    assert minimizers.norm(dim=-1).min() > 1e-3 * width
    assert minimizers.std() > 0.2 * (problem.box[1] - problem.box[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_dial_changes_the_loss_or_the_start_alone(name):
    problem = PROBLEMS[name]
    if problem.has_whole_dial:
        return
    one, other = (draw(problem.at_dial(rung)) for rung in problem.card.ladder[1:])
    assert torch.equal(one["minimizer"], other["minimizer"])
    assert torch.equal(one["basis"], other["basis"])


@pytest.mark.parametrize("name", NAMES)
def test_critical_points_are_what_they_are_said_to_be(name):
    for problem in (PROBLEMS[name], replace(PROBLEMS[name], **PROBLEMS[name].card.control)):
        data = draw(problem)
        for point in problem.critical_points(data):
            value, gradient = problem.value_and_gradient(point.x, data)
            curvatures = torch.linalg.eigvalsh(problem.hessian(point.x, data))
            assert gradient.norm() < 1e-8 * curvatures.abs().max()
            assert value.item() == pytest.approx(point.value, rel=1e-10, abs=1e-10)
            assert (curvatures < 0).sum() == point.index
            assert (curvatures.abs() < 1e-9).sum() == point.nullity


@pytest.mark.parametrize("name", NAMES)
def test_the_target_is_below_the_next_best_minimum(name):
    """Else a trap would count as solved: the lowest other minimum on the line, in units of the gap."""
    problem = PROBLEMS[name]
    problem = problem.at_dial(problem.card.ladder[-1])
    losses = problem.landscape(problem.line()) - float(problem.floor({}))
    lower = losses.diff() < 0
    minima = losses[1:-1][lower[:-1] & ~lower[1:]]
    highest = max(
        float(problem.loss(data["start"], data) - problem.floor(data))
        for data in (draw(problem, seed) for seed in range(50))
    )
    assert len(minima) > 1
    assert minima.sort().values[1] > problem.card.target * highest
