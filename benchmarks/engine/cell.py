"""Run one cell: every trial of an optimizer on every instance of a problem at one rung.

Trial 0 has the optimizer's default values. Two thirds of the other trials are scrambled Sobol points of
its search space, the same at every rung. The rest are drawn from a smaller box around the best Sobol
point, chosen on the tuning seeds alone.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.engine.contender import Contender
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import DIVERGED, SOLVED, Outcome, run
from benchmarks.engine.measurements import DRAWS
from benchmarks.engine.protocol import Settled, stream
from benchmarks.engine.search_space import Box, measure_units
from benchmarks.engine.trial_choice import SMALLEST, best, keys
from optimizers import Optimizer
from optimizers.adopted import shaped, told
from optimizers.oracle import part_of
from problems import Problem

SOBOL_SHARE = 2 / 3  # of the searched trials
MEMORY = 2**31  # bytes per batch, at most
COPIES = 8  # of the largest tensor that are alive at a time

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class CellResult:
    """Runs and traces by column; only reporting runs of the chosen trials have traces."""

    runs: Columns
    traces: Columns


@dataclass
class _Batch:
    """Trials of a cell and their outcomes; arrays are (instances, trials)."""

    numbers: list[int]
    points: torch.Tensor  # (trials, searched), NaN for the defaults
    values: dict[str, torch.Tensor]  # (trials, 1)
    outcomes: list[Outcome]

    def __add__(self, other: _Batch) -> _Batch:
        return _Batch(
            self.numbers + other.numbers,
            torch.cat([self.points, other.points]),
            {name: torch.cat([each, other.values[name]]) for name, each in self.values.items()},
            self.outcomes + other.outcomes,
        )

    @property
    def status(self) -> np.ndarray:
        return _together([each.status for each in self.outcomes])

    @property
    def not_finite(self) -> np.ndarray:
        return _together([each.not_finite for each in self.outcomes])

    def number(self, name: str) -> np.ndarray:
        return np.concatenate([each.numbers[name].numpy() for each in self.outcomes], axis=1)

    def best(self, instances: slice, eligible: Callable[[int], bool]) -> int:
        """Return the position of the best eligible trial on these instances."""
        status = self.status[instances].T
        cost = np.where(status == SOLVED, self.number("cost_to_target")[instances].T, np.inf)
        gap = np.where(status == DIVERGED, np.inf, self.number("gap_final")[instances].T)
        allowed = np.array([eligible(number) for number in self.numbers])
        return int(best(allowed, *keys(cost, np.log10(np.maximum(gap, SMALLEST)))))


def _together(words: list[list[list[str]]]) -> np.ndarray:
    """Return the words of all batches, (instances, trials)."""
    return np.concatenate([np.array(each, dtype=object) for each in words], axis=1)


def run_cell(problem: Problem, contender: Contender, settled: Settled) -> CellResult:
    """Run all trials on all instances, and choose which trials are traced."""
    began = time.perf_counter()
    seeds = settled.seed_numbers
    contender = replace(contender, optimizer=told(contender.optimizer, settled.budget))
    instances = Instances(problem, tuple(map(stream, seeds)), settled.torch_dtype, settled.device)
    tuning, reporting = slice(0, settled.tuning_seeds), slice(settled.tuning_seeds, None)
    box = Box(contender, measure_units(instances, tuning))

    searched = settled.trials - 1 if box.dim else 0
    first = math.ceil(SOBOL_SHARE * searched)
    batch = _run(box, box.sobol(first), 1, instances, settled, defaults=True)
    if searched > first:
        around = batch.points[batch.best(tuning, lambda number: number > 0)]
        refined = box.refined(searched - first, around)
        batch = batch + _run(box, refined, 1 + first, instances, settled, defaults=False)

    chosen = {
        batch.best(tuning, eligible)
        for eligible in (
            lambda number: number == 0,  # default
            lambda number: number > 0 or not searched,  # tuned
            lambda number: 0 < number <= first or not searched,  # one setting for the whole ladder
        )
        if any(map(eligible, batch.numbers))
    }
    traces = _traces(problem, batch, sorted(chosen), instances, reporting, settled)
    runs = _runs(problem, box, batch, first, settled, time.perf_counter() - began)
    return CellResult(runs, traces)


def _run(
    box: Box,
    points: torch.Tensor,
    number: int,
    instances: Instances,
    settled: Settled,
    defaults: bool,
) -> _Batch:
    """Run trials at these points of the box, numbered from `number`; if `defaults`, trial 0 as well."""
    optimizer = shaped(box.contender.optimizer, instances.problem.shapes)
    values = box.values(points)
    numbers = list(range(number, number + len(points)))
    known = (optimizer.hyperparameters[name] is not None for name in values)
    if defaults and not optimizer.missing_defaults and all(known):
        numbers = [0, *numbers]
        points = torch.cat([torch.full((1, box.dim), torch.nan, dtype=torch.float64), points])
        values = {
            name: torch.cat([each.new_tensor([[optimizer.hyperparameters[name]]]), each])
            for name, each in values.items()
        }
    outcomes = []
    size = _chunk(optimizer, instances)
    for chunk in torch.arange(len(numbers)).split(size):
        some = {
            name: each[chunk].to(settled.device, settled.torch_dtype)
            for name, each in values.items()
        }
        outcomes.append(run(optimizer.batched(some), instances, len(chunk), settled.budget))
    return _Batch(numbers, points, values, outcomes)


def _chunk(optimizer: Optimizer, instances: Instances) -> int:
    """Return the number of trials per batch; it depends on the configuration alone."""
    start = instances.data["start"]
    numbers = start.numel() * optimizer.vectors(start.shape[-1])
    return max(1, MEMORY // (COPIES * start.element_size() * numbers))


def _runs(
    problem: Problem, box: Box, batch: _Batch, sobol: int, settled: Settled, seconds: float
) -> Columns:
    optimizer = box.contender.optimizer
    shape = batch.status.shape
    seeds = settled.seed_numbers

    def by_trial(values: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(values)[None, :], shape).T.ravel()

    def by_seed(values: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(values)[:, None], shape).T.ravel()

    columns: Columns = {
        "trial": by_trial(batch.numbers),
        "search": by_trial(
            ["default" if n == 0 else "sobol" if n <= sobol else "refined" for n in batch.numbers]
        ),
        "seed": by_seed(seeds),
        "role": by_seed(["tuning"] * settled.tuning_seeds + ["reporting"] * settled.seeds),
        "status": batch.status.T.ravel().astype(str),
        "not_finite": batch.not_finite.T.ravel().astype(str),
    }
    for name in batch.outcomes[0].numbers:
        columns[name] = batch.number(name).T.ravel()
    columns["seconds"] = np.full(columns["trial"].shape, seconds)
    columns["edge"] = by_trial([box.on_edge(point) for point in batch.points])
    values = {name: each[:, 0].numpy() for name, each in batch.values.items()}
    name = optimizer.rate
    if name in optimizer.hyperparameters and name in optimizer.space:
        rate = batch.values.get(name)
        if rate is None:
            pinned = optimizer.hyperparameters[name]
            rate = torch.full((len(batch.numbers), 1), pinned, dtype=torch.float64)
        columns["u"] = by_trial((rate / box.unit(name, batch.values))[:, 0].numpy())
    for name, value in optimizer.hyperparameters.items():
        if not isinstance(value, Optimizer) and f"{name}.0" not in optimizer.hyperparameters:
            columns[f"hp.{name}"] = by_trial(values.get(name, [plain(value)] * shape[1]))
    for name, value in problem.settings.items():
        columns[name] = by_trial([plain(value)] * shape[1])
    return columns


def plain(value: Any) -> Any:
    """Return a setting as it is written in a table: a number, a flag or text."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _traces(
    problem: Problem,
    batch: _Batch,
    chosen: list[int],
    instances: Instances,
    reporting: slice,
    settled: Settled,
) -> Columns:
    """Return the traces of the reporting runs of the chosen trials: one row per recorded step, run after run."""
    rows = range(settled.tuning_seeds, len(settled.seed_numbers))
    data = part_of(instances.data, reporting)
    draws = []
    if problem.noisy:
        stream = instances.draws("diagnosis")  # a separate stream: measuring changes no run
        some = (draw for draw in itertools.islice(stream, DRAWS) if draw is not None)
        draws = [part_of(draw, reporting) for draw in some]
    parts: list[Columns] = []
    first = 0
    for outcome in batch.outcomes:
        trace = outcome.trace
        assert trace is not None
        trials = trace.end.shape[1]
        here = [at - first for at in chosen if first <= at < first + trials]
        if here:
            trace.measure(problem, data, list(rows), here, draws)
        for at in here:
            for row in rows:
                part = trace.run(row, at)
                length = len(part["step"])
                part["trial"] = np.full(length, batch.numbers[first + at])
                part["seed"] = np.full(length, settled.seed_numbers[row])
                parts.append(part)
        first += trials
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: np.concatenate([_column(part, name) for part in parts]) for name in names}


def _column(part: Columns, name: str) -> np.ndarray:
    return part[name] if name in part else np.full(len(part["step"]), np.float32("nan"))
