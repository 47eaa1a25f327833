"""`ravine submit my_opt.py:MyOpt`: run the standard suite, and write a part for the published reference."""

from __future__ import annotations

import dataclasses
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas

from benchmarks.analysis.consistency import CHOSEN_ROWS
from benchmarks.analysis.folder import read_results
from benchmarks.analysis.parts import NoNumbers, check_alike, compact
from benchmarks.analysis.saved_sweep import stated_points
from benchmarks.catalog.defaults import TWINS, called
from benchmarks.cli.compose import Plan, Planned, planned
from benchmarks.cli.launch import run
from benchmarks.cli.options import BROKEN, FAILED, INTERRUPTED
from benchmarks.cli.subcommands import AGAINST, CELLS, SEED
from benchmarks.display.leaderboard import Leaderboard
from benchmarks.display.view import View
from benchmarks.runner.verify import BITWISE, DIFFERS, NOT_RUN, ROUNDED, Verified, verify
from benchmarks.store.cell_info import CellInfo
from benchmarks.store.sweep_folder import check_writable, read_manifest
from optimizers.registry import AND
from problems import PROBLEMS
from ravine import Refused, printable, require
from ravine.terminal import phase

USAGE = "submit OPTIMIZER [option=value …], as in submit my_opt.py:MyOpt"
CHECKOUT = Path(__file__).parents[2]  # whose reference counts where the working folder has none
WHOLE, SOME = "standard", "problems"  # what is run: a suite by its name, or some problems
NAMED = 8  # problems in a line; of more, their number is said
OURS = ("part", "against")  # options of this command, and of no sweep
OF_OPTIMIZERS = ("optimizer.", "optimizers.")


def main(given: Namespace) -> int:
    """Run the suite, write the part and print its row; with --verify, run some cells of a part again instead.

    The options are those of a sweep. Return the exit code of the sweep; of --verify, 1 if anything differs.
    """
    named = [word for word in given.words if "=" not in word]
    options = [word for word in given.words if "=" in word]
    if any(_name(word) == "optimizer" for word in options):
        raise Refused(f"the optimizer is named without optimizer=: {USAGE}")
    if len(named) != 1 or "," in named[0]:
        raise Refused(f"submit one optimizer, and not {', '.join(named) or 'none'}: {USAGE}")
    if given.verify is not None:
        for word in options:
            if not word.startswith(OF_OPTIMIZERS):
                raise Refused(
                    f"{word} is given with --verify, which takes options of optimizers alone"
                )
        cells = CELLS if given.cells is None else given.cells
        seed = SEED if given.seed is None else given.seed
        return _verify(named[0], options, given.verify, cells, seed)
    for name in ("cells", "seed"):
        if getattr(given, name) is not None:
            raise Refused(f"--{name} is given without --verify: {USAGE}")
    rest = [word for word in options if _name(word) not in OURS]
    part, against = (_folder(name, options) for name in OURS)
    return _submit(named[0], rest, part, against or _published(), ["submit", *given.words])


def _folder(name: str, options: Sequence[str]) -> Path | None:
    """Return the folder that an option of this command gives, None without the option."""
    words = [word for word in options if _name(word) == name]
    if len(words) > 1:
        raise Refused(f"{name} is given twice: {', '.join(words)}")
    folders = [word.partition("=")[2] for word in words]
    if "" in folders:
        raise Refused(f"{name} is empty, but must be a folder, as in {name}=results/{name}")
    return Path(folders[0]) if folders else None


def _published() -> Path:
    """Return the reference of the working folder, or else of the checkout, if either has one."""
    own = CHECKOUT / AGAINST
    return own if own.exists() and not AGAINST.exists() else AGAINST


def _submit(
    word: str, rest: Sequence[str], part: Path | None, against: Path, typed: Sequence[str]
) -> int:
    given = {_name(each): each.partition("=")[2] for each in rest}
    what = given.get("suite", SOME if "problem" in given else WHOLE)
    added = [f"+suite={what}"] if what == WHOLE and "suite" not in given else []
    if "problem" in given and "rungs" not in given:
        added.append("rungs=auto")  # as suites have it
    if "out" not in given:
        added.append(f"out={Path('results/submitted') / called(word.rpartition(':')[2]) / what}")
    plan = _plan([*added, *rest], word)
    first = plan.jobs[0]
    if not first.config["out"]:
        raise Refused("out is empty, but must be a folder, as in out=results/mine")
    out = Path(first.config["out"])
    part = part or out / "part"
    names = {each.setup.job.contender.name for each in plan.jobs}
    _check_part(part, out, names)
    code = run(plan, report=False, typed=typed)
    if code not in (0, FAILED) or first.config["dry_run"]:
        return code
    try:
        compact(out, part, {each.setup.job.identity(each.setup.protocol) for each in plan.jobs})
    except NoNumbers as why:
        print(f"\n{why}.")
        return code
    (name,) = names.difference(TWINS)
    print(f"\n{_among(_board(part, against), name).for_stdout()}\n\nPart:  {part}")
    return code


def _check_part(part: Path, out: Path, names: Collection[str]) -> None:
    """Refuse a folder in which no part of these optimizers can be written, before anything is run."""
    check_writable("part", part)
    if part.resolve() == out.resolve():
        raise Refused(f"part={part} is the folder of the sweep: give another one")
    if not part.exists() or not any(part.iterdir()):
        return
    manifest, cells = read_manifest(part) if (part / "manifest.json").exists() else ({}, {})
    if manifest.get("rows") != CHOSEN_ROWS:
        raise Refused(f"part={part} holds files that are not a part's: give a new folder")
    others = {info.optimizer for info in cells.values()}.difference(names)
    if others:
        raise Refused(
            f"part={part} is one of {', '.join(sorted(others))}: give a folder of its own"
        )


def _board(part: Path, against: Path) -> Leaderboard:
    """Return the leaderboard of a part, joined to the published one if that is of the same problems."""
    mine = read_results(part)
    board = Leaderboard.of(mine)
    try:
        with phase(f"reading {against}"):
            published = read_results(against)
        check_alike([published, mine])
    except Refused as why:
        print(f"\nNot beside the optimizers of {against}: {printable(str(why))}")
        return board
    return (
        Leaderboard.of(published).on({info.problem for info in mine.cells.values()}).joined(board)
    )


def _plan(options: Sequence[str], word: str) -> Plan:
    """Return the sweep of an optimizer, and on noisy problems of its twin with a decaying rate, if it has one."""
    if called(word) in TWINS:
        raise Refused(f"{word} has its row beside {word.partition(AND)[0]}: submit that")
    twin = f"{called(word)}{AND}decay"
    words = f"{word},{word}{AND}decay" if twin in TWINS else word
    plan = planned([*options, f"optimizer={words}"])
    jobs = [each.setup.job for each in plan.jobs]
    noisy = [job.problem.noisy or job.contender.name not in TWINS for job in jobs]
    kept = [each for each, wanted in zip(plan.jobs, noisy, strict=True) if wanted]
    if len({job.contender.name for job in jobs}) > len(words.split(",")):
        raise Refused(f"{word} is more than one optimizer: {USAGE}")
    _check_ladders(kept)
    return dataclasses.replace(plan, jobs=kept)


def _check_ladders(jobs: Sequence[Planned]) -> None:
    """Refuse what has no breaking point: a problem at one rung, or in several variants."""
    ladders: dict[tuple[str, str], dict[str, set[float]]] = {}
    for setup in (each.setup for each in jobs):
        by_variant = ladders.setdefault((setup.job.name, setup.job.contender.name), {})
        dials = by_variant.setdefault(setup.job.identity(setup.protocol), set())
        dials.update(problem.dial for problem in setup.rungs)
    for (problem, _), by_variant in ladders.items():
        if len(by_variant) > 1:
            raise Refused(f"{problem} is given in {len(by_variant)} variants: submit one at a time")
        if min(map(len, by_variant.values())) < 2:
            raise Refused(
                f"{problem} has one rung, and so no breaking point: give rungs=auto, or a number above 1"
            )


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
        *(
            [
                f"Better : worse : alike: the problems on which {name} is better, worse and not told apart, by sign "
                "tests on the same instances (5%, each alone)."
            ]
            if len(rows) > 1
            else []
        ),
        *(
            f"Absent on {', '.join(problems) if len(problems) <= NAMED else f'{len(problems)} problems'}: {reason}."
            for reason, problems in board.absent.get(name, {}).items()
        ),
    ]
    where = "among the published optimizers" if len(rows) > 1 else "alone"
    return View(f"{name} {where}", pandas.DataFrame(rows), remarks)


def _verify(word: str, rest: Sequence[str], part: Path, cells: int, seed: int) -> int:
    require("", "cells", cells, whole=True, low=1)
    results = read_results(part)
    stated_points(results)
    names = {info.optimizer for info in results.cells.values()}
    problems = (info.problem for info in results.cells.values())
    any_problem = next((each for each in problems if each in PROBLEMS), None)
    if any_problem is None:
        raise Refused(f"{part} has no problem that is registered here")
    twins = any(name in TWINS for name in names)
    plan = planned(
        [f"+problem={any_problem}", f"optimizer={word}" + f",{word}{AND}decay" * twins, *rest]
    )
    contenders = {each.setup.job.contender.name: each.setup.job.contender for each in plan.jobs}
    if not names <= {*contenders}:
        raise Refused(
            f"{part} has {', '.join(sorted(names))}, and not {', '.join(contenders)}: give the optimizer that it is of"
        )

    import torch

    torch.set_num_threads(1)  # as in sweeps: on small tensors more threads are slower
    found: list[Verified] = []
    try:
        for each in verify(results, contenders, cells, seed, _say_what_runs):
            found.append(each)
            why = f" ({each.why})" if each.why else ""
            print(f"{_called(each.info)}: {each.outcome}{why}", flush=True)
    except KeyboardInterrupt:
        print(f"ravine: interrupted after {len(found)} cells: {part} is as it was", file=sys.stderr)
        return INTERRUPTED
    counts = Counter(each.outcome for each in found)
    print(
        f"{len(found) - counts[NOT_RUN]} of {len(results.cells)} cells of {part} run again (seed {seed}): "
        f"{counts[BITWISE]} as stated to the bit, {counts[ROUNDED]} to rounding, {counts[DIFFERS]} differ."
        + f" {counts[NOT_RUN]} of the sample cannot be run."
        * bool(counts[NOT_RUN])
    )
    return BROKEN if counts[DIFFERS] else 0


def _say_what_runs(info: CellInfo, at: int, cells: int) -> None:
    print(f"ravine: {at} of {cells}: {_called(info)} runs again", file=sys.stderr, flush=True)


def _called(info: CellInfo) -> str:
    return printable(f"{info.problem} {info.dial:g} · {info.optimizer}")


def _name(word: str) -> str:
    """Return the option that a word gives."""
    return word.lstrip("+").partition("=")[0]
