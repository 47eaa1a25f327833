"""What problems with local minima and plateaus share: a value just beyond each bound is refused by name."""

from __future__ import annotations

import pytest

from problems import PROBLEMS
from ravine import Refused

BEYOND = {
    "ackley": {"dim": [0], "ripple": [-0.1]},
    "bad_neuron": {"radius": [0.0, 5.1], "asymptotic": [1]},
    "dead_relu": {"inputs": [0], "units": [1], "points": [9], "dead": [-0.1, 1.1]},
    "failing_neuron": {"repeats": [0, 10**6 + 1], "asymptotic": ["no"]},
    "golf_hole": {"dim": [0], "hole": [0.0]},
    "griewank": {"dim": [0], "ripple": [-0.1]},
    "levy": {"dim": [1], "ripple": [-0.1]},
    "many_minima": {
        "dim": [0], "scales": [0, 9], "separation": [29.0, 10_001.0], "wanted": [0.79, 0.995],
    },
    "needle": {"dim": [0], "radius": [0.0, 38.1]},
    "rastrigin": {"dim": [0], "amplitude": [-0.1]},
    "schwefel": {"dim": [0], "spread": [0.0, 1.1]},
    "shelf": {"dim": [0], "width": [-0.1]},
    "styblinski_tang": {"dim": [0], "tilt": [0.0]},
    "symmetric_network": {
        "inputs": [3], "units": [0, 5], "layers": [0], "points": [31], "rescaling": [0.0, 1001.0],
    },
}  # fmt: skip
CASES = [
    (name, field, value)
    for name, fields in BEYOND.items()
    for field, values in fields.items()
    for value in values
]


@pytest.mark.parametrize(("name", "field", "value"), CASES)
def test_a_value_beyond_the_bound_is_refused(name, field, value):
    at = "inputs" if (name, field, value) == ("symmetric_network", "units", 5) else field
    with pytest.raises(Refused, match=rf"{name}\.{at} is "):
        type(PROBLEMS[name])(**{field: value})
