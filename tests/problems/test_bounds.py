"""Bounds on fields: a value just outside of each is refused, and the message names the field."""

from __future__ import annotations

import pytest

from problems import PROBLEMS
from problems.local_minima.symmetric_network import SymmetricNetwork
from ravine import Refused

OUTSIDE = {
    "ackley": {"dim": [0], "ripple": [-0.1]},
    "bad_neuron": {"radius": [0.0, 5.1], "asymptotic": [1]},
    "block_hessian": {
        "heterogeneity": [0.5, 1000000000.0],
        "block_condition": [0.5, 100000.0],
        "blocks": [1],
        "side": [1],
    },
    "cliff": {"units": [0], "steps": [0]},
    "coin_toss": {"dim": [0], "gap": [0.0001], "up": [-0.1, 1.5], "wall": [0.0]},
    "dead_relu": {"inputs": [0], "units": [1], "points": [9], "dead": [-0.1, 1.1]},
    "deep_linear": {"depth": [0], "start": [0.0, 0.5]},
    "digits_cnn": {"noise": [-0.1, 0.95], "batch": [0, 1401], "channels": [0]},
    "digits_mlp": {"hidden": [0], "start": [0.0]},
    "edge_of_stability": {"sharpening": [-1.0, 101.0]},
    "failing_neuron": {"repeats": [0, 1000001], "asymptotic": ["no"]},
    "generalized_smoothness": {"radius": [0.0], "growth": [0.0], "slope": [0.0, 0.7]},
    "goe_saddle": {"dim": [0], "wall": [0.0]},
    "golf_hole": {"dim": [0], "hole": [0.0]},
    "griewank": {"dim": [0], "ripple": [-0.1]},
    "hilbert": {"dim": [0, 13]},
    "levy": {"dim": [1], "ripple": [-0.1]},
    "linear_autoencoder": {"inputs": [1], "code": [0, 5], "gap": [0.0]},
    "many_minima": {
        "dim": [0],
        "scales": [0, 9],
        "separation": [29.0, 10001.0],
        "wanted": [0.79, 0.995],
    },
    "meander": {"length": [0.0, 501.0], "twist": [-0.1, 1.5]},
    "mexican_hat": {"dim": [0], "radius": [0.0, 1.0]},
    "monkey_saddle": {"angle": [0.0, 1.1], "wall": [0.0]},
    "mountain": {"dim": [0], "tilt": [0.0], "height": [-1.0]},
    "narrowing_valley": {
        "narrowing": [-1.0, 101.0],
        "walls": [0],
        "length": [0.0],
        "noise": [-0.1],
    },
    "needle": {"dim": [0], "radius": [0.0, 38.1]},
    "octopus": {"saddles": [0], "steepness": [0.5, 101.0], "guard": [0.5, 101.0]},
    "product_cliff": {"dim": [1], "radius": [0.0], "product": [0.0]},
    "quadratic": {"dim": [0], "condition": [0.5, 10000000000000.0]},
    "random_field": {"dim": [1], "waves": [999], "bowl": [-1.0]},
    "rastrigin": {"dim": [0], "amplitude": [-0.1]},
    "rosenbrock": {"b": [0.0], "dim": [1]},
    "schwefel": {"dim": [0], "spread": [0.0, 1.1]},
    "separable_logistic": {"inverse_margin": [0.0], "noise": [-0.1, 2.0]},
    "shelf": {"dim": [0], "width": [-0.1]},
    "spin_glass": {"dim": [1], "field": [-1.0]},
    "strict_saddle": {"dim": [0], "ratio": [0.5, 1000000000.0], "offset": [0.0, 1.5]},
    "styblinski_tang": {"dim": [0], "tilt": [0.0]},
    "symmetric_network": {
        "inputs": [3],
        "units": [0],
        "layers": [0],
        "points": [31],
        "rescaling": [0.0, 1001.0],
    },
    "winding_ravine": {"shear": [-1.0], "swing": [0.0], "across": [0.0], "along": [0.0]},
}
CASES = [
    (name, field, value)
    for name, fields in OUTSIDE.items()
    for field, values in fields.items()
    for value in values
]


@pytest.mark.parametrize(("name", "field", "value"), CASES)
def test_a_value_outside_of_a_bound_is_refused(name, field, value):
    with pytest.raises(Refused, match=rf"^{name}\.{field} is {value!r}, but must be "):
        type(PROBLEMS[name])(**{field: value})


def test_more_units_than_inputs_are_refused():
    with pytest.raises(Refused, match=r"symmetric_network\.inputs is "):
        SymmetricNetwork(units=5)
