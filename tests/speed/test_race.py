"""A cell beside the same runs in JAX and optax, `jit(vmap(scan))`, on one thread.

Ask with `pytest tests/speed/test_race.py --benchmark-only`; it needs the extra `race`. Both run 15 instances × 25
trials × 1000 steps in float64; ours records, judges and charges every step, JAX returns the last losses. CPU seconds,
the least of a few rounds taken in turn: of JAX's first call, which compiles, of its next, and of ours. The losses must
agree.
"""

from __future__ import annotations

import os
import time

import numpy as np
import pytest
import torch

from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import stream
from optimizers.adam import Adam
from optimizers.momentum import Momentum
from problems.cliffs.cliff import STATE, WANTED
from problems.precision import default_dtype
from tests.speed.test_cell_speed import INSTANCES, STEPS, TRIALS, EndlessCliff, EndlessQuadratic

os.environ.setdefault(
    "XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
)
jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jax.config.update("jax_enable_x64", True)
ROUNDS = 5


def quadratic(x, data):
    off = x - data["minimizer"]
    return 0.5 * off @ data["hessian"] @ off


def cliff(problem):
    def loss(x, data):
        w, b = x.reshape(problem.units, 2).T
        state = jax.numpy.full_like(w, STATE)
        state = jax.lax.fori_loop(0, problem.steps, lambda _, s: w * jax.nn.sigmoid(s) + b, state)
        return ((jax.nn.sigmoid(state) - WANTED) ** 2).mean()

    return loss


def momentum(lr):
    return optax.sgd(lr, momentum=0.9)


def program(loss, method):
    """Return the compiled function of starts, data and learning rates: the last losses (instances, trials)."""

    def one_run(start, data, lr):
        optimizer = method(lr)

        def step(carry, _):
            x, state = carry
            updates, state = optimizer.update(jax.grad(loss)(x, data), state)
            return (optax.apply_updates(x, updates), state), None

        (x, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=STEPS)
        return loss(x, data)

    trials = jax.vmap(one_run, (None, None, 0))
    return jax.jit(jax.vmap(trials, (0, 0, None)))


ONE, SIX = EndlessCliff(units=1), EndlessCliff(units=6)
BOWL = EndlessQuadratic(dim=100)
CASES = {
    "quadratic, momentum": (BOWL, quadratic, Momentum(), momentum, (-4, -2)),
    "quadratic, adam": (BOWL, quadratic, Adam(), optax.adam, (-4, -2)),
    "one recurrent unit, momentum": (ONE, cliff(ONE), Momentum(), momentum, (-12, -10)),
    "six recurrent units, momentum": (SIX, cliff(SIX), Momentum(), momentum, (-12, -10)),
    "six recurrent units, adam": (SIX, cliff(SIX), Adam(), optax.adam, (-12, -10)),
}


@pytest.mark.parametrize("case", list(CASES))
def test_a_cell_beside_jax(benchmark, case, capsys):
    problem, loss, optimizer, method, decades = CASES[case]
    rates = torch.logspace(decades[0], decades[1], TRIALS, dtype=torch.float64)
    batched = optimizer.batched({"lr": rates.unsqueeze(-1)})
    instances = Instances(problem, tuple(map(stream, range(INSTANCES))))
    data = {name: leaf.squeeze(1).numpy() for name, leaf in instances.data.items()}
    arguments = (data.pop("start"), data, rates.numpy())

    def ours():
        began = time.process_time()
        outcome = run(batched, instances, TRIALS, STEPS)
        return time.process_time() - began, outcome

    def theirs(compiled):
        began = time.process_time()
        last = compiled(*arguments).block_until_ready()
        return time.process_time() - began, last

    first, steady, cell = [], [], []
    with default_dtype(torch.float64):
        for _ in range(ROUNDS):
            compiled = program(loss, method)
            first.append(theirs(compiled)[0])
            steady.append(theirs(compiled)[0])
            cell.append(ours()[0])
        _, outcome = benchmark.pedantic(ours, rounds=1)
        _, last = theirs(program(loss, method))
    torch.testing.assert_close(
        outcome.numbers["loss_final"], torch.from_numpy(np.array(last)), rtol=1e-6, atol=0.0
    )
    found = {
        "seconds": min(cell), "first call": min(cell) / min(first), "steady": min(cell) / min(steady)
    }  # fmt: skip
    benchmark.extra_info.update(found)
    with capsys.disabled():
        print(f"\n{case}: JAX {min(first):.2f} / {min(steady):.2f} s, ours {min(cell):.2f} s: "
              f"{found['first call']:.2f} / {found['steady']:.2f} times")  # fmt: skip
