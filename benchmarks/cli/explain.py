"""`ravine explain FOLDER`: measure why the optimizers of a sweep break, by taking the causes away."""

from __future__ import annotations

import re
import sys
from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext, redirect_stdout
from pathlib import Path

from benchmarks.analysis.folder import finished, read_table
from benchmarks.catalog import loading
from benchmarks.cli.compose import Planned, foreign, planned
from benchmarks.cli.launch import run
from benchmarks.display.as_json import as_json
from ravine import Refused, nearest

OF_HYDRA = re.compile(r"\+*hydra[./]")


def main(given: Namespace) -> int:
    """Run the commands of a folder again, of which all cells are stored, and explain what breaks.

    The folder may be anyone's: files and modules that its commands name are run only with --trust, and all on this
    machine.
    """
    manifest, _ = finished(given.folder)
    commands = [each for each in manifest.get("commands", [manifest.get("argv", [])]) if each]
    if not commands:
        raise Refused(f"{given.folder} was not made by a command: give explain=true to one")
    again = [_again(each, given.folder) for each in commands]
    named = dict(pair for words in again for pair in foreign(words))
    missing = dict.fromkeys(filter(None, map(loading.missing, named, named.values())))
    if missing:
        packages = not all(each.endswith(".py") for each in missing)
        raise Refused(
            f"{given.folder} was made with {', '.join(missing)}, which cannot be found from this folder: "
            "run `ravine explain` in the folder in which the sweep was run"
            f"{', or install the package' if packages else ''}"
        )
    if named and not given.trust:
        raise Refused(
            f"{given.folder} was made with {', '.join(named)}, whose code would be run: "
            "add --trust if it is yours, or if you have read it"
        )
    plans = [planned(each) for each in again]
    asked = {}
    for kind, text in (("problem", given.problem), ("optimizer", given.optimizer)):
        there = sorted({_name(each, kind) for plan in plans for each in plan.jobs})
        asked[kind] = there if text is None else text.split(",")
        for name in asked[kind]:
            if name not in there:
                raise Refused(f"unknown {kind} {name!r}: {nearest(name, there)}")
    with redirect_stdout(sys.stderr) if given.json else nullcontext():
        code = max(
            run(plan, lambda job: all(_name(job, kind) in names for kind, names in asked.items()))
            for plan in plans
        )
    if given.json:
        print(as_json({"folder": given.folder, "explained": read_table(given.folder, "explained")}))
    return code


def _again(words: Sequence[str], folder: Path) -> list[str]:
    """Return the words of a command that runs into a folder on this machine, with a store of cells if it is there."""
    kept = (
        word
        for word in words
        if word.partition("=")[0] not in ("out", "explain", "keep")
        and not OF_HYDRA.match(word)
        and not (word.startswith("cells=") and not Path(word.partition("=")[2]).is_dir())
    )
    return [*kept, f"out={folder}"]


def _name(job: Planned, kind: str) -> str:
    named = job.setup.job
    return named.name if kind == "problem" else named.contender.name
