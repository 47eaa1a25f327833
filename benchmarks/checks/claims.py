"""Measure the claims about a problem."""

from __future__ import annotations

import torch

from problems import Problem
from problems.claims import Claim
from problems.precision import default_dtype

OF_FORMULA = "of the formula alone"


def measured(problem: Problem, name: str) -> float:
    """Measure one of a problem's claims."""
    with default_dtype(torch.float64):
        return problem.claims[name].measure(problem)


def told(claim: Claim) -> str:
    """Return a claim in a line, with its figure and source, and why it fails here if it does."""
    alone = f"; {OF_FORMULA}" if claim.formula else ""
    fails = f". FAILS here: {claim.fails}" if claim.fails else ""
    return f"{claim.statement}: {spelled(claim.stated)} ({claim.source}{alone}){fails}"


def spelled(stated: float | str) -> str:
    """Return a stated figure as text."""
    return stated if isinstance(stated, str) else f"{stated:.6g}"
