"""The registry of problems: registering is all it takes to be listed, swept, tested and documented."""

from __future__ import annotations

from problems.problem import Problem
from ravine import Registry

PROBLEMS: Registry[Problem] = Registry("problem", package="problems")
register = PROBLEMS.register
