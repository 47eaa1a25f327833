"""Networks that do not train, and their repaired twins."""

from __future__ import annotations

import math

import pytest
import torch

from benchmarks.doctor.cases import CASES, FAULTY, HEALTHY, PUBLIC, train

QUICK = ("nan_input", "log_of_zero", "zero_start", "tiny_batches")
ALL = [(name, repaired) for name, case in CASES.items() for repaired in case.forms]


def test_there_are_ten_public_cases_and_more_of_our_own():
    assert len(PUBLIC) == 10
    assert len(FAULTY) >= 12
    assert len(CASES) == len(PUBLIC) + len(FAULTY) + len(HEALTHY)  # no name twice


@pytest.mark.parametrize("name", CASES)
def test_a_faulty_one_says_what_is_wrong_and_what_helps(name):
    case = CASES[name]
    assert case.about
    assert case.forms == ((True,) if case in HEALTHY else (False, True))
    assert bool(case.root) == bool(case.advice or case.rate) == (case not in HEALTHY)
    assert not {*case.root.split()} & {*case.consequence.split()}
    assert bool(case.source) == (case in PUBLIC)


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize(("name", "repaired"), ALL)
def test_a_seed_decides_the_run(name, repaired):
    before = torch.get_rng_state()
    one, same, other = (train(CASES[name], seed, repaired, steps=2)[2] for seed in (1, 1, 2))
    assert one == same != other
    assert torch.equal(before, torch.get_rng_state())


def test_the_doctor_leaves_the_run_as_it_is():
    case = CASES["unclipped_recurrent"]  # clipped between backward and the step
    plain, watched = (train(case, 0, True, doctor, steps=8) for doctor in (False, True))
    assert plain[0] is None
    assert watched[0] is not None and watched[0].steps == 8
    assert plain[1:] == watched[1:]


def test_a_run_ends_when_its_loss_is_not_finite():
    _, error, losses = train(CASES["nan_input"])
    assert len(losses) == 24
    assert math.isnan(losses[-1]) and math.isnan(error)


def _has_trained(name: str, repaired: bool, seed: int = 0) -> bool:
    return train(CASES[name], seed, repaired)[1] < CASES[name].trained


@pytest.mark.parametrize("name", QUICK)
def test_the_repair_decides_whether_it_trains(name):
    assert _has_trained(name, True)
    assert not _has_trained(name, False)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("name", "repaired"), ALL)
def test_only_the_repaired_ones_train(name, repaired, seed):
    assert _has_trained(name, repaired, seed) == repaired
