"""Run the optimizers of the plan on a task: choose a setting on the tuning seeds, report it on others."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.catalog.contenders import contender
from benchmarks.engine.contender import Contender
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import Outcome, run
from benchmarks.engine.protocol import FIRST_REPORTING_SEED, stream
from benchmarks.engine.search_space import Box, measure_units
from benchmarks.engine.status import DIVERGED
from benchmarks.engine.trial_choice import median
from benchmarks.explain.views import View
from benchmarks.study.plan import Plan, check_committed
from benchmarks.study.results import OUTCOMES, SIGNATURES, add, read
from benchmarks.study.signatures import rungs, unmeasured
from benchmarks.study.task import TASKS, Task
from optimizers import Optimizer
from optimizers.adopted import shaped, told
from optimizers.optimizer import Fault, NotApplicable, Oracle, State
from optimizers.wrapper import Wrapper
from problems import Tree
from ravine import Refused
from ravine.processes import one_per_core

GLIMPSED = 4  # examples

Row = dict[str, Any]


def run_family(name: str, plan: Plan, root: Path) -> Iterator[str]:
    """Run what is missing of a task family in one process per core, and yield a line for each optimizer on each task.

    Args:
        name: The family.
        plan: The plan.
        root: The folder of the checkout.

    Raises:
        Refused: If the plan has no such family or is not committed, the file was made by another plan, or a task or
            rung has no signature yet.
    """
    tasks, file = plan.family_named(name), root / OUTCOMES / f"{name}.csv"
    check_committed(root)
    there = read(file, plan.digest)
    without = len([*unmeasured(plan.family, read(root / SIGNATURES, plan.digest))])
    if without:
        wanted = len(plan.family) + len([*rungs()])
        raise Refused(
            f"{SIGNATURES} lacks the signatures of {without} of {wanted} tasks and rungs, and signatures come before "
            "outcomes: run python -m benchmarks.study --signatures"
        )
    done = set() if there.empty else set(zip(there["task"], there["optimizer"], strict=True))
    missing = [pair for pair in product(tasks, plan.kind) if pair not in done]
    with one_per_core() as processes:
        running = [processes.submit(_timed, task, word, plan) for task, word in missing]
        for (task, word), each in zip(missing, running, strict=True):
            rows, seconds = each.result()
            add(file, plan.digest, rows)
            loss = np.median([row["train_loss"] for row in rows])
            note = rows[0]["note"] or rows[0]["setting"]
            yield f"{task}  {word}  loss {loss:.4g}  {note}  {seconds:.0f} s"


def _timed(task_name: str, word: str, plan: Plan) -> tuple[list[Row], float]:
    """Return the rows of an optimizer on a task, and the seconds that they took."""
    began = time.perf_counter()
    return rows_of(task_name, word, plan), time.perf_counter() - began


def rows_of(task_name: str, word: str, plan: Plan) -> list[Row]:
    """Return one row for each reporting seed of an optimizer on a task.

    A loss is infinite if the run diverged, and all are if the method fails by its own fault or cannot be used.

    Args:
        task_name: The task.
        word: The optimizer, as it is written in a command.
        plan: The plan.
    """
    task, found = TASKS[task_name], contender(word)
    reporting = range(FIRST_REPORTING_SEED, FIRST_REPORTING_SEED + plan.seeds)
    rows: list[Row] = [{"task": task_name, "optimizer": word, "seed": seed} for seed in reporting]
    try:
        numbers, setting = _tuned(task, found, plan, reporting)
        note = ""
    except (Fault, NotApplicable) as error:
        lost = np.full(plan.seeds, np.inf)
        names = ("train_loss", "test_loss", "early_loss", "third_loss")
        best = dict.fromkeys((f"best_of_{count}" for count in plan.best_of), np.inf)
        numbers, setting = {**dict.fromkeys(names, lost), **best}, ""
        note = " ".join(str(error).split())
    for at, row in enumerate(rows):
        for name, value in numbers.items():
            row[name] = float(value if np.ndim(value) == 0 else value[at])
        row |= {"diverged": bool(np.isinf(row["train_loss"])), "setting": setting, "note": note}
    return rows


def _tuned(
    task: Task, found: Contender, plan: Plan, reporting: range
) -> tuple[dict[str, Any], str]:
    """Return the losses of the chosen setting by column, and the setting in words."""
    tuning = _instances(task, range(plan.tuning_seeds), plan)
    optimizer = shaped(told(found.optimizer, plan.steps), task.shapes)
    box = Box(found, measure_units(tuning, slice(None)))
    values = box.values(box.sobol(plan.trials))
    searched = _losses(optimizer.batched(_typed(values, plan)), tuning, plan.trials, plan.steps)
    by_trial = median(searched["train_loss"].T)  # the same in all seeds: two of them
    best = {f"best_of_{count}": by_trial[:count].min() for count in plan.best_of}
    chosen = int(by_trial.argmin())  # the first of those that are equal
    setting = {name: each[chosen : chosen + 1] for name, each in values.items()}
    instances = _instances(task, reporting, plan)
    losses = _losses(
        optimizer.batched(_typed(setting, plan)), instances, 1, plan.steps,
        early_loss=plan.early, third_loss=plan.third,
    )  # fmt: skip
    said = " ".join(f"{name}={each.item():.4g}" for name, each in setting.items())
    return {**{name: each[:, 0] for name, each in losses.items()}, **best}, said


def _instances(task: Task, seeds: range, plan: Plan) -> Instances:
    return Instances(task, tuple(map(stream, seeds)), getattr(torch, plan.dtype))


def _typed(values: Mapping[str, torch.Tensor], plan: Plan) -> dict[str, torch.Tensor]:
    return {name: each.to(getattr(torch, plan.dtype)) for name, each in values.items()}


def _losses(
    optimizer: Optimizer, instances: Instances, trials: int, steps: int, **on_the_way: float
) -> dict[str, np.ndarray]:
    """Return losses (seeds, trials) by name: at the end, and after these shares of the steps.

    They are infinite for runs that diverged.
    """
    task = instances.problem
    assert isinstance(task, Task)
    watched = _Watched(optimizer, task, on_the_way)
    glimpsed = Instances(_Glimpsed(task), instances.seeds, instances.dtype)
    outcome = run(watched, glimpsed, trials, steps, record=False)
    found = {name: outcome.numbers[f"end.{name}"].numpy() for name in ("train_loss", "test_loss")}
    for name in watched.shares:
        seen = watched.seen.get(name, torch.full((1, 1), torch.inf))
        found[name] = seen.double().numpy()
    return {name: _worst(each, outcome) for name, each in found.items()}


def _worst(losses: np.ndarray, outcome: Outcome) -> np.ndarray:
    lost = (np.array(outcome.status) == DIVERGED) | ~np.isfinite(losses)
    return np.where(lost, np.inf, losses)


@dataclass(frozen=True)
class _Glimpsed(View):
    """A task whose loss the engine sees on a few examples at every step, which is enough to stop runs that diverge."""

    def loss(self, x: torch.Tensor, data: Tree) -> torch.Tensor:
        """Return the loss on the first `GLIMPSED` training examples (*runs)."""
        assert isinstance(self.inner, Task)
        return self.inner.loss_on_first(GLIMPSED, x)


@dataclass(frozen=True)
class _Watched(Wrapper):
    """An optimizer whose loss on the whole training part is measured on the way, uncharged.

    shares: by name, those of the budget after which it is measured; seen: by name, the losses (seeds, trials).
    """

    task: Task
    shares: Mapping[str, float]
    seen: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def own(self) -> dict[str, Any]:
        """None: what is watched is no hyperparameter."""
        return {}

    def init(self, x: torch.Tensor) -> State:
        """Return the inner optimizer's state; runs that begin again are watched again."""
        self.seen.clear()
        return self.inner.init(x)

    def update(self, oracle: Oracle, state: State) -> tuple[torch.Tensor, State]:
        """Return the inner optimizer's step."""
        progress = float(torch.as_tensor(oracle.progress).max())
        for name, share in self.shares.items():
            if name not in self.seen and progress >= share:
                self.seen[name] = self.task.full_loss(oracle.x)
        return self.inner.update(oracle, state)
