"""Which tests run when: slow tests and measurements of speed only where they are asked for."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports torch: one thread, as in a sweep, so that parallel tests do not fight for
# cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Where bytecode is forbidden, as in many containers, each of the fifty processes that the tests start would
# compile all of our modules, and each worker all tests. It also hides what stale bytecode does to an edit.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

SPEED = Path(__file__).parent / "speed"


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Under -n, a worker that has nothing left takes over half of what another one still has.

    Not in pyproject.toml: there it would hold without -n as well, and switch measurements of speed off.
    """
    if config.getoption("numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Nothing that is imported and collected becomes garbage, so that none of it need be searched for any."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # The longest tests first: the others fill the other cores meanwhile.
    items.sort(key=lambda item: item.path.name != "test_pages.py")
    slow_asked = "slow" in str(config.getoption("markexpr"))
    speed_asked = config.getoption("benchmark_only") or config.getoption("benchmark_enable")
    for item in items:
        if item.get_closest_marker("slow") and not slow_asked:
            item.add_marker(pytest.mark.skip(reason="slow: ask with -m slow"))
        if SPEED in item.path.parents and not speed_asked:
            item.add_marker(pytest.mark.skip(reason="speed: ask with --benchmark-only"))
