"""The trust region's step is the subproblem's solution, its path is scipy's, and no saddle holds it."""

from __future__ import annotations

import functools

import pytest
import torch
from scipy.optimize import minimize, rosen, rosen_der, rosen_hess

# The public function does not pass on how exactly the subproblem is to be solved.
from scipy.optimize._trustregion import _minimize_trust_region
from scipy.optimize._trustregion_exact import IterativeSubproblem

from optimizers import OPTIMIZERS
from optimizers.newton import Newton
from optimizers.secular import shifted_step
from optimizers.trust_region import TrustRegion
from problems.saddles.mexican_hat import BOUNDARY, MexicanHat

DIM, HESSIAN, LOSS = 3, 2 * 3, 1 / 3


def saddle(x, data):
    """½x² − ½y² + ¼y⁴: a saddle at 0, minima at (0, ±1)."""
    return 0.5 * x[..., 0] ** 2 - 0.5 * x[..., 1] ** 2 + 0.25 * x[..., 1] ** 4


def banana(x, data):
    here, after = x[..., :-1], x[..., 1:]
    return (100 * (after - here**2) ** 2 + (1 - here) ** 2).sum(-1)


# The subproblem.


def bisected_step(hessian, gradient, radius):
    """The step on the border by halving an interval of λ, without eigenvectors: (dim,)."""
    least = -torch.linalg.eigvalsh(hessian)[0].item()
    eye = torch.eye(len(gradient), dtype=torch.float64)

    def step(shift):
        return -torch.linalg.solve(hessian + shift * eye, gradient)

    if least < 0 and step(0.0).norm() <= radius:
        return step(0.0)
    low, high = max(least, 0.0), max(least, 0.0) + gradient.norm().item() / radius
    while high - low > 1e-15 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if step(middle).norm() > radius else (low, middle)
    return step(high)


@pytest.mark.parametrize("radius", [0.01, 0.3, 1.0, 10.0])
@pytest.mark.parametrize("dim", [1, 2, 5, 20])
def test_a_step_is_the_bisected_one(walk, dim, radius):
    generator = torch.Generator().manual_seed(dim)
    matrices = torch.randn(8, dim, dim, generator=generator, dtype=torch.float64)
    matrices[::2] = matrices[::2] @ matrices[::2].mT  # half of them positive definite
    hessians = 0.5 * (matrices + matrices.mT)
    gradients = torch.randn(8, dim, generator=generator, dtype=torch.float64)

    def quadratic(x, data):
        bent = torch.einsum("...i,...ij->...j", x, data["hessian"])
        return (x * (data["slope"] + 0.5 * bent)).sum(-1)

    data = {
        "start": torch.zeros(8, 1, dim, dtype=torch.float64),
        "hessian": hessians.unsqueeze(1),
        "slope": gradients.unsqueeze(1),
    }
    steps = walk(TrustRegion(radius), quadratic, data, steps=1).points[1, :, 0]
    expected = [bisected_step(*each, radius) for each in zip(hessians, gradients, strict=True)]
    torch.testing.assert_close(steps, torch.stack(expected), rtol=1e-8, atol=1e-8 * radius)


def spectra():
    """Eigenvalues and gradients that are hard to bring together, 60 of each kind: (kinds, 60, dim)."""
    generator = torch.Generator().manual_seed(0)
    normal = functools.partial(torch.randn, generator=generator, dtype=torch.float64)
    count, dim = 60, 6
    values = normal(count, dim)
    scales = 10 ** (4 * normal(count, dim))
    whole = normal(count, dim)
    faint = whole.clone()
    faint[:, 0] *= 1e-12
    none = whole.clone()
    none[:, :2] = 0.0
    kinds = [
        (values, whole),
        (values.abs(), whole),
        (values * scales, whole),
        (values, whole * scales),
        (values.sign(), whole),  # two eigenvalues, ±1
        (values.sign().clamp(min=0), whole),  # singular
        (torch.zeros_like(values), whole),  # linear
        (values, faint),
        (values, none),  # the hard case, at a large radius
        (values, torch.zeros_like(values)),
    ]
    eigenvalues, gradients = zip(*kinds, strict=True)
    return torch.stack(eigenvalues).sort(-1).values, torch.stack(gradients)


@pytest.mark.parametrize("size", [1e-6, 1e-2, 1.0, 1e2, 1e6])
@pytest.mark.parametrize("kind", ["radius", "slope"])
def test_the_shift_keeps_its_conditions(kind, size):
    """(Λ + λ) p = −g, Λ + λ ≥ 0, and |p| = radius + slope · λ unless λ = 0 and p is shorter."""
    eigenvalues, gradient = spectra()
    given = {"radius": 0.0, "slope": 0.0, kind: size}
    step, shift = shifted_step(eigenvalues, gradient, **given)
    assert step.isfinite().all()
    assert (shift >= (-eigenvalues[..., :1]).clamp(min=0)).all()
    scale = (eigenvalues.abs().amax(-1, keepdim=True) + shift) * step.abs() + gradient.norm(
        dim=-1, keepdim=True
    )
    # Of λ there are 16 digits, fewer of what it exceeds −λ₁ by.
    assert (((eigenvalues + shift) * step + gradient).abs() <= 1e-14 * scale).all()
    length, wanted = step.norm(dim=-1, keepdim=True), given["radius"] + given["slope"] * shift
    border = torch.isclose(length, wanted, rtol=1e-13, atol=0)
    assert (border | ((shift == 0) & (length < wanted))).all()


def test_close_to_the_hard_case_no_digits_are_lost():
    """g₁ = 10⁻ᵏ g₂, where the step without its first part is shorter than the radius by 1e-12 of it."""
    rest = 1 / 2  # of g = (·, 1) at Λ = (−1, 1)
    radius = rest * (1 + 1e-12)
    for k in range(1, 15):
        gradient = torch.tensor([10.0**-k, 1.0], dtype=torch.float64)
        eigenvalues = torch.tensor([-1.0, 1.0], dtype=torch.float64)
        step, shift = shifted_step(eigenvalues, gradient, radius)
        assert step.norm().item() == pytest.approx(radius, rel=1e-14)
        assert step[1].item() == pytest.approx(-1 / (1 + shift.item()), rel=1e-14)
        assert step[0] < 0  # downhill


def test_single_precision(walk, start):
    data = {name: each.float() for name, each in start(-1.2, 1.0).items()}
    points = walk(TrustRegion(), banana, data, steps=60).points
    assert points.dtype == torch.float32
    assert (points[-1] - 1).norm() < 1e-3


# The path.


class Afresh(IterativeSubproblem):
    """Solved to rounding, and each radius from the start.

    From the bounds on λ that a larger radius has left behind scipy does not come as near.
    """

    def __init__(self, *given, **options):
        super().__init__(*given, k_easy=1e-13, k_hard=1e-13, **options)

    def solve(self, tr_radius):
        self.previous_tr_radius = -1
        return super().solve(tr_radius)


@pytest.mark.parametrize("dim", [2, 5])
@pytest.mark.parametrize("seed", range(10))
def test_the_path_is_that_of_scipy(walk, dim, seed):
    x = torch.randn(dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    theirs = _minimize_trust_region(
        rosen, x.numpy(), jac=rosen_der, hess=rosen_hess, subproblem=Afresh, max_trust_radius=1e9,
        gtol=1e-6, subproblem_maxiter=1000, return_all=True,
    )  # fmt: skip
    expected = torch.stack([torch.from_numpy(each) for each in theirs.allvecs])
    ours = walk(TrustRegion(1.0), banana, {"start": x.view(1, 1, -1)}, steps=len(expected) - 1)
    torch.testing.assert_close(ours.points[:, 0, 0], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("dim", [2, 5])
def test_the_minimizer_is_that_of_scipy(walk, dim):
    starts = torch.tensor([[-1.2, 1.0] * 3, [0.0] * 6, [2.0] * 6], dtype=torch.float64)[:, :dim]
    ours = walk(TrustRegion(), banana, {"start": starts.unsqueeze(1)}, steps=60).points[-1, :, 0]
    for x, end in zip(starts, ours, strict=True):
        options = {"gtol": 1e-10}
        theirs = minimize(
            rosen, x.numpy(), jac=rosen_der, hess=rosen_hess, method="trust-exact", options=options
        )
        torch.testing.assert_close(end, torch.from_numpy(theirs.x), rtol=0, atol=1e-8)


def test_radius_and_steps_follow_the_ratio(walk, start):
    """On a slope the radius doubles; after a step that overshoots it is a fourth, whether it is taken or not."""
    slope = walk(TrustRegion(0.5), lambda x, data: x.sum(-1), start(0.0), steps=3)
    assert slope.points.flatten().tolist() == pytest.approx([0, -0.5, -1.5, -3.5])
    assert slope.state[0].item() == 4.0
    # From 3, where log cosh hardly bends, a step of 20 overshoots; one of 5 gains a fifth of 5.
    steep = walk(TrustRegion(20.0), log_cosh, start(3.0), steps=2)
    assert steep.points.flatten().tolist() == pytest.approx([3.0, 3.0, -2.0])
    assert steep.state[0].item() == 1.25
    # On a quadratic the model is exact, and the border is not reached.
    bowl = walk(TrustRegion(9.0), lambda x, data: 0.5 * x.square().sum(-1), start(3.0), steps=1)
    assert (bowl.points[1].item(), bowl.state[0].item()) == (0.0, 9.0)


# Saddles and maxima.


def test_leaves_a_saddle_from_exactly_beside_it(walk, start):
    """The hard case: at (1, 0) g has no part in the direction down."""
    points = walk(TrustRegion(1.0), saddle, start(1.0, 0.0), steps=30).points[:, 0, 0]
    beside = (points[1] - points[0]).abs().tolist()
    assert beside == pytest.approx([0.5, 0.75**0.5])  # −1/(1 + 1), and the rest of |s| = 1
    torch.testing.assert_close(points[-1].abs().tolist(), [0.0, 1.0], rtol=0, atol=1e-8)


def test_leaves_a_saddle_from_exactly_on_it(walk, start):
    """Where g = 0 there still is a direction down."""
    points = walk(TrustRegion(0.3), saddle, start(0.0, 0.0), steps=30).points[:, 0, 0]
    assert points[1].abs().tolist() == pytest.approx([0.0, 0.3])
    torch.testing.assert_close(points[-1].abs().tolist(), [0.0, 1.0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("power", [2, 4])
def test_stays_in_a_minimum_and_pays_no_look_around(walk, start, power):
    """H > 0, and H = 0, where nothing is known to lead away."""
    found = walk(TrustRegion(), lambda x, data: 1 + x.pow(power).sum(-1), start(0.0, 0.0), steps=3)
    assert not found.points.any()
    assert found.prices[0].item() == 1 + 2 * 2


def test_does_not_drift_along_a_flat_floor(walk, draw):
    """Eigenvalues that are zero but for rounding, of either sign, are no direction down."""
    normal = torch.tensor([0.3, -1.7, 0.9], dtype=torch.float64)
    for lift in (0.0, 1e3):
        points = walk(
            TrustRegion(),
            lambda x, data, lift=lift: lift + 0.5 * (x * normal).sum(-1) ** 2,
            draw(),
        ).points
        moved = points[-1] - points[0]
        across = (moved * normal).sum(-1, keepdim=True) * normal / normal.square().sum()
        torch.testing.assert_close(moved, across, rtol=0, atol=1e-12)
        assert ((points[-1] * normal).sum(-1).abs() < 1e-12).all()


def test_converges_beyond_the_rounding_of_the_loss(walk, start):
    """Beside 1e3 a gain below 1e-13 is not seen in the loss; the gradient still goes to zero."""
    points = walk(
        TrustRegion(), lambda x, data: 1e3 + (x.cosh() - 1).sum(-1), start(1.0), steps=30
    ).points
    assert points[-1].abs() < 1e-12


def climb(walk, optimizer, radii, steps=60):
    """How far from the top of a hat the runs are that start so far from it: (steps + 1, radii)."""
    hat = MexicanHat(dim=4)
    drawn = hat.example()
    starts = drawn["center"] + radii.view(-1, 1, 1) * drawn["direction"]
    data = {"start": starts, "center": drawn["center"].view(1, 1, -1)}
    points = walk(optimizer, hat.loss, data, steps=steps).points
    return (points - drawn["center"]).norm(dim=-1)[..., 0]


HILL = torch.linspace(0.01, BOUNDARY - 0.005, 40, dtype=torch.float64)


def test_newton_climbs_to_the_top_of_a_hat(walk):
    assert (climb(walk, Newton(), HILL)[-1] < 1e-12).all()


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("saddle_free_newton", [{"damping": damping} for damping in (1e-3, 0.1, 1.0)]),
        ("trust_region", [{"radius": radius} for radius in (1e-2, 1.0, 1e2)]),
        ("cubic_newton", [{"cubic": cubic} for cubic in (1e-3, 1.0, 1e3)]),
    ],
)
def test_others_go_down_to_the_brim(walk, name, values):
    for each in values:
        away = climb(walk, OPTIMIZERS[name].replace(**each), HILL)
        torch.testing.assert_close(away[-1], torch.ones_like(HILL), rtol=0, atol=1e-8)


# The price.


def test_price_of_a_step(walk, draw, valley):
    prices = walk(TrustRegion(0.1), valley, draw(), steps=3).prices
    torch.testing.assert_close(prices[0], torch.full_like(prices[0], 1 + HESSIAN + LOSS))
    torch.testing.assert_close(prices[1:], torch.full_like(prices[1:], 1 + HESSIAN))


def test_a_rejected_step_costs_a_look_at_the_loss(walk, start):
    steep = walk(TrustRegion(20.0), log_cosh, start(3.0), steps=3)
    assert steep.prices.flatten().tolist()[:2] == pytest.approx([1 + 2 + LOSS, LOSS])


def log_cosh(x, data):
    return torch.logaddexp(x, -x).sum(-1)
