"""`ravine check NAME…`: check whether problems and optimizers keep their promises."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.catalog.loading import of_either_kind
from benchmarks.cli.options import BROKEN
from optimizers import OPTIMIZERS
from problems import PROBLEMS
from ravine import Refused, nearest


def main(given: Namespace) -> int:
    """Check each problem and optimizer, print the findings, and return 1 if anything is broken."""
    if not given.names:
        raise Refused(
            f"check a problem or an optimizer: check NAME, or check file.py:Class {nearest('', PROBLEMS)}"
        )
    known = [of_either_kind(word) for word in given.names]

    import torch

    from benchmarks.checks.check import check, check_optimizer

    torch.set_num_threads(1)  # as in sweeps: on small tensors more threads are slower

    def say(line: str) -> None:
        print(line, flush=True)

    found = [
        check(name, PROBLEMS[name], given.slow, say)
        if kind == "problem"
        else check_optimizer(name, OPTIMIZERS[name], say)
        for kind, name in known
    ]
    return 0 if all(found) else BROKEN
