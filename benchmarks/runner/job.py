"""Run a job: one optimizer on one problem, rung by rung; cells in the store are not run again."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pandas

from benchmarks.analysis.breaking_points import next_rung
from benchmarks.engine.cell import plain, run_cell
from benchmarks.engine.contender import Contender
from benchmarks.engine.protocol import FRONTIER, Protocol, Settled
from benchmarks.engine.status import SOLVED
from benchmarks.engine.trial_choice import choose
from benchmarks.store.cell_info import SKIPPED, CellInfo
from benchmarks.store.cells import Cells, Stored, Unreadable
from benchmarks.store.key import cell_key, described
from optimizers import NotApplicable
from optimizers.optimizer import Fault
from problems import Problem
from ravine import Refused, left_out

BISECTIONS = 3
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@dataclass(frozen=True)
class Job:
    """A problem under its name, and a contender."""

    name: str
    problem: Problem
    contender: Contender
    ladder: tuple[float, ...] = ()  # instead of the card's

    def identity(self, protocol: Protocol) -> str:
        """Return a name that the rungs of a job share and that differs between jobs."""
        fields = self.problem.settings | {self.problem.dial_column: None}
        contender = [
            self.contender.name,
            described(self.contender.optimizer),
            described(self.contender.removal),
        ]
        space = {name: dataclasses.asdict(each) for name, each in self.contender.space.items()}
        settled = dataclasses.asdict(protocol.settled(self.problem))
        settled["budget"] = float(protocol.budget or self.problem.card.budget)  # whatever the dial
        state = json.dumps(
            [self.name, fields, contender, space, settled], default=repr, sort_keys=True
        )
        return hashlib.sha256(state.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class CellDone:
    """The report on a cell that has ended."""

    problem: str
    dial: float
    optimizer: str
    key: str
    runs: int
    seconds: float
    share: float  # of the reporting runs that the tuned trial solved
    cached: bool
    error: str
    hopeless: bool = False  # no trial solved any instance
    skipped: str = ""  # why it was not run
    damage: str = ""  # why what was stored is not used


def rungs(problem: Problem, count: int | str, ladder: Sequence[float] = ()) -> list[float]:
    """Return the rungs to run: the problem's own dial, its ladder, or `count` rungs between the ladder's ends.

    They go from harmless to extreme. "auto" runs the ladder, then bisects. `ladder` replaces the card's.
    """
    ladder = list(ladder or problem.card.ladder)
    if count == 1:
        return [problem.dial]
    if count in ("auto", len(ladder)):
        return ladder
    assert isinstance(count, int)
    if problem.card.scale == "list":
        if count > len(ladder):
            raise Refused(
                f"rungs is {count}, but this dial has {len(ladder)} values and nothing between: {ladder}"
            )
        return [ladder[round(k)] for k in np.linspace(0, len(ladder) - 1, count)]
    ends = (ladder[0], ladder[-1])
    spaced = np.geomspace if problem.card.scale == "log" else np.linspace
    values = spaced(*ends, count)
    return list(dict.fromkeys(problem.at_dial(float(each)).dial for each in values))


def planned_cells(job: Job, protocol: Protocol) -> Iterator[tuple[str, CellInfo]]:
    """Yield key and info of each cell of a job that is certain to be run."""
    for dial in rungs(job.problem, protocol.rungs, job.ladder):
        at = job.problem.at_dial(dial)
        yield (
            cell_key(job.name, at, job.contender, protocol.settled(at)),
            info_of(job, at, protocol),
        )


def check_dials(jobs: Iterable[tuple[Job, Iterable[float]]], protocol: Protocol) -> None:
    """Refuse several rungs of a problem with a log scale if one of them is not above 0.

    Args:
        jobs: Each job, with the rungs that it runs; jobs that differ in the dial alone are one ladder.
        protocol: The protocol of the sweep.

    Raises:
        Refused: With the dial and the rung.
    """
    ladders: dict[str, tuple[Job, set[float]]] = {}
    for job, dials in jobs:
        ladders.setdefault(job.identity(protocol), (job, set()))[1].update(dials)
    for job, dials in ladders.values():
        problem = job.problem
        if problem.card.scale == "log" and len(dials) > 1 and min(dials) <= 0:
            dial = problem.dial_column.replace("problem", job.name)
            raise Refused(
                f"{dial} is {min(dials):g} at one of several rungs, but its scale is log: each must be above 0"
            )


def run_job(
    job: Job,
    protocol: Protocol,
    store: Cells,
    report: Callable[[CellDone], None],
    skips: bool = False,
) -> Iterator[str]:
    """Run the cells of a job one after the other and yield their keys; with rungs="auto", bisect at the end.

    skips: skip the rungs of the ladder that are harder than one where no trial solves any instance.
    """
    problem = job.problem
    shares: dict[float, float] = {}
    pending = rungs(problem, protocol.rungs, job.ladder)
    bisections = BISECTIONS if protocol.rungs == "auto" else 0
    while pending:
        at = problem.at_dial(pending.pop(0))
        done = run_rung(job, at, protocol, store, report)
        yield done.key
        if done.error:
            return  # the other rungs would fail in the same way
        shares[at.dial] = done.share
        while skips and done.hopeless and pending:
            harder = problem.at_dial(pending.pop(0))
            with _uninterrupted():
                skipped = _skip(job, harder, protocol, store, f"no trial solves {at.dial:g}")
                report(skipped)
            yield skipped.key
            shares[harder.dial] = skipped.share
        if not pending and bisections:
            bisections -= 1
            whole = problem.has_whole_dial
            dials = sorted(shares)
            between = next_rung(
                dials,
                [shares[each] for each in dials],
                problem.card.scale,
                whole,
                falling=falls(problem),
            )
            pending = [] if between is None else [between]


def falls(problem: Problem) -> bool:
    """True if the problem gets harder as its dial falls."""
    return problem.card.ladder[0] > problem.card.ladder[-1]


def _theory(job: Job, budget: float) -> dict[str, float]:
    """Return the breaking points that a theorem predicts, by the share of the budget; empty if it fails."""
    predicts = job.problem.card.theory.get(job.contender.name)
    if predicts is not None:
        with left_out(f"the theory of {job.name} · {job.contender.name}"):
            return {
                f"{share:.3g}": float(predicts(job.problem, share * budget)) for share in FRONTIER
            }
    return {}


def _predicted_share(job: Job, at: Problem) -> float | None:
    """Return the share of runs that theory predicts, if it does; None if it fails."""
    with left_out(f"the predicted share of {job.name} at {at.dial:g}"):
        share = at.predicted_share()
        return None if share is None else float(share)
    return None


def run_rung(
    job: Job, at: Problem, protocol: Protocol, store: Cells, report: Callable[[CellDone], None]
) -> CellDone:
    """Run the cell of a job at one rung, unless it is stored; store it, and report it."""
    settled = protocol.settled(at)
    key = cell_key(job.name, at, job.contender, settled)
    began = time.perf_counter()
    info, damage = info_of(job, at, protocol), ""
    try:
        cell = store.find(key)
    except Unreadable as error:
        cell, damage = None, str(error)
    cached = cell is not None and not cell.info.error
    if cell is None or cell.info.error:
        cell = _computed(info, job, at, settled, began)
    error = cell.info.error
    done = CellDone(
        problem=job.name,
        dial=at.dial,
        optimizer=job.contender.name,
        key=key,
        runs=len(cell.runs["status"]),
        seconds=time.perf_counter() - began,
        share=math.nan if error else solved_share(cell.runs),
        cached=cached,
        error=error,
        damage=damage,
        hopeless=not error and not (cell.runs["status"] == SOLVED).any(),
    )
    with _uninterrupted():
        if not cached:
            store.write(key, cell)
        elif cell.info != info:  # the description has changed, but no number
            store.describe(key, info)
        report(done)
    return done


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Deliver signals after the block: a cell that is stored and not reported would be in no table."""
    came: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {each: signal.getsignal(each) for each in ENDING}
    held = {each: of for each, of in handlers.items() if of not in (signal.SIG_IGN, None)}
    for each in held:
        signal.signal(each, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for each, of in held.items():
            signal.signal(each, of)
        for each in came[:1]:
            signal.raise_signal(each)


def _computed(info: CellInfo, job: Job, at: Problem, settled: Settled, began: float) -> Stored:
    """Run a cell; one that cannot be run is a row, not the end of the sweep."""
    try:
        result = run_cell(at, job.contender, settled)
    except NotApplicable as reason:  # a row, not an error
        refused = dataclasses.replace(info, error=str(reason))
        return _without_numbers(refused, "not_applicable", at, began)
    except Exception as error:
        last = " ".join(traceback.format_exception_only(error)[-1].split())
        last = str(error) if isinstance(error, Fault) else last
        failed = dataclasses.replace(info, error=last)
        return _without_numbers(failed, "error", at, began, traceback.format_exc())
    return Stored(info, result.runs, result.traces)


def _skip(job: Job, at: Problem, protocol: Protocol, store: Cells, reason: str) -> CellDone:
    """Store a skipped cell under a key of its own, so that the cell itself can still be run."""
    key = cell_key(job.name, at, job.contender, protocol.settled(at)) + SKIPPED
    info = dataclasses.replace(info_of(job, at, protocol), error=reason)
    if store.info(key) != info:
        store.write(key, _without_numbers(info, "skipped", at, time.perf_counter()))
    return CellDone(
        problem=job.name,
        dial=at.dial,
        optimizer=job.contender.name,
        key=key,
        runs=0,
        seconds=0.0,
        share=0.0,
        cached=True,
        error="",
        skipped=reason,
    )


def info_of(job: Job, at: Problem, protocol: Protocol) -> CellInfo:
    """Return the description of a cell."""
    settled = protocol.settled(at)
    return CellInfo(
        job=job.identity(protocol),
        problem=job.name,
        dial=at.dial,
        optimizer=job.contender.name,
        role=job.contender.optimizer.role,
        dial_name=at.card.dial,
        dial_column=at.dial_column,
        scale=at.card.scale,
        falling=falls(at),
        settings={
            name: plain(value) for name, value in at.settings.items() if name != at.dial_column
        },
        noisy=at.noisy,
        floor_is_minimum=at.card.floor_is_minimum,
        floor_attained=at.floor_attained,
        target=at.card.target,
        unranked=at.card.exceptions.get("ranked", ""),
        predicted_share=_predicted_share(job, at),
        theory=_theory(job, settled.budget),
        protocol=settled,
        searched={name: each.decades for name, each in job.contender.space.items()},
    )


def _without_numbers(
    info: CellInfo, status: str, at: Problem, began: float, said: str = ""
) -> Stored:
    """Return a cell of one row, with the reason why it has no numbers."""
    row = {"status": status, "seconds": time.perf_counter() - began, **at.settings}
    return Stored(info, {name: np.array([plain(value)]) for name, value in row.items()}, {}, said)


def solved_share(columns: Mapping[str, np.ndarray]) -> float:
    """Return the share of its reporting runs that the tuned trial solved."""
    names = ("trial", "role", "seed", "status", "cost_to_target", "cost", "gap_final")
    runs = pandas.DataFrame({name: columns[name] for name in names})
    tuned = runs[(runs["trial"] == choose(runs)["tuned"]) & (runs["role"] == "reporting")]
    return float((tuned["status"] == SOLVED).mean())
