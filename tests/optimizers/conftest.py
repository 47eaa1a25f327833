"""Fixtures for optimizers: the walks of `benchmarks.checks.walks`, whose losses are functions."""

from __future__ import annotations

import pytest
import torch

from benchmarks.checks.walks import draw, smooth_valley, walk
from optimizers import adopted_runs
from optimizers.needs import needs
from problems import Tree


@pytest.fixture(name="walk", scope="session")
def walk_fixture():
    return walk


@pytest.fixture(name="draw", scope="session")
def draw_fixture():
    return draw


@pytest.fixture(scope="session")
def valley():
    return smooth_valley


@pytest.fixture(scope="session")
def start():
    """Data that are nothing but one start."""

    def of(*numbers: float) -> Tree:
        return {"start": torch.tensor(numbers, dtype=torch.float64).view(1, 1, -1)}

    return of


@pytest.fixture(autouse=True)
def forgetful_runs(monkeypatch):
    """What classes need is found anew in each test."""
    needs.cache_clear()
    monkeypatch.setattr(adopted_runs, "_probed", {})
