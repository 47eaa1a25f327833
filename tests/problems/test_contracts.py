"""Every registered problem keeps every contract, and bears out every claim: registering is being tested."""

from __future__ import annotations

import re

import pytest

from benchmarks.contracts import CONTRACTS
from problems import PROBLEMS, Cell
from problems.long_term_dependencies.recurrent_network import RecurrentNetwork

NAMES = list(PROBLEMS)
LONG = {  # where a step takes milliseconds, and these take thousands of them
    "has_a_signature_that_its_control_lacks",
    "is_not_solved_by_random_search",
}


DEEP = {  # where a loss takes hundreds of steps of a network, and these take hundreds of losses
    "has_nothing_below_its_floor",
    "has_the_derivatives_of_its_loss",
    "does_not_mix_runs",
}


def marks(problem, contract):
    """Networks of small cells, whoever spends more than most, and the longest sequences.

    A sequence goes through the same code at each step, so that what is wrong at 500 is at 10 and at 50.
    """
    is_network = problem.shapes is not None and problem.card.cell.trials < Cell().trials
    costly = is_network or problem.budget > 3000
    deep = isinstance(problem, RecurrentNetwork) and problem.dial > 100
    slow = (costly and contract.name in LONG) or (deep and contract.name in DEEP)
    return [pytest.mark.slow] if slow else []


KEPT = [
    pytest.param(
        contract,
        at,
        id=f"{name}-{at.dial:g}-{contract.name}",
        marks=marks(at, contract),
    )
    for name, problem in PROBLEMS.items()
    for contract in CONTRACTS
    if contract.unless not in problem.card.exceptions
    for at in map(problem.at_dial, problem.card.ladder if contract.at_each_rung else [problem.dial])
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
    contract.holds(problem)


@pytest.mark.parametrize(("problem", "claim", "name"), CLAIMS)
def test_claim(problem, claim, name):
    measured = getattr(problem, name)()
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
