"""Forecast how long a sweep would take, from stored cells or else from a rough rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np

from benchmarks.engine.protocol import Settled
from benchmarks.runner.job import BISECTIONS
from benchmarks.runner.progress import Ahead, duration, watched
from benchmarks.runner.setup import Setup
from benchmarks.store.cell_info import SKIPPED
from benchmarks.store.cells import Store, Unreadable
from benchmarks.store.key import cell_key
from optimizers.adopted import Adopted
from optimizers.wrapper import Wrapper
from problems import Problem
from ravine import left_out
from ravine.terminal import phase

# Seconds per step of a batch, plus per run in it and per coordinate of the run: momentum on quadratic.
STEP, RUN, COORDINATE = 5e-4, 5e-7, 5e-9
ADOPTED = (
    5e-5  # seconds per step and trial of a class of torch, which steps the runs of a trial together
)
DIM = 100  # of a problem that does not state its dimension


@dataclass(frozen=True)
class Forecast:
    """The forecast of a sweep.

    cells, runs: their numbers; found: cells that are already stored.
    more: most cells that the search for breaking points adds.
    seconds: computing time of the missing cells, without `more`.
    measured: missing cells for which the store has cells of the same problem and optimizer.
    processes: cells that run at a time.
    ahead: the work of each job, for `Progress`.
    """

    cells: int
    runs: int
    found: int
    more: int
    seconds: float
    measured: int
    processes: int
    ahead: Mapping[str, Ahead]

    def text(self) -> str:
        """Return the forecast as lines for a terminal."""
        missing = self.cells - self.found
        more = f", and up to {self.more} more to find breaking points" if self.more else ""
        lines = [
            f"{self.cells} cells, {self.runs} runs{more}; {self.found} cells have been run before."
        ]
        if missing:
            seconds = duration(self.seconds / self.processes)
            grown = duration(self.seconds * (1 + self.more / self.cells) / self.processes)
            at_most = f" to {grown}" if grown != seconds else ""
            at_once = f", {self.processes} at a time" if self.processes > 1 else ""
            basis = (
                f"for {self.measured} of {missing} from earlier cells of the same problem and optimizer"
                if self.measured
                else "no earlier cells"
            )
            lines.append(
                f"Very roughly {seconds}{at_most}{at_once} ({basis}, else {1e3 * STEP:g} ms a step, plus {1e6 * RUN:g} "
                f"µs per run, {1e9 * COORDINATE:g} ns per coordinate of it and {1e6 * ADOPTED:g} µs per trial of a "
                "class of torch)."
            )
        lines.append("Nothing was run, and nothing written.")
        return "\n".join(lines)


def forecast(setups: Sequence[Setup], processes: int) -> Forecast:
    """Forecast the sweep of these jobs with `processes` cells at a time."""
    planned = [(each, at, each.protocol.settled(at)) for each in setups for at in each.rungs]
    known = [
        _known(each, cell_key(each.job.name, at, each.job.contender, settled))
        for each, at, settled in watched(planned, "looking for stored cells")
    ]
    missing = [cell for cell, took in zip(planned, known, strict=True) if took != 0]
    with phase("looking how long earlier cells took"):
        pace = _paces(setups[0].store, {_pair(each): _is_adopted(each) for each, _, _ in missing})
    ahead: dict[str, Ahead] = {}
    failed: set[str] = set()  # jobs that ended at such a cell, and will again
    for (each, at, settled), took in zip(planned, known, strict=True):
        job = each.job.identity(each.protocol)
        before = ahead.get(job, Ahead({}))
        expected = _rough(each, at, settled) * pace.get(_pair(each), 1.0)
        if took is None:
            took = 0.0 if job in failed else expected
        elif took:
            failed.add(job)
        cells = {**before.cells, at.dial: took}
        searched = BISECTIONS if each.protocol.rungs == "auto" else 0
        # A ladder that is stored whole was searched to the end, as a rule, and those cells are stored as well.
        more = expected if any(cells.values()) and job not in failed else 0.0
        ahead[job] = Ahead(cells, more, searched)
    return Forecast(
        cells=len(planned),
        runs=sum(
            _trials(each, settled) * len(settled.seed_numbers) for each, _, settled in planned
        ),
        found=len(planned) - len(missing),
        more=sum(BISECTIONS for each in setups if each.protocol.rungs == "auto"),
        seconds=sum(sum(each.cells.values()) for each in ahead.values()),
        measured=sum(_pair(each) in pace for each, _, _ in missing),
        processes=processes,
        ahead=ahead,
    )


def _known(setup: Setup, key: str) -> float | None:
    """Return how many seconds a cell needs, as far as the store tells; None if the store has nothing of it.

    A stored cell needs none, nor does one that a suite is known to skip. A cell that ended in an error, or to which the
    optimizer is not applicable, is tried again, and is expected to take as long as before.
    """
    skipped = setup.suite is not None and setup.store.info(key + SKIPPED) is not None
    if skipped or setup.store.has(key):
        return 0.0
    with suppress(Unreadable):
        failed = setup.store.find(key)
        return None if failed is None else float(failed.runs["seconds"][0])
    return None


def _pair(setup: Setup) -> tuple[str, str]:
    return setup.job.name, setup.job.contender.name


def _trials(setup: Setup, settled: Settled) -> int:
    return settled.trials if setup.job.contender.space else 1


def _is_adopted(setup: Setup) -> bool:
    """True if the optimizer is a class of torch."""
    optimizer = setup.job.contender.optimizer
    while isinstance(optimizer, Wrapper):
        optimizer = optimizer.inner
    return isinstance(optimizer, Adopted)


def _rough(setup: Setup, at: Problem, settled: Settled) -> float:
    trials = _trials(setup, settled)
    return _at_rate(trials, settled, getattr(at, "dim", DIM), _is_adopted(setup))


def _at_rate(trials: int, protocol: Settled, dim: int, adopted: bool) -> float:
    """Return the seconds of a cell at the rough rate, if each step costs one gradient."""
    runs = trials * len(protocol.seed_numbers)
    step = STEP + runs * (RUN + COORDINATE * dim) + (ADOPTED * trials if adopted else 0)
    return protocol.budget * step


def _paces(
    store: Store, adopted: Mapping[tuple[str, str], bool]
) -> Mapping[tuple[str, str], float]:
    """Return, by problem and optimizer, the median of seconds of stored cells/seconds at the rough rate."""
    found: dict[tuple[str, str], list[float]] = {}
    for key, info in store.infos() if adopted else ():
        pair = info.problem, info.optimizer
        if pair not in adopted or info.error:
            continue
        cell = store.folder / key
        with left_out(f"what the forecast takes from {cell}"):  # it is damaged, or being replaced
            import pyarrow.parquet as pq  # slow to import

            runs = pq.read_table(cell / "runs.parquet", columns=["seconds"])
            stated = {**info.settings, info.dial_column: info.dial}
            trials = len(runs) // len(info.protocol.seed_numbers)
            dim = stated.get("problem.dim", DIM)
            expected = _at_rate(trials, info.protocol, dim, adopted[pair])
            found.setdefault(pair, []).append(runs["seconds"][0].as_py() / expected)
    return {pair: float(np.median(ratios)) for pair, ratios in found.items()}
