"""Suites: groups of registered problems, with the default options of a sweep over them.

A problem belongs to the subsection whose folder its file is in, `problems/<subsection>/`. A problem that is
registered elsewhere is in no suite, so that a suite is the same wherever it is run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.catalog.subsections import by_subsection
from problems import PROBLEMS, Problem


@dataclass(frozen=True)
class Suite:
    """A suite.

    problems: by name, the fields that differ from the registered problem; `ladder` stands for its rungs.
    options: options of the sweep that the suite sets, unless they are given.
    """

    problems: Mapping[str, Mapping[str, Any]]
    options: Mapping[str, Any] = field(default_factory=dict)


def suites() -> dict[str, Suite]:
    """Return the suites: "quick" (one problem per subsection), "standard" (all ranked ones), and each subsection."""
    found = {
        "quick": Suite(
            {
                name: each.card.quick or {}
                for name, each in _those(lambda p: p.card.quick is not None)
            },
            {"rungs": 3, "trials": 9, "tuning_seeds": 3, "seeds": 10},
        ),
        "standard": _ranked(lambda _: True, lambda each: each.card.standard or {}),
    }
    folders = dict.fromkeys(filter(None, map(subsection, PROBLEMS.values())))
    return found | {
        folder: _ranked(lambda each, folder=folder: subsection(each) == folder)
        for folder in sorted(folders)
    }


def subsection(problem: Problem) -> str:
    """Return the folder in `problems/` that the problem's file is in, or an empty string."""
    package, *path = type(problem).__module__.split(".")
    return path[0] if package == "problems" and len(path) == 2 else ""


def _ranked(
    belongs: Callable[[Problem], bool],
    differing: Callable[[Problem], Mapping[str, Any]] = lambda _: {},
) -> Suite:
    found = _those(lambda each: belongs(each) and "ranked" not in each.card.exceptions)
    return Suite({name: differing(each) for name, each in found}, {"rungs": "auto"})


def _those(belong: Callable[[Problem], bool]) -> list[tuple[str, Problem]]:
    """Return name and problem, in the book's order, of those in a subsection for which `belong` is true."""
    ordered = (each for problems in by_subsection().values() for each in problems.items())
    return [(name, each) for name, each in ordered if subsection(each) and belong(each)]


def fields_of(suite: Suite, problem: str) -> dict[str, Any]:
    """Return what a suite sets for one of its problems, by option."""
    return {
        name if name == "ladder" else f"problem.{name}": value
        for name, value in suite.problems[problem].items()
    }
