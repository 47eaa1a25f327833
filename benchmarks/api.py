"""Sweeps in Python: the same cells, protocol and tables as on the command line, without Hydra."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from benchmarks.analysis.tables import Tables, collect, read
from benchmarks.catalog.contenders import check_trials, contender, name_of, unsearched
from benchmarks.catalog.defaults import default_optimizers
from benchmarks.catalog.loading import qualified
from benchmarks.checks.preflight import check_problem
from benchmarks.engine.protocol import Protocol
from benchmarks.runner.job import CellDone, Job, check_dials, planned_cells, run_job, rungs
from benchmarks.store.cell_info import CellInfo
from benchmarks.store.cells import Memory, Store
from benchmarks.store.key import described
from benchmarks.store.sweep_folder import SweepFolder
from optimizers import Optimizer
from problems import PROBLEMS, Problem
from problems.modifiers import ProblemModifier
from ravine import Refused, nearest

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from benchmarks.diagnosis import Verdict

AnyProblem = str | type[Problem] | Problem
AnyOptimizer = str | type[Optimizer] | type[torch.optim.Optimizer] | Optimizer


def sweep(
    problem: AnyProblem | Sequence[AnyProblem],
    optimizers: AnyOptimizer | Sequence[AnyOptimizer] | None = None,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    out: str | Path | None = None,
    keep: bool = False,
    report: Callable[[CellDone], None] = lambda done: None,
    **protocol: Any,
) -> Sweep:
    """Run optimizers on a problem and return the tables.

    Args:
        problem: A registered name, a class, or an object such as `Quadratic(condition=1e4)`; or several of these.
        optimizers: Names and classes (their hyperparameters are searched), or objects (one setting, as it is). By
            default the ten classics; on noisy problems each also with a decaying learning rate. Classes of
            `torch.optim` run unchanged.
        settings: By optimizer's name, the hyperparameters to fix (a number) or to search (a pair).
        out: The folder for the tables and their cells; without it nothing is written. Later sweeps of the same
            protocol may add problems and optimizers; what other code has left there is replaced, with a warning.
        keep: Refuse a folder in which results of other code would be replaced.
        report: Called with a `CellDone` as each cell ends.
        **protocol: trials, tuning_seeds, seeds, budget (gradients), dtype, device, rungs; see `Protocol`.

    Returns:
        The tables and figures.

    Raises:
        Refused: For an unknown name, a value that is not accepted, a folder of another protocol, or with `keep` one
            of other code.

    Examples:
        >>> from benchmarks import sweep
        >>> found = sweep("quadratic", ["sgd", "newton"], trials=2, seeds=2, tuning_seeds=2)
        >>> found.summary.query("choice == 'tuned'")["optimizer"].tolist()
        ['sgd', 'newton']
    """
    size = Protocol(**protocol)
    problems = [_named(each) for each in _several(problem)]
    pairs = [
        (named, each)
        for named in problems
        for each in (default_optimizers(named[1]) if optimizers is None else _several(optimizers))
    ]
    names: dict[str, AnyOptimizer] = {}
    pairs = [(named, _added(names, each)) for named, each in pairs]
    for name in settings or {}:
        if name not in names:
            raise Refused(
                f"settings are given for {name!r}, which is not in the sweep: {nearest(name, names)}"
            )
    contenders = {
        name: contender(each, (settings or {}).get(name), name) for name, each in names.items()
    }
    jobs = [Job(*named, contenders[each]) for named, each in pairs]
    if len({(job.identity(size), job.problem.dial) for job in jobs}) < len(jobs):
        raise Refused("the same problem or optimizer is given twice")
    check_dials(((job, rungs(job.problem, size.rungs)) for job in jobs), size)
    for job in jobs:
        check_trials(job.contender, size.settled(job.problem).trials)
        check_problem(job.name, job.problem, size.settled(job.problem).torch_dtype)
    for line in unsearched(job.contender for job in jobs):
        print(line, file=sys.stderr)
    if out is None:
        memory = Memory()
        problems = {key: job.problem for job in jobs for key in run_job(job, size, memory, report)}
        return Sweep(read(memory, problems, problems))
    folder = SweepFolder(Path(out), Store(Path(out) / "cells"))
    folder.check(size)
    folder.lost(size, _planned(jobs, size), keep)  # refuses before anything is made
    with folder.alone(_warn):
        folder.check(size)  # again: another sweep may have written it meanwhile
        lost = folder.lost(size, _planned(jobs, size), keep)
        if lost.cells:
            warnings.warn(f"out={out} holds {lost.text()}: replaced", stacklevel=2)
        return Sweep(_written(folder, lost.cells, jobs, size, report))


def _planned(jobs: Sequence[Job], size: Protocol) -> Iterator[tuple[str, CellInfo]]:
    return (cell for job in jobs for cell in planned_cells(job, size))


def _warn(line: str) -> None:
    warnings.warn(line, stacklevel=4)


def _written(
    folder: SweepFolder,
    lost: Container[str],
    jobs: Sequence[Job],
    size: Protocol,
    report: Callable[[CellDone], None],
) -> Tables:
    """Run the jobs, and write the tables of all finished cells, also after an interrupt."""

    def mark(job: str, done: CellDone) -> None:
        folder.mark(done.key, {"job": job})
        report(done)

    said = [{"problem": described(job.problem), "optimizer": job.contender.name} for job in jobs]
    config = {"protocol": asdict(size), "threads": torch.get_num_threads(), "jobs": said}
    folder.begin([], config, lost)
    began, problems, found = time.perf_counter(), {}, None
    try:
        for job in jobs:
            for key in run_job(job, size, folder.store, partial(mark, job.identity(size))):
                problems[key] = job.problem
    finally:
        found = collect(folder, time.perf_counter() - began, _warn)
    assert found is not None  # every job has a cell, also one that ended in an error
    return replace(found[0], problems=problems)


@dataclass(frozen=True, repr=False)
class Sweep:
    """The results of a sweep, as pandas frames and figures.

    Attributes:
        tables: The tables that the properties return, and the cells that they are made from.
    """

    tables: Tables

    @property
    def runs(self) -> pandas.DataFrame:
        """One row per run."""
        return self.tables.runs

    @property
    def summary(self) -> pandas.DataFrame:
        """One row per problem × rung × optimizer × choice."""
        return self.tables.summary

    @property
    def traces(self) -> pandas.DataFrame:
        """One row per recorded step of the reporting runs of the selected trials."""
        return self.tables.traces

    @property
    def breaking_points(self) -> pandas.DataFrame:
        """The dial's value at which each optimizer stops solving; needs more than one rung."""
        return self.tables.breaking_points

    @property
    def verdicts(self) -> dict[tuple[str, int, int], Verdict]:
        """The diagnosis of each traced run with its evidence, by cell, trial and seed."""
        return self.tables.verdicts

    def figure(
        self, kind: Literal["convergence", "sensitivity", "trajectories"] = "convergence"
    ) -> Figure:
        """Draw a figure of the sweep.

        Args:
            kind: "convergence", the gap by cost; "sensitivity", the solved share by learning rate;
                "trajectories", paths over the contours of a two-dimensional loss.

        Returns:
            A matplotlib figure.

        Raises:
            Refused: If the sweep has nothing to draw of this kind.
        """
        from benchmarks.plots import sweep_plots

        return sweep_plots.draw(kind, self.tables)

    def __repr__(self) -> str:
        from benchmarks.display.sweep_views import views

        return "\n\n".join(view.text() for view in views(self.tables))

    def _repr_html_(self) -> str:
        from benchmarks.display.sweep_views import views

        return "".join(view.html() for view in views(self.tables))


def _added(names: dict[str, AnyOptimizer], what: AnyOptimizer) -> str:
    """Add an optimizer to those of the sweep, and return its name: that of its package too if it is taken."""
    name = name_of(what)
    if isinstance(what, type) and isinstance(names.get(name), type) and names[name] is not what:
        name = qualified(what, names)
    names[name] = what
    return name


def _several(given: Any) -> list[Any]:
    return list(given) if isinstance(given, Iterable) and not isinstance(given, str) else [given]


def _named(given: AnyProblem) -> tuple[str, Problem]:
    if isinstance(given, str):
        return given, PROBLEMS.find(given)
    if isinstance(given, type) and issubclass(given, Problem):
        given = given()
    if not isinstance(given, Problem):
        raise Refused(
            f"{given!r} is not a problem: give a registered name, a class, or an object of such a class"
        )
    innermost = given
    while isinstance(innermost, ProblemModifier):
        innermost = innermost.inner
    for name, prototype in PROBLEMS.items():
        if type(prototype) is type(innermost):
            return name, given
    return type(innermost).__name__, given
