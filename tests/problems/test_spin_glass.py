"""What is known about the spherical 3-spin glass, measured on ours."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.saddles._certificates import spin_glass as evidence
from problems.saddles.spin_glass import SpinGlass
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def on_the_sphere(problem, count, seed=0):
    return problem.project(torch.randn(count, problem.dim, generator=generator(seed)), {})


def at_rest(problem, data):
    return next(islice(descent(problem, data, data["start"], 0.1, 0.9), 800, None))


def test_the_loss_is_the_sum_over_triples():
    problem = SpinGlass(dim=4, field=0.7)
    data = problem.example()
    for s in on_the_sphere(problem, 3):
        triples = sum(
            data["couplings"][i, j, k] * s[i] * s[j] * s[k]
            for i in range(4)
            for j in range(4)
            for k in range(4)
        )
        expected = triples - 0.7 * (data["direction"] @ s)
        assert problem.loss(s, data) == pytest.approx(float(expected), abs=1e-12)


def test_energies_have_the_covariance_of_the_model():
    """E H(s) H(s') = N (s·s'/N)³."""
    problem = SpinGlass(dim=6)
    s = on_the_sphere(problem, 2)
    s = torch.stack([s[0], problem.project(s[0] + 0.5 * s[1], {})])
    values = torch.stack([problem.loss(s, problem.example(seed)) for seed in range(1500)])
    overlap = float(s[0] @ s[1]) / 6
    error = 5 * math.sqrt(2 / 1500)
    assert values.var(0)[0] / 6 == pytest.approx(1, abs=error)
    assert (values[:, 0] * values[:, 1]).mean() / 6 == pytest.approx(overlap**3, abs=error)


def test_couplings_are_symmetric_and_the_form_is_odd():
    problem = SpinGlass()
    data = problem.example()
    couplings = data["couplings"]
    torch.testing.assert_close(couplings, couplings.permute(1, 0, 2))
    torch.testing.assert_close(couplings, couplings.permute(0, 2, 1))
    s = on_the_sphere(problem, 5)
    torch.testing.assert_close(problem.loss(-s, data), -problem.loss(s, data))


def test_the_gradient_lies_along_the_sphere():
    for field in (0.0, 2.0):
        problem = SpinGlass(field=field)
        data = problem.example()
        s = on_the_sphere(problem, 10)
        gradient = problem.value_and_gradient(s, data)[1]
        assert (gradient * s).sum(-1).abs().max() < 1e-10
        assert gradient.norm(dim=-1).min() > 1


def test_curvatures_are_those_of_geodesics_and_ten_across():
    """Along s cos t + τ√N sin t the loss at a critical point has the second derivative N τᵀHτ."""
    problem = SpinGlass(dim=10)
    data = problem.example()
    points, *_ = problem.find_critical_points(data, 10, generator())
    s, root = points[0], math.sqrt(10)
    hessian = problem.hessian(s, data)
    torch.testing.assert_close(hessian @ s, 10 * s)
    along = torch.randn(10, generator=generator(1))
    along = along - (along @ s) / 10 * s
    along = along / along.norm()

    def energy(t):
        return problem.loss(s * t.cos() + root * along * t.sin(), data)

    zero = torch.zeros(())
    assert torch.func.grad(energy)(zero).abs() < 1e-7
    bend = torch.func.grad(torch.func.grad(energy))(zero)
    torch.testing.assert_close(bend, 10 * along @ hessian @ along)


def test_the_trace_of_the_hessian_is_that_of_the_shift():
    """A semicircle around −3u: the mean of the N − 1 curvatures along the sphere, over points."""
    problem = SpinGlass(dim=20)
    differences = []
    for seed in range(3):
        data = problem.example(seed)
        points, energies, _ = problem.find_critical_points(data, 30, generator(seed))
        hessians = problem.hessian(points, data)
        trace = hessians.diagonal(dim1=-2, dim2=-1).sum(-1) - 10
        differences.append(trace / 19 + 3 * energies)
    assert torch.cat(differences).mean().abs() < 0.05


def test_critical_points_are_critical_and_on_the_sphere():
    problem = SpinGlass(dim=10)
    data = problem.example()
    points, energies, indices = problem.find_critical_points(data, 30, generator())
    assert len(points) > 10
    assert problem.value_and_gradient(points, data)[1].norm(dim=-1).max() < 1e-9
    torch.testing.assert_close(points.norm(dim=-1), torch.full((len(points),), math.sqrt(10)))
    torch.testing.assert_close(energies, problem.loss(points, data) / 10)
    down = (torch.linalg.eigvalsh(problem.hessian(points, data)) < 0).sum(-1)
    torch.testing.assert_close(indices, down / 9)


def test_a_strong_field_leaves_a_minimum_and_a_maximum():
    problem = SpinGlass(dim=10, field=6.0)
    data = problem.example()
    points, _, indices = problem.find_critical_points(data, 60, generator())
    assert set(indices.tolist()) == {0.0, 1.0}
    for index in (0, 1):
        alike = points[indices == index]
        assert (alike - alike[0]).norm(dim=-1).max() < 1e-6


def test_the_rate_of_the_complexity_is_its_integral():
    """I(u) = (2/E²) ∫ √(z² − E²) dz from E to −u, by quadrature."""
    problem, threshold = SpinGlass(), 2 * math.sqrt(2 / 3)
    for u in (-1.64, -1.8, -2.5):
        t = torch.linspace(0, math.sqrt(-u - threshold), 4001)  # z = E + t²: smooth at E
        z = threshold + t.square()
        rate = 2 / threshold**2 * torch.trapezoid((z.square() - threshold**2).sqrt() * 2 * t, t)
        for index in (0, 2):
            expected = math.log(2) / 2 - u * u / 8 - (index + 1) * float(rate)
            assert evidence.complexity(problem, u, index) == pytest.approx(expected, abs=1e-6)
    assert evidence.complexity(problem, 0.0, 0) == evidence.complexity(problem, -threshold, 5)
    assert evidence.complexity(problem, 0.0, 0) == pytest.approx(math.log(2) / 2 - 1 / 3)


def test_solved_is_rest_in_a_minimum():
    problem = SpinGlass(dim=10)
    data = problem.example()
    minimum = at_rest(problem, data)
    points, _, indices = problem.find_critical_points(data, 30, generator())
    saddle = points[indices > 0][0]
    x = torch.stack([minimum, saddle, problem.project(minimum + 0.01, {}), data["start"]])
    value, gradient = problem.value_and_gradient(x, data)
    assert problem.solved(x, value, gradient, data).tolist() == [True, False, False, False]
    assert not problem.solved(x, value, None, data).any()
    energy = problem.at_end(x, torch.zeros(4), data)["energy"]
    torch.testing.assert_close(energy, value / 10)


def test_refuses_what_is_no_spin_glass():
    for fields, message in [
        ({"dim": 1}, "spin_glass.dim is 1, but must be a whole number, at least 2"),
        ({"field": -1.0}, "spin_glass.field is -1.0, but must be a number, at least 0"),
    ]:
        with pytest.raises(Refused, match=message):
            SpinGlass(**fields)
