"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

PACKAGES = ("ravine", "benchmarks", "problems", "optimizers")
MODULES = [
    module.name
    for package in PACKAGES
    for module in pkgutil.walk_packages(importlib.import_module(package).__path__, f"{package}.")
    if not module.name.endswith("__main__")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if name.endswith(".on_ray"):
        pytest.importorskip("ray", reason="the extra `ray` is not installed")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
