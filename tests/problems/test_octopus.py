"""What is known about the octopus, beside the claims."""

from __future__ import annotations

import pytest
import torch

from problems.saddles.octopus import GAMMA, TAU, Octopus


@pytest.mark.parametrize("steepness", [1.0, 3.0])
def test_pieces_join_twice_differentiably(steepness):
    """Across τ and 2τ of the coordinate whose turn it is; the third derivative jumps."""
    problem = Octopus(saddles=3, steepness=steepness)
    for border, second in [(TAU, -2 * GAMMA), (2 * TAU, 2 * steepness)]:
        below, above = (torch.tensor([4 * TAU, border + side * 1e-7, 0.7, 0.2]) for side in (-1, 1))
        (v, g), (w, h) = (problem.value_and_gradient(x, {}) for x in (below, above))
        assert v.item() == pytest.approx(w.item(), abs=1e-4)
        torch.testing.assert_close(g, h, rtol=0, atol=1e-5)
        hessians = [problem.hessian(x, {}) for x in (below, above)]
        torch.testing.assert_close(*hessians, rtol=0, atol=1e-4)
        assert hessians[0][1, 1] == pytest.approx(second, abs=1e-4)


def test_a_step_out_of_the_tube_leads_back_into_it():
    problem = Octopus(saddles=4)
    x = 30 * torch.randn(500, 5, generator=torch.Generator().manual_seed(0))
    inside = problem.project(x, {})
    assert torch.equal(problem.project(inside, {}), inside)
    assert (problem.loss(inside, {}) >= problem.floor({})).all()
    for point, size in zip(x[:, :4].abs(), inside[:, :4].abs(), strict=True):
        off = int((size >= 2 * TAU).cumprod(-1).sum())
        assert torch.equal(size[: off + 1], point[: off + 1].clamp(max=6 * TAU))
        assert torch.equal(size[off + 1 :], point[off + 1 :].clamp(max=TAU))
    assert torch.equal(inside[:, 4], x[:, 4])


def test_mirrored_points_have_mirrored_gradients():
    problem = Octopus(saddles=3)
    x = problem.project(10 * torch.randn(200, 4, generator=torch.Generator().manual_seed(0)), {})
    there, here = (problem.value_and_gradient(point, {}) for point in (x, x.abs()))
    assert torch.equal(there[0], here[0])
    assert torch.equal(there[1], here[1] * torch.where(x < 0, -1.0, 1.0))


def test_each_saddle_left_is_counted():
    problem = Octopus(saddles=3)
    x = torch.tensor([[0.1, 0.2, 0.3, 0.0], [11.0, 0.2, -11.0, 0.0], [11.0, -11.0, 9.0, 0.0]])
    assert problem.at_end(x, torch.ones(3), {})["saddles_left"].tolist() == [0, 1, 3]


def test_each_saddle_lies_nu_below_the_one_before():
    points = Octopus().critical_points(Octopus().example())
    values = torch.tensor([point.value for point in points])
    torch.testing.assert_close(values, -107.1413 * torch.arange(6), rtol=1e-6, atol=0)


def test_starts_fill_the_cube():
    starts = torch.stack([Octopus().example(seed)["start"] for seed in range(50)])
    assert -1 <= starts.min() < -0.9
    assert 0.9 < starts.max() <= 1
