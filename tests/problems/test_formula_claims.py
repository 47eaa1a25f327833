"""Which claims are about a problem's code, and which about the formula alone."""

from __future__ import annotations

from types import FunctionType

import pytest

from problems import PROBLEMS

MAKE_PROBLEMS = {"at_dial", "control", "without"}  # and measure nothing


class Gone(Exception):
    """A method of the problem was called."""


def gone(*_, **__):
    raise Gone


@pytest.mark.parametrize("name", PROBLEMS)
def test_without_the_methods_of_a_problem_the_claims_of_the_formula_alone_hold(name, monkeypatch):
    """Exactly these: the others are measured on the problem."""
    problem = PROBLEMS[name]
    claims = {each: claim for each, claim in problem.claims.items() if not claim.slow}
    for kind in type(problem).__mro__[:-1]:
        for method, function in list(vars(kind).items()):
            makes = method.startswith("__") or method in MAKE_PROBLEMS
            if isinstance(function, FunctionType) and not makes:
                monkeypatch.setattr(kind, method, gone)
    held = set()
    for each, claim in claims.items():
        try:
            held |= {each} if claim.holds(claim.measure(problem)) else set()
        except Gone:
            continue
    assert held == {each for each, claim in claims.items() if claim.formula}
