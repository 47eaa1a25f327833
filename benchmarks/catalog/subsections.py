"""Group problems by the subsection of the book that they belong to, and summarize each in a line."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from benchmarks.catalog.loading import class_of
from problems import PROBLEMS, Problem


def by_subsection() -> dict[str, dict[str, Problem]]:
    """Return the problems by the title of their subsection."""
    titles: dict[str, dict[str, Problem]] = {}
    for name, problem in sorted(PROBLEMS.items()):
        titles.setdefault(title_of(problem), {})[name] = problem
    return dict(sorted(titles.items()))


def families() -> dict[str, str]:
    """Return, by problem, the title of its subsection, the family of similar problems in statistics."""
    return {name: title for title, names in by_subsection().items() for name in names}


def title_of(problem: Problem) -> str:
    """Return the title of the folder that the problem's file is in."""
    module = type(problem).__module__
    package = sys.modules.get(module.rpartition(".")[0])
    return (
        (package.__doc__ or "").strip() if module.startswith("problems.") and package else "Yours"
    )


def summary(prototype: Any, said: str = "") -> str:
    """Return the first line of a problem's or an optimizer's `docstring`."""
    return docstring(prototype, said).partition("\n")[0]


def docstring(prototype: Any, said: str = "") -> str:
    """Return the docstring of a problem's or an optimizer's class.

    said: A line that replaces the first one unless it is empty; see `Registry.summaries`.
    """
    first, *rest = (inspect.getdoc(class_of(prototype)) or "").partition("\n")
    return "".join([said or first, *rest])
