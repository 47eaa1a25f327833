"""Cells are kept whole, found again, and made anew when what decides their numbers has changed."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys

import numpy as np
import pandas
import pytest
import torch

from benchmarks.analysis.tables import read
from benchmarks.catalog.contenders import contender
from benchmarks.engine.cell import _Batch, run_cell
from benchmarks.engine.instances import Instances
from benchmarks.engine.loop import run
from benchmarks.engine.protocol import Protocol, stream
from benchmarks.engine.trial_choice import choose
from benchmarks.runner.job import Job, run_job
from benchmarks.store.cell_info import by_job, cells_of
from benchmarks.store.cells import Memory, Store
from benchmarks.store.key import cell_key
from benchmarks.store.sweep_folder import SweepFolder
from optimizers.sgd import SGD
from problems.modifiers import noisy, transformed
from ravine import Refused
from tests.benchmarks.problems_for_tests import Bowl, NoisyBowl

SIZE = Protocol(trials=3, tuning_seeds=2, seeds=2, budget=20)
LADDER = dataclasses.replace(SIZE, rungs=3)


def key(problem=None, what="sgd", settings=None, protocol=SIZE, name="bowl"):
    problem = problem or Bowl()
    return cell_key(name, problem, contender(what, settings), protocol.settled(problem))


def test_the_key_follows_everything_that_decides_the_numbers():
    others = [
        key(problem=Bowl(steepness=2.0)),
        key(what="momentum"),
        key(settings={"lr": 0.5}),
        key(settings={"lr": (0.1, 0.5)}),
        key(protocol=dataclasses.replace(SIZE, trials=4)),
        key(protocol=dataclasses.replace(SIZE, budget=21)),
        key(protocol=dataclasses.replace(SIZE, dtype="float32")),
    ]
    assert len({key(), *others}) == 1 + len(others)
    assert key() == key()
    assert key() == key(
        protocol=dataclasses.replace(SIZE, rungs=3)
    )  # where else it is run does not matter


def test_instances_are_those_of_their_role_and_of_the_release(monkeypatch):
    """So that nobody can tune to what is reported, nor to what will be reported in the next release."""
    seeds = SIZE.settled(Bowl()).seed_numbers
    now = [stream(seed) for seed in seeds]
    assert seeds == [0, 1, 1000, 1001] and len(set(now)) == 4
    monkeypatch.setattr("benchmarks.engine.protocol.RELEASE", "another release")
    then = [stream(seed) for seed in seeds]
    assert then[:2] == now[:2] and not set(then[2:]) & set(now[2:])


def test_noise_is_measured_on_draws_that_no_run_saw(monkeypatch):
    asked, drawn = [], Instances.draws

    def draws(instances, purpose="draws"):
        asked.append(purpose)
        return drawn(instances, purpose)

    monkeypatch.setattr(Instances, "draws", draws)
    run_cell(NoisyBowl(), contender("sgd"), SIZE.settled(NoisyBowl()))
    assert asked.count("diagnosis") == 1


def test_a_row_has_the_seed_and_the_role_of_its_instance():
    """Alone, each seed gives its rows of the cell."""
    settled = SIZE.settled(Bowl())
    runs = run_cell(Bowl(), contender("sgd", {"lr": 0.1}), settled).runs
    assert runs["role"].tolist() == ["tuning"] * 2 + ["reporting"] * 2
    for seed, loss in zip(runs["seed"], runs["loss_final"], strict=True):
        alone = run(SGD(lr=0.1), Instances(Bowl(), (stream(seed),)), 1, settled.budget)
        assert alone.numbers["loss_final"].item() == pytest.approx(loss, rel=1e-9)


def test_u_is_the_rate_in_units_that_the_trial_s_momentum_discounts():
    runs = run_cell(Bowl(), contender("momentum"), SIZE.settled(Bowl())).runs
    unit = runs["hp.lr"] / runs["u"] / (1 - runs["hp.momentum"])
    assert np.unique(runs["hp.momentum"]).size == 3 and unit == pytest.approx(unit[0])


def test_traced_are_the_reporting_runs_of_the_trials_that_tuning_chooses():
    """Under so much noise that other instances would choose another trial."""
    problem = NoisyBowl(noise=3.0)
    size = dataclasses.replace(SIZE, trials=13).settled(problem)
    found = run_cell(problem, contender("sgd"), size)
    runs = pandas.DataFrame(found.runs)
    sobol = runs[runs["search"] == "sobol"]  # the one setting for a whole ladder is one of them
    assert set(found.traces["seed"]) == {1000, 1001}
    assert set(found.traces["trial"]) == {*choose(runs).values(), *choose(sobol).values()}
    # Refined trials lie within a tenth of the six decades of the rate around the best Sobol trial.
    rates = np.log10(runs.drop_duplicates("trial").set_index("trial")["u"])
    refined = rates[runs.drop_duplicates("trial").set_index("trial")["search"] == "refined"]
    assert (refined - rates[choose(sobol)["tuned"]]).abs().max() <= 0.6 + 1e-9
    swapped = runs.assign(role=runs["role"].map({"tuning": "reporting", "reporting": "tuning"}))
    assert choose(swapped)["tuned"] not in set(found.traces["trial"])


def test_a_search_is_refined_and_traced_by_tuning_instances_and_never_refines_the_defaults(
    monkeypatch,
):
    asked, best = [], _Batch.best

    def spied(batch, instances, eligible):
        asked.append((instances, eligible(0)))
        return best(batch, instances, eligible)

    monkeypatch.setattr(_Batch, "best", spied)
    run_cell(Bowl(), contender("sgd"), dataclasses.replace(SIZE, trials=7).settled(Bowl()))
    assert {instances.indices(4) for instances, _ in asked} == {(0, 2, 1)}
    assert not asked[0][1]


def test_a_search_prefers_a_miss_to_a_diverged_run_whose_last_gap_was_small():
    columns = {
        "status": np.array([["diverged", "missed"]]),
        "cost_to_target": np.full((1, 2), np.nan),
        "gap_final": np.array([[1e-9, 0.5]]),
    }
    batch = _Batch([1, 2], torch.zeros(2, 1), {}, columns, [])
    assert batch.best(slice(0, 1), lambda number: True) == 1


def module_from(path):
    """Import a file under its own name."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def test_an_edit_in_a_helper_file_of_ones_own_changes_the_key(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    helper, mine = tmp_path / "ravine_test_helper.py", tmp_path / "ravine_test_mine.py"
    helper.write_text("SCALE = 1.0\ndef scaled(g):\n    return SCALE * g\n")
    mine.write_text(
        "from dataclasses import dataclass\nfrom optimizers.sgd import SGD\nfrom ravine_test_helper import scaled\n"
        "@dataclass(frozen=True)\nclass Mine(SGD):\n    pass\n"
    )
    first = key(what=module_from(mine).Mine)
    assert first == key(what=module_from(mine).Mine)
    helper.write_text("SCALE = 2.0\ndef scaled(g):\n    return SCALE * g\n")
    assert first != key(what=module_from(mine).Mine)
    for name in ("ravine_test_helper", "ravine_test_mine"):
        del sys.modules[name]


def test_a_cell_is_run_once_and_read_back_as_it_was_written(tmp_path):
    done = []
    memory, store = Memory(), Store(tmp_path)
    job = Job("bowl", Bowl(), contender("sgd"))
    for place in (memory, store, store):
        keys = list(run_job(job, SIZE, place, done.append))
    assert [each.cached for each in done] == [False, False, True]
    kept, again = memory.read(keys[0]), store.read(keys[0])
    assert set(kept.runs) == set(again.runs)
    for name, column in kept.runs.items():
        if name not in ("seconds", "cell"):
            np.testing.assert_array_equal(column, again.runs[name], err_msg=name)


def test_a_half_written_cell_is_no_cell(tmp_path, monkeypatch):
    store, memory = Store(tmp_path), Memory()
    (key,) = run_job(Job("bowl", Bowl(), contender("sgd")), SIZE, memory, lambda done: None)
    cell = memory.read(key)
    monkeypatch.setattr("benchmarks.store.cells.json.dumps", lambda *given, **named: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.write("key", cell)
    monkeypatch.undo()
    assert not store.has("key") and not (tmp_path / "key").exists()
    store.write("key", cell)
    assert store.has("key")


@dataclasses.dataclass(frozen=True)
class Raises(SGD):
    """An optimizer with a bug."""

    def update(self, oracle, state):
        raise RuntimeError("something\nis wrong with it")


def test_an_optimizer_that_raises_is_a_row_and_is_tried_again(tmp_path):
    store, done = Store(tmp_path), []
    job = Job("bowl", Bowl(), contender(Raises))
    for _ in range(2):
        keys = list(run_job(job, SIZE, store, done.append))
    assert [each.error for each in done] == ["RuntimeError: something is wrong with it"] * 2
    assert not any(each.cached for each in done)
    tables = read(store, keys)
    assert tables.runs["status"].tolist() == ["error"]
    assert tables.runs["traceback"].tolist() == [str(tmp_path / keys[0] / "traceback.txt")]
    assert tables.summary["status"].tolist() == ["error"]
    assert "RuntimeError" in (tmp_path / keys[0] / "traceback.txt").read_text()


def test_a_cell_repeats_bitwise_in_any_order():
    problems = [Bowl(), Bowl(steepness=5.0)]
    jobs = [
        Job("bowl", problem, contender(name))
        for problem in problems
        for name in ("adam", "random_search")
    ]
    forward, backward = Memory(), Memory()
    for jobs_in_order, memory in ((jobs, forward), (jobs[::-1], backward)):
        for job in jobs_in_order:
            list(run_job(job, SIZE, memory, lambda done: None))
            torch.randn(3)  # the global stream has no part in it
    assert set(forward) == set(backward) and len(forward) == 4
    for cell, kept in forward.items():
        for name, column in kept.runs.items():
            if name != "seconds":
                np.testing.assert_array_equal(column, backward[cell].runs[name])


def test_what_is_stored_is_plain(tmp_path):
    keys = list(
        run_job(Job("bowl", Bowl(), contender("adam")), SIZE, Store(tmp_path), lambda done: None)
    )
    info = json.loads((tmp_path / keys[0] / "cell.json").read_text())
    assert info["problem"] == "bowl" and info["optimizer"] == "adam" and info["dial"] == 1.0
    assert {file.name for file in (tmp_path / keys[0]).iterdir()} == {
        "cell.json",
        "runs.parquet",
        "traces.parquet",
    }


def test_what_a_cell_is_can_be_read_from_its_file_and_from_a_manifest(tmp_path):
    memory, store = Memory(), Store(tmp_path)
    problem = noisy(transformed(Bowl(steepness=3.0), ["rotate"]), "gaussian")
    for place in (memory, store):
        jobs = [Job("bowl", problem, contender(name)) for name in ("sgd", "newton")]
        keys = [key for job in jobs for key in run_job(job, LADDER, place, lambda done: None)]
    infos = {key: memory.read(key).info for key in keys}
    assert {key: store.info(key) for key in keys} == infos == dict(store.infos())
    listed = json.loads(json.dumps(by_job(infos)))
    assert len(listed) == 2 and cells_of(listed) == infos
    assert [info.optimizer for info in cells_of(listed).values()] == ["newton"] * 3 + ["sgd"] * 3


def test_a_cell_that_is_found_again_gets_what_is_stated_of_it_now(tmp_path, monkeypatch):
    """Neither a theory nor the reason of an exception decides a number."""
    store, done = Store(tmp_path), []
    job = Job("bowl", Bowl(), contender("sgd"))
    list(run_job(job, SIZE, store, done.append))
    stated = dataclasses.replace(
        Bowl.card, theory={"sgd": lambda problem, budget: budget}, exceptions={"ranked": "why not"}
    )
    monkeypatch.setattr(Bowl, "card", stated)
    (key,) = run_job(job, SIZE, store, done.append)
    assert [each.cached for each in done] == [False, True]
    assert store.info(key).theory["1"] == 20 and store.read(key).info.unranked == "why not"
    assert {file.name for file in (tmp_path / key).iterdir()} == {
        "cell.json",
        "runs.parquet",
        "traces.parquet",
    }


def test_cells_of_another_schema_are_passed_over_and_their_folder_is_refused(tmp_path):
    store = Store(tmp_path / "cells")
    (key,) = run_job(Job("bowl", Bowl(), contender("sgd")), SIZE, store, lambda done: None)
    file = store.folder / key / "cell.json"
    file.write_text(file.read_text().replace('"schema": 2', '"schema": 1'))
    assert not dict(store.infos())
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "manifest.json").write_text(
        '{"schema": 1, "config": {"protocol": {}}, "cells": []}'
    )
    with pytest.raises(
        Refused,
        match=r"old was written by another version of Ravine \(schema 1, .*: give another folder, or delete .*old",
    ):
        SweepFolder(tmp_path / "old", store).check(SIZE)
