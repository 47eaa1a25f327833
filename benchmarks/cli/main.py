"""The command `ravine`, the same as `python -m benchmarks`.

Bad input is one line on stderr and exit code 2. Slow imports wait until a sweep is certain to be run.
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import signal
import stat
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager
from importlib import metadata
from typing import Any

from benchmarks.catalog import loading
from benchmarks.cli.completion import INSTALL, complete, completing, install
from benchmarks.cli.help import usage
from benchmarks.cli.options import (
    FAILED,
    FLAGS,
    INTERRUPTED,
    REFUSED,
)
from benchmarks.cli.subcommands import SUBCOMMANDS, parser
from ravine import LeftOut, Refused, nearest, printable
from ravine.terminal import phase

KEPT = ": finished cells are kept; the same command runs the rest"
FULL = (errno.ENOSPC, errno.EDQUOT)


ENDING = (signal.SIGTERM, signal.SIGHUP)


class Terminated(KeyboardInterrupt):
    """A signal that ends a sweep as Ctrl-C does: SIGTERM of Slurm, docker and systemd, SIGHUP of a closed terminal."""

    def __init__(self, number: int):
        super().__init__()
        self.number = number


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code.

    1 if `check` finds something broken, `compare --fail-on-regression` a regression, or `submit --verify` a run that
    differs; 2 for bad input or an error of the system, as a full disk, 3 if a cell failed or a process was lost, 130
    for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP.
    """
    if completing():
        complete(SUBCOMMANDS, parser)
    words = list(sys.argv[1:] if argv is None else argv)
    kept = KEPT if _runs_cells(words) else ""
    try:
        with _warning_in_a_line(), _ending_on_signals(), _interruptions_as_they_are():
            code = _run(words)
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # the output was closed, as by `| head`
        _say_nothing_more()
        return 0
    except Refused as refusal:
        _say(str(refusal))
        return REFUSED
    except Terminated as signalled:
        _say(f"terminated{kept}")
        return 128 + signalled.number
    except KeyboardInterrupt:
        _say(f"interrupted{kept}")
        return INTERRUPTED
    except BrokenExecutor as error:
        _say(f"a worker process died{kept} ({error})")
        return FAILED
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        if error.errno in FULL:
            _say(f"the disk is full{where}{kept and f'{kept}, once there is room'}")
        else:
            _say(f"{error.strerror or error}{where}")
        return REFUSED


def _runs_cells(words: Sequence[str]) -> bool:
    """True for a sweep, and for the subcommands that run the cells of one and keep them."""
    name = next(iter(words), "")
    verified = any(each.partition("=")[0] == "--verify" for each in words)  # which keeps no cells
    return name not in SUBCOMMANDS or name == "explain" or (name == "submit" and not verified)


def _say(text: str) -> None:
    print(f"ravine: {printable(' '.join(text.split()))}", file=sys.stderr)


@contextmanager
def _ending_on_signals() -> Iterator[None]:
    """Raise `Terminated` on a signal; not where it is ignored, as by nohup, or handled by others already."""
    main = threading.current_thread() is threading.main_thread()
    ours = [each for each in ENDING if main and signal.getsignal(each) == signal.SIG_DFL]
    changed = [*ours, signal.SIGINT] if ours else []
    before = {each: signal.getsignal(each) for each in changed}
    for each in ours:
        signal.signal(each, _terminate)
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


@contextmanager
def _interruptions_as_they_are() -> Iterator[None]:
    """Take an interruption out of the RuntimeError in which Python 3.11 wraps what is raised while a class is made."""
    try:
        yield
    except RuntimeError as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise


def _terminate(number: int, _: Any) -> None:
    # A second one must not interrupt the writing of the tables.
    for each in (*ENDING, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    if number == signal.SIGHUP:
        _say_nothing_more(where=lambda mode: stat.S_ISCHR(mode))  # a terminal that is gone
    raise Terminated(number)


def _say_nothing_more(where: Callable[[int], bool] = lambda mode: True) -> None:
    """Write no more to stdout and stderr where the mode of their file is such: what reads them is gone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number in (1, 2):
        if where(os.fstat(number).st_mode):
            os.dup2(nowhere, number)


@contextmanager
def _warning_in_a_line() -> Iterator[None]:
    """Show our own warnings as one line each on stderr, without the line of code."""
    with warnings.catch_warnings():
        shown = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: Any) -> None:
            if category in (FutureWarning, LeftOut):
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
        print(_usage(), file=sys.stderr)
        return REFUSED
    if "=" not in words[0] and not words[0].startswith("-"):
        return _subcommand(*words)
    if "--help" in words or "-h" in words:
        print(_usage())
        return 0
    if words[0] == INSTALL:
        print(install(*words[1:]))
        return 0
    words, only_shown = _without_flags(words)

    with _keeping_what_is_imported():
        with phase("importing torch"):
            from benchmarks.cli.compose import planned

        plan = planned(words)
    if only_shown:
        print(plan.text(), end="")
        return 0

    from benchmarks.cli.launch import run

    return run(plan)


def _usage() -> str:
    return usage((f"{name} {each.example}", each.summary) for name, each in SUBCOMMANDS.items())


def _version() -> str:
    try:
        return metadata.version("ravine")
    except metadata.PackageNotFoundError:
        return "from a checkout that is not installed"


def _subcommand(name: str, *words: str) -> int:
    if name not in SUBCOMMANDS:
        hint = "an option is written name=value, as in +problem=cliff"
        raise Refused(f"unknown subcommand {name!r}: {nearest(name, SUBCOMMANDS)}; {hint}")
    of_name = parser(name)
    if "--help" in words or "-h" in words:
        print(of_name.format_help(), end="")
        return 0
    given = of_name.parse(words)
    with _keeping_what_is_imported(), phase(f"importing what {name} needs"):
        module = importlib.import_module(SUBCOMMANDS[name].module)
    return module.main(given)


@contextmanager
def _keeping_what_is_imported() -> Iterator[None]:
    """Do not search what the block imports for garbage: it stays, and to search torch again and again takes 0.4 s."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def _without_flags(words: list[str]) -> tuple[list[str], bool]:
    """Return the options, and True if they are only to be shown."""
    rest = [word for word in words if word not in ("-m", "--multirun")]  # the default here
    rest = ["keep=true" if word == "--keep" else word for word in rest]
    only_shown = "--cfg" in rest
    if only_shown:
        at = rest.index("--cfg")
        if rest[at + 1 : at + 2] != ["job"]:
            raise Refused("--cfg needs what to show: --cfg job")
        del rest[at : at + 2]
    for at, word in enumerate(rest):
        if word.startswith("-"):
            name, equals, _ = word.partition("=")
            if equals and name not in FLAGS:
                option = word.lstrip("-")
                raise Refused(f"unknown flag {word}: an option is written without dashes, {option}")
            raise Refused(f"unknown flag {word}: {nearest(name, FLAGS)}")
        if "=" not in word:
            raise Refused(
                f"{word!r} is not an option: an option is written name=value{_in_a_list(rest, at)}"
            )
    return rest, only_shown


def _in_a_list(words: Sequence[str], at: int) -> str:
    """Return how the list is written that a word belongs to, with blanks around its commas; empty if it does not."""
    joined = words[at - 1] if at else ""
    for word in words[at:]:
        if "=" in word or not (joined.endswith(",") or word.startswith(",")):
            break
        joined += word
    return f" (a list has no blanks: {joined})" if at and joined != words[at - 1] else ""
