"""The benchmark: sweeps of optimizers over problems, as a command and for notebooks."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

# `python -m` and notebooks look into the working directory first, where the user may have packages called problems
# and optimizers. The ones that lie beside this package are imported while the path begins with their folder.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from ravine.later import later

for name in ("pandas", "torch"):
    later(name)
import optimizers  # noqa: E402, F401
import problems  # noqa: E402, F401

del sys.path[0]

if TYPE_CHECKING:
    from benchmarks.analysis.folder import read_table
    from benchmarks.api import Sweep, sweep
    from benchmarks.display.compare import assert_no_regression, compare_sweeps
    from benchmarks.display.same import assert_same_optimizer, same

__all__ = [
    "Sweep",
    "assert_no_regression",
    "assert_same_optimizer",
    "compare_sweeps",
    "read_table",
    "same",
    "sweep",
]


def __getattr__(name: str) -> Any:
    if name in __all__:  # pandas is imported only where tables are made
        from benchmarks import api
        from benchmarks.analysis import folder
        from benchmarks.display import compare
        from benchmarks.display import same as alike

        where = {
            "assert_no_regression": compare,
            "assert_same_optimizer": alike,
            "compare_sweeps": compare,
            "read_table": folder,
            "same": alike,
        }
        return getattr(where.get(name, api), name)
    raise AttributeError(f"module 'benchmarks' has no attribute {name!r}")
