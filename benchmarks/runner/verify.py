"""Run some cells of a published part again, and compare their runs with those that the part states."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas

from benchmarks.analysis.columns import WITHOUT_NUMBERS
from benchmarks.analysis.folder import Results
from benchmarks.analysis.pairs import SAME_GAP
from benchmarks.analysis.saved_sweep import rebuilt
from benchmarks.engine.contender import Contender
from benchmarks.engine.protocol import Protocol
from benchmarks.engine.trial_choice import choose
from benchmarks.runner.job import Job, run_rung
from benchmarks.store.cell_info import SKIPPED, CellInfo
from benchmarks.store.cells import Memory, Stored

BITWISE, ROUNDED, DIFFERS, NOT_RUN = "to the bit", "to rounding", "differs", "not run"
EXACT = ("status", "steps", "cost")
MEASURED = ("cost_to_target", "gap_final")


@dataclass(frozen=True)
class Verified:
    """A cell that was run again: its description, whether it is as stated, and what differs, or why it was not run."""

    info: CellInfo
    outcome: str
    why: str = ""


def verify(
    part: Results,
    contenders: Mapping[str, Contender],
    cells: int,
    seed: int,
    begins: Callable[[CellInfo, int, int], None] = lambda info, at, cells: None,
) -> Iterator[Verified]:
    """Run a sample of a part's cells again, and yield how each compares.

    A run is as stated "to the bit" if its status, steps, costs and final gap are (as float32, in which parts keep
    gaps); "to rounding" if its status is, and its steps, costs and final gap are within 1 %, as they may be on another
    machine. A cell is as good as its worst run, and its default and tuned trials must be those that the tuning
    instances choose. It is "not run" if its problem is not registered, or has changed.

    Args:
        part: The part, as `read_results` returns it.
        contenders: The part's optimizers by name.
        cells: How many cells, at most; skipped ones are not among them.
        seed: Of the sample.
        begins: Called as a cell begins, with its description, its place from 1, and the number of cells.
    """
    known = sorted(key for key in part.cells if not key.endswith(SKIPPED))
    sample = random.Random(seed).sample(known, min(cells, len(known)))
    for at, key in enumerate(sample, 1):
        info = part.cells[key]
        begins(info, at, len(sample))
        yield _compared(part, key, info, contenders[info.optimizer])


def _compared(part: Results, key: str, info: CellInfo, contender: Contender) -> Verified:
    problem = rebuilt(info)
    if isinstance(problem, str):
        return Verified(info, NOT_RUN, problem)
    memory = Memory()
    job = Job(info.problem, problem, contender)
    protocol = Protocol(**dataclasses.asdict(info.protocol))
    done = run_rung(job, problem, protocol, memory, lambda _: None)
    stated = part.runs[part.runs["cell"] == key]
    choices = part.summary[part.summary["cell"] == key]
    problems = list(_differences(stated, choices, memory.read(done.key)))
    hard = [why for why, is_rounding in problems if not is_rounding]
    if hard:
        return Verified(info, DIFFERS, hard[0])
    return Verified(info, ROUNDED if problems else BITWISE, problems[0][0] if problems else "")


def _differences(
    stated: pandas.DataFrame, choices: pandas.DataFrame, again: Stored
) -> Iterator[tuple[str, bool]]:
    """Yield what differs, and whether it is rounding."""
    before, after = str(stated["status"].iloc[0]), str(again.runs["status"][0])
    if before in WITHOUT_NUMBERS or after in WITHOUT_NUMBERS:
        if before != after:
            yield f"it is {before}, and {after} again", False
        return
    runs = pandas.DataFrame(dict(again.runs))
    chosen = choose(runs)
    for choice, trial in zip(choices["choice"], choices["trial"], strict=True):
        if choice in chosen and chosen[choice] != trial:
            yield f"the {choice} trial is {trial:g}, and {chosen[choice]} again", False
    names = [*EXACT, *MEASURED]
    at = ["trial", "seed"]
    both = stated[[*at, *names]].astype({"trial": int, "seed": int}).merge(
        runs[[*at, *names]], on=at, how="left", suffixes=("", " again")
    )  # fmt: skip
    for name in names:
        sides = both[name], both[f"{name} again"]
        is_number = name != "status"
        with np.errstate(over="ignore"):  # a gap above 3e38 is infinite as well
            one, other = (each.to_numpy(dtype="float32" if is_number else object) for each in sides)
        differs = _differs(one, other) if is_number else one != other
        if not differs.any():
            continue
        row = int(np.flatnonzero(differs)[0])
        said = f"{name} of trial {both['trial'][row]}, seed {both['seed'][row]} is {both[name][row]}, and "
        said += f"{both[f'{name} again'][row]} again"
        yield said, is_number and _near(one, other)


def _differs(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return where numbers differ, or are missing in one of both."""
    return (one != other) & ~(np.isnan(one) & np.isnan(other))


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    """True if all numbers are within a percent of each other, or missing or infinite in both."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.abs(np.log10(np.abs(other)) - np.log10(np.abs(one)))
    return bool((~_differs(one, other) | (ratio <= SAME_GAP)).all())
