"""`ravine check NAME…`: hold problems to what they promise."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.catalog.loading import named
from benchmarks.cli.options import BROKEN
from problems import PROBLEMS
from ravine import Refused, nearest

SLOW = "--slow"


def main(words: Sequence[str]) -> int:
    """Examine each problem, print what is found, and return 1 if anything is broken."""
    names = [word for word in words if word != SLOW]
    if not names:
        raise Refused(f"check what? check NAME, or check file.py:Class {nearest('', PROBLEMS)}")
    for word in names:
        if word.startswith("-"):
            raise Refused(f"unknown flag {word}: {nearest(word, [SLOW])}")
    problems = {name: PROBLEMS.find(name) for name in map(named, names)}

    from benchmarks.checks.check import check

    found = [
        check(name, problem, SLOW in words, lambda line: print(line, flush=True))
        for name, problem in problems.items()
    ]
    return 0 if all(found) else BROKEN
