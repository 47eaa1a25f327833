"""The command `ravine`, which is `python -m benchmarks`: what it accepts, and how it answers.

Bad input is one line on stderr and exit code 2. Everything that is slow to import is imported only once it is
clear that a sweep is wanted.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from benchmarks import listing, loading
from benchmarks.suites import suites
from problems import PROBLEMS
from problems.modifiers import NOISES, TRANSFORMS
from ravine import Refused, nearest

BROKEN, REFUSED, FAILED, INTERRUPTED = 1, 2, 3, 130
FLAGS = ("--help", "--version", "--cfg")
SUBCOMMANDS = ("show", "check", "compare", "report", "doctor")


@dataclass
class Config:
    """The options of a sweep and their defaults; null is what the problem's card states."""

    problem: Any = None
    suite: str | None = None
    optimizer: Any = None
    transform: Any = None
    noise: Any = None
    dial: str | None = None
    rungs: Any = 1
    ladder: Any = None
    trials: int | None = None
    tuning_seeds: int | None = None
    seeds: int | None = None
    budget: float | None = None
    dtype: str | None = None
    device: str = "cpu"
    threads: int = 1
    out: str | None = None
    cells: str = "results/cells"
    dry_run: bool = False
    optimizers: dict[str, Any] = field(default_factory=dict)
    adopted: list[str] = field(
        default_factory=list
    )  # what was loaded by file or path, for worker processes


DESCRIPTIONS = {
    "problem=": "NAME, file.py:Class, package.module.Class, several with commas, or 'glob(*)'",
    "problem.FIELD=": "a field of the problem; several values with commas",
    "suite=": "several problems at once, instead of problem=: ",
    "optimizer=": "NAME, file.py:Class, … as for problem; adam+clip+decay wraps; the classics where nothing is given",
    "optimizer.FIELD=": "a hyperparameter of each: a number pins it, a pair '[low,high]' is where it is searched",
    "optimizers.NAME.FIELD=": "the same for one of them",
    "transform=": "the problem in other coordinates, or several, as in 'transform=[rotate,shift]': ",
    "noise=": "what the optimizer sees of the gradients: ",
    "noise.strength=": "how much of it, in units of the gradient at the start; 0 is none",
    "dial=": "what the rungs walk along: the strength of the noise where there is one, or the problem's dial",
    "rungs=": "1: the problem's own dial value; 3: its ladder; auto: until each breaking point is found",
    "ladder=": "that ladder, if not the problem's own, from harmless to extreme, as in 'ladder=[1,10,100]'",
    "trials=": "settings tried per optimizer, the defaults among them",
    "tuning_seeds=": "instances on which settings are chosen",
    "seeds=": "other instances, on which they are reported",
    "budget=": "gradient-equivalents that a run may spend",
    "dtype=": "float64 or float32",
    "device=": "cpu or cuda",
    "threads=": "torch's threads in each process",
    "out=": "folder of the sweep (results/<time>); may grow by problems and optimizers",
    "cells=": "folder of what was ever computed, shared by all sweeps (results/cells)",
    "dry_run=": "true: say how many cells and runs there would be and how long they might take, and end",
    "preset=": "several options at once, from a file: ",
    "hydra/launcher=joblib": "all cores; hydra.launcher.n_jobs=4: four of them",
    "--cfg job": "show what would be run",
}


def usage() -> str:
    """The help text."""
    named = {
        "suite=": suites(),
        "preset=": sorted(each.stem for each in (loading.CONF / "preset").glob("*.yaml")),
        "transform=": TRANSFORMS,
        "noise=": ["none", *NOISES],
    }
    lists = {option: DESCRIPTIONS[option] + ", ".join(names) for option, names in named.items()}
    return listing.usage({**DESCRIPTIONS, **lists})


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    1 where `check` finds something broken, or `compare` a regression that it was asked to fail on; 2 for bad
    input, 3 where a cell failed, 130 for Ctrl-C.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _warning_in_a_line():
            code = _run(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # whoever reads the output, as in `| head`, has had enough
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for stream in (sys.stdout, sys.stderr):
            os.dup2(nowhere, stream.fileno())
        return 0
    except Refused as refusal:
        _say(str(refusal))
        return REFUSED
    except KeyboardInterrupt:
        _say("interrupted: what is finished is kept, and the same command does the rest")
        return INTERRUPTED
    except BrokenExecutor as error:
        _say(
            f"a worker process died: what is finished is kept, and the same command does the rest ({error})"
        )
        return FAILED


def _say(text: str) -> None:
    print(f"ravine: {' '.join(text.split())}", file=sys.stderr)


@contextmanager
def _warning_in_a_line() -> Iterator[None]:
    """Show what will not work in the next release as a line of ours, without the line of code."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if category is FutureWarning:
                _say(str(message))
            else:
                shown(message, category, *place)

        warnings.showwarning = show
        yield


def _run(words: list[str]) -> int:
    if "--version" in words:
        print(f"ravine {_version()}")
        return 0
    loading.load_plugins()
    if not words:
        print(usage(), file=sys.stderr)
        return REFUSED
    if "--help" in words or "-h" in words:
        print(usage())
        return 0
    if "=" not in words[0] and not words[0].startswith("-"):
        return _subcommand(*words)
    words, only_shown = _without_flags(words)

    with _making_no_garbage():
        from benchmarks.plan import planned  # and with it Hydra, pandas and torch

    with planned(words) as plan:
        if only_shown:
            print(plan.text(), end="")
            return 0
        return plan.run()


@contextmanager
def _making_no_garbage() -> Iterator[None]:
    """Imports, without a search for garbage among all that they make: a seventh of their time.

    None of it is searched later either, for it stays. Only the first time: else what is garbage by then stays too.
    """
    if "benchmarks.plan" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _version() -> str:
    try:
        return metadata.version("ravine")
    except metadata.PackageNotFoundError:
        return "from a checkout that is not installed"


def _subcommand(name: str, *words: str) -> int:
    if name not in SUBCOMMANDS:
        hint = "an option is written name=value, as in +problem=cliff"
        raise Refused(f"unknown subcommand {name!r}: {nearest(name, SUBCOMMANDS)}; {hint}")
    if name == "check":
        return _check(words)
    if name == "compare":
        from benchmarks import compare

        return compare.main(words)
    if name == "report":
        from benchmarks import report

        return report.main(words)
    if name == "doctor":
        from benchmarks.doctor import demos

        return demos.show(words)
    if not words:
        print(listing.atlas())
    for word in words:
        print(listing.card(_loaded(word)))
    return 0


def _check(words: Sequence[str]) -> int:
    names = [word for word in words if word != "--slow"]
    if not names:
        raise Refused(f"check what? check NAME, or check file.py:Class {nearest('', PROBLEMS)}")
    for word in names:
        if word.startswith("-"):
            raise Refused(f"unknown flag {word}: {nearest(word, ['--slow'])}")
    problems = {name: PROBLEMS.find(name) for name in map(_loaded, names)}

    from benchmarks.examination import check

    found = [
        check(name, problem, "--slow" in words, lambda line: print(line, flush=True))
        for name, problem in problems.items()
    ]
    return 0 if all(found) else BROKEN


def _loaded(word: str) -> str:
    """The registered name that a word stands for."""
    kind = "optimizer" if word in loading.preset_words() else "problem"
    return loading.load(word, kind)[0] if loading.is_specification(word) else word


def _without_flags(words: list[str]) -> tuple[list[str], bool]:
    """The options, and whether they are only to be shown."""
    rest = [word for word in words if word not in ("-m", "--multirun")]  # which every command is
    only_shown = "--cfg" in rest
    if only_shown:
        at = rest.index("--cfg")
        if rest[at + 1 : at + 2] != ["job"]:
            raise Refused("--cfg is followed by what is to be shown: --cfg job")
        del rest[at : at + 2]
    for word in rest:
        if word.startswith("-"):
            raise Refused(f"unknown flag {word}: {nearest(word, FLAGS)}")
        if "=" not in word:
            raise Refused(f"{word!r} is no option: an option is written name=value")
    return rest, only_shown
