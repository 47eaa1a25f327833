"""Problems are drawn, and their truths certified, in float64; what tests draw themselves repeats."""

from __future__ import annotations

import pytest
import torch

from problems.precision import default_dtype


@pytest.fixture(autouse=True)
def float64():
    with default_dtype(torch.float64), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
