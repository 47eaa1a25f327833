"""Second-order steps for all runs at once against the loop over the same runs; and adopted classes likewise.

Ask with `pytest tests/speed --benchmark-only`: ratios of one run, on one thread. A cell is 15 instances × 25
trials. The loops are timed on a few of these runs and multiplied, for their time is proportional to their
number. What is compared is the time of a step of all runs.
"""

from __future__ import annotations

import dataclasses
import statistics
import time

import pytest
import torch

from benchmarks.engine.instances import Instances, draw_instance
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import stream
from optimizers.adopted import Adopted
from optimizers.newton import Newton
from optimizers.optimizer import Optimizer
from optimizers.oracle import LOSS
from optimizers.saddle_free_newton import SaddleFreeNewton
from optimizers.trust_region import TrustRegion
from problems.ill_conditioning.quadratic import Quadratic
from problems.ill_conditioning.rosenbrock import Rosenbrock
from problems.precision import default_dtype
from problems.saddles.random_field import RandomField

INSTANCES, TRIALS = 15, 25
STEPS = 15  # of a method that asks for Hessians
ADOPTED_STEPS = 200
LOOPED = 4
ROUNDS = 3
DIM = 10


@dataclasses.dataclass(frozen=True)
class EndlessRosenbrock(Rosenbrock):
    """Never solved, so that every run takes all its steps."""

    def solved(self, x, gap, gradient, data):
        return torch.zeros_like(gap, dtype=torch.bool)


@dataclasses.dataclass(frozen=True)
class EndlessField(RandomField):
    """Never solved, so that every run takes all its steps."""

    def solved(self, x, gap, gradient, data):
        return torch.zeros_like(gap, dtype=torch.bool)


@dataclasses.dataclass(frozen=True)
class EndlessQuadratic(Quadratic):
    """Never solved, so that every run takes all its steps."""

    def solved(self, x, gap, gradient, data):
        return torch.zeros_like(gap, dtype=torch.bool)


def cell(problem, optimizer: Optimizer, budget: float) -> float:
    """Seconds of a step of all runs, as a sweep takes it."""
    instances = Instances(problem, tuple(map(stream, range(INSTANCES))))
    began = time.perf_counter()
    outcome = run(optimizer, instances, TRIALS, budget, record=False)
    return (time.perf_counter() - began) / outcome.numbers["steps"].max().item()


def compare(benchmark, capsys, case: str, looped, batched) -> None:
    """Time both in turns, and print by how much a step of the loop over all runs takes longer."""
    with default_dtype(torch.float64):
        looped(), batched()
        loops, cells = [], []
        for _ in range(ROUNDS):
            loops += [looped() for _ in range(LOOPED)]
            cells.append(batched())
        benchmark.pedantic(batched, rounds=1)
    loop = statistics.median(loops) * INSTANCES * TRIALS
    ours = statistics.median(cells)
    benchmark.extra_info.update(ratio=loop / ours)
    with capsys.disabled():
        print(
            f"\n{case}: a step of the loop {1e3 * loop:.0f} ms, of the cell {1e3 * ours:.1f} ms, "
            f"ratio {loop / ours:.0f}"
        )


PROBLEMS = {"rosenbrock": EndlessRosenbrock(dim=DIM), "random_field": EndlessField(dim=DIM)}
# Newton's own step in both: neither searches along it, nor turns back where the Hessian is indefinite.
EXACT_NEWTON = {"line_search": "none", "handle_npd": "lu", "xtol": 0.0}
METHODS = {
    "newton": (Newton(), "newton-exact", EXACT_NEWTON),
    "trust_region": (TrustRegion(), "trust-exact", {"gtol": 0.0}),
    "saddle_free_newton": (SaddleFreeNewton(), "newton-exact", EXACT_NEWTON),  # has no namesake
}


@pytest.mark.parametrize("name", list(METHODS))
@pytest.mark.parametrize("problem", list(PROBLEMS))
def test_a_second_order_step_against_the_loop_over_torchmin(benchmark, capsys, problem, name):
    torchmin = pytest.importorskip("torchmin", reason="pytorch-minimize is what it is compared to")
    (optimizer, method, options), landscape = METHODS[name], PROBLEMS[problem]
    with default_dtype(torch.float64):
        data = draw_instance(landscape, stream(0))

    def looped() -> float:
        began = time.perf_counter()
        found = torchmin.minimize(
            lambda x: landscape.loss(x, data), data["start"], method=method, max_iter=STEPS,
            options=options,
        )  # fmt: skip
        return (time.perf_counter() - began) / found.nit

    budget = STEPS * (1 + 2 * DIM) + LOSS
    compare(
        benchmark, capsys, f"{name} on {problem} against {method}",
        looped, lambda: cell(landscape, optimizer, budget),
    )  # fmt: skip


def test_the_newton_of_the_loop_is_ours(benchmark):
    """On the same run they go to the same point, so that like is compared with like."""
    torchmin = pytest.importorskip("torchmin", reason="pytorch-minimize is what it is compared to")
    problem = PROBLEMS["rosenbrock"]
    with default_dtype(torch.float64):
        data = draw_instance(problem, stream(0))
        theirs = torchmin.minimize(
            lambda x: problem.loss(x, data), data["start"], method="newton-exact", max_iter=STEPS,
            options=EXACT_NEWTON,
        )  # fmt: skip
        instances = Instances(problem, (stream(0),))
        given = (Newton(), instances, 1, STEPS * (1 + 2 * DIM))
        ours = benchmark.pedantic(run, args=given, kwargs={"record": False}, rounds=1)
    assert theirs.nit == ours.numbers["steps"].item() == STEPS
    assert ours.numbers["loss_final"].item() == pytest.approx(theirs.fun.item(), rel=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_an_adopted_class_against_the_plain_loop(benchmark, capsys, name):
    method, problem = getattr(torch.optim, name), EndlessQuadratic(dim=100)
    with default_dtype(torch.float64):
        data = draw_instance(problem, stream(0))
    rates = torch.logspace(-4, -2, TRIALS, dtype=torch.float64).unsqueeze(-1)
    adopted = Adopted(method).batched({"lr": rates})

    def looped() -> float:
        x = torch.nn.Parameter(data["start"].clone())
        optimizer = method([x], lr=1e-3)
        began = time.perf_counter()
        for _ in range(ADOPTED_STEPS):
            optimizer.zero_grad()
            problem.loss(x, data).backward()
            optimizer.step()
        return (time.perf_counter() - began) / ADOPTED_STEPS

    compare(
        benchmark, capsys, f"adopted {name} on quadratic",
        looped, lambda: cell(problem, adopted, ADOPTED_STEPS),
    )  # fmt: skip
