"""A transform moves the landscape, and its truth with it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from problems import PROBLEMS
from problems.modifiers import TRANSFORMS, transformed
from ravine import Refused

TRANSFORMED = [
    pytest.param(transformed(PROBLEMS[name], names), id=f"{name}-{'+'.join(names)}")
    for name in ("quadratic", "cliff", "octopus", "noisy_quadratic")
    for names in ([each] for each in TRANSFORMS)
] + [pytest.param(transformed(PROBLEMS["quadratic"], ["rotate", "shift"]), id="quadratic-both")]


def points(problem, data, count=3):
    """Points near the start, as the problem inside sees them and as the optimizer does."""
    start = data["start"]
    near = torch.randn(count, len(start), generator=torch.Generator().manual_seed(1))
    x = start + 0.01 * start.norm() / len(start) ** 0.5 * near
    return problem.inside(x, data), x


@pytest.mark.parametrize("problem", TRANSFORMED)
def test_the_start_is_the_same_point(problem):
    data = problem.example(3)
    inner = problem
    tree = data
    while hasattr(inner, "transform"):
        inner, tree = inner.inner, tree["inner"]
    assert torch.equal(tree["start"], inner.example(3)["start"])
    torch.testing.assert_close(problem.loss(data["start"], data), inner.loss(tree["start"], tree))
    assert not torch.equal(data["start"], problem.example(4)["start"])


@pytest.mark.parametrize("problem", TRANSFORMED)
def test_there_and_back(problem):
    data = problem.example()
    y, x = points(problem, data)
    torch.testing.assert_close(problem.outside(y, data), x)


@pytest.mark.parametrize("problem", TRANSFORMED)
def test_derivatives_are_those_of_the_transformed_loss(problem):
    data = problem.example()
    _, x = points(problem, data)
    vectors = torch.randn(2, *x.shape, generator=torch.Generator().manual_seed(0))
    value, gradient = problem.value_and_gradient(x, data)
    for k, point in enumerate(x):
        expected, expected_value = torch.func.grad_and_value(problem.loss)(point, data)
        torch.testing.assert_close(value[k], expected_value)
        torch.testing.assert_close(gradient[k], expected)
        hessian = torch.func.hessian(problem.loss)(point, data)
        largest = hessian.abs().max()
        torch.testing.assert_close(
            problem.hessian(x, data)[k] / largest, hessian / largest, rtol=0, atol=1e-10
        )
        products = problem.hvp(x, data, vectors)[:, k] / largest
        torch.testing.assert_close(products, vectors[:, k] @ hessian / largest)


def test_rotations_keep_curvatures_and_scales_do_not():
    plain = PROBLEMS["quadratic"]
    curvatures = plain.curvatures()
    for name, kept in [("rotate", True), ("shift", True), ("permute", True), ("scale", False)]:
        problem = transformed(plain, [name])
        data = problem.example()
        found = torch.linalg.eigvalsh(problem.hessian(data["start"], data))
        assert torch.allclose(found, curvatures, rtol=1e-9) == kept
        assert (problem.distance(data["start"], data) is not None) == kept
        assert bool(problem.card.theory) == kept


def test_a_prediction_is_kept_for_methods_that_see_the_same_problem():
    """A rotation leaves descent alone, and not Adam; other units of length leave none alone."""
    plain = PROBLEMS["block_hessian"]
    known = {"shift": {*plain.card.theory}, "permute": {*plain.card.theory}, "scale": set()}
    known["rotate"] = known["shift"] - {"adam"}
    assert known["rotate"] != known["shift"]
    for name, expected in known.items():
        assert {*transformed(plain, [name]).card.theory} == expected
    both = transformed(plain, ["shift", "rotate"])
    assert both.card.theory["sgd"](both, 1000) == plain.card.theory["sgd"](plain, 1000)


def test_a_predicted_share_is_kept_unless_lengths_change():
    plain = PROBLEMS["bad_neuron"]
    assert plain.predicted_share() is not None
    for name in TRANSFORMS:
        expected = None if name == "scale" else plain.predicted_share()
        assert transformed(plain, [name]).predicted_share() == expected


def test_the_solution_goes_along():
    for name in TRANSFORMS:
        problem = transformed(PROBLEMS["cliff"], [name])
        data = problem.example()
        (minimizer,) = problem.minimizers(data)
        value, gradient = problem.value_and_gradient(minimizer, data)
        assert value < 1e-28
        assert gradient.norm() < 1e-12
        assert problem.signature(data) > problem.card.threshold
        assert problem.control().signature(problem.control().example()) < problem.card.threshold


def test_a_projection_is_that_of_the_problem_inside():
    plain = PROBLEMS["reddi"]
    problem = transformed(plain, ["shift"])
    data = problem.example()
    far = data["start"] + 100
    ends = problem.inside(problem.project(far, data), data)
    torch.testing.assert_close(ends, plain.project(ends, data["inner"]))
    assert not torch.allclose(problem.project(far, data), far)


def test_order_counts():
    """The landscape is first turned and then moved, or first moved and then turned with its place."""
    quadratic = PROBLEMS["quadratic"]
    first = transformed(quadratic, ["rotate", "shift"])
    second = transformed(quadratic, ["shift", "rotate"])
    assert first.settings["transform"] == "rotate+shift"
    assert second.settings["transform"] == "shift+rotate"
    assert not torch.equal(first.example()["start"], second.example()["start"])


def test_refuses_what_there_is_not():
    with pytest.raises(Refused, match="did you mean rotate"):
        transformed(PROBLEMS["cliff"], ["rotat"])
    large = replace(PROBLEMS["digits_cnn"], channels=16)
    with pytest.raises(Refused, match="at most 2000 dimensions"):
        transformed(large, ["rotate"]).example()
