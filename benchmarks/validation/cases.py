"""The runs on which verdicts are calibrated: what each of them recorded, and what is wrong with it.

Every cheap problem, at its control, as it is, and at the last rung of its ladder, by a few optimizers at a rate that
suits it, a tenth of that and ten times that. What a cell of such runs gives is kept in a folder, by the sources and
settings that it depends on, so that a calibration that was interrupted goes on where it stopped.
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
from benchmarks.engine.loop import DIVERGED, Outcome, run
from benchmarks.engine.measurements import DRAWS
from benchmarks.engine.protocol import stream
from benchmarks.engine.search_space import measure_units
from benchmarks.engine.trial_choice import SMALLEST, best, keys
from benchmarks.runner.job import floor_attained
from benchmarks.validation import interventions
from benchmarks.validation.interventions import Truth, truth
from optimizers import OPTIMIZERS, Optimizer
from problems import PROBLEMS, Problem
from problems.modifiers.noises import noisy

STEPS = 200  # a run may take
STEPS_OF_CURVATURE = 40  # one that asks for a Hessian at each step
SEEDS = tuple(stream(k) for k in range(2))
DIM = 40  # up to which a problem is cheap
SMALLER = {"quadratic": {"dim": 10}, "noisy_quadratic": {"dim": 10}, "matrix_power": {"dim": 10}}
RUNGS = ("control", "default", "hard")
METHODS = {
    "sgd": RUNGS, "adam": RUNGS[:2], "newton": RUNGS[1:2], "saddle_free_newton": RUNGS[1:2],
}  # fmt: skip
GRID = torch.logspace(-6, 1, 15, dtype=torch.float64)  # rates tried, in the problem's units
RATES = (1.0, 0.1, 10.0)  # times the best of them
NOISES = ("gaussian", "heavy_tailed")  # through which a bowl is seen


@dataclass(frozen=True)
class Cell:
    """Runs of one problem at one rung by one optimizer; `family` is what is left out together."""

    family: str
    rung: str
    problem: Problem
    method: str

    @property
    def optimizer(self) -> Optimizer:
        """The method with the values that it has by default."""
        return OPTIMIZERS[self.method]

    @property
    def steps(self) -> int:
        """How many a run may take."""
        return STEPS_OF_CURVATURE if self.optimizer.uses_hessian else STEPS

    def budget(self, dim: int) -> float:
        """What they cost."""
        return float(self.steps * (1 + 2 * dim if self.optimizer.uses_hessian else 1))

    def key(self) -> str:
        """What all that is kept of it depends on."""
        said = (self.family, self.rung, repr(self.problem), repr(self.optimizer), self.steps, SEEDS)
        modules = [interventions, inspect.getmodule(type(self.optimizer))]
        modules += [inspect.getmodule(type(each)) for each in _nested(self.problem)]
        return _digest(repr(said), *(inspect.getsource(each) for each in modules if each))


@dataclass(frozen=True)
class Case:
    """One run: where it is from, what it recorded, and what is true of it.

    rate: in units of the one that suits the problem; gains: by cause that holds, how many times cheaper the run
    is without it, where it does not get there the budget stands for its cost.
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
        """The causes that hold, by how much their removal gains; ("healthy",) where none does and it is solved.

        Empty where it is not solved and no removal alone helps.
        """
        causes = tuple(sorted(self.gains, key=lambda cause: -self.gains[cause]))
        return causes or (("healthy",) if self.status == "solved" else ())


def cells() -> Iterator[Cell]:
    """All of them, method by method, so that a part of them is of all problems."""
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
    """The runs of a cell: looked up in the folder, or run and kept there."""
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
    """The rates (trials, 1), and what is true of the runs at them."""
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
    """The rate of the grid that solves most instances, or else at the least cost, or with the least gap.

    A method whose rate has no unit keeps the one that it has.
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
    """What each run recorded on its way, (instances, trials).

    A run that is solved is run again up to there: who has arrived has nothing wrong, and what has slowed him down is
    to be read on the way.
    """
    solved = outcome.numbers["cost_to_target"]
    whole = _recorded(cell, instances, outcome, rates)
    for row, seed in enumerate(SEEDS):
        for trial, rate in enumerate(rates):
            if outcome.status[row][trial] == "solved":
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
    noisy = bool(draws)  # noise of strength 0 is none
    known = Known(noisy, problem.card.target, floor_attained(problem))
    settings = cell.optimizer.hyperparameters
    return [
        [
            traced_record(
                trace.run(row, trial),
                "running" if outcome.status[row][trial] == "solved" else outcome.status[row][trial],  # type: ignore[arg-type]
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
