"""First-order methods against plain twins of one run, written from the formula, and what sets each apart."""

from __future__ import annotations

import functools
import itertools
import math

import pytest
import torch
from scipy import stats

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from optimizers import OPTIMIZERS
from optimizers.adam import Adam
from optimizers.amsgrad import AMSGrad
from optimizers.average import Average
from optimizers.lion import Lion
from optimizers.normalized_sgd import NormalizedSGD
from optimizers.oracle import CountingOracle
from optimizers.perturbed_gd import PerturbedGD, in_unit_ball
from optimizers.polyak_step import PolyakStep
from optimizers.schedule_free_sgd import ScheduleFreeSGD
from optimizers.sgd import SGD
from problems.inexact_gradients.reddi import Reddi
from problems.saddles.octopus import TAU, Octopus

OURS = [
    "normalized_sgd", "sign_sgd", "polyak_step", "perturbed_gd", "adagrad", "amsgrad", "adamw",
    "lion", "schedule_free_sgd", "prodigy",
]  # fmt: skip
RATES = [0.003, 0.01, 0.03]
# 200 steps in float64, the same formula in another order of operations.
assert_close = functools.partial(torch.testing.assert_close, rtol=1e-10, atol=1e-12)


def own(data, k):
    """What belongs to one instance."""
    return {name: each[k, 0] for name, each in data.items()}


def slope(function, x, data):
    """The gradient of one run alone."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(function(x, data), x)[0]


def bowl(x, data):
    """½ |A (x − c)|², whose minimum is 0."""
    bent = torch.einsum("...i,...ij->...j", x - data["center"], data["matrix"])
    return 0.5 * bent.square().sum(-1)


def saddle(x, data):
    """½x² − ½y² + ¼y⁴: a saddle at 0, minima at (0, ±1)."""
    return 0.5 * x[..., 0] ** 2 - 0.5 * x[..., 1] ** 2 + 0.25 * x[..., 1] ** 4


# Twins: the points of one run, from the formula.


def normalized_twin(function, data, lr, steps):
    points = [data["start"]]
    for _ in range(steps):
        g = slope(function, points[-1], data)
        points.append(points[-1] - lr * g / torch.sqrt(g @ g))
    return points


def sign_twin(function, data, lr, steps):
    points = [data["start"]]
    for _ in range(steps):
        g = slope(function, points[-1], data).tolist()
        signs = [(each > 0) - (each < 0) for each in g]
        points.append(points[-1] - lr * torch.tensor(signs, dtype=torch.float64))
    return points


def lion_twin(function, data, lr, steps, beta1=0.9, beta2=0.99, decay=0.0):
    """Chen et al. 2023, algorithm 2."""
    points, m = [data["start"]], torch.zeros_like(data["start"])
    for _ in range(steps):
        theta = points[-1]
        g = slope(function, theta, data)
        c = beta1 * m + (1 - beta1) * g
        points.append(theta - lr * (torch.sign(c) + decay * theta))
        m = beta2 * m + (1 - beta2) * g
    return points


def schedule_free_twin(function, data, lr, steps, beta=0.9):
    """Defazio et al. 2024, equations of the first page, with t from 0: c = 1/(t + 1)."""
    x = z = data["start"]
    points = [x]
    for t in range(steps):
        y = (1 - beta) * z + beta * x
        z = z - lr * slope(function, y, data)
        x = (1 - 1 / (t + 1)) * x + 1 / (t + 1) * z
        points.append(x)
    return points


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("normalized_sgd", normalized_twin),
        ("sign_sgd", sign_twin),
        ("lion", lion_twin),
        ("schedule_free_sgd", schedule_free_twin),
    ],
)
def test_a_batch_is_its_plain_twin_run_by_run(walk, draw, valley, name, twin):
    data, rates = draw(), torch.tensor(RATES, dtype=torch.float64).unsqueeze(-1)
    ours = walk(OPTIMIZERS[name].batched({"lr": rates}), valley, data, trials=3).points
    for instance in range(3):
        for trial, lr in enumerate(RATES):
            alone = torch.stack(twin(valley, own(data, instance), lr, 200))
            assert_close(ours[:, instance, trial], alone)


def prodigy_twin(function, data, factor, steps, beta1=0.9, beta2=0.999, d=1e-6):
    """Mishchenko & Defazio 2023, algorithm 4, with β₃ = √β₂ and without bias correction, as plain sums."""
    points, m, v, beta3 = [data["start"]], 0.0, 0.0, math.sqrt(beta2)
    weights, slopes, products = [], [], []
    for _ in range(steps):
        x = points[-1]
        g = slope(function, x, data)
        m, v = beta1 * m + (1 - beta1) * d * g, beta2 * v + (1 - beta2) * d**2 * g**2
        weights.append(d * d * factor)
        slopes.append(g)
        products.append(float(g @ (points[0] - x)))
        aged = [each * beta3**k for k, each in enumerate(reversed(weights))][::-1]
        r = sum(weight * each for weight, each in zip(aged, products, strict=True))
        s = sum(weight * each for weight, each in zip(aged, slopes, strict=True))
        before, d = d, max(d, r / float(s.abs().sum()))
        points.append(x - factor * before * m / (v.sqrt() + d * 1e-8))
    return points, d


def test_prodigy_is_its_plain_twin_and_finds_the_distance(walk, draw):
    data = draw()
    factors = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    optimizer = OPTIMIZERS["prodigy"].batched({"factor": factors.unsqueeze(-1)})
    found = walk(optimizer, bowl, data, trials=3)
    *_, share = found.state
    for instance in range(3):
        one = own(data, instance)
        for trial, factor in enumerate(factors.tolist()):
            points, d = prodigy_twin(bowl, one, factor, 200)
            # d grows by what is small beside its sums; 200 steps carry a rounding along.
            torch.testing.assert_close(
                found.points[:, instance, trial], torch.stack(points), rtol=1e-7, atol=1e-9
            )
            assert float(share[instance, trial]) == pytest.approx(d / 1e-6, rel=1e-7)
            assert 1e-6 < d < (one["start"] - one["center"]).abs().max()


@pytest.mark.parametrize("name", OURS)
def test_a_step_costs_one_gradient(walk, draw, valley, name):
    """At whatever point it is asked, and with the value that comes with it."""
    assert (walk(OPTIMIZERS[name], valley, draw(), steps=20).prices == 1).all()


@pytest.mark.parametrize("name", OURS)
def test_single_precision_stays_single(walk, draw, valley, name):
    data = draw()
    double = walk(OPTIMIZERS[name], valley, data, steps=3).points
    single = walk(OPTIMIZERS[name], valley, {k: v.float() for k, v in data.items()}, steps=3).points
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)  # float32's rounding


# Steps of their own length.


@pytest.mark.parametrize("scale", [1e300, 1.0, 1e-170, 1e-300])
def test_a_normalized_step_has_the_same_length_on_every_slope(walk, start, scale):
    """The square of 1e-170 is 0, and that of 1e300 is infinite."""
    data = start(1.0, 2.0)
    path = walk(NormalizedSGD(0.1), lambda x, data: scale * (3 * x[..., 0] - 4 * x[..., 1]), data)
    steps = path.points.diff(dim=0)
    expected = torch.tensor([-0.06, 0.08], dtype=torch.float64).expand_as(steps)
    torch.testing.assert_close(steps, expected, rtol=1e-12, atol=1e-13)


def test_a_normalized_step_knows_where_there_is_no_slope(walk, start):
    points = walk(NormalizedSGD(0.1), saddle, start(0.0, 0.0), steps=5).points
    assert torch.equal(points, torch.zeros_like(points))


def test_a_normalized_path_ends_by_hopping_over_the_minimum(walk, start):
    path = walk(NormalizedSGD(0.1), lambda x, data: x.square().sum(-1), start(1.03), steps=50)
    assert path.points.flatten()[-2:].tolist() == pytest.approx([-0.07, 0.03])


def test_the_decay_of_lion_is_the_papers(walk, draw, valley):
    data = draw()
    optimizer = Lion(0.01, beta1=0.8, beta2=0.95, weight_decay=0.3)
    ours = walk(optimizer, valley, data).points
    for instance in range(3):
        alone = lion_twin(valley, own(data, instance), 0.01, 200, beta1=0.8, beta2=0.95, decay=0.3)
        assert_close(ours[:, instance, 0], torch.stack(alone))


# Polyak's step.


def test_polyaks_step_leads_where_the_tangent_is_as_low_as_the_minimum(walk, draw):
    """Step by step from the same points: on a quadratic the path itself is chaotic."""
    data = draw()
    points = walk(PolyakStep(), bowl, data).points
    for instance in range(3):
        mine = own(data, instance)
        hessian = mine["matrix"] @ mine["matrix"].T
        path = points[:, instance, 0]
        for x, after in itertools.pairwise(path):
            g = hessian @ (x - mine["center"])
            expected = x - 0.5 * ((x - mine["center"]) @ g) / (g @ g) * g
            # The matrix is squared here: its condition, up to 1e5, costs digits of g.
            torch.testing.assert_close(after, expected, rtol=1e-9, atol=1e-9)
    left = (points - data["center"]).norm(dim=-1)
    assert (left.diff(dim=0) <= 0).all()
    assert (left[-1] < 0.7 * left[0]).all()


def test_polyaks_step_by_hand(walk, start):
    """Half the way on ½x², all of it on |x|."""
    half = walk(PolyakStep(), lambda x, data: 0.5 * x.square().sum(-1), start(8.0, 4.0), steps=3)
    assert half.points[-1].flatten().tolist() == [1.0, 0.5]
    whole = walk(PolyakStep(), lambda x, data: x.abs().sum(-1), start(-5.0), steps=2)
    assert whole.points.flatten().tolist() == [-5.0, 0.0, 0.0]


def test_polyaks_step_stays_below_the_floor(walk, start):
    """The floor given is 0: what lies below it can only be noise."""
    points = walk(
        PolyakStep(), lambda x, data: 0.5 * x.square().sum(-1) - 1, start(1.0), steps=3
    ).points
    assert points.flatten().tolist() == [1.0] * 4


def test_only_polyaks_step_is_told_something():
    assert {name for name in OURS if OPTIMIZERS[name].role == "oracle"} == {"polyak_step"}
    assert {name for name in OURS if OPTIMIZERS[name].role == "ranked"} == {*OURS} - {"polyak_step"}


# Perturbed descent.


@pytest.mark.parametrize("dim", [1, 2, 6, 300])
def test_a_perturbation_is_uniform_in_the_ball(dim):
    """The share within r is r^dim, and of a coordinate the square is Beta(½, (dim + 1)/2)."""
    normal = torch.randn(20_000, dim, generator=torch.Generator().manual_seed(dim))
    points = in_unit_ball(normal.double())
    radii, coordinate = points.norm(dim=-1), points[:, 0]
    tests = [
        stats.kstest(radii**dim, stats.uniform.cdf),
        stats.kstest(coordinate**2, stats.beta(0.5, (dim + 1) / 2).cdf),
        stats.binomtest(int((coordinate > 0).sum()), 20_000),
    ]
    if dim > 1:  # direction and distance have nothing to do with each other
        tests.append(stats.pearsonr(radii**dim, coordinate.abs() / radii))
    assert min(each.pvalue for each in tests) > 0.01


def jins_points(function, data, lr, radius, waiting, iterations):
    """Jin et al. 2017, algorithm 2 without its end: x̃ = x + ξ and the gradient step in one iteration."""
    threshold = 0.1 * radius / lr
    numbers, dim = iter(data["normal"]), len(data["start"])
    x, last, points = data["start"], -waiting - 1, [data["start"]]
    for t in range(iterations):
        normal = next(numbers)
        if slope(function, x, data).norm() <= threshold and t - last > waiting:
            share = stats.chi2(dim).cdf(float(normal @ normal))
            x, last = x + radius * share ** (1 / dim) * normal / normal.norm(), t
            next(numbers)
        x = x - lr * slope(function, x, data)
        points.append(x)
    return points, threshold


def test_perturbed_descent_is_jins(walk, draw):
    """Where the random step is one of its own, the paper has none: its points are the others."""
    data = draw()
    data["start"] = 0.01 * data["start"]  # near the saddle
    ours = walk(PerturbedGD(lr=0.3, radius=0.1, waiting=4), saddle, data).points
    for instance in range(3):
        mine = own(data, instance)
        theirs, threshold = jins_points(saddle, mine, 0.3, 0.1, 4, 150)
        path, shaken, k = ours[:, instance, 0], 0, 0
        since = 5
        for point in theirs:
            assert_close(path[k], point)
            due = since > 4 and slope(saddle, path[k], mine).norm() <= threshold
            since = 1 if due else since + 1
            shaken += due
            k += 2 if due else 1
        assert shaken > 10


def test_perturbed_descent_leaves_a_saddle_on_which_descent_stays(walk, draw):
    data = draw(dim=2)
    data["start"] = torch.zeros_like(data["start"])
    assert (walk(SGD(0.1), saddle, data).points == 0).all()
    points = walk(PerturbedGD(lr=0.1, radius=0.01), saddle, data).points
    ends = points[-50:]
    # It is shaken beside the minimum too, and descends again.
    torch.testing.assert_close(ends[..., 0], torch.zeros_like(ends[..., 0]), rtol=0, atol=0.02)
    torch.testing.assert_close(ends[..., 1].abs(), torch.ones_like(ends[..., 1]), rtol=0, atol=0.02)


def test_perturbed_descent_waits_between_two_random_steps(walk, draw):
    """On a gentle slope, a random step and then `waiting` + 1 downhill; on a steeper one, none."""
    data, optimizer = draw(), PerturbedGD(lr=0.1, radius=0.5, gradient_threshold=0.2, waiting=3)
    for height, expected in ((0.9, [0, 5, 10, 15]), (1.1, [])):

        def line(x, data, height=height):
            return height * x[..., 0]  # the bound is 0.2 · 0.5/0.1 = 1

        steps = walk(optimizer, line, data, steps=20).points.diff(dim=0)
        downhill = torch.tensor([-0.1 * height, 0.0, 0.0], dtype=torch.float64)
        random = ((steps - downhill).norm(dim=-1) > 1e-9).all(-1).all(-1)
        assert random.nonzero().flatten().tolist() == expected
        assert (steps[random].norm(dim=-1) <= 0.5).all()


def test_trials_share_their_perturbations(walk, start):
    data = start(0.0, 0.0) | {"normal": torch.ones(1, 1, 5, 2, dtype=torch.float64)}
    radii = torch.tensor([[0.1], [0.2]], dtype=torch.float64)
    points = walk(PerturbedGD().batched({"radius": radii}), saddle, data, trials=2, steps=1).points
    torch.testing.assert_close(2 * points[1, 0, 0], points[1, 0, 1])
    assert (points[1] != 0).all()


def test_perturbed_descent_passes_the_octopus_as_published():
    """Past 5 saddles at L = 3 in 219 steps where descent is nowhere after 20,000 (Du et al. 2017)."""

    def costs(optimizer, steepness, budget):
        problem = Octopus(saddles=5, steepness=steepness, guard=1.0)
        outcome = run(
            optimizer, Instances(problem, tuple(map(str, range(10)))), 1, budget, record=False
        )
        return outcome.numbers["cost_to_target"].flatten()

    # The paper's bound on |g|, γτ/100, is lr · γ times radius/lr; it waits for a single step.
    perturbed = {
        steepness: costs(
            PerturbedGD(lr=rate, radius=TAU / 100, gradient_threshold=rate, waiting=1),
            steepness,
            400,
        )
        for steepness, rate in ((1.0, 1 / 4), (3.0, 1 / 12))
    }
    assert all(each.isfinite().all() for each in perturbed.values())
    assert 200 < perturbed[3.0].median() < 250
    assert costs(SGD(1 / 12), 3.0, 400).isnan().all()
    assert costs(SGD(1 / 4), 1.0, 1000).median() > 3 * perturbed[1.0].median()


# Averages.


def test_amsgrad_goes_to_the_minimum_where_adam_goes_to_the_worst_point():
    """Theorem 1 of Reddi, Kale & Kumar: C = 3 every third step, β₁ = 0, β₂ = 1/(1 + C²)."""
    problem = Reddi(variant="periodic", large=3.0)
    instances = Instances(problem, ("a", "b"))
    ends = {}
    for method in (Adam, AMSGrad):
        optimizer = method(lr=0.03, beta1=0.0, beta2=0.1)
        outcome = run(optimizer, instances, trials=1, budget=800, record=False)
        ends[method] = outcome.numbers["loss_final"] / problem.loss(torch.ones(problem.dim), {})
    # Within a period of three steps they are away from the border by about lr.
    assert (ends[Adam] > 0.95).all()
    assert (ends[AMSGrad] < -0.95).all()


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_schedule_free_is_scored_at_the_mean_of_its_iterates(walk, draw, valley, beta):
    data = draw()
    path = walk(ScheduleFreeSGD(0.05, beta), valley, data, steps=30)
    for instance in range(3):
        alone = schedule_free_twin(valley, own(data, instance), 0.05, 30, beta)
        assert_close(path.points[:, instance, 0], torch.stack(alone))
    if beta == 0:
        averaged = walk(Average(SGD(0.05), burn_in=0.0), valley, data, steps=30).points
        assert_close(path.points, averaged)
    else:
        z, _ = path.state
        assert ((z - path.points[-1]).norm(dim=-1) > 1e-3).all()


def test_schedule_free_descent_stays_where_the_problem_keeps_it():
    """Where a step leads out of the box, z comes back into it, and not only x."""
    problem = Reddi(variant="periodic", large=3.0, dim=3)
    x = torch.full((1, 1, 3), 0.5, dtype=torch.float64)
    oracle = CountingOracle(problem, {}, (1, 1), lambda: x, x.device)
    optimizer = ScheduleFreeSGD(lr=0.9)
    state = optimizer.init(x)
    for _ in range(100):
        oracle.move(x, None)
        step, state = optimizer.update(oracle, state)
        x = problem.project(x + step, {})
    assert state[0].min() >= -1 - 0.9 * problem.slope
    assert (x < -0.97).all()
