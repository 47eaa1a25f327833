"""`ravine check`: every contract and claim of one problem, rung by rung, with what is wrong in words."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from itertools import groupby

import torch

from benchmarks.contracts import examined
from problems import Problem
from problems.precision import default_dtype

WIDTH = 110


def measured(problem: Problem, name: str) -> float:
    """Measure one of a problem's claims."""
    with default_dtype(torch.float64):
        return problem.claims[name].measure(problem)


def check(name: str, problem: Problem, slow: bool, say: Callable[[str], None]) -> bool:
    """Examine a problem and say what is found, line by line; False where anything is wrong."""
    card = problem.card
    say(f"{name} · {card.dial} {', '.join(f'{rung:g}' for rung in card.ladder)}")
    sound = True
    for contract, findings in groupby(examined(problem), key=lambda found: found[0]):
        wrong = [(rung, text) for _, rung, text in findings if text]
        sound &= not wrong
        say(_line("broken" if wrong else "ok", contract.promise))
        for rung, text in wrong:
            at = "" if rung is None else f"at {card.dial} {rung:g}: "
            say(_line("", at + text))
    for promise, reason in card.exceptions.items():
        say(_line("except", f"{promise}: {reason}"))
    for each, claim in problem.claims.items():
        if claim.slow and not slow:
            say(_line("slow", f"{claim.statement} (measured with --slow)"))
            continue
        value = measured(problem, each)
        holds = claim.holds(value)
        expected = holds != bool(claim.fails)
        sound &= expected
        mark = "ok" if holds else "fails"
        low, high = claim.within
        said = (
            f"{claim.statement}: {value:.6g}; stated {spelled(claim.stated)}, "
            f"accepted from {low:.6g} to {high:.6g} ({claim.source})"
        )
        say(
            _line(
                mark if expected else "broken",
                " · ".join(filter(None, (said, claim.fails))),
            )
        )
    say(f"{name} keeps what it promises." if sound else f"{name} is broken.")
    return sound


def spelled(stated: float | str) -> str:
    """A stated figure as it is written."""
    return stated if isinstance(stated, str) else f"{stated:.6g}"


def _line(mark: str, text: str) -> str:
    first, *rest = textwrap.wrap(text, WIDTH - 10)
    return "\n".join([f"  {mark:<8}{first}", *(" " * 10 + line for line in rest)])
