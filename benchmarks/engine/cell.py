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
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from benchmarks.engine.contender import Contender
from benchmarks.engine.instances import Instances, Parts, draw_instance
from benchmarks.engine.loop import Outcome, run
from benchmarks.engine.measurements import DRAWS
from benchmarks.engine.protocol import Settled, stream
from benchmarks.engine.recorder import KEPT_POINTS, Trace
from benchmarks.engine.search_space import Box, measure_units
from benchmarks.engine.status import DIVERGED, SOLVED
from benchmarks.engine.trial_choice import SMALLEST, best, keys
from optimizers import Optimizer
from optimizers.adopted import shaped, told
from optimizers.oracle import part_of
from problems import Problem

SOBOL_SHARE = 2 / 3  # of the searched trials
MEMORY = 2**31  # bytes per batch, at most
COPIES = 8  # of the largest tensor that are alive at a time
RUNS = {"cpu": 2**14, "cuda": 2**18}  # per batch, at most, by the kind of device
# Bytes of points per batch, at most: a larger batch does not stay in the CPU's cache, and its steps take twice as long.
POINTS = {"cpu": 2**21, "cuda": MEMORY // COPIES}
# Bytes of points that are kept for traces, at most; else the chosen trials run once more.
KEPT = 2**29
TRACED = 1000  # reporting instances, at most: a trace takes thirty times the memory of a run's row

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class CellResult:
    """Runs and traces by column; only the chosen trials have traces, on the first `TRACED` reporting instances."""

    runs: Columns
    traces: Columns


@dataclass
class _Chunk:
    """Trials that run as one batch, and their traces by the first instance of each part that is traced."""

    optimizer: Optimizer
    trials: int
    traces: dict[int, Trace] = field(default_factory=dict)


@dataclass
class _Batch:
    """Trials of a cell and how their runs ended; columns are (instances, trials)."""

    numbers: list[int]
    points: torch.Tensor  # (trials, searched), NaN for the defaults
    values: dict[str, torch.Tensor]  # (trials, 1)
    columns: Columns
    chunks: list[_Chunk]

    def __add__(self, other: _Batch) -> _Batch:
        return _Batch(
            self.numbers + other.numbers,
            torch.cat([self.points, other.points]),
            {name: torch.cat([each, other.values[name]]) for name, each in self.values.items()},
            _joined([self.columns, other.columns], axis=1),
            self.chunks + other.chunks,
        )

    def best(self, instances: slice, eligible: Callable[[int], bool]) -> int:
        """Return the position of the best eligible trial on these instances."""
        status, entry, left = (
            self.columns[name][instances].T for name in ("status", "cost_to_target", "gap_final")
        )
        cost = np.where(status == SOLVED, entry, np.inf)
        gap = np.where(status == DIVERGED, np.inf, left)
        allowed = np.array([eligible(number) for number in self.numbers])
        return int(best(allowed, *keys(cost, np.log10(np.maximum(gap, SMALLEST)))))

    def solves_all(self, instances: slice) -> bool:
        """Return whether one of the trials solves all of these instances."""
        return bool((self.columns["status"][instances] == SOLVED).all(axis=0).any())


def _joined(found: list[Columns], axis: int) -> Columns:
    return {name: np.concatenate([each[name] for each in found], axis=axis) for name in found[0]}


def run_cell(problem: Problem, contender: Contender, settled: Settled) -> CellResult:
    """Run all trials on all instances, and choose which trials are traced."""
    began = time.perf_counter()
    seeds = tuple(map(stream, settled.seed_numbers))
    contender = replace(contender, optimizer=told(contender.optimizer, settled.budget))
    if contender.removal is not None:
        problem = contender.removal.problem(problem)
    size = _part(draw_instance(problem, seeds[0])["start"].numel(), settled)
    parts = Parts(problem, seeds, settled.torch_dtype, settled.device, size)
    tuning = slice(0, settled.tuning_seeds)
    box = Box(
        contender, measure_units(parts.first(settled.tuning_seeds), tuning, contender.removal)
    )

    searched = settled.trials - 1 if box.dim else 0
    first = math.ceil(SOBOL_SHARE * searched)
    batch = _run(box, box.sobol(first), 1, parts, settled, defaults=True)
    if searched > first and not (contender.brief and batch.solves_all(tuning)):
        around = batch.points[batch.best(tuning, lambda number: number > 0)]
        refined = box.refined(searched - first, around)
        batch = batch + _run(box, refined, 1 + first, parts, settled, defaults=False)

    chosen = {
        batch.best(tuning, eligible)
        for eligible in (
            lambda number: number == 0,  # default
            lambda number: number > 0 or not searched,  # tuned
            lambda number: 0 < number <= first or not searched,  # one setting for the whole ladder
        )
        if any(map(eligible, batch.numbers))
    }
    traces = {}
    if contender.removal is None:  # otherwise, only how runs end is asked
        traces = _traces(box.contender, batch, sorted(chosen), parts, settled)
    runs = _runs(problem, box, batch, first, settled, time.perf_counter() - began)
    return CellResult(runs, traces)


def _run(
    box: Box,
    points: torch.Tensor,
    number: int,
    parts: Parts,
    settled: Settled,
    defaults: bool,
) -> _Batch:
    """Run trials at these points of the box, numbered from `number`; if `defaults`, trial 0 as well."""
    optimizer = shaped(box.contender.optimizer, parts.problem.shapes)
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
    chunks = []
    removal = box.contender.removal
    whole = optimizer if removal is None else removal.optimizer(optimizer, parts[0])
    for chunk in torch.arange(len(numbers)).split(_chunk(whole, parts[0])):
        some = {
            name: each[chunk].to(settled.device, settled.torch_dtype)
            for name, each in values.items()
        }
        chunks.append(_Chunk(optimizer.batched(some), len(chunk)))
    # Of a larger cell, not all traces fit into memory: batches of chosen trials run once more, and are traced then.
    runs = settled.trials * len(parts.seeds)
    kept = runs * KEPT_POINTS * parts[0].data["start"][0].nbytes
    most = RUNS[torch.device(settled.device).type]
    record = removal is None and runs <= most and kept <= KEPT
    found = []
    for first, instances in parts:
        beside = []
        for chunk in chunks:
            outcome = _outcome(box.contender, chunk, instances, settled.budget, record)
            if outcome.trace is not None:
                chunk.traces[first] = outcome.trace
            beside.append({
                "status": np.array(outcome.status, dtype=object),
                "not_finite": np.array(outcome.not_finite, dtype=object),
                **{name: each.numpy() for name, each in outcome.numbers.items()},
            })  # fmt: skip
        found.append(_joined(beside, axis=1))
    return _Batch(numbers, points, values, _joined(found, axis=0), chunks)


def _outcome(
    contender: Contender, chunk: _Chunk, instances: Instances, budget: float, record: bool
) -> Outcome:
    """Run the trials of a chunk, without what the contender's removal takes away."""
    optimizer = chunk.optimizer
    if contender.removal is not None:
        optimizer = contender.removal.optimizer(optimizer, instances)
    return run(optimizer, instances, chunk.trials, budget, record)


def _part(dim: int, settled: Settled) -> int:
    """Return how many instances make up a part, so that one trial on them fits into a batch."""
    device = torch.device(settled.device).type
    return max(1, min(RUNS[device], POINTS[device] // (dim * settled.torch_dtype.itemsize)))


def _chunk(optimizer: Optimizer, instances: Instances) -> int:
    """Return the number of trials per batch; it depends on the configuration alone."""
    start = instances.data["start"]
    device = start.device.type
    fitting = MEMORY // (COPIES * start.nbytes * optimizer.vectors(start.shape[-1]))
    return max(1, min(fitting, POINTS[device] // start.nbytes, RUNS[device] // len(start)))


def _runs(
    problem: Problem, box: Box, batch: _Batch, sobol: int, settled: Settled, seconds: float
) -> Columns:
    optimizer = box.contender.optimizer
    shape = batch.columns["status"].shape
    seeds = settled.seed_numbers

    def by_trial(values: Any) -> np.ndarray:
        return np.broadcast_to(_shared(values)[None, :], shape).T.ravel()

    def by_seed(values: Any) -> np.ndarray:
        return np.broadcast_to(_shared(values)[:, None], shape).T.ravel()

    columns: Columns = {
        "trial": by_trial(batch.numbers),
        "search": by_trial(
            ["default" if n == 0 else "sobol" if n <= sobol else "refined" for n in batch.numbers]
        ),
        "seed": by_seed(seeds),
        "role": by_seed(["tuning"] * settled.tuning_seeds + ["reporting"] * settled.seeds),
    }
    for name in list(batch.columns):
        columns[name] = batch.columns.pop(name).T.ravel()  # nobody needs them in both orders
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


def _shared(values: Any) -> np.ndarray:
    """Return an array in which each word is a reference, so that a million rows share it."""
    array = np.asarray(values)
    return array.astype(object) if array.dtype.kind == "U" else array


def plain(value: Any) -> Any:
    """Return a setting as it is written in a table: a number, a flag or text."""
    return value if isinstance(value, (bool, int, float, str)) else str(value)


def _traces(
    contender: Contender, batch: _Batch, chosen: list[int], parts: Parts, settled: Settled
) -> Columns:
    """Return the traces of the chosen trials on the first reporting instances.

    They have one row per recorded step, run after run.
    """
    problem = parts.problem
    end = settled.tuning_seeds + min(settled.seeds, TRACED)
    found: list[Columns] = []
    for start in parts.starts:
        rows = range(max(settled.tuning_seeds - start, 0), min(end - start, parts.size))
        if not rows:
            continue
        instances = parts[start]
        reporting = slice(rows.start, rows.stop)
        data = part_of(instances.data, reporting)
        draws = []
        if problem.noisy:
            stream = instances.draws("diagnosis")  # a separate stream: measuring changes no run
            some = (draw for draw in itertools.islice(stream, DRAWS) if draw is not None)
            draws = [part_of(draw, reporting) for draw in some]
        first = 0
        for chunk in batch.chunks:
            here = [at - first for at in chosen if first <= at < first + chunk.trials]
            if here:
                trace = chunk.traces.get(start)
                if trace is None:
                    trace = _outcome(contender, chunk, instances, settled.budget, True).trace
                assert trace is not None
                trace.measure(problem, data, list(rows), here, draws)
                for at, row in itertools.product(here, rows):
                    part = trace.run(row, at)
                    length = len(part["step"])
                    part["trial"] = np.full(length, batch.numbers[first + at])
                    part["seed"] = np.full(length, settled.seed_numbers[start + row])
                    found.append(part)
            first += chunk.trials
    names = dict.fromkeys(name for part in found for name in part)
    return {name: np.concatenate([_column(part, name) for part in found]) for name in names}


def _column(part: Columns, name: str) -> np.ndarray:
    return part[name] if name in part else np.full(len(part["step"]), np.float32("nan"))
