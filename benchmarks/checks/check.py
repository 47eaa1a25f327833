"""`ravine check`: check every promise of a problem or an optimizer, and say what is wrong."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterable

from benchmarks.checks import contracts, optimizer_contracts
from benchmarks.checks.claims import measured, spelled
from benchmarks.checks.contract import Finding, by_contract
from optimizers import Optimizer
from problems import Problem
from ravine.terminal import TABLES, columns

Say = Callable[[str], None]


def check(name: str, problem: Problem, slow: bool, say: Say) -> bool:
    """Check a problem and report the findings, line by line.

    Contracts and claims are measured. The card's `truth` and `source` are prose and are not checked.

    Args:
        name: The problem's name.
        problem: The registered problem.
        slow: True to measure claims that take more than two seconds, too.
        say: Called with each line.

    Returns:
        True if nothing is broken.
    """
    card = problem.card
    say(f"{name} · {card.dial} {', '.join(f'{rung:g}' for rung in card.ladder)}")
    sound = _say_findings(contracts.examined(problem), say, card.dial)
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
        low, high = claim.within
        said = (
            f"{claim.statement}: {value:.6g}; stated {spelled(claim.stated)}, "
            f"accepted from {low:.6g} to {high:.6g} ({claim.source})"
        )
        mark = "broken" if not expected else "ok" if holds else "fails"
        say(_line(mark, " · ".join(filter(None, (said, claim.fails)))))
    say(_line("prose", f"not checked: {card.truth}"))
    say(f"{name} keeps what it promises." if sound else f"{name} is broken.")
    return sound


def check_optimizer(name: str, optimizer: Optimizer, say: Say) -> bool:
    """Check an optimizer and report the findings, line by line.

    Args:
        name: The optimizer's name.
        optimizer: The optimizer, with its defaults.
        say: Called with each line.

    Returns:
        True if nothing is broken.
    """
    say(f"{name} · {', '.join(optimizer.hyperparameters) or 'no hyperparameters'}")
    sound = _say_findings(optimizer_contracts.examined(optimizer), say)
    say(f"{name} keeps what it promises." if sound else f"{name} is broken.")
    return sound


def _say_findings(findings: Iterable[Finding], say: Say, dial: str = "") -> bool:
    sound = True
    for several in by_contract(findings):
        wrong = [each for each in several if each.mark == "broken"]
        sound &= not wrong
        mark = "broken" if wrong else "-" if all(each.mark == "-" for each in several) else "ok"
        facts = [] if wrong else [*dict.fromkeys(each.text for each in several if each.text)]
        if mark == "-":
            facts = ["nothing stated", *facts]
        said = f" ({'; '.join(facts)})" if facts else ""
        say(_line(mark, several[0].contract.promise + said))
        for each in wrong:
            at = "" if each.dial is None else f"at {dial} {each.dial:g}: "
            say(_line("", at + each.text))
    return sound


def _line(mark: str, text: str) -> str:
    first, *rest = textwrap.wrap(text, columns(TABLES) - 10)
    return "\n".join([f"  {mark:<8}{first}", *(" " * 10 + line for line in rest)])
