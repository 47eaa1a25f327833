"""What is known about the bad minimum of one neuron, beyond its claims."""

from __future__ import annotations

import math
from itertools import islice

import pytest
import torch

from problems.descent import descent
from problems.local_minima._certificates import one_neuron as evidence
from problems.local_minima.bad_neuron import EXAMPLES, BadNeuron
from ravine import Refused


def drawn(problem, seed=0):
    return problem.instance(torch.Generator().manual_seed(seed))


def test_starts_lie_on_a_circle_where_the_first_example_is_wrong():
    for seed in range(20):
        data = drawn(BadNeuron(radius=1.5), seed)
        assert data["start"].norm() == pytest.approx(1.5)
        assert data["examples"][0] @ data["start"] <= 0


def test_the_bad_minimum_is_wrong_and_the_global_one_is_not():
    problem = BadNeuron()
    data = drawn(problem)
    best, bad, saddle = problem.critical_points(data)
    assert problem.wrong(best.x, data) == 0
    assert problem.wrong(bad.x, data) == 1
    assert problem.certified(torch.stack([best.x, bad.x, saddle.x]), data).tolist() == [
        True,
        True,
        False,
    ]


def test_a_plateau_is_not_certified_however_small_its_gradient():
    problem = BadNeuron()
    data = drawn(problem)
    far = data["rotation"] @ torch.tensor([0.0, 20.0])
    assert problem.value_and_gradient(far, data)[1].norm() < 1e-10
    assert not problem.certified(far, data)


def test_descent_from_either_side_of_the_saddle_ends_in_different_minima():
    problem = BadNeuron()
    data = drawn(problem)
    best, bad, saddle = problem.critical_points(data)
    down = torch.linalg.eigh(problem.hessian(saddle.x, data)).eigenvectors[:, 0]
    down = down * torch.sign(down @ (bad.x - saddle.x))
    starts = saddle.x + 1e-3 * torch.stack([-down, down])
    ends = problem.settle(starts, data)
    torch.testing.assert_close(ends, torch.stack([best.x, bad.x]), rtol=0, atol=1e-6)
    reached = problem.at_end(ends, torch.zeros(2), data)
    assert reached["at_bad_minimum"].tolist() == [0, 1]
    assert reached["wrong"].tolist() == [0, 1]


def test_predicted_share():
    """All within the boundary's least distance, 1.58; beyond it fewer and fewer; about half at 3."""
    shares = [BadNeuron(radius=radius).predicted_share() for radius in (0.1, 1.5, 1.7, 2, 3, 5)]
    assert shares[:2] == [1, 1]
    assert shares == sorted(shares, reverse=True)
    assert shares[2:] == pytest.approx([0.76, 0.62, 0.435, 0.33], abs=0.005)
    assert BadNeuron().control().predicted_share() == 1


def test_the_reference_solves_the_harmless_rung():
    problem = BadNeuron(radius=1.0)
    for seed in range(2):
        data = drawn(problem, seed)
        end = next(islice(descent(problem, data, data["start"], 0.1), 1000, None))
        height = problem.loss(data["start"], data) - problem.floor(data)
        assert problem.loss(end, data) - problem.floor(data) <= problem.card.target * height


def test_asymptotic_targets_leave_no_truth_to_state():
    problem = BadNeuron().control()
    data = drawn(problem)
    assert problem.minimizers(data) is None
    assert problem.distance(data["start"], data) is None
    assert problem.critical_points(data) == ()
    assert evidence.count_critical_points(problem, data) == 0
    far = data["rotation"] @ torch.tensor([0.0, 20.0])
    assert problem.loss(far, data) < 1e-15


def test_examples_are_rotated_together():
    data = drawn(BadNeuron(), 3)
    examples = torch.tensor(EXAMPLES)
    torch.testing.assert_close(data["examples"] @ data["examples"].T, examples @ examples.T)


def test_refuses_what_is_no_radius():
    for fields in ({"radius": 0}, {"radius": 6}, {"asymptotic": 1}):
        with pytest.raises(Refused, match=f"bad_neuron.{next(iter(fields))}"):
            BadNeuron(**fields)
    assert math.isfinite(BadNeuron(radius=5).predicted_share())
