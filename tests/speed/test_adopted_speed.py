"""An adopted class that steps all instances at once, against itself run by run and against the built-in one."""

from __future__ import annotations

import time

import pytest
import torch

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import stream
from optimizers.adam import Adam
from optimizers.adopted import Adopted
from optimizers.rmsprop import RMSprop
from optimizers.sgd import SGD
from problems.precision import default_dtype
from tests.speed.test_cell_speed import INSTANCES, TRIALS, EndlessQuadratic

STEPS = 200
ROUNDS = 3
CASES = {
    "adam": (torch.optim.Adam, Adam()),
    "rmsprop": (torch.optim.RMSprop, RMSprop()),
    "sgd": (torch.optim.SGD, SGD()),
}


@pytest.mark.parametrize("case", list(CASES))
def test_an_adopted_class_against_itself_run_by_run(benchmark, case, capsys, monkeypatch):
    method, built_in = CASES[case]
    rates = torch.logspace(-4, -2, TRIALS, dtype=torch.float64).unsqueeze(-1)
    instances = Instances(EndlessQuadratic(dim=100), tuple(map(stream, range(INSTANCES))))

    def cell(optimizer) -> float:
        began = time.perf_counter()
        run(optimizer.batched({"lr": rates}), instances, TRIALS, STEPS, record=False)
        return time.perf_counter() - began

    together, alone, ours = [], [], []
    with default_dtype(torch.float64):
        cell(Adopted(method))  # the probe
        for _ in range(ROUNDS):
            together.append(cell(Adopted(method)))
            ours.append(cell(built_in))
            with monkeypatch.context() as patch:
                patch.setattr("optimizers.adopted.can_stack", lambda *_: False)
                alone.append(cell(Adopted(method)))
        benchmark.pedantic(cell, args=(Adopted(method),), rounds=1)
    gain, over = min(alone) / min(together), min(together) / min(ours)
    benchmark.extra_info.update(gain=gain, over_built_in=over)
    with capsys.disabled():
        print(
            f"\n{case}: {gain:.1f} times as fast as run by run, {over:.1f} times the built-in one's time"
        )
