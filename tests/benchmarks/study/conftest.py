"""What the tests of the study have in common."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def forgets(registries) -> None:
    """The optimizers of a plan are loaded, and other tests list those that are built in."""
