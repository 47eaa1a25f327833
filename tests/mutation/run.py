"""Change one line of the code at a time in a copy of the project, and see whether the tests fail.

`python -m tests.mutation.run` tries every mutant, `python -m tests.mutation.run loop.py holm` those whose file or
description has one of these words. The exit code is 1 if less than `ENOUGH` of them are killed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutation.mutants import MUTANTS, ROOT, Mutant

ENOUGH = 0.95
LONGEST = 600  # seconds; the tests of a mutant that never ends have noticed it
PASSED, FAILED = 0, 1  # exit codes of pytest


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
    workers = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(workers):
            copies.put(_copied(Path(folder) / str(number)))

        def judged(mutant: Mutant) -> bool:
            copy = copies.get()
            try:
                return _killed(mutant, copy)
            finally:
                copies.put(copy)

        copy = copies.get()
        if _tested(copy, dict.fromkeys(test for each in chosen for test in each.tests)) != PASSED:
            print("the tests fail without any mutant: see the output above")
            return 2
        copies.put(copy)
        with ThreadPoolExecutor(workers) as pool:
            killed = sum(pool.map(judged, chosen))
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


def _killed(mutant: Mutant, copy: Path) -> bool:
    """Plant a mutant in a copy, run its tests, and restore the file."""
    file, began = copy / mutant.file, time.monotonic()
    original = file.read_text()
    file.write_text(original.replace(mutant.old, mutant.new))
    try:
        code = _tested(copy, mutant.tests, quiet=True)
    finally:
        file.write_text(original)
    if code not in (PASSED, FAILED):
        raise SystemExit(f"{mutant.what}: pytest ended with {code} instead of failing a test")
    verdict = "survived" if code == PASSED else "killed"
    seconds = time.monotonic() - began
    print(f"{verdict:8} {seconds:4.0f} s  {mutant.file}: {mutant.what}", flush=True)
    return code == FAILED


def _tested(copy: Path, tests: Iterable[str], quiet: bool = False) -> int:
    """Return the exit code of pytest for these tests in a copy."""
    try:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests],
            cwd=copy,
            env={**os.environ, "PYTHONPATH": str(copy), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL if quiet else None,
            timeout=LONGEST if quiet else None,
        ).returncode
    except subprocess.TimeoutExpired:
        return FAILED


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
