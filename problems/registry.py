"""The registry of problems: a registered problem is listed, swept, tested and documented."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ravine import Registry

if TYPE_CHECKING:
    from problems.problem import Problem

PROBLEMS: Registry[Problem] = Registry("problem", package="problems")
register = PROBLEMS.register
