"""Change one line of the code at a time in a copy of the project, and see whether the tests fail.

`python -m tests.mutation.run` tries every mutant, `python -m tests.mutation.run loop.py Holm` those whose file or
description has one of these words. The exit code is 1 if less than `ENOUGH` of them are killed.

What all tests import is imported once; each mutant is tested in a fork.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: its threads do not survive a fork

import pandas  # noqa: F401
import pytest
import scipy.optimize
import scipy.stats  # noqa: F401
import torch  # noqa: F401

from tests.mutation.mutants import MUTANTS, ROOT, Mutant

ENOUGH = 0.95
LONGEST = 1200  # seconds; the tests of a mutant that never ends have noticed it


def main(words: list[str]) -> int:
    """Run the mutants that these words select, and return the exit code."""
    chosen = [
        each
        for each in MUTANTS
        if not words or any(word in f"{each.file} {each.what}" for word in words)
    ]
    problems = [f"{each.what}: {each.problem}" for each in chosen if each.problem]
    if problems or not chosen:
        print("\n".join(problems or [f"no mutant has one of the words {', '.join(words)}"]))
        return 2
    with tempfile.TemporaryDirectory() as folder:
        copies = [_copied(Path(folder, str(number))) for number in range(os.cpu_count() or 1)]
        every = dict.fromkeys(test for each in chosen for test in each.tests)
        _, status = os.waitpid(_tested(copies[0], every), 0)
        if status:
            print("a test fails, or 20 minutes are too short, without any mutant: see pytest")
            return 2
        killed = _killed(chosen, copies)
    print(f"killed {killed} of {len(chosen)} mutants: {killed / len(chosen):.1%}")
    return 0 if killed >= ENOUGH * len(chosen) else 1


def _copied(to: Path) -> Path:
    """Copy the files that git knows or would add, as they are now."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name, follow_symlinks=False)
    return to


def _killed(mutants: Iterable[Mutant], copies: list[Path]) -> int:
    """Return how many of the mutants make a test fail; each copy of the project has one at a time."""
    running: dict[int, tuple[Mutant, Path, float]] = {}
    left, killed = list(mutants)[::-1], 0
    while left or running:
        if left and copies:
            mutant, copy = left.pop(), copies.pop()
            file = copy / mutant.file
            file.write_text(file.read_text().replace(mutant.old, mutant.new))
            running[_tested(copy, mutant.tests)] = mutant, copy, time.monotonic()
            continue
        number, status = os.wait()
        mutant, copy, began = running.pop(number)
        shutil.copyfile(ROOT / mutant.file, copy / mutant.file)
        copies.append(copy)
        code = os.waitstatus_to_exitcode(status)
        if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED, -signal.SIGALRM):
            raise SystemExit(f"{mutant.what}: pytest ended with {code} instead of failing a test")
        survived = code == pytest.ExitCode.OK
        killed += not survived
        print(
            f"{'survived' if survived else 'killed':8} {time.monotonic() - began:4.0f} s  {mutant.file}: {mutant.what}",
            flush=True,
        )
    return killed


def _tested(copy: Path, tests: Iterable[str]) -> int:
    """Start pytest for these tests in a fork that works in a copy, and return its process."""
    process = os.fork()
    if process:
        return process
    signal.alarm(LONGEST)
    os.chdir(copy)
    os.environ["PYTHONPATH"] = sys.path[0] = str(
        copy
    )  # processes that a test starts belong to the copy, too
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
