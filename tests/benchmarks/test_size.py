"""Memory and time at many runs and in high dimensions."""

from __future__ import annotations

import dataclasses
import gc
import math
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
import torch

from benchmarks.analysis.intervals import order_statistics
from benchmarks.catalog.contenders import typed
from benchmarks.checks import preflight
from benchmarks.checks.preflight import check_problem
from benchmarks.engine import cell
from benchmarks.engine.contender import Contender
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import Settled
from optimizers import OPTIMIZERS
from problems import PROBLEMS
from problems.geometry import random_signs, rotated
from problems.ill_conditioning import quadratic
from problems.ill_conditioning.quadratic import Quadratic
from ravine import Refused


@pytest.mark.parametrize("name", ["quadratic", "noisy_quadratic"])
@pytest.mark.parametrize("most", [2, 3, 7, 20])
def test_a_cell_in_parts_is_the_same_cell(monkeypatch, name, most):
    sgd = OPTIMIZERS["sgd"]
    of = Contender("sgd", sgd, dict(sgd.space))
    size = Settled(5, 3, 6, 60.0, "float64", "cpu")
    whole = cell.run_cell(PROBLEMS[name], of, size)
    monkeypatch.setitem(cell.RUNS, "cpu", most)
    same_cell(whole, cell.run_cell(PROBLEMS[name], of, size))


def same_cell(whole, parts):
    alike(whole.runs, parts.runs, 1e-9)
    rows = [
        np.lexsort((each["step"], each["seed"], each["trial"]))
        for each in (whole.traces, parts.traces)
    ]
    ordered = [
        {name: column[row] for name, column in each.traces.items()}
        for each, row in zip((whole, parts), rows, strict=True)
    ]
    alike(ordered[0], ordered[1], 1e-4)


@pytest.mark.parametrize("name", ["quadratic", "noisy_quadratic"])
def test_a_cell_of_vectors_that_fill_a_batch_is_the_same_cell_a_few_instances_at_a_time(
    monkeypatch, name
):
    """A part has fewer instances than the tuning ones, on all of which the ranges of the search are measured."""
    sgd = OPTIMIZERS["sgd"]
    of = Contender("sgd", sgd, dict(sgd.space))
    size = Settled(5, 3, 6, 60.0, "float64", "cpu")
    whole = cell.run_cell(PROBLEMS[name], of, size)
    one = PROBLEMS[name].example()["start"].nbytes
    monkeypatch.setitem(cell.POINTS, "cpu", 2 * one)
    shapes, run = [], cell.run

    def counted(optimizer, instances, trials, budget, record):
        shapes.append((len(instances.seeds), trials))
        return run(optimizer, instances, trials, budget, record)

    monkeypatch.setattr(cell, "run", counted)
    same_cell(whole, cell.run_cell(PROBLEMS[name], of, size))
    assert Counter(shapes) == {
        (2, 1): 4 * 5,
        (1, 1): 5,
    }  # each of nine instances × five trials once


@pytest.mark.parametrize("name", ["quadratic", "noisy_quadratic"])
def test_a_cell_of_long_vectors_is_the_same_cell_in_small_batches(monkeypatch, name):
    sgd = OPTIMIZERS["sgd"]
    of = Contender("sgd", sgd, dict(sgd.space))
    size = Settled(5, 3, 6, 60.0, "float64", "cpu")
    whole = cell.run_cell(PROBLEMS[name], of, size)
    one = 9 * PROBLEMS[name].example()["start"].nbytes  # bytes of the points of a trial
    batches, run = [], cell.run

    def counted(optimizer, instances, trials, budget, record):
        batches.append((trials, record))
        return run(optimizer, instances, trials, budget, record)

    monkeypatch.setattr(cell, "run", counted)
    monkeypatch.setitem(cell.POINTS, "cpu", 2 * one)
    monkeypatch.setattr(cell, "KEPT", 5 * 4 * one - 1)  # not the traces of all five trials
    same_cell(whole, cell.run_cell(PROBLEMS[name], of, size))
    assert [trials for trials, _ in batches[:3]] == [2, 2, 1]
    assert not any(record for _, record in batches[:3]) and batches[-1][1]


def test_a_run_that_has_ended_leaves_no_vectors_in_memory():
    instances = Instances(Quadratic(dim=1000, rotated=False), ("0",))
    gc.collect()
    gc.disable()
    try:
        before = vectors()
        run(OPTIMIZERS["sgd"], instances, 2, 5.0, record=False)
        assert vectors() == before
    finally:
        gc.enable()


def vectors():
    """Return how many tensors of at least 1000 numbers are alive, those in circles that Python will free included."""
    every = gc.get_objects()
    return sum(issubclass(type(each), torch.Tensor) and each.numel() >= 1000 for each in every)


def alike(one, other, rounding):
    assert list(one) == list(other)
    for name in set(one) - {"seconds", "u"}:
        if one[name].dtype.kind == "f":
            np.testing.assert_allclose(other[name], one[name], rtol=rounding, err_msg=name)
        else:
            assert (one[name] == other[name]).all(), name


def peak(folder, trials):
    """Return the peak memory in bytes of a sweep of 1000 instances, in a process of its own."""
    words = f"+problem=quadratic problem.dim=10 optimizer=sgd trials={trials} seeds=990 tuning_seeds=10 budget=30"
    code = (
        "import resource, sys; from benchmarks.cli.main import main; main(sys.argv[1:]);"
        "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    where = [f"out={folder}/{trials}", f"cells={folder}/cells", "hydra/launcher=basic"]
    ran = subprocess.run(
        [sys.executable, "-c", code, *words.split(), *where], capture_output=True, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    return 1024 * int(ran.stdout.split()[-1])


@pytest.mark.slow
def test_a_million_runs_take_less_than_2_gb(tmp_path):
    assert peak(tmp_path, 1000) < 2e9


def test_an_interval_of_many_values_is_exact():
    k, coverage = order_statistics(1001)
    assert coverage == 1 - 2 * sum(math.comb(1001, i) for i in range(k)) / 2**1001 >= 0.95
    assert 1 - 2 * sum(math.comb(1001, i) for i in range(k + 1)) / 2**1001 < 0.95


@pytest.mark.parametrize("dim", [1, 2, 33, 64])
def test_a_rotation_by_signs_is_orthogonal_and_mixes_all(dim):
    signs = random_signs(dim, torch.Generator().manual_seed(0)).double()
    unit = torch.eye(dim, dtype=torch.float64)
    turned = rotated(unit, signs)
    torch.testing.assert_close(turned @ turned.T, unit, rtol=0, atol=1e-12)
    torch.testing.assert_close(rotated(turned, signs, back=True), unit, rtol=0, atol=1e-12)
    assert (turned.abs() > 1e-12).all() or dim < 3


def test_a_large_quadratic_has_the_same_curvatures(monkeypatch):
    monkeypatch.setattr(quadratic, "DENSE_UP_TO", 3)
    problem = Quadratic(dim=7, condition=100.0)
    data = problem.example()
    hessian = problem.hessian(data["start"], data)
    torch.testing.assert_close(torch.linalg.eigvalsh(hessian), problem.curvatures())
    torch.testing.assert_close(
        problem.hvp(data["start"], data, data["start"]), hessian @ data["start"]
    )


@pytest.mark.parametrize("rotated", [True, False])
def test_a_large_quadratic_is_swept(rotated):
    check_problem("quadratic", Quadratic(dim=10_000 if rotated else 100_000, rotated=rotated))


def test_a_problem_that_needs_too_much_memory_is_refused_before_it_is_drawn():
    for name in ("noisy_quadratic", "ackley"):
        with pytest.raises(
            Refused, match=f"problem {name} of dimension 200000 needs at least .* bytes"
        ):
            check_problem(name, dataclasses.replace(PROBLEMS[name], dim=200_000))  # type: ignore[type-var]


def test_memory_that_caches_files_is_there_to_be_had(monkeypatch, tmp_path):
    stated = tmp_path / "meminfo"
    stated.write_text(
        "MemTotal: 24000000 kB\nMemFree: 1 kB\nMemAvailable:   22000000 kB\nBuffers: 5 kB\n"
    )
    monkeypatch.setattr(preflight, "MEMORY", stated)
    assert preflight._available() == 22_000_000 * 1024
    stated.write_text("MemTotal: 24000000 kB\nMemFree: 1 kB\n")  # as Linux before 3.14
    assert preflight._available() > 1024
    stated.unlink()
    assert preflight._available() > 1024


def test_a_whole_number_may_be_written_as_1e5():
    assert repr(typed("quadratic", "dim", 1e5, 100)) == "100000"
