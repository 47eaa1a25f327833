"""The runs on which verdicts are calibrated: the record and the true causes of each.

Every cheap problem at its control, at its own dial value and at the last rung of its ladder, run by a few optimizers
at a suitable learning rate, a tenth of it and ten times it. The true causes of each cell are stored in a folder under
a key made of the sources and settings that they depend on, so that an interrupted calibration can be resumed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import math
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.diagnosis.from_trace import Known, traced_record
from benchmarks.diagnosis.record import Record
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import Outcome, run
from benchmarks.engine.measurements import DRAWS
from benchmarks.engine.protocol import stream
from benchmarks.engine.search_space import measure_units
from benchmarks.engine.status import DIVERGED, SOLVED
from benchmarks.engine.trial_choice import SMALLEST, best, keys
from benchmarks.validation import interventions
from benchmarks.validation.interventions import Truth, truth
from optimizers import OPTIMIZERS, Optimizer
from problems import PROBLEMS, Problem
from problems.modifiers.noises import noisy

STEPS = 200  # steps per run
STEPS_OF_CURVATURE = 40  # steps per run that asks for a Hessian at each step
SEEDS = tuple(stream(k) for k in range(2))
DIM = 40  # dimensions up to which a problem is cheap
SMALLER = {"quadratic": {"dim": 10}, "noisy_quadratic": {"dim": 10}, "matrix_power": {"dim": 10}}
RUNGS = ("control", "default", "hard")
METHODS = {
    "sgd": RUNGS, "adam": RUNGS[:2], "newton": RUNGS[1:2], "saddle_free_newton": RUNGS[1:2],
}  # fmt: skip
GRID = torch.logspace(-6, 1, 15, dtype=torch.float64)  # rates tried, in the problem's units
RATES = (1.0, 0.1, 10.0)  # factors on the best rate of the grid
NOISES = ("gaussian", "heavy_tailed")  # noises put on a quadratic


@dataclass(frozen=True)
class Cell:
    """Runs of one problem at one rung by one optimizer; cells of a `family` are left out together in a fit."""

    family: str
    rung: str
    problem: Problem
    method: str

    @property
    def optimizer(self) -> Optimizer:
        """Return the optimizer with its default values."""
        return OPTIMIZERS[self.method]

    @property
    def steps(self) -> int:
        """Return the steps that a run may take."""
        return STEPS_OF_CURVATURE if self.optimizer.uses_hessian else STEPS

    def budget(self, dim: int) -> float:
        """Return the cost of these steps, in gradients."""
        return float(self.steps * (1 + 2 * dim if self.optimizer.uses_hessian else 1))

    def key(self) -> str:
        """Return a hash of everything that the stored true causes depend on."""
        said = (self.family, self.rung, repr(self.problem), repr(self.optimizer), self.steps, SEEDS)
        modules = [interventions, inspect.getmodule(type(self.optimizer))]
        modules += [inspect.getmodule(type(each)) for each in _nested(self.problem)]
        return _digest(repr(said), *(inspect.getsource(each) for each in modules if each))


@dataclass(frozen=True)
class Case:
    """One run: its origin, its record, and its true causes.

    rate: factor on the rate that suits the problem.
    gains: by cause that holds, (cost of the run to the target)/(cost without the cause); a run that misses the
        target has its budget as cost.
    """

    family: str
    problem: str
    rung: str
    method: str
    rate: float
    seed: int
    status: str
    gains: dict[str, float]
    record: Record

    @property
    def truth(self) -> tuple[str, ...]:
        """Return the causes that hold, the largest gain first; ("healthy",) if none holds and the run is solved.

        It is empty if the run is not solved and no single removal helps.
        """
        causes = tuple(sorted(self.gains, key=lambda cause: -self.gains[cause]))
        return causes or (("healthy",) if self.status == "solved" else ())


def cells() -> Iterator[Cell]:
    """Yield all cells, optimizer by optimizer, so that the first part of them covers all problems."""
    families: list[tuple[str, Problem]] = []
    for name, problem in PROBLEMS.items():
        small = dataclasses.replace(problem, **SMALLER.get(name, {}))  # type: ignore[type-var]
        if not small.card.floor_is_minimum or len(small.example()["start"]) > DIM:
            continue
        families.append((name, small))
        if name == "quadratic":
            bowl = dataclasses.replace(small, condition=10.0)  # type: ignore[type-var]
            families += [(name, noisy(bowl, each)) for each in NOISES]
    for method, rungs in METHODS.items():
        for family, problem in families:
            last = problem.card.ladder[-1]
            at = dict(zip(RUNGS, (problem.control(), problem, problem.at_dial(last)), strict=True))
            for rung in rungs:
                if rung != "hard" or at["hard"] != problem:
                    yield Cell(family, rung, at[rung], method)


def cases(cell: Cell, folder: Path) -> list[Case]:
    """Return the runs of a cell; their true causes are read from the folder, or found and stored there."""
    instances = Instances(cell.problem, SEEDS)
    budget = cell.budget(instances.data["start"].shape[-1])
    rates, found = _truth(cell, instances, budget, folder)
    optimizer = cell.optimizer.batched({"lr": rates})
    outcome = run(optimizer, instances, len(rates), budget)
    records = _records(cell, instances, outcome, rates)
    return [
        Case(
            family=cell.family,
            problem=_called(cell.problem),
            rung=cell.rung,
            method=cell.method,
            rate=RATES[trial],
            seed=seed,
            status=outcome.status[seed][trial],
            gains=_gains(found, seed, trial, budget),
            record=records[seed][trial],
        )
        for seed in range(len(SEEDS))
        for trial in range(len(rates))
    ]


def _truth(
    cell: Cell, instances: Instances, budget: float, folder: Path
) -> tuple[torch.Tensor, Truth]:
    """Return the rates (trials, 1) and the true causes of the runs at them."""
    file = folder / f"{cell.key()}.pkl"
    if file.is_file():
        return pickle.loads(file.read_bytes())
    rates = suitable(cell.optimizer, instances, budget) * torch.tensor(RATES)[:, None].double()
    optimizer = cell.optimizer.batched({"lr": rates})
    outcome = run(optimizer, instances, len(rates), budget)
    found = rates, truth(optimizer, instances, len(rates), budget, outcome)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(".part")
    unfinished.write_bytes(pickle.dumps(found))
    unfinished.rename(file)
    return found


def suitable(optimizer: Optimizer, instances: Instances, budget: float) -> float:
    """Return the rate of the grid that solves most instances; ties go to the least cost, then to the least gap.

    An optimizer whose rate has no unit keeps its default rate.
    """
    space = optimizer.space["lr"]
    if space.unit == "none":
        return float(optimizer.hyperparameters["lr"])
    unit = measure_units(instances, slice(None))[space.unit]
    if space.discount is not None:
        unit *= 1.0 - optimizer.hyperparameters[space.discount]
    rates = unit * GRID
    tried = run(
        optimizer.batched({"lr": rates[:, None]}), instances, len(rates), budget, record=False
    )
    status = np.array(tried.status, dtype=object).T
    gap = np.where(status == DIVERGED, np.inf, tried.numbers["gap_final"].numpy().T)
    costs = np.nan_to_num(tried.numbers["cost_to_target"].numpy().T, nan=np.inf)
    every = np.ones(len(rates), dtype=bool)
    return float(rates[int(best(every, *keys(costs, np.log10(np.maximum(gap, SMALLEST)))))])


def _records(
    cell: Cell, instances: Instances, outcome: Outcome, rates: torch.Tensor
) -> list[list[Record]]:
    """Return the record of each run, (instances, trials).

    A solved run is repeated up to the step at which it entered the target: at the target nothing is wrong, and what
    slowed the run shows before.
    """
    solved = outcome.numbers["cost_to_target"]
    whole = _recorded(cell, instances, outcome, rates)
    for row, seed in enumerate(SEEDS):
        for trial, rate in enumerate(rates):
            if outcome.status[row][trial] == SOLVED:
                alone = dataclasses.replace(instances, seeds=(seed,))
                method = cell.optimizer.batched({"lr": rate[None]})
                budget = max(float(solved[row, trial]), 1.0)
                way = run(method, alone, 1, budget)
                whole[row][trial] = _recorded(cell, alone, way, rate[None])[0][0]
    return whole


def _recorded(
    cell: Cell, instances: Instances, outcome: Outcome, rates: torch.Tensor
) -> list[list[Record]]:
    problem, trace = cell.problem, outcome.trace
    assert trace is not None
    noise = instances.draws("diagnosis")
    draws = [draw for draw, _ in zip(noise, range(DRAWS), strict=False) if draw is not None]
    rows, trials = list(range(len(instances.seeds))), list(range(len(rates)))
    trace.measure(problem, instances.data, rows, trials, draws)
    noisy = bool(draws)  # noise of strength 0 has no draws
    known = Known(noisy, problem.card.target, problem.floor_attained)
    settings = cell.optimizer.hyperparameters
    return [
        [
            traced_record(
                trace.run(row, trial),
                "running"
                if (status := outcome.status[row][trial]) == SOLVED
                else "diverged"
                if status == DIVERGED
                else "missed",
                known,
                {**settings, "lr": float(rates[trial])},
            )
            for trial in trials
        ]
        for row in rows
    ]


def _gains(found: Truth, seed: int, trial: int, budget: float) -> dict[str, float]:
    costs = {name: float(each[seed, trial]) for name, each in found.cost.items()}
    before = min(costs["base"], budget)
    gains = {}
    for cause in found.causes(seed, trial):
        without = [
            costs[name] for name in costs if name.split()[0] == cause and math.isfinite(costs[name])
        ]
        gains[cause] = before / max(min(without, default=before), 1.0)
    return gains


def _nested(problem: Problem) -> Sequence[Problem]:
    inner = getattr(problem, "inner", None)
    return [problem] if inner is None else [problem, *_nested(inner)]


def _called(problem: Problem) -> str:
    noise = problem.settings.get("noise")
    name = next(name for name, each in PROBLEMS.items() if type(each) is type(_nested(problem)[-1]))
    return f"{name}+{noise}" if noise else name


def _digest(*texts: str) -> str:
    return hashlib.sha256("|".join(texts).encode()).hexdigest()[:24]
