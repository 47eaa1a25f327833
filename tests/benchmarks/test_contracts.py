"""What every registered problem promises of optimizers: controls fail, references solve."""

from __future__ import annotations

import pytest

from benchmarks.cells import Memory
from benchmarks.checks import check_problem
from benchmarks.contenders import Contender
from benchmarks.jobs import Job, run_job
from benchmarks.protocol import Protocol
from optimizers import OPTIMIZERS
from problems import PROBLEMS

RUNGS = [
    pytest.param(name, rung, id=f"{name}-{rung:g}")
    for name, problem in PROBLEMS.items()
    for rung in problem.card.ladder
]
ONE_SETTING = {"trials": 1, "tuning_seeds": 1}


def solved(name: str, rung: float, optimizer: str, **values) -> list[bool]:
    """Whether one setting of an optimizer solves each reporting instance of a rung."""
    contender = Contender(optimizer, OPTIMIZERS[optimizer].replace(**values), {})
    job = Job(name, PROBLEMS[name].at_dial(rung), contender)
    memory = Memory()
    (key,) = run_job(job, Protocol(**ONE_SETTING), memory, lambda done: None)
    cell = memory.read(key)
    assert not cell.info["error"], cell.traceback
    reporting = cell.runs["role"] == "reporting"
    return list(cell.runs["status"][reporting] == "solved")


@pytest.mark.parametrize(("name", "rung"), RUNGS)
def test_a_problem_is_fit_to_be_swept(name, rung):
    check_problem(name, PROBLEMS[name].at_dial(rung))


@pytest.mark.parametrize(("name", "rung"), RUNGS)
def test_doing_nothing_solves_nothing(name, rung):
    assert not any(solved(name, rung, "idle"))


@pytest.mark.parametrize(("name", "rung"), RUNGS)
def test_the_reference_solves_every_rung(name, rung):
    card = PROBLEMS[name].card
    if "reference" in card.exceptions:
        pytest.skip(card.exceptions["reference"])
    optimizer, values = card.reference
    assert all(solved(name, rung, optimizer, **values))


@pytest.mark.parametrize("name", list(PROBLEMS))
def test_random_search_fails_the_last_rung(name):
    card = PROBLEMS[name].card
    if "random_search" in card.exceptions:
        pytest.skip(card.exceptions["random_search"])
    assert not any(solved(name, card.ladder[-1], "random_search"))
