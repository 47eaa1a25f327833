"""What the multimodal test functions have in common: the seed moves and turns them, and nothing else."""

from __future__ import annotations

import pytest
import torch

from problems import PROBLEMS
from problems.local_minima.multimodal import Multimodal

NAMES = [name for name, problem in PROBLEMS.items() if isinstance(problem, Multimodal)]


@pytest.mark.parametrize("name", NAMES)
def test_the_landscape_is_moved_and_turned_as_it_is(name):
    problem = PROBLEMS[name]
    z = problem.first(torch.rand(5, problem.dim))
    for seed in (0, 1):
        data = problem.example(seed)
        torch.testing.assert_close(
            problem.loss(problem.place(z, data), data), problem.landscape(z), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("name", NAMES)
def test_starts_fill_the_box_and_do_not_move_with_the_minimizer(name):
    problem = PROBLEMS[name]
    data = [problem.example(seed) for seed in range(200)]
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
def test_the_target_is_below_the_next_best_minimum(name):
    """Else a trap would count as solved: the lowest other minimum on the line, in units of the gap."""
    problem = PROBLEMS[name]
    problem = problem.at_dial(problem.card.ladder[-1])
    losses = problem.landscape(problem.line()) - float(problem.floor({}))
    lower = losses.diff() < 0
    minima = losses[1:-1][lower[:-1] & ~lower[1:]]
    examples = [problem.example(seed) for seed in range(50)]
    highest = max(
        float(problem.loss(each["start"], each) - problem.floor(each)) for each in examples
    )
    assert len(minima) > 1
    assert minima.sort().values[1] > problem.card.target * highest
