"""The engine makes every tensor on the problem's device; this fails also where there is no GPU to notice it."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from benchmarks.catalog.contenders import contender
from benchmarks.engine import cell
from benchmarks.engine.cell import run_cell
from benchmarks.engine.contender import Contender
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import Settled
from optimizers import OPTIMIZERS, NotApplicable
from optimizers.registry import WRAPPERS
from optimizers.sgd import SGD
from problems import PROBLEMS
from problems.ill_conditioning.quadratic import Quadratic
from problems.modifiers import NOISES, TRANSFORMS, noisy, transformed
from tests.benchmarks.second_device import NAME, second_device

MAKE = {
    torch.arange, torch.as_tensor, torch.empty, torch.eye, torch.full, torch.linspace, torch.logspace, torch.ones,
    torch.rand, torch.randint, torch.randn, torch.randperm, torch.tensor, torch.zeros,
}  # fmt: skip
# Made on the CPU, and moved where they are used.
MOVED = {"instance", "draws", "normals", "draw", "curvatures", "variances", "_arms", "floor"}
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


class NoneWithoutDevice(torch.overrides.TorchFunctionMode):
    """Fail where numbers are made without a device. A single number, and places in a tensor, go with any device."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        made = func(*args, **(kwargs or {}))
        without = "device" not in (kwargs or {}) and not (
            args and isinstance(args[0], torch.Tensor)
        )
        if func in MAKE and without and made.dim() and made.is_floating_point():
            frame, names = sys._getframe(1), set()
            place = f"{frame.f_code.co_filename}:{frame.f_lineno}"
            while frame is not None:
                names.add(frame.f_code.co_name)
                frame = frame.f_back
            assert names & MOVED, f"numbers without a device at {place}"
        return made


@pytest.fixture
def guarded(monkeypatch):
    """Guard the steps of a cell, not its bookkeeping, which is on the CPU on purpose."""

    def guarded_run(*args):
        with NoneWithoutDevice():
            return run(*args)

    monkeypatch.setattr("benchmarks.engine.cell.run", guarded_run)


@pytest.fixture
def beside(monkeypatch):
    """Let a cell run on the second device."""
    for limits in (cell.RUNS, cell.POINTS):
        monkeypatch.setitem(limits, NAME, limits["cpu"])


def settled(device):
    return Settled(trials=3, tuning_seeds=1, seeds=2, budget=12.0, dtype="float64", device=device)


def ran(problem, optimizer, device="cpu"):
    """Return a cell of a few runs of a dozen gradients, with traces and measurements."""
    on = second_device() if device == NAME else nullcontext()
    try:
        with on:
            return run_cell(
                problem, Contender("checked", optimizer, dict(optimizer.space)), settled(device)
            )
    except NotApplicable as reason:
        pytest.skip(str(reason))


OF_PROBLEMS = [pytest.param(PROBLEMS[name], SGD(), id=name) for name in PROBLEMS]
ON_A_BOWL = [
    *(pytest.param(noisy(Quadratic(dim=3), name), SGD(), id=f"noise-{name}") for name in NOISES),
    *(pytest.param(transformed(Quadratic(dim=3), [name]), SGD(), id=name) for name in TRANSFORMS),
    *(pytest.param(Quadratic(dim=3), OPTIMIZERS[name], id=name) for name in OPTIMIZERS),
    *(pytest.param(Quadratic(dim=3), WRAPPERS[name], id=f"sgd+{name}") for name in WRAPPERS),
    *(
        pytest.param(Quadratic(dim=3), contender(each).optimizer, id=each.__name__)
        for each in (torch.optim.SGD, torch.optim.Adam, torch.optim.LBFGS)
    ),
]


@pytest.mark.parametrize(("problem", "optimizer"), OF_PROBLEMS)
def test_numbers_are_made_on_the_problem_s_device(guarded, problem, optimizer):
    """Not on the second device: autograd's batched derivatives crash there."""
    ran(problem, optimizer)


@pytest.mark.parametrize(("problem", "optimizer"), ON_A_BOWL)
def test_a_second_device_gives_the_same_results(beside, problem, optimizer):
    there, here = ran(problem, optimizer, NAME).runs, ran(problem, optimizer).runs
    for column in ("gap_final", "cost"):
        # All is equal but eigvalsh, which computes eigenvectors too where it is intercepted: at κ = 1000 the smallest
        # eigenvalue is off by κε = 2e-13 of itself, and the gap after twelve steps by some times that.
        np.testing.assert_allclose(there[column], here[column], rtol=1e-11, err_msg=column)
    assert (there["status"] == here["status"]).all()


class MadeHere(SGD):
    """SGD, with a number per coordinate that is made on the CPU in one of several ways."""

    def update(self, oracle, state):
        step, state = super().update(oracle, state)
        return step + WAYS[float(self.lr)](step.shape), state


WAYS = {
    1e-3: lambda shape: torch.zeros(shape),
    2e-3: lambda shape: torch.from_numpy(np.zeros(shape)),
    3e-3: lambda shape: torch.normal(torch.zeros(shape), 1e-9),
    4e-3: lambda shape: torch.Tensor(np.zeros(shape).tolist()),
    5e-3: lambda shape: torch.zeros(shape, dtype=torch.int64),
    6e-3: lambda shape: torch.zeros(shape, dtype=torch.bool),
}


@pytest.mark.parametrize("rate", WAYS)
def test_numbers_made_on_the_cpu_are_noticed(beside, rate):
    pinned = Contender("checked", MadeHere(lr=rate), {})
    with pytest.raises(RuntimeError, match="mixes devices"), second_device():
        run_cell(Quadratic(dim=3), pinned, settled(NAME))


class ReadHere(SGD):
    def update(self, oracle, state):
        return -self.lr * oracle.gradient.cpu(), state


class ComputedHere(Quadratic):
    def loss(self, x, data):
        return super().loss(x, data) + torch.zeros(x.shape[:-1], dtype=x.dtype)


@pytest.mark.parametrize(
    ("problem", "optimizer"),
    [(ComputedHere(dim=3), SGD()), (Quadratic(dim=3), ReadHere())],
    ids=["problem", "moved"],
)
def test_a_fault_is_noticed(beside, problem, optimizer):
    with pytest.raises(RuntimeError, match="mixes devices"):
        ran(problem, optimizer, NAME)


def test_a_number_without_a_device_is_noticed(guarded):
    with pytest.raises(AssertionError, match=r"without a device at .*test_device"):
        ran(ComputedHere(dim=3), SGD())


@CUDA
@pytest.mark.parametrize(("problem", "optimizer"), [*OF_PROBLEMS, *ON_A_BOWL])
def test_a_gpu_gives_the_same_results(problem, optimizer):
    there, here = (ran(problem, optimizer, device).runs for device in ("cuda", "cpu"))
    # 10⁴ terms summed in another order are off by 2e-12, and no gap at a start is 100 times as sensitive as that.
    np.testing.assert_allclose(there["gap_initial"], here["gap_initial"], rtol=1e-9)
    assert (there["status"] == here["status"]).mean() > 0.8  # rounding differs


@CUDA
@pytest.mark.slow
def test_a_gpu_runs_many_runs_ten_times_as_fast_as_a_core():
    threads, seconds = torch.get_num_threads(), {}
    torch.set_num_threads(1)
    try:
        for device in ("cuda", "cpu"):
            instances = Instances(Quadratic(dim=10), tuple(map(str, range(100))), device=device)
            run(SGD(lr=0.1), instances, 1000, 10)  # it compiles and allocates
            began = time.perf_counter()
            run(SGD(lr=0.1), instances, 1000, 100)
            seconds[device] = time.perf_counter() - began
    finally:
        torch.set_num_threads(threads)
    assert seconds["cpu"] > 10 * seconds["cuda"]
