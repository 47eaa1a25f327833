"""What a single neuron keeps to, whatever its examples are."""

from __future__ import annotations

import pytest

from problems import PROBLEMS
from problems.local_minima._certificates.one_neuron import count_critical_points


@pytest.mark.parametrize("name", ["bad_neuron", "failing_neuron"])
def test_asymptotic_targets_leave_no_critical_point_to_state(name):
    problem = PROBLEMS[name].control()
    data = problem.example()
    assert problem.minimizers(data) is None
    assert problem.distance(data["start"], data) is None
    assert problem.critical_points(data) == ()
    assert count_critical_points(problem, data) == 0
    assert problem.floor(data) == 0
    assert problem.predicted_share() == 1
