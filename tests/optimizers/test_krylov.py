"""Lanczos, and the saddle-free Newton step in its subspace."""

from __future__ import annotations

import pytest
import torch

from benchmarks.engine.cell import POINTS, _chunk
from benchmarks.engine.instances import Instances
from optimizers.clip import Clip
from optimizers.krylov_saddle_free_newton import KrylovSaddleFreeNewton
from optimizers.lanczos import lanczos
from optimizers.saddle_free_newton import SaddleFreeNewton
from optimizers.sgd import SGD
from problems import PROBLEMS

WIDE, CONDITION = 200, 2000.0


def indefinite(*shape: int, dim: int, condition: float, seed: int = 0) -> torch.Tensor:
    """Symmetric matrices with |λ| from 1/condition to 1, log-uniform, of random signs, in a random basis."""
    generator = torch.Generator().manual_seed(seed)
    square = torch.randn(*shape, dim, dim, generator=generator, dtype=torch.float64)
    basis, _ = torch.linalg.qr(square)
    sizes = condition ** -torch.linspace(0, 1, dim, dtype=torch.float64)
    signs = torch.randint(0, 2, (*shape, dim), generator=generator) * 2 - 1
    return (basis * (sizes * signs).unsqueeze(-2)) @ basis.mT


def normal(*shape: int, seed: int = 1) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Products:
    """Products with given matrices, and for how many runs each was asked."""

    def __init__(self, matrix: torch.Tensor):
        self.matrix = matrix
        self.asked = torch.zeros(matrix.shape[:-2])

    def __call__(self, vector, who):
        self.asked += who[..., 0]
        assert (vector[~who[..., 0]] == 0).all()
        return torch.einsum("...ij,...j->...i", self.matrix, vector)


def everyone(vector: torch.Tensor) -> torch.Tensor:
    return torch.ones_like(vector[..., :1], dtype=torch.bool)


def plain_lanczos(matrix, start, steps):
    """The three-term recurrence of the textbook, one run, nothing orthogonalised again."""
    vector, before, beside = start / start.norm(), torch.zeros_like(start), 0.0
    basis, diagonal, off = [], [], []
    for _ in range(steps):
        basis.append(vector)
        product = matrix @ vector - beside * before
        diagonal.append(vector @ product)
        product = product - diagonal[-1] * vector
        beside = product.norm()
        off.append(beside)
        before, vector = vector, product / beside
    off = torch.stack(off[:-1])
    tridiagonal = torch.diag(torch.stack(diagonal)) + torch.diag(off, 1) + torch.diag(off, -1)
    return torch.stack(basis), tridiagonal


def away_from_orthonormal(basis: torch.Tensor) -> float:
    eye = torch.eye(basis.shape[-2], dtype=basis.dtype)
    return (basis @ basis.mT - eye).abs().max().item()


def saddle_free_direction(matrix, gradient, basis, tridiagonal):
    """Vᵀ |T|⁻¹ V g, with f(T) by its eigenvectors."""
    curvatures, axes = torch.linalg.eigh(tridiagonal)
    return basis.mT @ (axes @ ((axes.mT @ (basis @ gradient)) / curvatures.abs()))


# Lanczos.


def test_is_the_textbook_recurrence_while_that_is_exact():
    matrix, start = indefinite(dim=30, condition=10.0), normal(30)
    basis, tridiagonal = lanczos(Products(matrix), start, 6, everyone(start))
    plain_basis, plain = plain_lanczos(matrix, start, 6)
    torch.testing.assert_close(tridiagonal, plain, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(basis, plain_basis, rtol=1e-10, atol=1e-12)


def test_spans_the_krylov_space_and_shows_the_matrix_in_it():
    matrix = indefinite(3, 3, dim=12, condition=100.0)
    start = normal(3, 3, 12)
    basis, tridiagonal = lanczos(Products(matrix), start, 5, everyone(start))
    torch.testing.assert_close(basis @ matrix @ basis.mT, tridiagonal, rtol=0, atol=1e-14)
    powers = [start]
    for _ in range(4):
        powers.append(torch.einsum("...ij,...j->...i", matrix, powers[-1]))
    for power in powers:
        inside = torch.einsum("...ki,...k->...i", basis, (basis @ power.unsqueeze(-1))[..., 0])
        torch.testing.assert_close(inside, power, rtol=1e-10, atol=1e-12)


def test_stays_orthogonal_where_the_textbook_recurrence_does_not():
    matrix, start = indefinite(dim=WIDE, condition=CONDITION), normal(WIDE)
    basis, tridiagonal = lanczos(Products(matrix), start, 100, everyone(start))
    assert away_from_orthonormal(basis) < 1e-14
    assert (basis @ matrix @ basis.mT - tridiagonal).abs().max() < 1e-14
    plain_basis, plain = plain_lanczos(matrix, start, 100)
    assert away_from_orthonormal(plain_basis) > 0.1
    # Ghosts: what H has once, T has twice.
    largest = torch.linalg.eigvalsh(plain)[[-2, -1]]
    assert (largest[1] - largest[0]).abs() < 1e-6
    assert torch.linalg.eigvalsh(tridiagonal)[[-2, -1]].diff() > 1e-3


def test_the_whole_space_is_the_matrix_itself():
    matrix, start = indefinite(4, dim=WIDE, condition=CONDITION), normal(4, WIDE)
    basis, tridiagonal = lanczos(Products(matrix), start, WIDE, everyone(start))
    assert away_from_orthonormal(basis) < 1e-13
    torch.testing.assert_close(
        torch.linalg.eigvalsh(tridiagonal), torch.linalg.eigvalsh(matrix), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_two_curvatures_are_seen_by_two_products(dtype):
    """The space of g and H g is invariant: nothing is asked for beyond, and nothing is made up."""
    several = indefinite(3, dim=20, condition=1.0)  # curvatures 1 and −1
    matrix = several.to(dtype)
    matrix[1] = torch.eye(20)
    products, start = Products(matrix), normal(3, 20).to(dtype)
    basis, tridiagonal = lanczos(products, start, 8, everyone(start))
    assert products.asked.tolist() == [2, 1, 2]
    assert (basis[[0, 2], 2:] == 0).all() and (basis[1, 1:] == 0).all()
    assert (tridiagonal[[0, 2], 2:] == 0).all() and (tridiagonal[1, 1:] == 0).all()
    assert (tridiagonal == tridiagonal.mT).all()
    exact = torch.tensor([-1.0, 1.0], dtype=dtype)
    torch.testing.assert_close(torch.linalg.eigvalsh(tridiagonal[0, :2, :2]), exact)


@pytest.mark.parametrize(("share", "products"), [(1e-8, 3), (1e-13, 2)])
def test_what_is_hardly_there_is_asked_about_until_it_is_rounding(share, products):
    """A gradient along curvatures 1 and −1, and this little along a third."""
    asked = Products(torch.diag(torch.tensor([1.0, -1.0, 0.5, 0.2], dtype=torch.float64)))
    start = torch.tensor([1.0, 1.0, share, 0.0], dtype=torch.float64)
    lanczos(asked, start, 4, everyone(start))
    assert asked.asked == products


def test_runs_that_do_not_go_are_not_asked_about():
    matrix, start = indefinite(3, dim=6, condition=10.0), normal(3, 6)
    start[1] = 0.0  # no gradient
    going = torch.tensor([[True], [True], [False]])
    products = Products(matrix)
    basis, _ = lanczos(products, start, 4, going)
    assert products.asked.tolist() == [4, 0, 0]
    assert (basis[1:] == 0).all()


def test_the_mask_is_a_function_of_each_run_alone():
    matrix = indefinite(2, dim=20, condition=1.0)
    matrix[1] = indefinite(dim=20, condition=50.0, seed=4)
    start = normal(2, 20)
    together = lanczos(Products(matrix), start, 9, everyone(start))
    for run in range(2):
        alone = lanczos(Products(matrix[run]), start[run], 9, everyone(start[run]))
        for ours, single in zip(together, alone, strict=True):
            torch.testing.assert_close(ours[run], single, rtol=0, atol=1e-13)


# The method.


def curved(x, data):
    """Half a quadratic form, and a little more than that."""
    bent = torch.einsum("...i,...ij->...j", x, data["matrix"])
    return 0.5 * (x * bent).sum(-1) + 0.1 * x.cos().sum(-1)


def landscape(dim: int, condition: float = 100.0, instances: int = 3) -> dict:
    return {
        "matrix": indefinite(instances, 1, dim=dim, condition=condition),
        "start": normal(instances, 1, dim),
    }


@pytest.mark.parametrize(("dim", "subspace"), [(3, 3), (12, 12), (12, 40)])
def test_a_full_subspace_is_saddle_free_newton(walk, dim, subspace):
    """3 × 3 runs with their own rates and dampings, on indefinite Hessians."""
    data = landscape(dim)
    values = {
        "lr": torch.tensor([[0.3], [0.5], [1.0]], dtype=torch.float64),
        "damping": torch.tensor([[0.01], [0.1], [1.0]], dtype=torch.float64),
    }
    ours, exact = (
        walk(method.batched(values), curved, data, trials=3, steps=5).points
        for method in (KrylovSaddleFreeNewton(subspace=subspace), SaddleFreeNewton())
    )
    assert (ours[-1] - ours[0]).norm() > 1
    # Five steps apart, each of which multiplies what rounding has done by up to 1/0.01.
    torch.testing.assert_close(ours, exact, rtol=1e-8, atol=1e-8)


def test_the_step_is_that_of_the_projected_model(walk):
    """With k < dim: the Krylov basis by QR of the powers, |·| by its own eigenvectors."""
    data = landscape(9)
    moved = walk(KrylovSaddleFreeNewton(0.7, 0.2, subspace=3), curved, data, steps=1).points
    for instance in range(3):
        start, matrix = data["start"][instance, 0], data["matrix"][instance, 0]
        gradient = matrix @ start - 0.1 * start.sin()
        hessian = matrix - 0.1 * torch.diag(start.cos())
        powers = torch.stack([gradient, hessian @ gradient, hessian @ hessian @ gradient], 1)
        Q, _ = torch.linalg.qr(powers)
        curvatures, axes = torch.linalg.eigh(Q.T @ hessian @ Q)
        axes = Q @ axes
        step = -0.7 * axes @ ((axes.T @ gradient) / (curvatures.abs() + 0.2))
        torch.testing.assert_close(moved[1, instance, 0] - start, step, rtol=1e-9, atol=1e-11)


def test_lies_beside_the_exact_direction_the_more_so_the_larger_the_subspace():
    """Dimension 200, curvatures of both signs, condition 2000; the mean of 5 draws."""
    found = {10: [], 25: [], 50: [], 100: [], 200: []}
    for seed in range(5):
        matrix = indefinite(dim=WIDE, condition=CONDITION, seed=seed)
        gradient = normal(WIDE, seed=seed + 100)
        curvatures, axes = torch.linalg.eigh(matrix)
        exact = axes @ ((axes.mT @ gradient) / curvatures.abs())
        for steps, cosines in found.items():
            space = lanczos(Products(matrix), gradient, steps, everyone(gradient))
            step = saddle_free_direction(matrix, gradient, *space)
            cosines.append(torch.nn.functional.cosine_similarity(step, exact, dim=0).item())
    cosines = [sum(each) / 5 for each in found.values()]
    assert cosines == sorted(cosines)
    assert cosines[0] < 0.7 and cosines[-1] == pytest.approx(1, abs=1e-10)


def test_leaves_a_saddle(walk, start):
    def saddle(x, data):
        """½x² − ½y² + ¼y⁴, and a bowl in six further coordinates."""
        y = x[..., 1]
        return 0.5 * x.square().sum(-1) - y**2 + 0.25 * y**4

    points = walk(
        KrylovSaddleFreeNewton(subspace=2), saddle, start(1.0, 1e-6, 1, 1, 1, 1, 1, 1), steps=100
    ).points
    expected = torch.tensor([0.0, 1.0, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(points[-1].flatten(), expected, rtol=0, atol=1e-8)


# What it costs.


@pytest.mark.parametrize(("subspace", "dim", "price"), [(1, 9, 3), (4, 9, 9), (10, 9, 19)])
def test_a_step_costs_its_gradient_and_its_products(walk, subspace, dim, price):
    data = landscape(dim)
    prices = walk(KrylovSaddleFreeNewton(subspace=subspace), curved, data, steps=2).prices
    assert prices.unique().tolist() == [price]


def test_products_end_where_the_subspace_does(walk, start):
    """At a bowl's side H g is along g: one product, and the minimum."""
    walked = walk(
        KrylovSaddleFreeNewton(damping=1e-9),
        lambda x, data: x.square().sum(-1),
        start(1.0, 2.0, 3.0, 4.0, 5.0),
        steps=1,
    )
    assert walked.prices.item() == 1 + 2
    assert walked.points[-1].norm() < 1e-8


def test_a_run_without_a_gradient_pays_for_no_product(walk):
    data = landscape(6)
    data["start"][1] = 0.0
    prices = walk(KrylovSaddleFreeNewton(subspace=3), curved, data, steps=1).prices
    assert prices.flatten().tolist() == [7, 1, 7]


@pytest.mark.parametrize(
    ("method", "vectors"),
    [
        (SGD(), 1),
        (SaddleFreeNewton(), 145),
        (KrylovSaddleFreeNewton(subspace=10), 10),
        (KrylovSaddleFreeNewton(subspace=500), 145),
        (Clip(KrylovSaddleFreeNewton(subspace=10)), 10),
        (Clip(SaddleFreeNewton()), 145),
    ],
)
def test_as_many_trials_run_at_a_time_as_its_vectors_leave_room_for(monkeypatch, method, vectors):
    instances = Instances(PROBLEMS["digits_mlp"], ("a", "b"))
    monkeypatch.setattr("benchmarks.engine.cell.MEMORY", 8 * 2 * 145 * 8 * 145 * 7)  # 7 Hessians
    monkeypatch.setitem(POINTS, "cpu", 2**24)
    assert _chunk(method, instances) == 7 * 145 // vectors
