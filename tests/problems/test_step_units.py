"""Units that are nearly steps: what they answer, and how little slope they have."""

from __future__ import annotations

import pytest
import torch

from problems.limits.step_units import STEP, StepUnits
from ravine import Refused


def test_the_sharpest_sigmoid_is_the_step():
    problem = StepUnits(sharpness=STEP)
    data = problem.example()
    weights = data["start"].unflatten(-1, (3, 10))
    planted = data["planted"].unflatten(-1, (3, 10))

    def counted(units):
        return (data["inputs"] @ units.T > 0).double().sum(-1)

    expected = 0.5 * (counted(weights) - counted(planted)).square().mean()
    assert problem.loss(data["start"], data).item() == pytest.approx(expected.item(), rel=1e-15)
    assert problem.loss(data["planted"], data) == 0


def test_the_sharpest_sigmoid_is_the_step_in_float32_too():
    problem = StepUnits(sharpness=STEP)
    data = {name: leaf.float() for name, leaf in problem.example().items()}
    value, gradient = problem.value_and_gradient(data["start"], data)
    assert value > 0 and gradient.dtype == torch.float32 and not gradient.any()
    assert not problem.hvp(data["start"], data, torch.ones(30)).any()


def test_steps_make_plains_with_edges():
    """Along a line the loss has few values, and the gradient is zero at all points."""
    problem = StepUnits(sharpness=STEP, examples=20)
    data = problem.example()
    along = torch.linspace(0, 1, 5001)[:, None]
    points = data["start"] + along * (data["planted"] - data["start"])
    values, gradients = problem.value_and_gradient(points, data)
    assert not gradients.any()
    assert 3 < len(values.unique_consecutive()) <= 1 + 20 * 3


def test_differences_see_the_gradient_where_sigmoids_are_soft():
    for sharpness in (1.0, 5.0, 30.0):
        problem = StepUnits(sharpness=sharpness, examples=30)
        data = problem.example()
        x = data["start"].clone().requires_grad_()
        assert torch.autograd.gradcheck(lambda x, p=problem, d=data: p.loss(x, d), x)


def test_the_gradient_is_made_of_the_few_examples_near_a_plane():
    """At sharpness 1000 leaving out the answers with |z| < 0.03 leaves nothing."""
    problem = StepUnits(sharpness=1000.0, hidden=1, examples=2000)
    data = problem.example()
    near = (data["inputs"] @ data["start"]).abs() < 0.03
    assert 0 < near.double().mean() < 0.05
    gradient = problem.value_and_gradient(data["start"], data)[1]
    far = {**data, "inputs": data["inputs"][~near], "outputs": data["outputs"][~near]}
    rest = StepUnits(sharpness=1000.0, hidden=1, examples=len(far["inputs"]))
    assert rest.value_and_gradient(data["start"], far)[1].norm() < 1e-9 * gradient.norm()


def test_units_may_change_places():
    problem = StepUnits()
    data = problem.example()
    minimizers = problem.minimizers(data)
    assert minimizers.shape == (6, 30)
    assert torch.pdist(minimizers).min() > 0.1
    assert problem.loss(minimizers, data).max() < 1e-30
    units = data["start"].unflatten(-1, (3, 10))
    same = problem.loss(units.flip(0).flatten(), data)
    assert same.item() == pytest.approx(problem.loss(data["start"], data).item())


def test_sharpness_changes_neither_weights_nor_inputs():
    soft, sharp = (StepUnits(sharpness=each).example() for each in (1.0, 1e4))
    for name in ("start", "planted", "inputs"):
        assert torch.equal(soft[name], sharp[name])


def test_refuses_no_sharpness():
    with pytest.raises(
        Refused, match=r"step_units.sharpness is 0.0, but must be a number, above 0"
    ):
        StepUnits(sharpness=0.0)
