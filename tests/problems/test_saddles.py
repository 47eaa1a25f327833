"""What several problems with saddles share: closed forms, and what it means to be solved on a landscape."""

from __future__ import annotations

from itertools import islice

import pytest
import torch

from benchmarks.checks.contracts import has_the_derivatives_of_its_loss
from problems import PROBLEMS
from problems.descent import descent
from problems.saddles.random_field import RandomField
from problems.saddles.spin_glass import SpinGlass


@pytest.mark.parametrize(
    "problem", [RandomField(dim=5, bowl=2.0), SpinGlass(dim=5, field=2.0)], ids=["bowl", "field"]
)
def test_closed_forms_hold_with_what_the_control_adds(problem):
    has_the_derivatives_of_its_loss(problem)


@pytest.mark.parametrize("name", ["random_field", "spin_glass"])
def test_critical_points_are_critical(name):
    problem = type(PROBLEMS[name])(dim=10)
    data = problem.example()
    points, energies, down = problem.find_critical_points(
        data, 30, torch.Generator().manual_seed(0)
    )
    assert 10 < len(points) < 30
    assert problem.value_and_gradient(points, data)[1].norm(dim=-1).max() < 1e-9
    assert torch.pdist(points).median() > 1  # they are different ones
    torch.testing.assert_close(energies, problem.loss(points, data) / 10)
    curvatures = torch.linalg.eigvalsh(problem.hessian(points, data))
    torch.testing.assert_close(down * problem.directions, (curvatures < 0).sum(-1).double())


@pytest.mark.parametrize("name", ["random_field", "spin_glass"])
def test_solved_is_rest_in_a_minimum(name):
    """Of four points of each of two instances only the first, at rest in a minimum, is solved."""
    problem = type(PROBLEMS[name])(dim=10)
    rows, trees = [], [problem.example(seed) for seed in range(2)]
    for tree in trees:
        minimum = next(islice(descent(problem, tree, tree["start"], 0.1, 0.9), 800, None))
        points, _, down = problem.find_critical_points(tree, 30, torch.Generator().manual_seed(0))
        convex = problem.project(minimum + 0.01, tree)
        rows.append(torch.stack([minimum, points[down > 0][0], convex, tree["start"]]))
    x = torch.stack(rows)
    data = {key: torch.stack([tree[key] for tree in trees]).unsqueeze(1) for key in trees[0]}
    value, gradient = problem.value_and_gradient(x, data)
    assert problem.solved(x, value, gradient, data).tolist() == [[True, False, False, False]] * 2
    assert problem.solved(x[1, 0], value[1, 0], gradient[1, 0], trees[1])
    assert not problem.solved(x, value, None, data).any()
    assert (value > 0.75 * problem.floor(data)).all()  # a level that no run reaches
