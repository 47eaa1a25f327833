"""`ravine check NAME…`: check whether problems and optimizers keep their promises."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.catalog.loading import of_either_kind
from benchmarks.cli.options import BROKEN
from optimizers import OPTIMIZERS
from problems import PROBLEMS
from ravine import Refused, nearest

SLOW = "--slow"


def main(words: Sequence[str]) -> int:
    """Check each problem and optimizer, print the findings, and return 1 if anything is broken."""
    names = [word for word in words if word != SLOW]
    if not names:
        raise Refused(
            f"check a problem or an optimizer: check NAME, or check file.py:Class {nearest('', PROBLEMS)}"
        )
    for word in names:
        if word.startswith("-"):
            raise Refused(f"unknown flag {word}: {nearest(word, [SLOW])}")
    known = [of_either_kind(word) for word in names]

    import torch

    from benchmarks.checks.check import check, check_optimizer

    torch.set_num_threads(1)  # as in sweeps: on small tensors more threads are slower

    def say(line: str) -> None:
        print(line, flush=True)

    found = [
        check(name, PROBLEMS[name], SLOW in words, say)
        if kind == "problem"
        else check_optimizer(name, OPTIMIZERS[name], say)
        for kind, name in known
    ]
    return 0 if all(found) else BROKEN
