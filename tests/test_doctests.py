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
EXTRAS = {  # modules of optional packages
    "benchmarks.doctor.integrations.lightning": "lightning",
    "benchmarks.doctor.integrations.transformers": "transformers",
    "benchmarks.runner.launchers.on_ray": "ray",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    if extra := EXTRAS.get(name):
        pytest.importorskip(extra, reason=f"the extra `{extra}` is not installed")
    assert doctest.testmod(importlib.import_module(name)).failed == 0
