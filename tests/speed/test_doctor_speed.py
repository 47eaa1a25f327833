"""What a doctor costs beside a training run, on networks so small that a step is all overhead.

Ask with `pytest tests/speed --benchmark-only`. Runs with a doctor and without take turns; each is new, the allowance
of short runs is left out, and the first run of each kind is not counted. Known tools take 63 to 260 times as long.
"""

from __future__ import annotations

import statistics
import time

import pytest
import torch
from torch import nn

from benchmarks.doctor import Doctor

STEPS, RUNS = 6000, 5


def smallest():
    """Two weights and a bias: a step is all overhead."""
    return nn.Linear(2, 1), torch.randn(8, 2), nn.functional.mse_loss, torch.randn(8, 1)


def perceptron():
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    return model, torch.randn(64, 64), nn.functional.cross_entropy, torch.randint(10, (64,))


@pytest.mark.parametrize("make", [smallest, perceptron])
def test_overhead(benchmark, capsys, make):
    def without() -> float:
        torch.manual_seed(0)
        model, x, criterion, y = make()
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        began = time.perf_counter()
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
        return time.perf_counter() - began

    def beside(overhead: float = 0.05) -> tuple[float, Doctor]:
        torch.manual_seed(0)
        model, x, criterion, y = make()
        optimizer = torch.optim.SGD(model.parameters(), 0.01)
        doctor = Doctor(model, optimizer, overhead=overhead, allowance=0.0)
        began = time.perf_counter()
        for _ in range(STEPS):
            doctor.step(lambda: criterion(model(x), y))
        return time.perf_counter() - began, doctor

    without(), beside(0.0), beside()
    runs = [(without(), beside(0.0)[0], *beside()) for _ in range(RUNS)]
    benchmark.pedantic(beside, rounds=1)
    plain, silent, measured = (
        statistics.median(times) for times in list(zip(*runs, strict=True))[:3]
    )
    counted = statistics.median(doctor.overhead for *_, doctor in runs)
    rows = statistics.median(len(doctor.measured) for *_, doctor in runs)
    benchmark.extra_info.update(ratio=measured / plain, silent=silent / plain, counted=counted)
    with capsys.disabled():
        print(
            f"\n{make.__name__}: {1e6 * plain / STEPS:.0f} µs a step; {measured / plain:.2f} times as long with a "
            f"doctor, {silent / plain:.2f} with one that may not measure; {rows} measurements, "
            f"{counted:.1%} of the time by the doctor's own count"
        )
