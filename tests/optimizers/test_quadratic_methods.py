"""Methods that are the best on quadratics: the bounds they attain, and where they must not be trusted."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from benchmarks.engine.instances import Instances
from optimizers import OPTIMIZERS, NotApplicable, Optimizer
from optimizers.chebyshev import Chebyshev
from optimizers.conjugate_gradient import ConjugateGradient
from optimizers.momentum import Momentum, Nesterov
from optimizers.optimal_momentum import OptimalHeavyBall, OptimalNesterov
from optimizers.wrapper import OracleView
from problems.ill_conditioning.quadratic import Quadratic
from problems.limits.nesterov_strongly_convex import NesterovStronglyConvex
from problems.limits.nesterov_worst import NesterovWorst

CYCLE = [792 / 1225, -2208 / 1225, 2592 / 1225]
ORACLES = ["optimal_heavy_ball", "optimal_nesterov", "chebyshev"]


@dataclass(frozen=True)
class Told(Optimizer):
    """A method that is told these curvatures instead of those at the start."""

    inner: Optimizer
    low: float
    high: float

    def init(self, x):
        return self.inner.init(x)

    def update(self, oracle, state):
        return self.inner.update(_Telling(oracle, self.low, self.high), state)


class _Telling(OracleView):
    def __init__(self, oracle, low, high):
        super().__init__(oracle)
        self._told = low, high

    @property
    def spectrum(self) -> tuple[torch.Tensor, torch.Tensor]:
        low, high = (torch.full_like(self.x[..., :1], each) for each in self._told)
        return low, high


@pytest.fixture
def descend(walk):
    """The points (steps + 1, 2, 1, dim) on two instances of a problem, and their data."""

    def along(optimizer, problem, steps):
        data = Instances(problem, ("a", "b")).data
        return walk(optimizer, problem.loss, data, steps=steps).points, data

    return along


def bowl(*curvatures):
    """½ Σ curvature · x²."""
    return lambda x, data: 0.5 * (x.new_tensor(curvatures) * x.square()).sum(-1)


def kinked(x, data):
    """Lessard's loss, of curvature 25, 1 and 25, whose slopes are 25x, x + 24 and 25x − 24."""
    left, middle, right = 12.5 * x**2, 0.5 * x**2 + 24 * x - 12, 12.5 * x**2 - 24 * x + 36
    return torch.where(x < 1, left, torch.where(x < 2, middle, right)).sum(-1)


def test_heavy_ball_attains_nesterovs_bound_exactly(descend):
    """Its t-th point is the first t coordinates of the solution: |x_t − x*|² = q^2t |x₀ − x*|².

    The class is that of curvatures from 1/Q to 1; those of 400 links reach from 1.0015/Q.
    """
    problem = NesterovStronglyConvex(dim=400, condition=100.0)
    points, data = descend(Told(OptimalHeavyBall(), 1 / 100, 1.0), problem, 60)
    way = points - data["start"]
    exact = problem.solution() * torch.ones(61, 400, dtype=way.dtype).tril(-1)
    # Beside a start of size 1 to 4; what rounding leaves on the far side is not amplified.
    torch.testing.assert_close(way, exact[:, None, None].expand_as(way), rtol=0, atol=1e-14)
    square = (points - data["minimizer"]).square().sum(-1)
    bound = problem.decay ** (2 * torch.arange(61.0, dtype=square.dtype))
    ratio = square / square[0] / bound[:, None, None]
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=1e-6, atol=0)


def test_heavy_ball_is_momentum_at_polyaks_constants(walk, draw):
    curvatures = (0.04, 0.3, 1.0)  # √κ = 5: lr = 4/1.2², β = (4/6)²
    ours = walk(OptimalHeavyBall(), bowl(*curvatures), draw()).points
    theirs = walk(Momentum(4 / 1.44, 4 / 9), bowl(*curvatures), draw()).points
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)  # another order of operations


@pytest.mark.parametrize(
    "heavy_ball", [Momentum(1 / 9, 4 / 9), Told(OptimalHeavyBall(), 1.0, 25.0)]
)
def test_heavy_ball_cycles_off_the_quadratics(walk, start, heavy_ball):
    """Lessard, Recht & Packard 2016: three points for ever, though the minimum at 0 is the only one."""
    points = walk(heavy_ball, kinked, start(3.3), steps=300).points.flatten()
    assert sorted(points[-3:].tolist()) == pytest.approx(sorted(CYCLE), abs=1e-6)
    assert points[-6:-3].tolist() == pytest.approx(points[-3:].tolist(), abs=1e-6)


def test_nesterov_stores_the_iterate_and_asks_at_the_point_ahead(walk, draw):
    """x_{t+1} = y_t − g(y_t)/L, where the y_t are the points that torch's form stores."""
    curvatures = torch.tensor([0.04, 0.3, 1.0], dtype=torch.float64)
    ours = walk(OptimalNesterov(), bowl(*curvatures), draw()).points
    ahead = walk(Nesterov(1.0, 4 / 6), bowl(*curvatures), draw()).points
    # 200 steps in another order of operations.
    torch.testing.assert_close(ours[1:], ahead[:-1] * (1 - curvatures), rtol=1e-10, atol=1e-12)
    assert not torch.allclose(ours[5], ahead[5], rtol=1e-2)


@pytest.mark.parametrize("kappa", [4.0, 100.0, 1e4])
def test_the_flattest_mode_of_momentum(walk, start, kappa):
    """Its two roots coincide, so that the error is a line in t times a power of t."""
    t, root = torch.arange(101.0, dtype=torch.float64), math.sqrt(kappa)
    q = (root - 1) / (root + 1)
    heavy_ball = (1 + 2 * t / (root + 1)) * q**t
    nesterov = (1 + t / root) * (1 - 1 / root) ** t
    for method, exact in ((OptimalHeavyBall(), heavy_ball), (OptimalNesterov(), nesterov)):
        points = walk(method, bowl(1 / kappa, 1.0), start(1.0, 1.0), steps=100).points
        # 100 steps of rounding, which a double root enlarges by √κ.
        torch.testing.assert_close(points[:, 0, 0, 0], exact, rtol=1e-9, atol=1e-14)


def test_nesterovs_iterates_keep_the_bound_off_the_quadratics_too(walk, draw):
    """Curvature 1 within the unit ball of each coordinate, and 100 beyond."""

    def steep_outside(x, data):
        return 0.5 * (x.square() + 99 * (x.abs() - 1).clamp(min=0).square()).sum(-1)

    data = draw()
    data["start"] = 3 * data["start"]
    points = walk(Told(OptimalNesterov(), 1.0, 100.0), steep_outside, data, steps=60).points
    gap = steep_outside(points, data)
    first = gap[0] + 0.5 * points[0].square().sum(-1)
    share = (1 - 1 / 10) ** torch.arange(61.0, dtype=gap.dtype)
    assert (gap <= first * share[:, None, None]).all()
    assert (gap[30] > 1e-6 * first).all()  # not by far


@pytest.mark.parametrize(
    "problem", [NesterovStronglyConvex(condition=100.0), Quadratic(condition=100.0)]
)
def test_nesterovs_iterates_keep_the_bound(descend, problem):
    points, data = descend(Told(OptimalNesterov(), 1 / 100, 1.0), problem, 60)
    gap = problem.loss(points, data) - getattr(problem, "lowest", lambda: 0.0)()
    first = gap[0] + 0.005 * (points[0] - data["minimizer"]).square().sum(-1)
    share = (1 - 1 / 10) ** torch.arange(61.0, dtype=gap.dtype)
    assert (gap <= first * share[:, None, None]).all()


@pytest.mark.parametrize("kappa", [4.0, 100.0, 1e4])
def test_chebyshev_attains_its_bound_at_the_extreme_curvatures(walk, start, kappa):
    steps, ratio = 60, (math.sqrt(kappa) + 1) / (math.sqrt(kappa) - 1)
    points = walk(Chebyshev(), bowl(1 / kappa, 0.5, 1.0), start(1.0, 1.0, 1.0), steps=steps).points
    t = torch.arange(steps + 1.0, dtype=torch.float64)
    left, bound = points[:, 0, 0].abs(), 2 / (ratio**t + ratio**-t)
    # Beside a start of 1 sixty steps round off 1e-14, where the bound is down to 1e-6 and below.
    torch.testing.assert_close(left[:, 0], bound, rtol=1e-8, atol=1e-14)
    torch.testing.assert_close(left[:, 2], bound, rtol=1e-8, atol=1e-14)
    assert (left[:, 1] <= bound * (1 + 1e-8) + 1e-14).all()


def test_chebyshev_is_the_polynomial(walk, draw):
    """x_t − x* = T_t((L + μ − 2H)/(L − μ))/T_t((L + μ)/(L − μ)) (x₀ − x*), from the polynomials' definition."""
    data = draw()
    hessian = torch.einsum("...ji,...jk->...ik", data["matrix"].mT, data["matrix"].mT)

    def form(x, data):
        error = x - data["center"]
        return 0.5 * torch.einsum("...i,...ij,...j->...", error, hessian, error)

    points = walk(Chebyshev(), form, data, steps=30).points[:, :, 0]
    for k in range(3):
        curvatures, basis = np.linalg.eigh(hessian[k, 0].numpy())
        low, high = curvatures[0], curvatures[-1]
        error = (points[:, k] - data["center"][k, 0]).numpy() @ basis
        for t in range(31):
            unit = np.zeros(t + 1)
            unit[t] = 1
            above = np.polynomial.chebyshev.chebval(
                (high + low - 2 * curvatures) / (high - low), unit
            )
            below = np.polynomial.chebyshev.chebval((high + low) / (high - low), unit)
            # Conditions up to 1e5, of which the two recursions round differently.
            np.testing.assert_allclose(error[t], error[0] * above / below, rtol=1e-8, atol=1e-10)


def test_chebyshev_survives_a_single_curvature(walk, start):
    points = walk(Chebyshev(), bowl(3.0, 3.0), start(1.0, -2.0), steps=5).points
    assert points[1:].abs().max() < 1e-15


@pytest.mark.parametrize(
    ("horizon", "stated"), [(5, 1.1383), (20, 1.0367), (50, 1.0149), (100, 1.0075)]
)
def test_conjugate_gradients_attain_nesterovs_bound(descend, horizon, stated):
    """Nesterov 2004, theorem 2.1.7, whose bound no sum of gradients can get below."""
    problem = NesterovWorst(horizon=horizon)
    points, data = descend(ConjugateGradient(), problem, horizon)
    gap = problem.loss(points[-1], data) - problem.lowest()
    square = (data["start"] - data["minimizer"]).square().sum(-1)
    ratio = gap * 32 * (horizon + 1) ** 2 / (3 * square)
    assert ratio.flatten().tolist() == pytest.approx([stated] * 2, abs=5e-5)  # its last digit
    exact = (1 / (horizon + 1) - 1 / (problem.dim + 1)) / 8
    # The gap is the difference of losses of 1/8; 1e-15 of them is 1e-12 of it.
    assert gap.flatten().tolist() == pytest.approx([exact] * 2, rel=1e-10)


@pytest.mark.parametrize("distinct", [1, 2, 3, 5])
def test_conjugate_gradients_need_a_step_for_each_distinct_curvature(walk, draw, distinct):
    data = draw(dim=12)
    curvatures = [1.0 + 3 * (k % distinct) for k in range(12)]
    left = walk(ConjugateGradient(), bowl(*curvatures), data, steps=distinct).points.norm(dim=-1)
    assert (left[-1] < 1e-12).all()
    assert (left[-2] > 1e-4).all()


def test_conjugate_gradients_need_two_steps_on_two_clusters(descend):
    problem = Quadratic(condition=1e3, spectrum="two_cluster")
    points, data = descend(ConjugateGradient(), problem, 2)
    gap = problem.loss(points, data)
    assert (gap[2] < 1e-16 * gap[0]).all()  # rounding, squared, of a condition of 1e3
    assert (gap[1] > 1e-3 * gap[0]).all()


def test_conjugate_gradients_are_those_of_scipy(descend):
    problem = Quadratic(dim=100, condition=100.0)
    points, data = descend(ConjugateGradient(), problem, 20)
    for k in range(2):
        hessian = data["hessian"][k, 0].numpy()
        seen = [data["start"][k, 0].numpy()]
        scipy.sparse.linalg.cg(
            hessian, hessian @ data["minimizer"][k, 0].numpy(), x0=seen[0], rtol=0, maxiter=20,
            callback=lambda x, seen=seen: seen.append(x.copy()),
        )  # fmt: skip
        # scipy carries the residual along, and 20 steps are too few to lose conjugacy: that would cost all digits.
        np.testing.assert_allclose(points[:, k, 0].numpy(), np.stack(seen), rtol=0, atol=1e-12)


def test_conjugate_gradients_stay_where_no_minimum_lies_ahead(walk, start):
    points = walk(ConjugateGradient(), bowl(-1.0, -2.0), start(1.0, 1.0), steps=3).points
    assert torch.equal(points, points[:1].expand_as(points))


@pytest.mark.parametrize("name", ORACLES)
def test_needs_a_curvature_that_is_positive(walk, start, name):
    with pytest.raises(NotApplicable):
        walk(OPTIMIZERS[name], bowl(1.0, -1.0), start(1.0, 1.0), steps=1)


@pytest.mark.parametrize(
    ("name", "price"),
    [*((name, 1) for name in ORACLES), ("conjugate_gradient", 1 + 2)],
)
def test_price_of_a_step(walk, draw, valley, name, price):
    """A gradient, wherever it is asked; conjugate gradients need a product with the Hessian, 2."""
    prices = walk(OPTIMIZERS[name], valley, draw(), steps=5).prices
    torch.testing.assert_close(prices, torch.full_like(prices, price))


def test_a_solved_run_asks_for_no_product(walk, start):
    data = {"start": torch.tensor([[[0.0, 0.0]], [[1.0, 2.0]]], dtype=torch.float64)}
    prices = walk(ConjugateGradient(), bowl(1.0, 3.0), data, steps=1).prices
    assert prices.flatten().tolist() == [1.0, 3.0]
