"""The shelf's profile, and the smooth step that it is made of."""

from __future__ import annotations

import math

import torch

from problems.plateaus.shelf import Shelf, smooth_step


def test_the_profile_is_a_bowl_a_shelf_and_a_bowl():
    problem = Shelf(width=2.0)
    z = torch.tensor([-3.0, 0.0, 0.5, 1.0, 2.0, 3.0, 3.5, 4.0, 5.0])
    wanted = torch.tensor([4.5, 0.0, 0.125, 0.5, 0.5, 0.5, 0.5625, 1.0, 2.5])
    torch.testing.assert_close(problem.profile(z), wanted)


def test_the_smooth_step_is_what_the_formula_says_and_finite_everywhere():
    t = torch.tensor(
        [-1.0, 0.0, 1e-300, 1e-9, 0.05, 0.3, 0.95, 1 - 1e-9, 1.0, 2.0], requires_grad=True
    )
    values = smooth_step(t)
    (slopes,) = torch.autograd.grad(values.sum(), t)
    assert slopes.isfinite().all()
    bumps = [(math.exp(-1 / s), math.exp(-1 / (1 - s))) for s in (0.05, 0.3, 0.95)]
    inside = [first / (first + second) for first, second in bumps]
    wanted = torch.tensor([0.0, 0, 0, 0, *inside, 1, 1, 1])
    torch.testing.assert_close(values.detach(), wanted, rtol=1e-9, atol=0)
