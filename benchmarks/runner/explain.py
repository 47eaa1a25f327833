"""Explain a job: take one cause after another away at the rungs where it breaks, and search again.

In two stages. Each removal is tried at a few settings, on the tuning instances; those with which more of them are
solved are searched like any contender, with the same trials on the same instances. A removal is not tried if another
one of the same cause solves all. Where no removal holds alone, the best one is kept and each of the others is added to
it; the two next best are tried together, too. Where none even helps when it is tried, the ranking says little: then all
pairs of the `PAIRED` best causes are tried.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import pickle
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas

from benchmarks.analysis.causes import TOO_FEW, Broken, Removed, judged, solved, tuned
from benchmarks.analysis.tables import filled
from benchmarks.engine.contender import Contender
from benchmarks.engine.protocol import Protocol
from benchmarks.engine.trial_choice import costs, log_gaps
from benchmarks.explain.removals import (
    Both,
    Cause,
    Fields,
    Nothing,
    control,
    met_by,
    removals,
)
from benchmarks.runner.job import Job, falls, run_rung, rungs
from benchmarks.runner.worker import Task
from benchmarks.store.cells import Cells
from benchmarks.store.key import cell_key
from optimizers import Range
from optimizers.optimizer import NotApplicable
from problems import Problem
from ravine import Refused, left_out

RUNNING = "running"  # suffix of a file with what is being done
TRIED = 13  # settings that a removal is tried at: the tuned one, eight others, and four near the best of these

PAIRED = 6  # causes of which all pairs are tried where no removal alone helps: at most 15


def explain(
    job: Job,
    keys: Iterable[str],
    protocol: Protocol,
    store: Cells,
    say: Callable[[str], None] = lambda what: None,
) -> pandas.DataFrame:
    """Return one row for each removal of a job, as `ordered` has them; none if it does not break on its rungs.

    Args:
        job: The job that was run.
        keys: Its cells.
        protocol: Its protocol.
        store: Where its cells are, and those of its removals will be.
        say: Called with what is done next, such as "removal 3 of 6".
    """
    explanation = _explanation(job, keys, protocol, store, say)
    return pandas.DataFrame() if explanation is None else explanation.rows()


def _explanation(
    job: Job,
    keys: Iterable[str],
    protocol: Protocol,
    store: Cells,
    say: Callable[[str], None] = lambda what: None,
) -> _Explanation | None:
    """Return the explanation of a job, before anything is removed; None if the job does not break on its rungs."""
    cells = pandas.concat([_runs(store, key) for key in keys], ignore_index=True)
    runs = filled(cells, falls(job.problem))
    if runs.empty:
        return None
    ladder = rungs(job.problem, protocol.rungs, job.ladder)
    broken = Broken.of(runs, job.problem.card.scale, falls(job.problem), ladder)
    return None if broken is None else _Explanation(job, broken, protocol, store, say)


class _FailedRuns(Exception):
    """The runs of a removal ended in an error."""


@dataclass(frozen=True)
class _Explanation:
    """The removals of a job that breaks."""

    job: Job
    broken: Broken
    protocol: Protocol
    store: Cells
    say: Callable[[str], None]

    def rows(self) -> pandas.DataFrame:
        """Return the rows of all removals, alone and where needed in pairs."""
        alone = self._alone(self._removals())
        table = judged(self.broken, alone)
        if table.empty or table["holds"].any() or (table["note"] == TOO_FEW).any():
            return table
        orders = {each.removal.name: each.order(self.broken) for each in alone}
        ranked = [each for each in alone if not (each.instead or each.error or each.unasked)]
        ranked.sort(key=lambda each: orders[each.removal.name], reverse=True)
        # One that takes more away than another, and is no better, makes no other pairs.
        ranked = [
            each
            for each in ranked
            if orders.get(each.removal.beyond, (-1,)) < orders[each.removal.name]
        ]
        if not ranked:
            return table
        couples = [
            (first, second)
            for first, second in _couples(ranked)
            if first.removal.cause != second.removal.cause
        ]
        pairs = []
        for number, (first, second) in enumerate(couples, start=1):
            self.say(f"pair of removals {number} of {len(couples)}")
            pairs.append(self._removed(Both(first.removal, second.removal), first.tried))
        return judged(self.broken, [*alone, *(each for each in pairs if each is not None)])

    def run_ahead(self, share: int, shares: int) -> None:
        """Run the cells of the removals of some of the causes, which `rows` then finds in the store.

        Args:
            share: Which causes: one in so many, from this one on.
            shares: In how many.
        """
        found = self._removals()
        causes = [*dict.fromkeys(each.cause for each, _ in found)][share::shares]
        self._alone(found, causes)

    def _removals(self) -> list[tuple[Cause, str]]:
        """Return what is taken away, and why it cannot be."""
        measured = self.broken.at(self.broken.measured)
        traces = self.store.read(str(measured["cell"].iloc[0])).traces
        at = self.job.problem.at_dial(self.broken.rungs[0])
        return [*removals(at, self.job.contender.optimizer, met_by(traces, measured))]

    def _alone(
        self, found: Sequence[tuple[Cause, str]], causes: Container[str] | None = None
    ) -> list[Removed]:
        """Return what each of these removals does alone, as far as the optimizer can be used without the cause.

        causes: Of which causes; by default all.
        """
        alone: list[Removed] = []
        for number, (each, unasked) in enumerate(found, start=1):
            if causes is not None and each.cause not in causes:
                continue
            self.say(f"removal {number} of {len(found)}")
            enough = "" if unasked else self._enough(each, alone)
            done = (
                Removed(each, 0, math.inf, instead=enough, unasked=unasked)
                if enough or unasked
                else self._removed(each, self.broken.tuning)
            )
            if done is not None:
                alone.append(done)
        return alone

    def _removed(self, removal: Cause, before: int) -> Removed | None:
        """Return what a removal does: tried, and searched if it then solves more than `before`.

        None if the optimizer cannot be used without the cause; an error of its runs is kept.
        """
        try:
            return self._measured(removal, before)
        except NotApplicable:
            return None
        except _FailedRuns as error:
            return Removed(removal, 0, math.inf, error=str(error))

    def _measured(self, removal: Cause, before: int) -> Removed:
        found = self._tried(removal)
        if found.tried < min(before + 1, self.broken.instances):
            return found
        with_it: list[pandas.DataFrame] = []
        for dial in self.broken.rungs:
            runs = self._searched(removal, self.job.problem.at_dial(dial))
            with_it.append(runs)
            if solved(runs).mean() < 0.5:
                break
        for dial in self.broken.easier:
            if solved(with_it[0]).mean() >= 0.5:
                break
            with_it.insert(0, self._searched(removal, self.job.problem.at_dial(dial)))
        found = dataclasses.replace(found, runs=pandas.concat(with_it, ignore_index=True))
        if isinstance(removal, Fields) or not found.helps(self.broken):
            return found
        return dataclasses.replace(found, gain=self._gain(removal))

    def _enough(self, removal: Cause, others: Sequence[Removed]) -> str:
        """Return the name of another removal of the same cause that solves all; empty if there is none."""
        for each in others:
            same = each.removal.cause == removal.cause and not isinstance(each.removal, Fields)
            if same and each.solves_all(self.broken):
                return each.removal.name
        return ""

    def _tried(self, removal: Cause) -> Removed:
        """Return what a removal does with a few settings where the job is clearly broken.

        The first is the tuned one. The learning rates of the others are spread over the searched range; other
        hyperparameters lie between their tuned values and their defaults: what suited the cause need not suit its
        absence.
        """
        contender = self.job.contender
        optimizer, space = contender.optimizer, contender.space
        setting = self.broken.setting(space)
        near = dataclasses.replace(
            contender,
            name=_named(contender, removal),
            optimizer=optimizer.replace(**setting),
            space={
                name: within
                for name, each in space.items()
                if (
                    within := each
                    if name == optimizer.rate or optimizer.rate not in space
                    else _between(each, setting[name], optimizer.hyperparameters[name])
                )
            },
            removal=removal,
            brief=True,
        )
        size = dataclasses.replace(self.protocol, trials=TRIED, seeds=1)
        runs = self._run(near, self.job.problem.at_dial(self.broken.rungs[0]), size)
        tuning = runs[runs["role"] == "tuning"]
        trials = tuning["trial"].nunique()
        reached, gaps = (each(tuning).reshape(trials, -1) for each in (costs, log_gaps))
        return Removed(
            removal, int(np.isfinite(reached).sum(1).max()), float(np.median(gaps, axis=1).min())
        )

    def _searched(self, removal: Cause | Nothing | None, at: Problem) -> pandas.DataFrame:
        contender = self.job.contender
        if removal is not None:
            contender = dataclasses.replace(
                contender, name=_named(contender, removal), removal=removal
            )
        return self._run(contender, at, self.protocol)

    def _run(self, contender: Contender, at: Problem, size: Protocol) -> pandas.DataFrame:
        """Return the runs of a cell. Raises NotApplicable or _FailedRuns."""
        job = dataclasses.replace(self.job, contender=contender)
        done = run_rung(job, at, size, self.store, lambda done: None)
        if not done.error:
            return _runs(self.store, done.key)
        status = self.store.read(done.key).runs["status"][0]
        raise (NotApplicable if status == "not_applicable" else _FailedRuns)(done.error)

    def _gain(self, removal: Cause) -> float:
        """Return by which factor the removal makes the target cheaper where the pathology is absent, at least 1.

        A control at which the job breaks as well is none for it: 1.
        """
        without = control(self.job.problem.at_dial(self.broken.rungs[0]))
        settled = self.protocol.settled(without)
        stored = self.store.has(cell_key(self.job.name, without, self.job.contender, settled))
        base, other = (
            float(np.median(costs(tuned(self._searched(each, without)))))
            for each in (None if stored else Nothing(), removal)
        )
        return 1.0 if math.isinf(base) or other == 0 else max(base / other, 1.0)


def _couples(ranked: Sequence[Removed]) -> list[tuple[Removed, Removed]]:
    """Return which of the removals, the best first, are combined."""
    best, *others = ranked
    if all(each.runs is None for each in ranked):
        by_cause: dict[str, Removed] = {}
        for each in ranked:
            by_cause.setdefault(each.removal.cause, each)
        return list(itertools.combinations(list(by_cause.values())[:PAIRED], 2))
    next_best = [(others[0], others[1])] if len(others) > 1 else []
    return [*((best, each) for each in others), *next_best]


@dataclass(frozen=True)
class _Ended(Task, ABC):
    """A task on the jobs of a sweep that has ended.

    keys: the cells of each job.
    scratch: a folder for what the processes tell the one that puts it together.
    """

    keys: Sequence[Sequence[str]] = ()
    scratch: Path = Path()

    @abstractmethod
    def __call__(self, number: int) -> None: ...

    @contextmanager
    def saying(self, number: int) -> Iterator[Callable[[str], None]]:
        """Give a function that says what is being done in a job, until the end."""
        file = self.scratch / f"{number}.{RUNNING}"
        try:
            yield lambda what: _write(file, f"{self.name(number)}: {what}".encode())
        finally:
            file.unlink(missing_ok=True)

    def running(self) -> Iterator[str]:
        """Yield what is being done in each job that runs."""
        for file in sorted(self.scratch.glob(f"*.{RUNNING}")):
            with suppress(FileNotFoundError):  # it has ended
                yield file.read_text()


@dataclass(frozen=True)
class Explaining(_Ended):
    """Explains the jobs of a sweep, each by its number."""

    def __call__(self, number: int) -> None:
        """Run the cells of the removals of one job, and keep its rows; one that fails is named and left out.

        Raises OSError (such as a full disk) and Refused, because they are likely to stop every job.
        """
        name = self.name(number)
        if not sys.stderr.isatty():
            print(f"ravine: explaining {name}", file=sys.stderr)
        setup, rows = self.setup(number), None
        what = left_out(f"the explanation of {name}", unless=(OSError, Refused))
        with what, self.saying(number) as say:
            rows = explain(setup.job, self.keys[number], setup.protocol, setup.store, say)
        _write(self._file(number), pickle.dumps(rows))  # whole: the process may be ended here
        if self.shown is not None:
            self.shown.watch()

    def ended(self) -> int:
        """Return how many jobs have ended."""
        return sum(self._file(number).exists() for number in range(len(self.configs)))

    def rows(self, number: int) -> pandas.DataFrame | None:
        """Return the rows of one job, None if it has not been explained."""
        file = self._file(number)
        return pickle.loads(file.read_bytes()) if file.exists() else None

    def _file(self, number: int) -> Path:
        return self.scratch / f"{number}.pickle"


@dataclass(frozen=True)
class RunningAhead(_Ended):
    """Runs cells that the explanations of jobs will need: several numbers for each job, each for some of the causes.

    shares: how many for each job.
    """

    shares: int = 1

    def name(self, number: int) -> str:
        return super().name(number // self.shares)

    def __call__(self, number: int) -> None:
        job, share = divmod(number, self.shares)
        setup = self.setup(job)
        # What goes wrong is met again by the explanation, which says so.
        with suppress(Exception), self.saying(number) as say:
            explanation = _explanation(setup.job, self.keys[job], setup.protocol, setup.store, say)
            if explanation is not None:
                explanation.run_ahead(share, self.shares)


def _write(file: Path, content: bytes) -> None:
    """Write a file that others read at any moment."""
    new = file.with_suffix(".new")
    new.write_bytes(content)
    new.replace(file)


def _runs(store: Cells, key: str) -> pandas.DataFrame:
    """Return the runs of a cell, with what they have in common."""
    cell = store.read(key)
    info = cell.info
    return pandas.DataFrame(dict(cell.runs)).assign(
        problem=info.problem, optimizer=info.optimizer, dial=info.dial, budget=info.protocol.budget, cell=key
    )  # fmt: skip


def _between(searched: Range, tuned: float, default: float | None) -> Range | None:
    """Return the range between two values of a hyperparameter, spaced as it is searched; None if there is none."""
    low, high = sorted((tuned, tuned if default is None else default))
    if searched.scale == "complement":
        low, high = 1 - high, 1 - low
    return Range(low, high, searched.scale) if low < high else None


def _named(contender: Contender, removal: Cause | Nothing) -> str:
    return f"{contender.name}, {removal.name}"
