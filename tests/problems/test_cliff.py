"""What is known about the cliff of a recurrent unit, measured on ours by plain loops."""

from __future__ import annotations

import math

import pytest
import torch

from problems.cliffs.cliff import Cliff
from ravine import Refused

SLOPE = math.exp(0.5) / (1 + math.exp(0.5)) ** 2  # σ'(½)


def starts(problem, count):
    drawn = [problem.instance(torch.Generator().manual_seed(seed)) for seed in range(count)]
    return torch.stack([data["start"] for data in drawn])


def slopes(problem, w, b):
    """The norm of one unit's gradient at this weight and these biases."""
    return problem.value_and_gradient(torch.stack([w.expand_as(b), b], -1), {})[1].norm(dim=-1)


def steepest(problem, weight):
    """The bias at which the gradient is largest, on a grid that is refined around it, and how large."""
    w = torch.tensor(weight)
    middle, half = problem.cliff_line(w).item(), 0.3
    while half > 1e-14:
        b = torch.linspace(middle - half, middle + half, 801)
        middle, half = b[slopes(problem, w, b).argmax()].item(), half / 20
    return middle, slopes(problem, w, torch.tensor(middle)).item()


def descend(problem, x, steps, lr, threshold: float | torch.Tensor = math.inf):
    """Gradient descent whose gradient is clipped by norm; the last point and the longest step."""
    longest = torch.zeros(x.shape[:-1])
    for _ in range(steps):
        gradient = problem.value_and_gradient(x, {})[1]
        norm = gradient.norm(dim=-1, keepdim=True)
        step = lr * gradient * (threshold / norm).clamp(max=1)
        longest = torch.maximum(longest, step.norm(dim=-1))
        x = x - step
    return x, longest


# The cliff.


@pytest.mark.parametrize(
    ("weight", "within", "height"), [(5.0, 1e-4, 6.8e3), (6.0, 1e-7, 2e7), (7.0, 1e-10, 2.5e10)]
)
def test_the_gradient_is_largest_on_the_cliff_line(weight, within, height):
    """b = ½ − w σ(½); the height is of the order of (w σ'(½))^50."""
    problem = Cliff(units=1)
    where, most = steepest(problem, weight)
    line = 0.5 - weight * 0.6224593312
    assert problem.cliff_line(torch.tensor(weight)).item() == pytest.approx(line, abs=1e-9)
    assert where == pytest.approx(line, abs=within)
    assert most == pytest.approx(height, rel=0.05)
    assert 0.3 < most / (weight * SLOPE) ** 50 < 3


def test_the_gradient_grows_exponentially_with_the_number_of_steps():
    """By w σ'(½) a step; where that is below 1 there is no cliff, and it grows by a constant."""
    tops = {
        weight: [steepest(Cliff(units=1, steps=steps), weight)[1] for steps in (20, 35, 50)]
        for weight in (4.0, 5.0, 6.0)
    }
    for weight in (5.0, 6.0):
        slope = math.log(tops[weight][2] / tops[weight][0]) / 30
        assert slope == pytest.approx(math.log(weight * SLOPE), rel=0.05)
    first, second, third = tops[4.0]
    assert third - second < second - first < 2


def test_the_loss_falls_from_one_plateau_to_the_other_across_the_cliff():
    problem = Cliff(units=1)
    line = problem.cliff_line(torch.tensor(7.0)).item()
    below, above, farther = problem.loss(
        torch.tensor([[7.0, line - 0.5], [7.0, line + 1e-7], [7.0, 7.0]]), {}
    )
    assert below == pytest.approx(0.49, abs=0.03)  # σ(x_T) near 0
    assert farther == pytest.approx(0.09, abs=1e-4)  # near 1
    assert above < 0.09


@pytest.mark.parametrize(("weight", "within"), [(4.6, 2e-3), (5.0, 5e-5), (6.0, 1e-8)])
def test_solutions_lie_inside_the_cliff(weight, within):
    """The bias above the line at which the loss is 0, by bisection: from w = 4.762 on it is nearer
    and nearer to the line, and the gradient beside it explodes."""
    problem = Cliff(units=1)
    line = problem.cliff_line(torch.tensor(weight)).item()

    def error(bias):
        state = 0.5
        for _ in range(50):
            state = weight / (1 + math.exp(-state)) + bias
        return 1 / (1 + math.exp(-state)) - 0.7

    low, high = line, line + 0.4
    assert error(low) < 0 < error(high)
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (low, middle) if error(middle) > 0 else (middle, high)
    assert 0 < high - line < within
    assert problem.loss(torch.tensor([weight, high]), {}) < 1e-16


def test_solutions_at_small_weights_are_those_of_the_fixed_point():
    """b = ln(7/3) − 0.7 w makes ln(7/3) a fixed point, which attracts for |w| < 1/0.21 = 4.762."""
    problem = Cliff(units=1)
    for weight, most in [(-3.0, 1e-20), (0.0, 1e-30), (2.0, 1e-30), (3.0, 1e-20), (4.0, 1e-9)]:
        point = torch.tensor([weight, math.log(7 / 3) - 0.7 * weight])
        assert problem.loss(point, {}) < most
    assert problem.loss(torch.tensor([6.0, math.log(7 / 3) - 4.2]), {}) > 0.05


# The units.


def test_units_are_independent():
    problem, one = Cliff(units=3), Cliff(units=1)
    x = starts(problem, 4)
    units = x.unflatten(-1, (3, 2))
    assert torch.allclose(problem.loss(x, {}), one.loss(units, {}).mean(-1))
    gradients = one.value_and_gradient(units, {})[1].flatten(-2) / 3
    assert torch.allclose(problem.value_and_gradient(x, {})[1], gradients)
    hessian = problem.hessian(x, {})
    for i in range(3):
        block = hessian[:, 2 * i : 2 * i + 2, 2 * i : 2 * i + 2]
        assert torch.allclose(block, one.hessian(units[:, i], {}) / 3)
    blocks = torch.block_diag(*torch.ones(3, 2, 2)).bool()
    assert not hessian[:, ~blocks].any()


def test_closed_forms_hold_on_the_face_of_the_cliff_too():
    """Where products of 50 factors are largest; sums there lose digits to cancellation."""
    problem = Cliff(units=1)
    w = torch.tensor([5.0, 5.5, 6.0])
    x = torch.stack([w, problem.cliff_line(w) + torch.tensor([2e-5, 1e-6, 1e-8])], -1)
    (gradients,) = torch.autograd.functional.jacobian(
        lambda point: problem.loss(point, {}).sum(), (x,)
    )
    value, gradient = problem.value_and_gradient(x, {})
    torch.testing.assert_close(value, problem.loss(x, {}))
    torch.testing.assert_close(gradient, gradients, rtol=1e-6, atol=0)
    hessian = torch.func.vmap(torch.func.hessian(lambda point: problem.loss(point, {})))(x)
    torch.testing.assert_close(problem.hessian(x, {}), hessian, rtol=1e-6, atol=0)


def test_starts_lie_above_the_cliff_and_do_not_depend_on_the_number_of_units():
    many = starts(Cliff(units=32), 20)
    for units in (1, 6):
        assert torch.equal(starts(Cliff(units=units), 20), many[:, : 2 * units])
    w, b = many.unflatten(-1, (32, 2)).unbind(-1)
    above = b - Cliff().cliff_line(w)
    for values, low, high in [(w, 5.0, 7.0), (above, 0.05, 0.4)]:
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high
    losses = Cliff(units=1).loss(many.unflatten(-1, (32, 2)), {})
    assert 0.01 < losses.min() < losses.max() < 0.09


# Descent.


def test_one_step_from_the_cliff_ends_on_a_dead_plateau_unless_it_is_clipped():
    """The starts of the catapult test at lr 0.1, 3000 steps: the first is thrown 15.7 far to a loss of
    0.09, for ever; one of the four lands by luck where the loss is 0. Clipped, all four are solved."""
    problem = Cliff(units=1)
    x = torch.tensor([[5.0, -2.3], [5.5, -2.85], [7.0, -3.5], [5.0, -2.55]])
    thresholds = torch.tensor([math.inf, 1.0, 0.1])[:, None, None]
    ends, longest = descend(problem, x.expand(3, 4, 2), 3000, 0.1, thresholds)
    losses = problem.loss(ends, {})
    assert longest[0, 0] == pytest.approx(15.68, abs=0.05)
    assert losses[0, 0] == pytest.approx(0.09, abs=1e-6)
    assert (longest[0] > 1).all()
    assert (losses[0, :3] > 0.08).all()
    assert losses[0, 3] < 1e-20
    for k, threshold, most in [(1, 1.0, 1e-5), (2, 0.1, 1e-4)]:
        assert (longest[k] <= 0.1 * threshold * (1 + 1e-9)).all()
        assert (losses[k] < most).all()


def test_without_the_cliff_nothing_is_thrown():
    """The control, five steps: plain descent solves every start, however many the units."""
    for units in (1, 6, 32):
        problem = Cliff(units=units).control()
        x = starts(problem, 5)
        end, longest = descend(problem, x, 1000, 0.03 * units)
        assert (longest < 0.1).all()
        assert (problem.loss(end, {}) < 1e-4 * problem.loss(x, {})).all()


def solved(problem, x, lr, threshold=math.inf):
    end, _ = descend(problem, x, 1000, lr, threshold)
    return problem.loss(end, {}) <= problem.card.target * problem.loss(x, {})


def test_more_units_break_descent_at_every_rate():
    shares = {}
    for units in (1, 32):
        problem = Cliff(units=units)
        rates = torch.logspace(-0.5, 2, 5)[:, None, None] * units**0.5
        shares[units] = solved(problem, starts(problem, 10), rates).double().mean(-1).max().item()
    assert shares[1] >= 0.7
    assert shares[32] <= 0.2


def test_refuses_what_is_no_number_of_units_or_steps():
    for fields, message in [
        ({"units": 0}, "cliff.units is 0, but must be a whole number, at least 1"),
        ({"steps": 0}, "cliff.steps is 0, but must be a whole number, at least 1"),
    ]:
        with pytest.raises(Refused, match=message):
            Cliff(**fields)
