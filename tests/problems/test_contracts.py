"""Every registered problem keeps every contract, and bears out every claim: registering is being tested."""

from __future__ import annotations

import re
from contextlib import suppress

import pytest

from benchmarks.checks.contract import NothingStated
from benchmarks.checks.contracts import CONTRACTS
from problems import PROBLEMS, SampleSizes

NAMES = list(PROBLEMS)
LONG = {  # where a step takes milliseconds, and these take thousands of them
    "has_a_signature_that_its_control_lacks",
    "has_a_signature_that_measures_the_loss",
    "is_not_solved_by_random_search",
}


def marks(problem, contract):
    """Networks of small cells, and problems with an unusually large budget."""
    is_network = problem.shapes is not None and problem.card.cell.trials < SampleSizes().trials
    costly = is_network or problem.budget > 3000
    return [pytest.mark.slow] if costly and contract.name in LONG else []


KEPT = [
    pytest.param(
        contract,
        problem.at_dial(rung),
        id=f"{name}-{rung:g}-{contract.name}",
        marks=marks(problem, contract),
    )
    for name, problem in PROBLEMS.items()
    for contract in CONTRACTS
    if contract.unless not in problem.card.exceptions
    for rung in (problem.card.ladder if contract.at_each_rung else [problem.dial])
]
CLAIMS = [
    pytest.param(
        problem, claim, name, id=f"{each}-{name}", marks=[pytest.mark.slow] if claim.slow else []
    )
    for each, problem in PROBLEMS.items()
    for name, claim in problem.claims.items()
]


@pytest.mark.parametrize("name", NAMES)
def test_one_name(name):
    """One grep finds all there is of a problem: its class, its module, its tests."""
    kind = type(PROBLEMS[name])
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[0-9]+", kind.__name__)
    assert name == "_".join(words).lower()
    assert kind.__module__.endswith(f".{name}")


@pytest.mark.parametrize(("contract", "problem"), KEPT)
def test_contract(contract, problem):
    with suppress(NothingStated):
        contract.holds(problem)


@pytest.mark.parametrize(("problem", "claim", "name"), CLAIMS)
def test_claim(problem, claim, name):
    measured = claim.measure(problem)
    said = f"{claim.statement}: {measured:g}, accepted {claim.within}"
    assert claim.holds(measured) != bool(claim.fails), said


@pytest.mark.parametrize("name", NAMES)
def test_claims_are_stated_in_full(name):
    for claim in PROBLEMS[name].claims.values():
        assert claim.statement.strip()
        assert claim.source.strip()
        low, high = claim.within
        assert low <= high
        if not isinstance(claim.stated, str):
            assert low <= claim.stated <= high
