"""A cell against the plain loop over the same runs, and what recording costs: ratios of one run, one thread.

Ask with `pytest tests/speed --benchmark-only`. A cell is 15 instances × 25 trials × 1000 steps. The loop is
timed on a few of these runs and multiplied, for its time is proportional to their number.
"""

from __future__ import annotations

import dataclasses
import time
from typing import ClassVar

import pytest
import torch

from benchmarks.engine.instances import Instances, draw_instance
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import stream
from optimizers.adam import Adam
from optimizers.momentum import Momentum
from problems import Card
from problems.cliffs.cliff import Cliff
from problems.ill_conditioning.quadratic import Quadratic
from problems.precision import default_dtype

INSTANCES, TRIALS, STEPS = 15, 25, 1000
LOOPED = 4
ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class EndlessQuadratic(Quadratic):
    """Never solved, so that every run takes all its steps."""

    card: ClassVar[Card] = dataclasses.replace(Quadratic.card, target=0.0)


@dataclasses.dataclass(frozen=True)
class EndlessCliff(Cliff):
    """Never solved, so that every run takes all its steps."""

    card: ClassVar[Card] = dataclasses.replace(Cliff.card, target=0.0)


def plain_loop(problem, method, **values) -> float:
    """Seconds of one run as anyone would write it."""
    data = draw_instance(problem, stream(0))
    x = torch.nn.Parameter(data["start"].clone())
    optimizer = method([x], **values)
    began = time.perf_counter()
    for _ in range(STEPS):
        optimizer.zero_grad()
        problem.loss(x, data).backward()
        optimizer.step()
    return time.perf_counter() - began


CASES = {
    "momentum on quadratic": (
        EndlessQuadratic(dim=100), Momentum(), torch.optim.SGD, {"momentum": 0.9}, (1e-4, 1e-2),
    ),
    "adam on quadratic": (EndlessQuadratic(dim=100), Adam(), torch.optim.Adam, {}, (1e-4, 1e-2)),
    "momentum on one recurrent unit": (
        EndlessCliff(units=1), Momentum(), torch.optim.SGD, {"momentum": 0.9}, (1e-12, 1e-10),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_a_cell_against_the_plain_loop(benchmark, case, capsys):
    problem, optimizer, method, values, (low, high) = CASES[case]
    rates = torch.logspace(*torch.tensor([low, high]).log10().tolist(), TRIALS, dtype=torch.float64)
    batched = optimizer.batched({"lr": rates.unsqueeze(-1)})
    instances = Instances(problem, tuple(map(stream, range(INSTANCES))))

    def cell(record: bool) -> float:
        began = time.perf_counter()
        outcome = run(batched, instances, TRIALS, STEPS, record=record)
        assert (outcome.numbers["steps"] == STEPS).all()
        return time.perf_counter() - began

    with default_dtype(torch.float64):
        plain_loop(problem, method, lr=low, **values)
        cell(True)
        looped, recorded, bare = [], [], []
        for _ in range(ROUNDS):
            looped += [plain_loop(problem, method, lr=low, **values) for _ in range(LOOPED)]
            recorded.append(cell(True))
            bare.append(cell(False))
    benchmark.pedantic(cell, args=(True,), rounds=1)
    loop = sorted(looped)[len(looped) // 2] * INSTANCES * TRIALS
    with_record, without = sorted(recorded)[ROUNDS // 2], sorted(bare)[ROUNDS // 2]
    benchmark.extra_info.update(ratio=loop / with_record, recording=1 - without / with_record)
    with capsys.disabled():
        print(
            f"\n{case}: loop {loop:.1f} s, cell {with_record:.2f} s, ratio {loop / with_record:.0f}, "
            f"of which recording {1 - without / with_record:.0%}"
        )
