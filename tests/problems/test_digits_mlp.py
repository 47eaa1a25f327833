"""What is known about a small network on digits, measured on ours."""

from __future__ import annotations

import math

import pytest
import torch

from problems.problem import Problem
from problems.saddles._certificates import digits_mlp as evidence
from problems.saddles.digits_mlp import DigitsMlp
from ravine import Refused


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_the_network_is_the_one_that_is_written():
    problem = DigitsMlp(hidden=3)
    data = problem.example()
    x = 0.5 * torch.randn(problem.dim, generator=generator())
    inner, outer = x[:51].view(3, 17), x[51:].view(10, 4)
    logits = (data["inputs"] @ inner.T).tanh() @ outer[:, :3].T + outer[:, 3]
    expected = torch.nn.functional.cross_entropy(logits, data["wanted"].argmax(-1))
    torch.testing.assert_close(problem.loss(x, data), expected)
    assert problem.shapes == ((3, 17), (10, 4))


def test_closed_forms_hold_at_weights_that_saturate():
    problem = DigitsMlp(hidden=2)
    data = problem.example()
    for scale in (0.1, 3.0):
        x = scale * torch.randn(problem.dim, generator=generator())
        value, gradient = problem.value_and_gradient(x, data)
        torch.testing.assert_close((value, gradient), Problem.value_and_gradient(problem, x, data))
        hessian = problem.hessian(x, data)
        torch.testing.assert_close(hessian, Problem.hessian(problem, x, data))
        vectors = torch.randn(2, problem.dim, generator=generator(1))
        torch.testing.assert_close(problem.hvp(x, data, vectors), vectors @ hessian)


@pytest.mark.parametrize("hidden", [1, 5])
def test_without_weights_it_is_a_saddle(hidden):
    problem = DigitsMlp(hidden=hidden)
    data = problem.example()
    (saddle,) = problem.critical_points(data)
    value, gradient = problem.value_and_gradient(saddle.x, data)
    assert gradient.norm() < 1e-12
    assert float(value) == pytest.approx(saddle.value)
    curvatures = torch.linalg.eigvalsh(problem.hessian(saddle.x, data))
    assert (curvatures < -1e-9).sum() == saddle.index == 9 * hidden
    assert (curvatures.abs() < 1e-9).sum() == saddle.nullity


def test_the_first_curvatures_are_the_singular_values_of_residuals_and_inputs():
    problem = DigitsMlp()
    data = problem.example()
    (saddle,) = problem.critical_points(data)
    residual = data["wanted"].mean(0) - data["wanted"]
    singular = torch.linalg.svdvals(residual.T @ data["inputs"] / 500)[:9]
    curvatures = torch.linalg.eigvalsh(problem.hessian(saddle.x, data))
    torch.testing.assert_close(curvatures[:45], -singular.repeat_interleave(5))


def test_instances_are_500_different_digits_each():
    problem = DigitsMlp()
    one, other = problem.example(0), problem.example(1)
    assert one["inputs"].shape == (500, 17)
    assert (one["wanted"].sum(-1) == 1).all()
    assert (one["inputs"][:, -1] == 1).all()
    assert len(one["inputs"].unique(dim=0)) == 500
    assert not torch.equal(one["inputs"], other["inputs"])


def test_small_starts_lie_beside_the_saddle():
    for start in DigitsMlp.card.ladder[1:]:
        problem = DigitsMlp(start=start)
        data = problem.example()
        assert float(problem.loss(data["start"], data)) == pytest.approx(math.log(10), abs=0.01)
    ratio = DigitsMlp(start=1.0).example()["start"] / DigitsMlp(start=1e-2).example()["start"]
    torch.testing.assert_close(ratio, torch.full_like(ratio, 100.0))


def test_newton_steps_never_raise_the_loss_and_absolute_curvatures_leave_the_saddle():
    problem = DigitsMlp()
    data = problem.example()
    losses = evidence.newton(problem, data, 8, absolute=True)
    assert (losses.diff() <= 0).all()
    assert losses[-1] < 0.5 * losses[0]


def test_refuses_what_is_no_network():
    for fields, message in [
        ({"hidden": 0}, "digits_mlp.hidden is 0, but must be a whole number, at least 1"),
        ({"start": 0.0}, "digits_mlp.start is 0.0, but must be a number, above 0"),
    ]:
        with pytest.raises(Refused, match=message):
            DigitsMlp(**fields)
