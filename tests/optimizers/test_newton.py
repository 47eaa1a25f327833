"""Newton's family: where it leads, and where it must not."""

from __future__ import annotations

import pytest
import torch

from optimizers import OPTIMIZERS
from optimizers.damped_newton import DampedNewton
from optimizers.newton import Newton
from optimizers.saddle_free_newton import SaddleFreeNewton


def saddle(x, data):
    """½x² − ½y² + ¼y⁴: a saddle at 0, minima at (0, ±1)."""
    return 0.5 * x[..., 0] ** 2 - 0.5 * x[..., 1] ** 2 + 0.25 * x[..., 1] ** 4


def bowl(x, data):
    bent = torch.einsum("...i,...ij->...j", x - data["center"], data["matrix"])
    return 0.5 * bent.square().sum(-1)


def test_newton_needs_one_step_on_a_quadratic(walk, draw):
    data = draw()
    points = walk(Newton(), bowl, data, steps=1).points
    # The condition of the Hessians, up to 1e5, costs as many digits.
    torch.testing.assert_close(points[1], data["center"], rtol=1e-8, atol=1e-8)


def test_newton_takes_its_share_of_the_step(walk, draw):
    data = draw()
    whole, half = (walk(Newton(lr), bowl, data, steps=1).points for lr in (1.0, 0.5))
    torch.testing.assert_close(2 * (half[1] - half[0]), whole[1] - whole[0])


def test_newton_goes_to_a_saddle_and_to_a_maximum(walk, start):
    points = walk(Newton(), saddle, start(1.0, 0.1), steps=10).points
    assert points[-1].norm() < 1e-12
    points = walk(Newton(), lambda x, data: x.cos().sum(-1), start(0.3), steps=10).points
    assert points[-1].norm() < 1e-12


def test_newton_takes_the_shortest_way_where_the_hessian_is_singular(walk, start):
    """½(x + y)² and, where H = 0, a slope: to the valley's floor straight down, and nowhere."""
    points = walk(Newton(), lambda x, data: 0.5 * x.sum(-1) ** 2, start(1.0, 3.0), steps=2).points
    torch.testing.assert_close(points[1].flatten().tolist(), [-1.0, 1.0])
    points = walk(Newton(), lambda x, data: x.sum(-1), start(1.0, 3.0), steps=2).points
    assert torch.equal(points[2], points[0])


def test_newton_steps_where_only_another_run_is_singular(walk, draw):
    data = draw()
    data["matrix"][1] = 0.0
    points = walk(Newton(), bowl, data, steps=1).points
    torch.testing.assert_close(points[1, 0], data["center"][0], rtol=1e-8, atol=1e-8)
    assert torch.equal(points[1, 1], points[0, 1])


def test_saddle_free_newton_leaves_a_saddle(walk, start):
    points = walk(SaddleFreeNewton(), saddle, start(1.0, 1e-6), steps=100).points
    torch.testing.assert_close(points[-1].flatten().tolist(), [0.0, 1.0], rtol=0, atol=1e-8)


def test_saddle_free_newton_steps_by_absolute_curvature(walk, start):
    points = walk(SaddleFreeNewton(damping=0.5), saddle, start(3.0, 0.0), steps=1).points
    torch.testing.assert_close(points[1].flatten().tolist(), [3.0 - 3.0 / 1.5, 0.0])
    hill = walk(SaddleFreeNewton(damping=0.5), lambda x, data: -0.5 * x[..., 0] ** 2, start(3.0))
    assert hill.points[1].item() == pytest.approx(3.0 + 3.0 / 1.5)


def test_damped_newton_solves_the_damped_system(walk, start):
    points = walk(DampedNewton(0.5), saddle, start(3.0, 2.0), steps=1).points
    torch.testing.assert_close(
        points[1].flatten().tolist(), [3.0 - 3.0 / 1.5, 2.0 - 6.0 / (11.0 + 0.5)]
    )


def test_damped_newton_never_climbs_and_leaves_a_saddle(walk, start):
    for damping in (1e-6, 1e-2, 1e2):
        points = walk(DampedNewton(damping), saddle, start(1.0, 1e-6), steps=100).points
        assert (saddle(points, {}).diff(dim=0) <= 0).all()
        torch.testing.assert_close(points[-1].flatten().tolist(), [0.0, 1.0], rtol=0, atol=1e-8)


def test_damping_follows_nielsens_rule(walk, start):
    """On a quadratic the gain is as foretold: ρ = 1, and μ falls to a third at each step."""
    quadratic = walk(DampedNewton(0.3), lambda x, data: x.square().sum(-1), start(1.0), steps=3)
    damping, growth = quadratic.state
    assert (damping.item(), growth.item()) == pytest.approx((0.3 / 27, 2.0))
    # At the top of a hill μ grows by 2, 4, 8, 16 until it outweighs the curvature −1: 1e-3 · 2¹⁰.
    hill = walk(DampedNewton(1e-3), lambda x, data: x.cos().sum(-1), start(1e-3), steps=1)
    step = (hill.points[1] - hill.points[0]).item()
    assert step == pytest.approx(1e-3 / (1e-3 * 2**10 - 1), rel=1e-3)


def test_damping_grows_faster_with_each_step_that_is_refused(walk, start):
    """Of |x| from 1 steps are −1/μ long: 10 and 5 lead too far, and μ grows from 0.1 by 2 and 4."""
    refused = walk(DampedNewton(0.1), lambda x, data: x.abs().sum(-1), start(1.0), steps=2)
    damping, growth = refused.state
    assert refused.points.flatten().tolist() == [1.0, 1.0, 1.0]
    assert (damping.item(), growth.item()) == pytest.approx((0.8, 8.0))


def test_damped_newton_converges_beyond_the_rounding_of_the_loss(walk, start):
    """Beside 1e3 a gain below 1e-13 is not seen in the loss; the gradient still goes to zero."""
    points = walk(
        DampedNewton(), lambda x, data: 1e3 + (x.cosh() - 1).sum(-1), start(1.0), steps=60
    ).points
    assert points[-1].abs() < 1e-12


@pytest.mark.parametrize("name", ["damped_newton", "saddle_free_newton", "newton"])
def test_finds_the_bottom_of_the_valley(walk, draw, valley, name):
    data = draw()
    data["start"] = (
        data["center"] + 0.1 * data["start"]
    )  # near it: Newton's own step is not held back
    points = walk(OPTIMIZERS[name], valley, data, steps=100).points
    x = points[-1].requires_grad_()
    (gradient,) = torch.autograd.grad(valley(x, data).sum(), x)
    assert gradient.norm() < 1e-7
