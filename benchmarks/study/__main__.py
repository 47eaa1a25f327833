"""The validity study: does an optimizer's profile on dialled problems foretell its rank on small real tasks?

Without an option it says which parts exist, and the answer if all do. The plan, docs/validity/plan.json, must be
committed before results are written.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from pathlib import Path
from typing import NoReturn

from benchmarks.study.conclusions import conclude, read_tables
from benchmarks.study.levels import levels
from benchmarks.study.outcomes import run_family
from benchmarks.study.page import PAGE, verdict, write
from benchmarks.study.plan import ROOT, Plan, check_committed
from benchmarks.study.profile import lacking, read_profile
from benchmarks.study.results import OUTCOMES, SIGNATURES, VERDICTS, add, read
from benchmarks.study.signatures import FEATURES, rungs, signature, unmeasured
from benchmarks.study.verdicts import verdicts
from ravine import Refused

PERMUTATIONS = 400  # of each simulated study


def main(words: Sequence[str], root: Path = ROOT) -> int:
    """Do what is asked for, and print a line for each thing that is done.

    Args:
        words: The options.
        root: The folder of the checkout.
    """
    given = _Parser().parse_args(list(words))
    plan = Plan.read(root)
    if given.levels:
        print(json.dumps(_levels(plan, given.levels), indent=1))
    if given.signatures:
        _print(_signatures(plan, root))
    if given.family:
        _print(run_family(given.family, plan, root))
    if given.verdicts:
        _verdicts(plan, root, given.verdicts)
    if given.page:
        write(plan, root, [line for line, whole in state(plan, root) if not whole])
        print(root / PAGE)
    if not any(vars(given).values()):
        parts = [*state(plan, root)]
        _print(line for line, _ in parts)
        if all(whole for _, whole in parts):
            print(f"{verdict(conclude(read_tables(plan, root), plan), plan)} {PAGE}")
    return 0


class _Parser(argparse.ArgumentParser):
    def __init__(self) -> None:
        super().__init__(prog="study", description=__doc__, allow_abbrev=False)
        self.add_argument(
            "--signatures", action="store_true", help="measure all tasks and rungs that are missing"
        )
        self.add_argument(
            "--family", metavar="NAME", help="run what is missing of the outcomes of a task family"
        )
        self.add_argument(
            "--levels",
            type=studies,
            metavar="STUDIES",
            help="simulate the critical p, size and power",
        )
        self.add_argument(
            "--verdicts",
            type=studies,
            metavar="STUDIES",
            help="simulate how often each verdict is said",
        )
        self.add_argument(
            "--page", action="store_true", help="write docs/validity.md from what there is"
        )

    def error(self, message: str) -> NoReturn:
        raise Refused(
            f"{message}: [--signatures] [--family NAME] [--levels STUDIES] [--verdicts STUDIES] [--page]"
        )


def studies(text: str) -> int:
    """Return how many studies are to be simulated.

    Args:
        text: As it was given.

    Raises:
        argparse.ArgumentTypeError: If that is not a whole number from 1 on.
    """
    count = int(text) if text.isdecimal() else 0
    if count < 1:
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number from 1 on")
    return count


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _levels(plan: Plan, studies: int) -> dict[str, dict[str, float]]:
    sizes = [len(words) for words in plan.optimizers.values()]
    return levels(sizes, len(plan.tasks), len(FEATURES), plan.nearest, studies, PERMUTATIONS)


def _verdicts(plan: Plan, root: Path, studies: int) -> None:
    """Simulate the verdicts, and write them in place of those that are there."""
    check_committed(root)
    rows = [*verdicts(plan, studies)]
    (root / VERDICTS).unlink(missing_ok=True)
    add(root / VERDICTS, plan.digest, rows)
    print(root / VERDICTS)


def _signatures(plan: Plan, root: Path) -> Iterator[str]:
    """Measure what is missing, and yield a line for each."""
    check_committed(root)
    for name, dial, problem in unmeasured(plan.family, read(root / SIGNATURES, plan.digest)):
        began = time.perf_counter()
        found = signature(problem)
        add(root / SIGNATURES, plan.digest, [{"name": name, "dial": dial, **found}])
        numbers = "  ".join(f"{feature} {value:.3g}" for feature, value in found.items())
        at = "" if dial != dial else f" at {dial:g}"
        yield f"{name}{at}  {numbers}  {time.perf_counter() - began:.0f} s"


def state(plan: Plan, root: Path) -> Iterator[tuple[str, bool]]:
    """Yield what there is of the study, a line for each part and whether it is whole.

    Args:
        plan: The plan.
        root: The folder of the checkout.
    """
    try:
        check_committed(root)
        yield f"plan {plan.digest}: committed", True
    except Refused as refusal:
        yield f"plan {plan.digest}: {refusal}", True
    measured, wanted = len(read(root / SIGNATURES, plan.digest)), len(plan.family) + len([*rungs()])
    yield f"signatures: {measured} of {wanted} tasks and rungs", measured == wanted
    missing = lacking(read_profile(root), plan)
    said = f"profile: {len(plan.kind) - len(missing)} of {len(plan.kind)} optimizers"
    yield f"{said}{', without ' if missing else ''}{', '.join(missing)}", not missing
    for family, tasks in plan.tasks.items():
        there = read(root / OUTCOMES / f"{family}.csv", plan.digest)
        cells = 0 if there.empty else len(there.drop_duplicates(["task", "optimizer"]))
        wanted = len(tasks) * len(plan.kind)
        yield f"outcomes of {family}: {cells} of {wanted} optimizers on tasks", cells == wanted


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refused as refusal:
        sys.exit(f"study: {refusal}")
    except KeyboardInterrupt:
        sys.exit("study: interrupted: finished rows are kept; the same command runs the rest")
    except BrokenExecutor as error:
        sys.exit(
            f"study: a process died: finished rows are kept; the same command runs the rest ({error})"
        )
