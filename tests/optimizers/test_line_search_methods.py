"""The line search, and the two methods that walk by it: their steps, their directions and their prices."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.optimize
import torch

from benchmarks.checks.walks import Given
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from optimizers.conjugate_gradient import ConjugateGradient, NonlinearCG
from optimizers.lbfgs import LBFGS
from optimizers.oracle import CountingOracle, cost
from optimizers.strong_wolfe import EVALUATIONS, strong_wolfe
from problems import PROBLEMS
from problems.ill_conditioning.quadratic import Quadratic
from problems.ill_conditioning.rosenbrock import Rosenbrock
from problems.saddles.spin_glass import SpinGlass

METHODS = [LBFGS(), NonlinearCG(), NonlinearCG(c2=0.4), LBFGS(memory=2, c2=0.5)]
SMOOTH = [
    "rosenbrock",
    "quadratic",
    "winding_ravine",
    "styblinski_tang",
    "deep_linear",
    "coin_toss",
]
LOSS = 1 / 3


def parts(problem, points, data):
    """Steps, slopes along them at both ends, losses at the start and what each step lowers."""
    value, gradient = problem.value_and_gradient(points, data)
    step = points.diff(dim=0)
    before, after = ((each * step).sum(-1) for each in (gradient[:-1], gradient[1:]))
    return step, before, after, value


def look(function, x, direction, first=1.0, curvature=0.9):
    """One search from x (runs, dim) along a direction, and what it cost (runs)."""
    x = torch.as_tensor(x, dtype=torch.float64).unsqueeze(0)
    runs = (1, x.shape[1])
    oracle = CountingOracle(Given(function), {"start": x}, runs, lambda: x, x.device)
    oracle.move(x, None)
    first = torch.full((*runs, 1), first, dtype=x.dtype)
    found = strong_wolfe(oracle, direction(oracle), first, curvature)
    assert not oracle.broken.any()
    return found, torch.as_tensor(cost(oracle.counts, x.shape[-1])).expand(runs)[0]


def downhill(oracle):
    return -oracle.gradient


@pytest.mark.parametrize("method", METHODS, ids=str)
@pytest.mark.parametrize("name", SMOOTH)
def test_every_step_satisfies_both_conditions(walk, name, method):
    problem = PROBLEMS[name]
    data = Instances(problem, tuple("abcde")).data
    points = walk(method, problem.loss, data, steps=60).points
    step, before, after, value = parts(problem, points, data)
    taken = (step != 0).any(-1)
    # Near the end the loss and x are rounded by as much as a step changes them.
    rounding = torch.finfo(value.dtype).eps * value.abs()[:-1]
    judged = taken & (before.abs() > 1000 * rounding)
    judged &= step.norm(dim=-1) > 1e-8 * points[1:].norm(dim=-1)
    assert judged.sum() > 5 * 5
    fallen = value[1:] <= value[:-1] + 1e-4 * before + rounding
    flat = after.abs() <= method.c2 * before.abs() * (1 + 1e-6)  # the step's own rounding
    assert (before[taken] < 0).all()
    assert fallen[judged].all()
    assert flat[judged].all()
    # A run stands still only where rounding hides what is left to gain.
    assert ((value[:-1] - value[-1])[~taken] <= 1000 * rounding[~taken]).all()


@pytest.mark.parametrize("first", [0.2, 1.9, 2.5, 50.0])
def test_a_quadratic_takes_one_more_trial(first):
    """The cubic, or where the loss was no lower the parabola, is the quadratic itself."""
    found, paid = look(lambda x, data: 2.5 * x.square().sum(-1), [[3.0]], downhill, first / 5, 1e-3)
    assert found.length.item() == pytest.approx(1 / 5, rel=1e-12)
    rejected = first > 2
    assert paid.item() == pytest.approx(1 + (LOSS if rejected else 1) + 1)


@pytest.mark.parametrize(("first", "enough"), [(1.9997, True), (1.9999, False)])
def test_enough_is_one_ten_thousandth_of_what_the_slope_foretells(first, enough):
    """½t² − t ≤ −c₁ t up to t = 2 − 2c₁ = 1.9998; both trials are flat enough, and lower."""
    found, _ = look(lambda x, data: 0.5 * x.square().sum(-1), [[3.0]], downhill, first, 0.99995)
    assert (found.length.item() == first) is enough


def test_grows_at_most_tenfold():
    found, paid = look(lambda x, data: 0.5 * x.square().sum(-1), [[1.0]], downhill, 1e-3)
    assert found.length.item() == pytest.approx(0.1)  # .001, .01, .1: 1 − t ≤ .9
    assert paid.item() == pytest.approx(1 + 3)


def test_a_bracket_is_halved_where_the_interpolation_narrows_it_little():
    """A wall behind a long slope: parabolas and cubics alone creep towards it for 20 trials."""
    found, paid = look(
        lambda x, data: (-x + (60 * (x - 0.3)).exp()).sum(-1), [[0.0]], downhill, curvature=0.1
    )
    assert found.length.item() == pytest.approx(0.3 - np.log(60) / 60, abs=0.002)
    assert paid.item() < 8


@pytest.mark.parametrize("beyond", [torch.nan, torch.inf])
def test_values_that_are_not_finite_are_halved_away(beyond):
    """Steps of 8, 4, 2 and 1 leave the domain: each costs a loss, and breaks nothing.

    The gradient there is not finite either: an optimizer that asks for it breaks the run.
    """

    def bounded(x, data):
        return ((1 - x).square() * torch.where(x < 0.9, 1.0, beyond)).sum(-1)

    found, paid = look(bounded, [[0.0]], lambda oracle: -oracle.gradient / 2, 8.0)
    assert found.length.item() == 0.5
    assert paid.item() == pytest.approx(1 + 4 * LOSS + 1)


@pytest.mark.parametrize("sign", [1.0, 0.0])
def test_does_not_go_where_it_is_not_downhill(sign):
    found, paid = look(
        lambda x, data: x.square().sum(-1), [[3.0]], lambda oracle: sign * oracle.gradient
    )
    assert found.length.item() == found.foretold.item() == 0
    assert (found.x.item(), found.gradient.item()) == (3.0, 6.0)
    assert paid.tolist() == [1]


def test_without_an_end_the_best_step_is_taken():
    found, paid = look(lambda x, data: x.sum(-1), [[0.0]], downhill)
    assert found.length.item() == pytest.approx(10.0 ** (EVALUATIONS - 1))
    assert paid.item() == 1 + EVALUATIONS


def uphill(x, data):
    """Its gradient is a lie: the loss rises where it says that it falls."""
    return (2 * x.detach() - x).sum(-1)


def test_where_nothing_is_lower_the_run_stays_and_the_next_search_goes_on():
    found, paid = look(uphill, [[0.0]], downhill)
    assert found.length.item() == 0
    assert 0 > found.foretold.item() >= -(0.5 ** (EVALUATIONS - 1))
    assert paid.item() == pytest.approx(1 + EVALUATIONS * LOSS)


@pytest.mark.parametrize("method", [LBFGS(), NonlinearCG()], ids=str)
def test_a_narrow_minimum_is_reached_by_searches_that_fail_first(walk, start, method):
    """1e-9 from a minimum, a step of 1 is 1e18 times too long, and 20 trials divide it by 1e6 only."""

    def ditch(x, data):
        return (1 - (-((x * 1e9) ** 2) / 2).exp()).sum(-1)

    walked = walk(method, ditch, start(1e-9), steps=30)
    lengths = walked.points.diff(dim=0).flatten()
    assert lengths[0] == 0
    assert ditch(walked.points[-1], {}).item() < 1e-12


def test_runs_pay_for_their_own_trials_only():
    x = [[3.0], [0.01], [0.0], [100.0]]
    together, paid = look(lambda x, data: 0.5 * x.square().sum(-1), x, downhill, 0.001)
    lone = [look(lambda x, data: 0.5 * x.square().sum(-1), [each], downhill, 0.001) for each in x]
    assert torch.equal(together.length[0], torch.cat([found.length[0] for found, _ in lone]))
    assert paid.tolist() == [price.item() for _, price in lone]
    assert paid[2] == 1  # nothing to gain


def test_runs_that_have_ended_pay_nothing():
    x = torch.tensor([[[3.0], [3.0]]], dtype=torch.float64)
    oracle = CountingOracle(
        Given(lambda x, data: x.square().sum(-1)), {"start": x}, (1, 2), lambda: x, x.device
    )
    oracle.move(x, None, alive=torch.tensor([[True, False]]))
    found = strong_wolfe(oracle, -oracle.gradient, torch.ones_like(x), 0.1)
    assert (found.length[0] > 0).flatten().tolist() == [True, False]
    assert (torch.as_tensor(cost(oracle.counts, 1))[0] > 1).tolist() == [True, False]


@pytest.mark.parametrize(
    ("method", "prices", "path"),
    [
        # From 3 along −3: t = 1/3 leads to 2, flat enough for .9; then the pair knows the curvature.
        (LBFGS(), [1 + 1, 1, 0], [3, 2, 0, 0]),
        # Not flat enough for .1: t = 1, where the cubic's minimum is.
        (NonlinearCG(), [1 + 1 + 1, 0], [3, 0, 0]),
    ],
    ids=str,
)
def test_price_of_a_step_by_hand(walk, start, method, prices, path):
    """The gradient where the step ends is there at the next one, and is not paid again."""
    walked = walk(method, lambda x, data: 0.5 * x.square().sum(-1), start(3.0), steps=len(prices))
    assert walked.prices.flatten().tolist() == pytest.approx(prices)
    assert walked.points.flatten().tolist() == pytest.approx(path)


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_price_is_that_of_the_questions_asked(walk, draw, valley, method, monkeypatch):
    """A third for each loss, two thirds more where the gradient was asked too; 1 for the first gradient.

    A search looks at the loss of a trial, and then at the gradient of those that were lower.
    """
    asked, kinds = {"losses": 0, "gradients": 0}, itertools.cycle(("losses", "gradients"))
    at = CountingOracle.at

    def counted(self, x, who):
        asked[next(kinds)] += int(who.sum())
        return at(self, x, who)

    monkeypatch.setattr(CountingOracle, "at", counted)
    data = draw(instances=1)
    paid = walk(method, valley, data, steps=8).prices.sum().item()
    lost = asked["losses"] - asked["gradients"]
    assert paid == pytest.approx(1 + asked["gradients"] + lost * LOSS)


def dense_bfgs(steps, changes, memory):
    """H as a matrix, by BFGS's formula from (sᵀy/yᵀy) I on the last pairs."""
    both = zip(steps, changes, strict=True)
    pairs = [(s, y) for s, y in both if s @ y > 1e-10 * np.linalg.norm(s) * np.linalg.norm(y)]
    pairs = pairs[-memory:]
    if not pairs:
        return None
    s, y = pairs[-1]
    matrix = (s @ y) / (y @ y) * np.eye(len(s))
    for s, y in pairs:
        turn = np.eye(len(s)) - np.outer(y, s) / (s @ y)
        matrix = turn.T @ matrix @ turn + np.outer(s, s) / (s @ y)
    return matrix


@pytest.mark.parametrize("memory", [1, 3, 10])
@pytest.mark.parametrize("problem", [Rosenbrock(dim=6), Quadratic(dim=8, condition=100.0)], ids=str)
def test_lbfgs_goes_along_the_dense_matrix(walk, problem, memory):
    """BFGS's matrix from the same pairs, built without the two loops."""
    data = Instances(problem, ("a", "b")).data
    points = walk(LBFGS(memory=memory), problem.loss, data, steps=20).points
    gradients = problem.value_and_gradient(points, data)[1]
    for k in range(2):
        x, g, t = points[:, k, 0].numpy(), gradients[:, k, 0].numpy(), 0
        for t in range(20):
            matrix = dense_bfgs(np.diff(x[: t + 1], axis=0), np.diff(g[: t + 1], axis=0), memory)
            wanted = -g[t] if matrix is None else -matrix @ g[t]
            step = x[t + 1] - x[t]
            if np.linalg.norm(g[t]) < 1e-5 * np.linalg.norm(g[0]):
                break  # differences of neighbouring points lose digits in x
            np.testing.assert_allclose(
                step / np.linalg.norm(step), wanted / np.linalg.norm(wanted), rtol=0, atol=1e-10
            )
        assert t > 8


@pytest.mark.parametrize("bend", [0.0, -1.0])
def test_lbfgs_keeps_no_pair_without_the_curvature_for_it(walk, start, bend):
    """On a slope and on a hill no step is the last."""

    def function(x, data):
        return (0.5 * bend * x.square() - x).sum(-1)

    walked = walk(LBFGS(), function, start(1.0, 2.0), steps=2)
    assert all((each == 0).all() for each in walked.state[:3])
    assert (walked.points.diff(dim=0) != 0).any(-1).all()


def test_lbfgs_keeps_a_pair_of_steep_curvature(walk, start):
    """What counts is the angle between s and y, and not the scale of the loss."""
    walked = walk(LBFGS(), lambda x, data: 2.5e15 * x.square().sum(-1), start(1.0, 2.0), steps=1)
    weights = walked.state[2].flatten()
    assert weights[:-1].eq(0).all()
    assert weights[-1] > 0


def test_lbfgs_forgets_where_a_search_failed(walk, start):
    """A bowl with a rim beyond which the gradient lies: pairs, then none."""

    def broken(x, data):
        return (0.5 * x.square() + torch.where(x < 2.5, 10 * (2.5 - x).detach(), 0.0)).sum(-1)

    walked = walk(LBFGS(), broken, start(3.0, 2.9), steps=6)
    assert all((each == 0).all() for each in walked.state[:3])


@pytest.mark.parametrize("dim", [2, 10])
@pytest.mark.parametrize(
    ("method", "theirs", "options"),
    [
        (LBFGS(), "L-BFGS-B", {"maxcor": 10, "ftol": 0, "gtol": 1e-12}),
        (NonlinearCG(), "CG", {"gtol": 1e-10}),
    ],
    ids=["lbfgs", "nonlinear_cg"],
)
def test_finds_scipys_minimum_with_no_more_gradients(walk, dim, method, theirs, options):
    problem, seeds = Rosenbrock(dim=dim), tuple("abcde")
    data = Instances(problem, seeds).data
    walked = walk(method, problem.loss, data, steps=200)
    values, spent = problem.loss(walked.points, data)[..., 0], walked.prices.cumsum(0)[..., 0]
    ours, others = [], []
    for k in range(len(seeds)):
        trail = []

        def both(x, trail=trail):
            value, gradient = problem.value_and_gradient(torch.as_tensor(x), {})
            trail.append(value.item())
            return value.item(), gradient.numpy()

        start = data["start"][k, 0].numpy()
        found = scipy.optimize.minimize(both, start, jac=True, method=theirs, options=options)
        # Both stop where the loss shows no more: 10 roundings of 4 hide 2e-7 along a curvature of 0.4.
        np.testing.assert_allclose(walked.points[-1, k, 0].numpy(), found.x, rtol=0, atol=3e-6)
        near = found.fun + 1e-10
        others.append(1 + next(i for i, value in enumerate(trail) if value <= near))
        ours.append(spent[(values[:, k] <= near).nonzero()[0] - 1, k].item())
    assert sum(ours) <= 1.25 * sum(others)


def test_nonlinear_conjugate_gradients_are_the_linear_ones_on_a_quadratic(walk):
    problem = Quadratic(dim=60, condition=30.0)
    data = Instances(problem, ("a", "b")).data
    linear, searched = (
        walk(each, problem.loss, data, steps=20).points
        for each in (ConjugateGradient(), NonlinearCG(c2=1e-10))
    )
    size = (linear[0] - data["minimizer"]).abs().max()
    # A slope of 1e-10 of the first is left at each step.
    torch.testing.assert_close(searched, linear, rtol=0, atol=1e-7 * size.item())
    assert (problem.loss(linear[-1], data) < 1e-4 * problem.loss(linear[0], data)).all()


@pytest.mark.parametrize("problem", [Rosenbrock(dim=5), PROBLEMS["styblinski_tang"]], ids=str)
def test_nonlinear_conjugate_gradients_follow_polak_and_ribiere(walk, problem):
    """A twin that is fed the points: max(0, β), from −g again every dim steps."""
    data = Instances(problem, tuple("abc")).data
    points = walk(NonlinearCG(), problem.loss, data, steps=20).points
    gradients = problem.value_and_gradient(points, data)[1]
    restarts = resets = 0
    for k in range(3):
        x, g = points[:, k, 0].numpy(), gradients[:, k, 0].numpy()
        direction, since = -g[0], 1
        for before, here, step in zip(x[:-1], itertools.count(), np.diff(x, axis=0), strict=False):
            if np.linalg.norm(step) < 1e-6 * np.linalg.norm(before):
                break  # the difference of neighbouring points loses digits
            np.testing.assert_allclose(
                step / np.linalg.norm(step), direction / np.linalg.norm(direction), atol=1e-9
            )
            old, new = g[here], g[here + 1]
            share, since = max(0.0, new @ (new - old) / (old @ old)), since + 1
            if share == 0 or since > len(new):
                restarts, resets = restarts + (share > 0), resets + (share == 0)
                share, since = 0.0, 1
            direction = share * direction - new
    assert restarts > 0


@pytest.mark.parametrize("method", [LBFGS(), NonlinearCG()], ids=str)
def test_works_in_single_precision(method):
    instances = Instances(Rosenbrock(), tuple("abc"), dtype=torch.float32)
    outcome = run(method, instances, trials=1, budget=200)
    assert outcome.status == [["solved"]] * 3


@pytest.mark.parametrize("method", [LBFGS(), NonlinearCG()], ids=str)
def test_works_where_steps_are_taken_back_to_a_sphere(method):
    instances = Instances(SpinGlass(dim=15), tuple("abc"))
    outcome = run(method, instances, trials=1, budget=400)
    assert outcome.status == [["solved"]] * 3
