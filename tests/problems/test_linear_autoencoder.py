"""What is known about the critical points of a linear autoencoder, measured on ours."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from problems.saddles.linear_autoencoder import LinearAutoencoder
from ravine import Refused


def curvature_counts(problem, data, x):
    curvatures = torch.linalg.eigvalsh(problem.hessian(x, data))
    return (curvatures < -1e-9).sum().item(), (curvatures.abs() < 1e-9).sum().item()


def test_indices_of_four_inputs_and_two_units():
    """Known for this size: no component kept, 8 of 16 directions go down; the two least, 4."""
    problem = LinearAutoencoder(inputs=4, code=2, gap=0.5)
    points = dict(zip(problem._sets(), problem.critical_points(problem.example()), strict=True))
    assert len(points) == 11
    known = {
        (): (8, 0),
        (2, 3): (4, 4),
        (0, 1): (0, 4),
        (0, 2): (1, 4),
        (1, 3): (3, 4),
        (0,): (3, 3),
    }
    for kept, (index, nullity) in known.items():
        assert (points[kept].index, points[kept].nullity) == (index, nullity)


def test_critical_values_are_half_the_variances_left_out():
    problem = LinearAutoencoder()
    variances, data = problem.variances(), problem.example()
    for kept, point in zip(problem._sets(), problem.critical_points(data), strict=True):
        left = variances.sum() - variances[list(kept)].sum()
        assert point.value == pytest.approx(float(left) / 2)
        assert float(problem.loss(point.x, data)) == pytest.approx(point.value)


@pytest.mark.parametrize("gap", LinearAutoencoder.card.ladder)
def test_the_variances_have_the_gap_and_fall(gap):
    problem = LinearAutoencoder(gap=gap)
    variances = problem.variances()
    assert float(variances[1] / variances[2]) == pytest.approx(1 + gap)
    assert float(variances[2]) == 1
    assert (variances.diff() < 0).all()


@pytest.mark.parametrize("gap", LinearAutoencoder.card.ladder)
def test_the_target_lies_far_below_the_lowest_saddle(gap):
    problem = LinearAutoencoder(gap=gap)
    for seed in range(3):
        data = problem.example(seed)
        saddle = problem.lowest_saddle(data)
        height = problem.loss(data["start"], data) - problem.floor(data)
        share = (saddle.value - problem.floor(data)) / height
        assert 10 * problem.card.target < share < 1
        assert saddle.index == 1
        assert not problem.solved(saddle.x, share, None, data)
        others = problem.critical_points(data)[1:]
        assert saddle.value == min(point.value for point in others)


def test_the_loss_is_the_mean_squared_error_of_the_reconstruction():
    problem = LinearAutoencoder()
    data = problem.example()
    root = data["components"] * problem.variances().sqrt()  # columns: as inputs they have S
    decoder, encoder = data["start"].split(10)
    decoder, encoder = decoder.view(5, 2), encoder.view(2, 5)
    error = root - decoder @ encoder @ root
    assert float(problem.loss(data["start"], data)) == pytest.approx(
        float(error.square().sum()) / 2
    )
    assert problem.shapes == ((5, 2), (2, 5))


def test_points_of_the_orbit_that_are_not_balanced_have_other_indices_where_units_are_idle():
    """A idle unit whose encoder points along a component that is left out changes AB nowhere."""
    problem = LinearAutoencoder(inputs=4, code=2, gap=0.5)
    data = problem.example()
    point = problem.critical_points(data)[problem._sets().index((0,))]
    moved = point.x.clone()
    moved.view(2, 8)[1, 4:] = data["components"][:, 3]
    gradient = problem.value_and_gradient(moved, data)[1]
    assert gradient.norm() > 0.1  # the component left out pulls on the idle decoder
    moved.view(2, 8)[1, 4:] = data["components"][:, 0]
    assert problem.value_and_gradient(moved, data)[1].norm() < 1e-12
    assert curvature_counts(problem, data, point.x) == (point.index, point.nullity)


def test_starts_do_not_depend_on_the_gap():
    problem = LinearAutoencoder()
    for gap in (1.0, 0.003):
        assert torch.equal(replace(problem, gap=gap).example()["start"], problem.example()["start"])


def test_refuses_what_squeezes_nothing():
    for fields, message in [
        ({"code": 5}, "linear_autoencoder.code is 5, but must be below inputs"),
        ({"gap": 0.0}, "linear_autoencoder.gap is 0.0, but must be a number, above 0"),
        ({"code": 0}, "linear_autoencoder.code is 0, but must be a whole number, at least 1"),
    ]:
        with pytest.raises(Refused, match=message):
            LinearAutoencoder(**fields)
