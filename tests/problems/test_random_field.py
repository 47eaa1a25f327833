"""What is known about a Gaussian random field, measured on ours."""

from __future__ import annotations

import math

import pytest
import torch

from problems.saddles._certificates import random_field as evidence
from problems.saddles.random_field import RandomField
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(problem, count):
    return [problem.instance(generator(seed)) for seed in range(count)]


def stack(trees):
    return {name: torch.stack([tree[name] for tree in trees]).unsqueeze(1) for name in trees[0]}


def far_apart(problem, count, seed=0):
    """Points ten correlation lengths from the origin, and so about as far from each other."""
    return 10 * torch.randn(count, problem.dim, generator=generator(seed))


def momentum(problem, data, x, steps, lr=0.2, momentum=0.9):
    velocity = torch.zeros_like(x)
    for _ in range(steps):
        velocity = momentum * velocity + problem.value_and_gradient(x, data)[1]
        x = x - lr * velocity
    return x


def solved(problem, x, data):
    value, gradient = problem.value_and_gradient(x, data)
    return problem.solved(x, value, gradient, data)


# The field.


@pytest.mark.parametrize("dim", [2, 20])
def test_the_field_is_gaussian_with_unit_gradients(dim):
    """Variances N of f and 1 of each gradient's component, over 4000 points of 20 fields; nothing
    is correlated with anything."""
    problem = RandomField(dim=dim)
    values, gradients = zip(
        *(
            problem.value_and_gradient(far_apart(problem, 200, seed), data)
            for seed, data in enumerate(drawn(problem, 20))
        ),
        strict=True,
    )
    energies, gradients = torch.cat(values) / math.sqrt(dim), torch.cat(gradients)
    error = 5 / math.sqrt(4000)
    assert energies.mean().abs() < error
    assert energies.var() == pytest.approx(1, abs=1.5 * error)
    assert energies.pow(4).mean() == pytest.approx(3, abs=10 * error)
    assert gradients.var() == pytest.approx(1, abs=0.05)
    together = torch.cat([energies[:, None], gradients], -1).T
    assert (torch.corrcoef(together) - torch.eye(dim + 1)).abs().max() < error


def test_the_correlation_falls_with_the_square_of_the_distance():
    """E f(x) f(y) = N exp(−|x − y|²/2N)."""
    problem = RandomField(dim=10)
    for distance in (0.5, 1.0, 2.0):
        products = []
        for seed, data in enumerate(drawn(problem, 20)):
            x = far_apart(problem, 200, seed)
            y = x + distance * math.sqrt(10) * torch.nn.functional.normalize(
                torch.randn(x.shape, generator=generator(seed + 100)), dim=-1
            )
            products.append(problem.loss(x, data) * problem.loss(y, data) / 10)
        expected = math.exp(-(distance**2) / 2)
        assert torch.cat(products).mean() == pytest.approx(expected, abs=5 / math.sqrt(4000))


def test_the_hessian_is_a_random_matrix_shifted_by_the_energy():
    """H = GOE − (f/N) I: variance 1/N off the diagonal, 2/N on it, where the slope is −1."""
    problem, dim = RandomField(dim=20), 20
    energies, hessians = [], []
    for seed, data in enumerate(drawn(problem, 5)):
        x = far_apart(problem, 300, seed)
        energies.append(problem.loss(x, data) / dim)
        hessians.append(problem.hessian(x, data))
    energies, hessians = torch.cat(energies), torch.cat(hessians)
    diagonal = hessians.diagonal(dim1=-2, dim2=-1)
    centred = energies - energies.mean()
    slopes = (centred[:, None] * diagonal).sum(0) / centred.square().sum()
    assert slopes.mean() == pytest.approx(-1, abs=0.05)
    rest = diagonal + energies[:, None]
    above = hessians[:, *torch.triu_indices(dim, dim, 1)]
    assert dim * rest.var() == pytest.approx(2, abs=0.05)
    assert dim * above.var() == pytest.approx(1, abs=0.03)
    curvatures = torch.linalg.eigvalsh(hessians) + energies[:, None]
    # A semicircle's share within ±1 is ⅓ + √3/2π; its ends, ±2, are rounded at finite N.
    assert (curvatures.abs() < 1).double().mean() == pytest.approx(0.6090, abs=0.01)
    assert curvatures.abs().max() < 3


# The critical points.


def test_predicted_index():
    """Far below no direction goes down, at the mean half of them, far above all; the values between are
    those of a table."""
    problem = RandomField()
    energies = torch.tensor([-3.0, -2.0, -0.717, -0.137, 0.0, 0.416, 2.0, 3.0])
    expected = torch.tensor([0.0, 0.0, 0.277, 0.456, 0.5, 0.631, 1.0, 1.0])
    torch.testing.assert_close(
        evidence.predicted_index(problem, energies), expected, rtol=0, atol=6e-4
    )


def test_the_index_of_critical_points_is_that_of_their_energy():
    """Bray & Dean 2007: F(ε/2) directions go down at energy ε."""
    problem = RandomField()
    found = [problem.find_critical_points(data, 120, generator(1)) for data in drawn(problem, 3)]
    points, energies, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
    assert len(points) > 150
    assert torch.corrcoef(torch.stack([energies, indices]))[0, 1] > 0.9
    assert (indices > 0).all()  # one critical point in 6e6 is a minimum
    difference = (indices - evidence.predicted_index(problem, energies))[energies.argsort()]
    bins = torch.stack([part.mean() for part in difference.chunk(6)])
    assert bins.square().mean().sqrt() < 0.02


@pytest.mark.slow
def test_the_index_of_many_critical_points_is_that_of_their_energy():
    problem = RandomField()
    found = [problem.find_critical_points(data, 250, generator(2)) for data in drawn(problem, 10)]
    _, energies, indices = (torch.cat(parts) for parts in zip(*found, strict=True))
    assert len(energies) > 1200
    assert torch.corrcoef(torch.stack([energies, indices]))[0, 1] > 0.93
    difference = (indices - evidence.predicted_index(problem, energies))[energies.argsort()]
    bins = torch.stack([part.mean() for part in difference.chunk(12)])
    assert bins.square().mean().sqrt() < 0.01


def test_critical_points_are_critical():
    problem = RandomField(dim=10)
    (data,) = drawn(problem, 1)
    points, energies, indices = problem.find_critical_points(data, 40, generator())
    assert 15 < len(points) < 40
    gradients = problem.value_and_gradient(points, data)[1]
    assert gradients.norm(dim=-1).max() < 1e-9
    torch.testing.assert_close(energies, problem.loss(points, data) / 10)
    curvatures = torch.linalg.eigvalsh(problem.hessian(points, data))
    torch.testing.assert_close(indices, (curvatures < 0).double().mean(-1))
    assert torch.pdist(points).min() > 1  # all different


def test_a_bowl_leaves_one_critical_point():
    """Fyodorov 2004: above 1 the number of critical points no longer grows exponentially."""
    problem = RandomField(dim=10, bowl=2.0)
    for data in drawn(problem, 3):
        points, _, indices = problem.find_critical_points(data, 20, generator())
        assert len(points) > 10
        assert torch.pdist(points).max() < 1e-6
        assert not indices.any()


# Where optimizers end.


@pytest.mark.parametrize("dim", RandomField.card.ladder)
def test_the_reference_ends_in_a_minimum_at_every_rung(dim):
    problem = RandomField(dim=int(dim))
    name, values = problem.card.reference
    assert name == "momentum"
    data = stack(drawn(problem, 5))
    end = momentum(problem, data, data["start"], 500, **values)
    assert solved(problem, end, data).all()
    assert (torch.linalg.eigvalsh(problem.hessian(end, data)) > 0).all()
    # Far above the level that stands in for the minimum, which is unknown.
    assert (problem.loss(end, data) > 0.75 * problem.floor(data)).all()


def test_newton_ends_in_saddles_and_with_absolute_curvatures_in_minima():
    """At dim 10: one critical point in 1622 is a minimum.

    Newton's path is chaotic, and its last digits are the machine's: of 15 starts 2 to 9 come
    to rest, of 60 some 24.
    """
    problem = RandomField(dim=10)
    data = stack(drawn(problem, 60))

    def ends(damping, absolute):
        x = data["start"]
        for _ in range(60):
            gradient = problem.value_and_gradient(x, data)[1]
            curvatures, basis = torch.linalg.eigh(problem.hessian(x, data))
            curvatures = curvatures.abs() if absolute else curvatures
            along = torch.einsum("...ij,...i->...j", basis, gradient) / (curvatures + damping)
            x = x - torch.einsum("...ij,...j->...i", basis, along)
        gradient = problem.value_and_gradient(x, data)[1]
        at_rest = gradient.norm(dim=-1) < 1e-6 * data["slope"]
        return at_rest.sum(), solved(problem, x, data).sum()

    at_rest, minima = ends(0.0, absolute=False)
    assert at_rest >= 16
    assert minima == 0
    at_rest, minima = ends(0.1, absolute=True)
    assert minima == at_rest >= 40


# What solved means.


def test_solved_is_rest_in_a_minimum():
    """Of four points, at rest in a minimum, at rest in a saddle, in a minimum's convex surroundings,
    and at the start, only the first is solved: whatever is computed beside it."""
    problem = RandomField(dim=10)
    trees = drawn(problem, 2)
    rows = []
    for tree in trees:
        minimum = momentum(problem, tree, tree["start"], 500)
        saddle = problem.find_critical_points(tree, 20, generator())[0][0]
        rows.append(torch.stack([minimum, saddle, minimum + 0.01, tree["start"]]))
    x, data = torch.stack(rows), stack(trees)
    assert solved(problem, x, data).tolist() == [[True, False, False, False]] * 2
    for row, tree in zip(rows, trees, strict=True):
        assert [bool(solved(problem, point, tree)) for point in row] == [True, False, False, False]
    value = problem.loss(x, data)
    assert not problem.solved(x, value, None, data).any()


# What is allowed, and what it costs.


def test_refuses_what_makes_no_gaussian_field():
    for fields, message in [
        ({"dim": 1}, "random_field.dim is 1, but must be a whole number, at least 2"),
        ({"dim": 41}, "random_field.waves is 2000, but must be at least 2050, 50 for each"),
        ({"bowl": -1.0}, "random_field.bowl is -1.0, but must be a number, at least 0"),
    ]:
        with pytest.raises(Refused, match=message):
            RandomField(**fields)


@pytest.mark.parametrize(("dim", "budget"), [(2, 500), (10, 2100), (20, 4100), (40, 4100)])
def test_the_budget_pays_for_100_steps_of_newton(dim, budget):
    assert RandomField(dim=dim).budget == budget
