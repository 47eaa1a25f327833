"""What is known about a critical point with coins for signs, and about walled forms at large."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from problems.geometry import random_rotation
from problems.saddles.coin_toss import CoinToss
from problems.saddles.newton_iteration import newton_iteration


def test_the_lowest_two_curvatures_have_the_gap_and_all_others_their_sizes():
    for gap in (1.0, 0.03, 0.003):
        problem = CoinToss(gap=gap)
        for data in map(problem.example, range(10)):
            curvatures = data["curvatures"]
            assert torch.equal(curvatures, curvatures.sort().values)
            assert curvatures[:2].tolist() == [-1 - gap, -1]
            assert ((curvatures[2:].abs() >= 0.3) & (curvatures[2:].abs() <= 1)).all()
            torch.testing.assert_close(torch.linalg.eigvalsh(data["hessian"]), curvatures)


@pytest.mark.parametrize("gap", [1.0, 0.03, 0.003])
def test_the_condition_number_at_the_minimum_is_that_of_the_docstring(gap):
    """2 (1 + gap)/gap: the curvature −2λ₁ along y is above all of λᵢ − λ₁ across."""
    assert CoinToss.__doc__ and "the condition number is 2 (1 + gap)/gap" in CoinToss.__doc__
    problem = CoinToss(gap=gap)
    for data in map(problem.example, range(5)):
        curvatures = torch.linalg.eigvalsh(problem.hessian(problem.minimizers(data)[0], data))
        lowest = data["curvatures"][0]
        expected = torch.cat([data["curvatures"][1:] - lowest, -2 * lowest[None]])
        torch.testing.assert_close(curvatures, expected)
        ratio = (curvatures[-1] / curvatures[0]).item()
        assert ratio == pytest.approx(2 * (1 + gap) / gap, rel=1e-9)


@pytest.mark.parametrize("curvatures", [[-1.0, -0.4, 1.0], [-1.0, -0.4, 0.3], [-1.0, -0.9, -0.35]])
def test_newton_is_drawn_to_the_centre_from_within_the_stated_radius(curvatures):
    """√(min|λ|/5q) is sharp: along the axis of a negative curvature the step grows from just beyond."""
    problem, generator = CoinToss(dim=3, wall=0.04), torch.Generator().manual_seed(0)
    data = problem.start_near(torch.tensor(curvatures), random_rotation(3, generator), generator)
    flattest = data["curvatures"].abs().argmin()
    reach = math.sqrt(data["curvatures"].abs().min().item() / (5 * problem.wall))
    ways = torch.randn(200, 3, generator=generator)
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
    assert (data["start"] - data["center"]).norm() == pytest.approx(reach / 2)
