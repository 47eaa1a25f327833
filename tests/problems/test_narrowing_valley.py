"""What is known about the narrowing valley beside its claims."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch

from problems.ill_conditioning.narrowing_valley import NarrowingValley
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


def at(problem, data, along, across):
    """The point so far along the valley and beside its floor."""
    x = data["minimizer"].clone()
    x[0] += along - problem.length
    x[1:] += across
    return x


def test_loss_is_the_formula():
    problem = NarrowingValley(narrowing=5.0, walls=3, length=10.0)
    data = drawn(problem)
    y = torch.tensor([0.1, -0.2, 0.3])
    expected = (4.0 - 10) ** 2 / 20 + 0.5 * math.exp(0.5 * 4) * 0.14
    assert problem.loss(at(problem, data, 4.0, y), data) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("narrowing", [0.0, 6.0, 50.0])
def test_curvature_at_the_minimum(narrowing):
    """1/X along and e^(kX) across: 2.6e23 times as much at kX = 50."""
    problem = NarrowingValley(narrowing=narrowing)
    data = drawn(problem)
    hessian = problem.hessian(data["minimizer"], data)
    expected = torch.tensor([1 / 50] + 4 * [math.exp(narrowing)]).diag()
    torch.testing.assert_close(hessian, expected, rtol=1e-12, atol=0)
    assert problem.signature(data) >= 10 or narrowing == 0
    if narrowing == 50:
        assert math.exp(50) * 50 == pytest.approx(2.6e23, rel=0.01)


@pytest.mark.parametrize("share", [0.9, 1.1])
def test_the_bend_makes_the_hessian_indefinite(share):
    """Where k² h |y|² > 2/X: Schur's complement along is 1/X − ½ k² h |y|²."""
    problem = NarrowingValley(narrowing=10.0)
    data = drawn(problem)
    stiffness = math.exp(problem.rate * 20)
    squared = share * 2 / problem.length / (problem.rate**2 * stiffness)
    x = at(problem, data, 20.0, math.sqrt(squared / problem.walls))
    smallest = torch.linalg.eigvalsh(problem.hessian(x, data))[0]
    assert (smallest < 0) == (share > 1)
    assert problem.stiffness(x, data) == pytest.approx(stiffness, rel=1e-12)


def test_noise_pushes_the_walls_only_and_has_mean_zero():
    problem = NarrowingValley()
    data = drawn(problem)
    stream = problem.draws(data, torch.Generator().manual_seed(0))
    pushes = torch.stack([draw["push"] for draw in itertools.islice(stream, 4000)])
    assert not pushes[:, 0].any()
    # Five standard errors of 4000 numbers of standard deviation 0.3.
    assert pushes.mean(0).abs().max() < 5 * 0.3 / math.sqrt(4000)
    assert pushes[:, 1:].std() == pytest.approx(0.3, rel=0.03)
    x = data["start"]
    gradient = problem.value_and_gradient(x, data)[1]
    seen = problem.sampled_value_and_gradient(x, data, {"push": pushes[0]})[1]
    torch.testing.assert_close(seen - gradient, pushes[0])


def test_a_longer_way_is_parked_at_the_rate_not_at_the_length():
    """x = ln(2/η)/k whatever X is, at the same k."""
    ends = []
    for length in (50.0, 100.0):
        problem = NarrowingValley(narrowing=length, length=length, walls=20)
        data = drawn(problem)
        *_, x = itertools.islice(problem.noisy_descent(data, 0.02, 4), 700)
        ends.append((x - data["start"])[..., 0].mean().item())
    assert ends == pytest.approx(2 * [math.log(100)], abs=0.1)


def test_descent_is_not_held_without_narrowing():
    problem = NarrowingValley(narrowing=0.0)
    data = drawn(problem)
    *_, x = itertools.islice(problem.noisy_descent(data, 0.2, 4), 1000)
    assert (problem.loss(x, data) < problem.card.target * 25).all()


def test_theory_grows_like_the_logarithm_of_the_budget():
    problem, theory = NarrowingValley(), NarrowingValley.card.theory["sgd"]
    found = [theory(problem, budget) for budget in (100, 1000, 3000)]
    assert found[0] < found[1] < found[2]
    assert found[2] - found[1] == pytest.approx(math.log(3) / (1 - math.sqrt(0.05)), rel=0.2)
    # It asks for twice the rate, and so for ln 2 less, where the valley is twice as long.
    assert theory(replace(problem, length=100.0), 1000) < found[1]


def test_rungs_are_paired():
    one, other = drawn(NarrowingValley()), drawn(NarrowingValley(narrowing=50.0))
    assert torch.equal(one["start"], other["start"])
    assert torch.equal(one["minimizer"], other["minimizer"])


def test_critical_points_are_stated_where_they_can_be_told():
    for narrowing, count in [(6.0, 1), (50.0, 0)]:
        problem = NarrowingValley(narrowing=narrowing)
        assert len(problem.critical_points(drawn(problem))) == count


def test_refuses_what_makes_no_valley():
    for fields, message in [
        (
            {"narrowing": -1.0},
            "narrowing_valley.narrowing is -1.0, but must be a number, at least 0",
        ),
        ({"narrowing": 101.0}, "at most 100"),
        ({"walls": 0}, "narrowing_valley.walls is 0, but must be a whole number, at least 1"),
        ({"length": 0.0}, "narrowing_valley.length is 0.0, but must be a number, above 0"),
        ({"noise": -0.1}, "narrowing_valley.noise is -0.1"),
    ]:
        with pytest.raises(Refused) as refused:
            NarrowingValley(**fields)
        assert message in str(refused.value)
