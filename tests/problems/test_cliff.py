"""What is known about the cliff of a recurrent unit beside its claims."""

from __future__ import annotations

import itertools
import math
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from problems.cliffs.cliff import TOGETHER, Cliff
from problems.descent import descent


def starts(problem, count):
    return torch.stack([problem.example(seed)["start"] for seed in range(count)])


def test_loss_is_that_of_the_recurrence():
    """Of two units, step by step."""
    errors = []
    for w, b in ((6.0, -3.1), (-2.0, 0.5)):
        state = 0.5
        for _ in range(50):
            state = w / (1 + math.exp(-state)) + b
        errors.append(1 / (1 + math.exp(-state)) - 0.7)
    x = torch.tensor([6.0, -3.1, -2.0, 0.5])
    expected = (errors[0] ** 2 + errors[1] ** 2) / 2
    assert Cliff(units=2).loss(x, {}) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("weight", "within"), [(4.6, 2e-3), (5.0, 5e-5), (6.0, 1e-8)])
def test_solutions_lie_inside_the_cliff(weight, within):
    """From w = 4.762 on the bias of the solution is nearer and nearer to the line, by bisection."""
    problem = Cliff(units=1)
    line = problem.cliff_line(torch.tensor(weight)).item()
    low, high = line, line + 0.4
    for _ in range(100):
        middle = (low + high) / 2
        above = problem.errors(torch.tensor([weight, middle])) > 0
        low, high = (low, middle) if above else (middle, high)
    assert 0 < high - line < within
    assert problem.loss(torch.tensor([weight, high]), {}) < 1e-16


def test_closed_forms_hold_on_the_face_of_the_cliff_too():
    """Where products of 50 factors are largest; sums there lose digits to cancellation."""
    problem = Cliff(units=1)
    w = torch.tensor([5.0, 5.5, 6.0])
    x = torch.stack([w, problem.cliff_line(w) + torch.tensor([2e-5, 1e-6, 1e-8])], -1)
    gradients, losses = torch.func.vmap(
        torch.func.grad_and_value(lambda point: problem.loss(point, {}))
    )(x)
    value, gradient = problem.value_and_gradient(x, {})
    torch.testing.assert_close(value, losses)
    torch.testing.assert_close(gradient, gradients, rtol=1e-6, atol=0)
    hessian = torch.func.vmap(torch.func.hessian(lambda point: problem.loss(point, {})))(x)
    torch.testing.assert_close(problem.hessian(x, {}), hessian, rtol=1e-6, atol=0)


@pytest.mark.parametrize("steps", [1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER + 2])
@pytest.mark.parametrize("units", [1, 6])
def test_derivatives_are_the_same_however_many_steps_are_taken_together(steps, units, monkeypatch):
    """To the last bit, on three starts × five points."""
    problem = Cliff(units=units, steps=steps)
    x = starts(problem, 3).unsqueeze(1) + 0.01 * torch.arange(5).unsqueeze(-1)

    def derivatives():
        return *problem.value_and_gradient(x, {}), problem.hessian(x, {})

    together = derivatives()
    assert not any(each.is_inference() for each in together)  # callers may change them in place
    monkeypatch.setattr("problems.cliffs.cliff.TOGETHER", 1)
    assert all(map(torch.equal, together, derivatives()))


def test_starts_lie_above_the_cliff_and_do_not_depend_on_the_number_of_units():
    many = starts(Cliff(units=32), 20)
    for units in (1, 6):
        assert torch.equal(starts(Cliff(units=units), 20), many[:, : 2 * units])
    w, b = many.unflatten(-1, (32, 2)).unbind(-1)
    above = b - Cliff().cliff_line(w)
    for values, low, high in [(w, 5.0, 7.0), (above, 0.05, 0.4)]:
        assert low <= values.min() < low + 0.01 * (high - low)
        assert high - 0.01 * (high - low) < values.max() <= high


@pytest.mark.parametrize(("units", "low", "high"), [(1, 0.7, 1.0), (32, 0.0, 0.2)])
def test_more_units_break_descent_at_every_rate(units, low, high):
    """The share of ten starts that are solved at the best of five rates."""
    problem = Cliff(units=units)
    x = starts(problem, 10)
    rates = torch.logspace(-0.5, 2, 5)[:, None, None] * units**0.5
    end = next(itertools.islice(descent(problem, {}, x, rates), 1000, None))
    solved = problem.loss(end, {}) <= problem.card.target * problem.loss(x, {})
    assert low <= solved.double().mean(-1).max() <= high


def test_threads_do_not_share_the_room_that_is_kept_between_calls():
    problem = Cliff(units=3)
    points = starts(problem, 8).split(1)
    alone = [problem.value_and_gradient(x, {})[1] for x in points]

    def again(k):
        return all(
            torch.equal(problem.value_and_gradient(points[k], {})[1], alone[k]) for _ in range(50)
        )

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(again, range(8)))
