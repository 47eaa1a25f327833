"""Truncated conjugate gradients in a trust region: against scipy's, and where it must not stay."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.optimize
import torch
from scipy.optimize._trustregion_ncg import CGSteihaugSubproblem

from optimizers.newton_cg import NewtonCG

LOSS = 1 / 3


class Absolute(NewtonCG):
    """As scipy has it: systems are solved to √|g|, whatever the first gradient was."""

    def init(self, x):
        radius, first = super().init(x)
        return radius, torch.ones_like(first)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrices(kind: str, count: int, dim: int, seed: int = 0) -> torch.Tensor:
    """Symmetric (count, dim, dim), |λ| from 1/30 to 1."""
    basis, _ = torch.linalg.qr(normal(count, dim, dim, seed=seed))
    curvatures = 30.0 ** -torch.linspace(0, 1, dim, dtype=torch.float64)
    signs = {
        "definite": torch.ones(dim),
        "indefinite": torch.ones(dim).index_fill(0, torch.tensor([1, 4]), -1.0),
        "slightly": torch.ones(dim).index_fill(0, torch.tensor([dim - 1]), -1.0),
        "negative": -torch.ones(dim),
    }[kind]
    return (basis * (curvatures * signs)) @ basis.mT


def form(x, data):
    """½ xᵀ H x + gᵀ x."""
    bent = torch.einsum("...i,...ij->...j", x, data["matrix"])
    return (x * (0.5 * bent + data["slope"])).sum(-1)


def scipy_step(matrix, slope, radius):
    sub = CGSteihaugSubproblem(
        np.zeros(len(slope)),
        lambda x: slope @ x + 0.5 * x @ matrix @ x,
        lambda x: slope + matrix @ x,
        hessp=lambda x, v: matrix @ v,
    )
    return sub.solve(radius)


@pytest.mark.parametrize("kind", ["definite", "indefinite", "slightly", "negative"])
@pytest.mark.parametrize("size", [1.0, 1e-2, 1e-5])
def test_a_step_is_scipys(walk, kind, size):
    """8 × 6 runs: small regions and large ones, exact systems (a small gradient) and rough ones."""
    count, dim, radii = 8, 12, [0.03 * size, 0.3 * size, size, 3 * size, 10 * size, 100 * size]
    data = {
        "matrix": matrices(kind, count, dim).unsqueeze(1),
        "slope": size * normal(count, 1, dim, seed=1) / dim**0.5,
        "start": torch.zeros(count, 1, dim, dtype=torch.float64),
    }
    values = {"radius": torch.tensor(radii, dtype=torch.float64).unsqueeze(-1)}
    walked = walk(Absolute().batched(values), form, data, trials=len(radii), steps=1)
    steps, borders = walked.points[1], []
    for run in range(count):
        matrix, slope = data["matrix"][run, 0].numpy(), data["slope"][run, 0].numpy()
        for trial, radius in enumerate(radii):
            expected, on_border = scipy_step(matrix, slope, radius)
            borders.append(on_border)
            np.testing.assert_allclose(
                steps[run, trial].numpy(), expected, rtol=1e-8, atol=1e-8 * size
            )
            # On a quadratic ρ = 1: the region grows where its border held the step back.
            after, _ = walked.state
            assert after[run, trial].item() == pytest.approx(radius * (1 + on_border))
    if kind == "definite":
        assert 0 < sum(borders) < len(borders)
    elif kind == "negative":
        assert all(borders)


def rosenbrock(x, data):
    return (100 * (x[..., 1:] - x[..., :-1] ** 2) ** 2 + (1 - x[..., :-1]) ** 2).sum(-1)


def numbers(function):
    """A loss as scipy calls it: value, gradient, Hessian-vector product."""

    def at(x):
        return torch.tensor(x, dtype=torch.float64, requires_grad=True)

    def gradient(x):
        point = at(x)
        return torch.autograd.grad(function(point, {}), point)[0].numpy()

    def product(x, vector):
        point = at(x)
        (slope,) = torch.autograd.grad(function(point, {}), point, create_graph=True)
        return torch.autograd.grad(slope, point, torch.as_tensor(vector))[0].numpy()

    return lambda x: function(at(x), {}).item(), gradient, product


@pytest.mark.parametrize("first", [(-1.2, 1.0), (0.5, -1.0, 2.0), (1.3, 0.7, 0.8, 1.9, 1.2)])
def test_goes_scipys_way_to_the_bottom_of_the_banana(walk, start, first):
    loss, gradient, product = numbers(rosenbrock)
    visited = [np.array(first)]
    scipys = scipy.optimize.minimize(
        loss, visited[0], method="trust-ncg", jac=gradient, hessp=product,
        callback=lambda x: visited.append(x.copy()),
        options={"initial_trust_radius": 1.0, "max_trust_radius": 1e9, "gtol": 1e-5},
    )  # fmt: skip
    ours = walk(Absolute(radius=1.0), rosenbrock, start(*first), steps=len(visited) + 20).points
    path = ours[: len(visited), 0, 0].numpy()
    # The curved valley multiplies rounding; a decision other than scipy's would show in the first digit.
    np.testing.assert_allclose(path, np.stack(visited), rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(ours[-1, 0, 0].numpy(), scipys.x, atol=1e-5)  # scipy stopped there
    np.testing.assert_allclose(ours[-1, 0, 0].numpy(), 1.0, atol=1e-9)


def saddle(x, data):
    """½x² − ½y² + ¼y⁴."""
    x, y = x.unbind(-1)
    return 0.5 * x**2 - 0.5 * y**2 + 0.25 * y**4


def test_leaves_a_saddle_and_stays_exactly_on_it(walk, start):
    points = walk(NewtonCG(), saddle, start(1.0, 1e-6), steps=60).points
    torch.testing.assert_close(points[-1].flatten().tolist(), [0.0, 1.0], rtol=0, atol=1e-9)
    assert (saddle(points, {}).diff(dim=0) <= 0).all()
    there = walk(NewtonCG(), saddle, start(0.0, 0.0), steps=3)
    assert (there.points == 0).all()
    assert there.prices.flatten().tolist() == [1, 1, 1]  # nor does it ask for a product
    # Without a component along the negative curvature, no product shows it.
    assert walk(NewtonCG(), saddle, start(1.0, 0.0), steps=60).points[-1].norm() < 1e-9


def test_along_negative_curvature_it_goes_to_the_border(walk, start):
    points = walk(
        NewtonCG(radius=0.25), lambda x, data: -0.5 * x.square().sum(-1), start(3.0, 4.0), steps=3
    ).points
    lengths = points.diff(dim=0).norm(dim=-1).flatten().tolist()
    assert lengths == pytest.approx([0.25, 0.5, 1.0])
    torch.testing.assert_close(points[3] / points[0], torch.full_like(points[0], 1 + 1.75 / 5))


def test_the_radius_follows_the_gain(walk, start):
    """On x⁴ − at 1: g = 4, H = 12 − the model foretells ⅔, and 1 − (⅔)⁴ = .80 is gained."""
    walked = walk(NewtonCG(radius=5.0), lambda x, data: x.pow(4).sum(-1), start(1.0), steps=1)
    assert walked.points[1].item() == pytest.approx(2 / 3)
    assert walked.state[0].item() == 5.0
    # cosh 2x at 3: the border at 0.1 holds it back, and the gain is nearly as foretold.
    cosh = walk(NewtonCG(radius=0.1), lambda x, data: (2 * x).cosh().sum(-1), start(3.0), steps=1)
    assert cosh.points[1].item() == pytest.approx(2.9)
    assert cosh.state[0].item() == pytest.approx(0.2)
    # log cosh at 2: Newton's step leads to −11.6, where the loss is higher: not taken.
    steep = walk(NewtonCG(radius=100.0), log_cosh, start(2.0), steps=1)
    assert steep.points[1].item() == 2.0
    assert steep.state[0].item() == 25.0


def log_cosh(x, data):
    return torch.logaddexp(x, -x).sum(-1)


def test_converges_beyond_the_rounding_of_the_loss(walk, start):
    """Beside 1e3 a gain below 1e-13 is not seen in the loss; the gradient still goes to zero."""
    points = walk(
        NewtonCG(), lambda x, data: 1e3 + (x.cosh() - 1).sum(-1), start(1.0), steps=30
    ).points
    assert points[-1].abs() < 1e-12


def test_a_huge_radius_does_not_overflow(walk, start):
    data = start(1.0, 2.0)
    data["start"] = data["start"].float()
    points = walk(NewtonCG(), lambda x, data: -x.sum(-1), data, steps=150).points
    assert points.isfinite().all()
    assert (points.diff(dim=0) >= 0).all()


# What it costs.


def test_each_run_pays_for_its_own_products(walk):
    """Curvature 1 takes one product, 1 and 2 two; the last gradient is small, so both are exact."""
    dim = 6
    two = torch.ones(dim, dtype=torch.float64).index_fill(0, torch.tensor([0, 1]), 2.0)
    one = torch.ones_like(two)
    data = {
        "matrix": torch.stack([torch.diag(one), torch.diag(two), torch.diag(two)]).unsqueeze(1),
        "slope": 1e-4 * torch.stack([one, one, 0 * one]).unsqueeze(1),
        "start": torch.zeros(3, 1, dim, dtype=torch.float64),
    }
    prices = walk(Absolute(), form, data, steps=1).prices
    # Gradient, products, the loss at the point tried; where there is no step, nothing is tried.
    assert prices.flatten().tolist() == pytest.approx([1 + 2 + LOSS, 1 + 4 + LOSS, 1])


def test_a_rejected_step_pays_for_its_products_again_but_not_for_the_gradient(walk, start):
    """At 2, steps on log cosh to −11.6 and, within 6 and 1.5, to −4 and 0.5: the third is taken."""
    walked = walk(NewtonCG(radius=24.0), log_cosh, start(2.0), steps=4)
    assert walked.points[:4].flatten().tolist() == pytest.approx([2.0, 2.0, 2.0, 0.5])
    assert walked.prices.flatten().tolist() == pytest.approx(
        [1 + 2 + LOSS, 2 + LOSS, 2 + LOSS, 2 / 3 + 2 + LOSS]
    )


def test_the_loss_s_height_changes_nothing(walk, start):
    """How exactly a system is solved is judged by the first gradient."""
    paths = [
        walk(
            NewtonCG(),
            lambda x, data, c=c: c * rosenbrock(x, data),
            start(0.5, -1.0, 2.0),
            steps=15,
        )
        for c in (1.0, 1e-6, 1e6)
    ]
    for path in paths[1:]:
        # Rounding, multiplied by the curved valley.
        torch.testing.assert_close(path.points, paths[0].points, rtol=1e-6, atol=1e-8)
        assert torch.equal(path.prices, paths[0].prices)
