"""`ravine compare A B`: what became better or worse from one sweep to another."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.display.as_json import as_json
from benchmarks.display.compare import check_finished, compare_sweeps
from ravine.terminal import phase

REGRESSION, UNDECIDED = 1, 4  # exit codes with --fail-on-regression


def main(given: Namespace) -> int:
    """Print the comparison; with --fail-on-regression return 1 if B is worse, 4 if that cannot be told."""
    if given.fail_on_regression:
        check_finished(given.before, given.after)
    with phase(f"reading {given.before} and {given.after}"):
        found = compare_sweeps(given.before, given.after)
    print(as_json(found.plain()) if given.json else found.for_stdout())
    if not given.fail_on_regression:
        return 0
    if found.where("error") or found.where("worse"):
        return REGRESSION
    return UNDECIDED if found.undecided else 0
