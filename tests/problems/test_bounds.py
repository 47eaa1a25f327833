"""Bounds on fields: a value just outside of each is refused, and the message names the field."""

from __future__ import annotations

import pytest

from problems import PROBLEMS
from ravine import Refused

OUTSIDE = {
    "cliff": {"units": [0], "steps": [0]},
    "digits_cnn": {"noise": [-0.1, 0.95], "batch": [0, 1401], "channels": [0]},
    "generalized_smoothness": {"radius": [0.0], "growth": [0.0], "slope": [0.0, 0.7]},
    "hilbert": {"dim": [0, 13]},
    "meander": {"length": [0.0, 501.0], "twist": [-0.1, 1.5]},
    "mountain": {"dim": [0], "tilt": [0.0], "height": [-1.0]},
    "narrowing_valley": {
        "narrowing": [-1.0, 101.0],
        "walls": [0],
        "length": [0.0],
        "noise": [-0.1],
    },
    "product_cliff": {"dim": [1], "radius": [0.0], "product": [0.0]},
    "quadratic": {"dim": [0], "condition": [0.5, 1e13]},
    "rosenbrock": {"b": [0.0], "dim": [1]},
    "separable_logistic": {"inverse_margin": [0.0], "noise": [-0.1, 2.0]},
    "winding_ravine": {"shear": [-1.0], "swing": [0.0], "across": [0.0], "along": [0.0]},
}
CASES = [
    (name, field, value)
    for name, fields in OUTSIDE.items()
    for field, values in fields.items()
    for value in values
]


@pytest.mark.parametrize(("name", "field", "value"), CASES)
def test_refuses(name, field, value):
    with pytest.raises(Refused, match=rf"{name}\.{field} is {value!r}, but must be a .*number"):
        type(PROBLEMS[name])(**{field: value})
