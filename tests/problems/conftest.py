"""Problems are drawn, and their truths certified, in float64."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def float64():
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
