"""`ravine submit my_opt.py:MyOpt`: run the standard suite, and write a part for the published reference."""

from __future__ import annotations

import argparse
import dataclasses
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pandas

from benchmarks.analysis.folder import finished, read_results
from benchmarks.analysis.parts import check_alike, compact
from benchmarks.catalog.defaults import TWINS, called
from benchmarks.cli.compose import Plan, planned
from benchmarks.cli.launch import run
from benchmarks.cli.options import BROKEN, FAILED
from benchmarks.display.leaderboard import Leaderboard
from benchmarks.display.view import View
from benchmarks.runner.verify import BITWISE, DIFFERS, ROUNDED, Verified, verify
from optimizers.registry import AND
from problems import PROBLEMS
from ravine import Refused, require

USAGE = (
    "submit OPTIMIZER [option=value …] [part=FOLDER] [against=FOLDER] [--verify PART [--cells N] [--seed N]], "
    "as in submit my_opt.py:MyOpt"
)
AGAINST = "results/reference"  # with which a part is compared
SUITE = ("suite", "problem")  # either says what is run
NAMED = 8  # problems in a line; of more, their number is said
OURS = ("part", "against")  # options of this command, and of no sweep


def main(words: Sequence[str]) -> int:
    """Run the suite, write the part and print its row; with --verify, run some cells of a part again instead.

    The options are those of a sweep. Return the exit code of the sweep; of --verify, 1 if anything differs.
    """
    given = _Parser(prog="ravine submit").parse_args(list(words))
    named = [word for word in given.words if "=" not in word]
    if len(named) != 1:
        raise Refused(f"submit one optimizer, and not {len(named)}: {USAGE}")
    own = {
        name: word for word in given.words for name, _, _ in [word.partition("=")] if name in OURS
    }
    rest = [word for word in given.words if "=" in word and word not in own.values()]
    if any(_name(word) == "optimizer" for word in rest):
        raise Refused(f"the optimizer is named without optimizer=: {USAGE}")
    if given.verify is not None:
        return _verify(named[0], rest, given.verify, given.cells, given.seed)
    folders = {name: Path(word.partition("=")[2]) for name, word in own.items()}
    return _submit(named[0], rest, folders.get("part"), folders.get("against", Path(AGAINST)))


class _Parser(argparse.ArgumentParser):
    def __init__(self, prog: str):
        super().__init__(prog, add_help=False, allow_abbrev=False)
        self.add_argument("words", nargs="*")
        self.add_argument("--verify", type=Path)
        self.add_argument("--cells", type=int, default=20)
        self.add_argument("--seed", type=int, default=0)

    def parse_args(self, words: Sequence[str]) -> argparse.Namespace:  # type: ignore[override]
        return self.parse_intermixed_args(words)

    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}: {USAGE}")


def _submit(word: str, rest: Sequence[str], part: Path | None, against: Path) -> int:
    suite = [] if any(_name(each) in SUITE for each in rest) else ["+suite=standard"]
    out = next((Path(each.partition("=")[2]) for each in rest if _name(each) == "out"), None)
    if out is None:
        out = Path("results") / "submitted" / called(word.rpartition(":")[2])
        rest = [*rest, f"out={out}"]
    plan = _plan([*suite, *rest], word)
    names = {each.setup.job.contender.name for each in plan.jobs}
    if (out / "manifest.json").exists():
        others = {info.optimizer for info in finished(out)[1].values()} - names
        if others:
            raise Refused(
                f"out={out} has {', '.join(sorted(others))} as well: give a folder of its own"
            )
    code = run(plan)
    if code not in (0, FAILED) or plan.jobs[0].config["dry_run"]:
        return code
    part = part or out / "part"
    compact(out, part)
    (name,) = names.difference(TWINS)
    print(f"\n{_among(_board(part, against), name).text()}\n\nPart:  {part}")
    return code


def _board(part: Path, against: Path) -> Leaderboard:
    """Return the leaderboard of a part, joined to the published one if that is of the same problems."""
    mine = read_results(part)
    board = Leaderboard.of(mine)
    try:
        published = read_results(against)
        check_alike([published, mine])
    except Refused as why:
        print(f"\nNot beside the optimizers of {against}: {why}")
        return board
    return Leaderboard.of(published).joined(board)


def _plan(options: Sequence[str], word: str) -> Plan:
    """Return the sweep of an optimizer, and on noisy problems of its twin with a decaying rate, if it has one."""
    twin = f"{called(word)}{AND}decay"
    words = f"{word},{word}{AND}decay" if twin in TWINS else word
    plan = planned([*options, f"optimizer={words}"])
    jobs = [each.setup.job for each in plan.jobs]
    noisy = [job.problem.noisy or job.contender.name not in TWINS for job in jobs]
    kept = [each for each, wanted in zip(plan.jobs, noisy, strict=True) if wanted]
    if len({job.contender.name for job in jobs} - {*TWINS}) != 1:
        raise Refused(f"{word} is more than one optimizer, or has its row already: {USAGE}")
    return dataclasses.replace(plan, jobs=kept)


def _among(board: Leaderboard, name: str) -> View:
    """Return the leaderboard, with what is known of one optimizer against each of the others."""
    duels = board.duels(name).groupby("optimizer")["sign"]
    counts = {
        str(other): [int((sign == each).sum()) for each in (-1, 1, 0)] for other, sign in duels
    }
    rows = [
        {
            "": row["optimizer"],
            "family": row["family"],
            "problems": row["problems"],
            "ladder": f"{row['climbed']:.2f}",
            "groups": row["group"] or "–",
            "better : worse : alike": " : ".join(map(str, counts.get(row["optimizer"], ()))) or "–",
        }
        for row in board.table.to_dict("records")
    ]
    remarks = [
        "Ladder: the share of each problem's ladder that is climbed, the mean over problems and families of problems.",
        "Groups: two share a letter unless a randomization test over families tells them apart (5%, each pair alone).",
        f"Better : worse : alike: the problems on which {name} is better, worse and not told apart, by sign tests "
        "on the "
        "same instances (5%, each alone).",
        *(
            f"Absent on {', '.join(problems) if len(problems) <= NAMED else f'{len(problems)} problems'}: {reason}."
            for reason, problems in board.absent.get(name, {}).items()
        ),
    ]
    return View(f"{name} among the published optimizers", pandas.DataFrame(rows), remarks)


def _verify(word: str, rest: Sequence[str], part: Path, cells: int, seed: int) -> int:
    require("", "cells", cells, whole=True, low=1)
    results = read_results(part)
    names = {info.optimizer for info in results.cells.values()}
    any_problem = next(iter(results.cells.values())).problem
    if any_problem not in PROBLEMS:
        raise Refused(f"{part} has {any_problem}, which is not registered here")
    twins = any(name in TWINS for name in names)
    plan = planned(
        [f"+problem={any_problem}", f"optimizer={word}" + f",{word}{AND}decay" * twins, *rest]
    )
    contenders = {each.setup.job.contender.name: each.setup.job.contender for each in plan.jobs}
    if not names <= {*contenders}:
        raise Refused(
            f"{part} has {', '.join(sorted(names))}, and not {', '.join(contenders)}: give the optimizer that it is of"
        )

    def say(each: Verified) -> None:
        why = f" ({each.why})" if each.why else ""
        print(
            f"{each.info.problem} {each.info.dial:g} · {each.info.optimizer}: {each.outcome}{why}",
            flush=True,
        )

    found = verify(results, contenders, cells, seed, say)
    counts = Counter(each.outcome for each in found)
    print(
        f"{len(found)} of {len(results.cells)} cells of {part} run again (seed {seed}): {counts[BITWISE]} as stated "
        f"to the bit, {counts[ROUNDED]} to rounding, {counts[DIFFERS]} differ."
    )
    return BROKEN if counts[DIFFERS] else 0


def _name(word: str) -> str:
    """Return the option that a word gives."""
    return word.lstrip("+").partition("=")[0]
