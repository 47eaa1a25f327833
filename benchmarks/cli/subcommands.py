"""The subcommands: what each is for, its arguments, and an example. Its module is imported only to run it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from benchmarks.cli import completion
from benchmarks.cli.help import program
from benchmarks.pages import REPORT
from ravine import Refused, nearest
from ravine.terminal import TABLES, columns


class Parser(argparse.ArgumentParser):
    """A parser that refuses bad input in one line, with the nearest flag."""

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Return the arguments, in any order. Raises Refused."""
        given, rest = self.parse_known_intermixed_args(words)
        for word in rest:
            if word.startswith("-"):
                flags = [each for each in self._option_string_actions if each.startswith("--")]
                raise Refused(f"unknown flag {word}: {nearest(word.partition('=')[0], flags)}")
        if rest:
            self.error(f"unexpected argument {rest[0]!r}")
        return given

    def add(self, *names: str, complete: Any = None, **options: Any) -> None:
        """Add an argument, with what completes it on Tab."""
        setattr(self.add_argument(*names, **options), "completer", complete)  # noqa: B010

    def add_json(self) -> None:
        """Add --json."""
        self.add(
            "--json", action="store_true", help="print one JSON document (docs/manual/json.md)"
        )

    def error(self, message: str) -> NoReturn:
        """Refuse the command."""
        words = " ".join(self.format_usage().split()).removeprefix("usage: ")
        raise Refused(f"{message}: {words}")


class _Once(argparse.Action):
    """Store a value; refuse a second one."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        if getattr(namespace, self.dest) is not None:
            parser.error(f"{option} is given twice")
        setattr(namespace, self.dest, values)


AGAINST = Path("results/reference")  # with which a submitted part is compared
CELLS, SEED = 20, 0  # of submit --verify


def path(text: str) -> Path:
    """Return a path. Raises argparse's error for an empty one."""
    if not text:
        raise argparse.ArgumentTypeError("needs a path")
    return Path(text)


def _show(parser: Parser) -> None:
    parser.add(
        "names", metavar="NAME", nargs="*", complete=completion.anything,
        help="a problem, an optimizer, a wrapper, a noise or a transform; file.py:Class for yours; none: all problems",
    )  # fmt: skip
    parser.add_json()


def _check(parser: Parser) -> None:
    parser.add(
        "names", metavar="NAME", nargs="*", complete=completion.problems_and_optimizers,
        help="a problem or an optimizer, or file.py:Class",
    )  # fmt: skip
    parser.add("--slow", action="store_true", help="measure the claims that take long, too")


def _compare(parser: Parser) -> None:
    parser.add(
        "before", metavar="A", type=path, complete=completion.sweeps, help="a sweep's folder"
    )
    parser.add("after", metavar="B", type=path, complete=completion.sweeps, help="another one")
    parser.add(
        "--fail-on-regression", action="store_true",
        help="exit with 1 if anything is worse in B, with 4 if that cannot be told",
    )  # fmt: skip
    parser.add_json()


def _same(parser: Parser) -> None:
    parser.usage = f"{parser.prog} A B [optimizer.FIELD=value …]"
    parser.add(
        "words", metavar="A B", nargs="*", complete=completion.optimizers,
        help="two optimizers: names, or file.py:Class; optimizer.FIELD=value sets a hyperparameter of both",
    )  # fmt: skip


def _explain(parser: Parser) -> None:
    parser.add(
        "folder", metavar="FOLDER", type=path, complete=completion.sweeps, help="a sweep's folder"
    )
    parser.add("--problem", metavar="NAME,…", complete=completion.problems, help="only for these")
    parser.add(
        "--optimizer", metavar="NAME,…", complete=completion.optimizers, help="only for these"
    )
    parser.add(
        "--trust",
        action="store_true",
        help="run the files and modules that the folder's commands name (not in a folder of others)",
    )
    parser.add_json()


def _submit(parser: Parser) -> None:
    parser.usage = f"{parser.prog} OPTIMIZER [option=value …] [--verify PART]"
    parser.add(
        "words", metavar="OPTIMIZER", nargs="*", complete=completion.submitted,
        help="your optimizer, as in my_opt.py:MyOpt, and options of a sweep; part=FOLDER is where the part "
        f"is written (in out= by default), against=FOLDER what it is compared with ({AGAINST})",
    )  # fmt: skip
    parser.add(
        "--verify", metavar="PART", type=path, action=_Once, complete=completion.sweeps,
        help="run some cells of this part again, and say whether they are as stated",
    )  # fmt: skip
    parser.add("--cells", metavar="N", type=int, action=_Once, help=f"how many of them ({CELLS})")
    parser.add("--seed", metavar="N", type=int, action=_Once, help=f"which of them ({SEED})")


def _report(parser: Parser) -> None:
    parser.add(
        "folders", metavar="FOLDER", nargs="*", type=path, complete=completion.sweeps,
        help="a sweep's folder, or several as one",
    )  # fmt: skip
    parser.add(
        "--latex",
        metavar="DIR",
        type=path,
        help="write the tables into this folder, as LaTeX with intervals",
    )
    parser.add(
        "--label", metavar="NAME=LABEL", action="append", default=[],
        help="an optimizer's name in figures and LaTeX, as in MyOpt=Ours; again for each",
    )  # fmt: skip
    parser.add("--out", metavar="FILE", type=path, help=f"the page ({REPORT} in the folder)")
    parser.add(
        "--figures",
        metavar="DIR",
        type=path,
        help="write each figure as SVG and PDF into this folder",
    )


def _explore(parser: Parser) -> None:
    parser.add(
        "--out", metavar="FILE", type=path, default=Path("results/explore.html"), help="the page (%(default)s)",
    )  # fmt: skip


def _list(parser: Parser) -> None:
    parser.add(
        "folder", metavar="FOLDER", nargs="?", type=path, default=Path("results"), complete=completion.folders,
        help="where to look for sweeps, also in the folders below (%(default)s)",
    )  # fmt: skip
    parser.add("--last", action="store_true", help="print only the folder of the newest")
    parser.add_json()


def _doctor(parser: Parser) -> None:
    parser.add(
        "names", metavar="NAME", nargs="*", complete=completion.demos,
        help="a small network with a fault, which is trained and diagnosed; none: list them",
    )  # fmt: skip
    parser.add_json()


def _read(parser: Parser) -> None:
    parser.add(
        "log", metavar="LOG", type=path,
        help="a CSV file, JSON lines, a trainer_state.json, or event files of TensorBoard",
    )  # fmt: skip
    parser.add_json()


@dataclass(frozen=True)
class Subcommand:
    """A subcommand.

    module: its `main` runs it, and returns the exit code.
    summary: what it does, in a line.
    example: words behind its name.
    arguments: adds them to a parser.
    """

    module: str
    summary: str
    example: str
    arguments: Callable[[Parser], None]


SUBCOMMANDS = {
    "show": Subcommand(
        "benchmarks.cli.show", "describe a problem, an optimizer or a noise; without a name, list all problems",
        "cliff", _show,
    ),
    "explain": Subcommand(
        "benchmarks.cli.explain", "measure why the optimizers of a sweep break, by taking causes away",
        "results/first --optimizer sgd", _explain,
    ),
    "report": Subcommand(
        "benchmarks.cli.report", "write a sweep as one page, with its figures",
        "results/first --figures figures", _report,
    ),
    "list": Subcommand(
        "benchmarks.cli.list", "list the sweeps that were run: folder, date, cells, state, command",
        "--last", _list,
    ),
    "compare": Subcommand(
        "benchmarks.cli.compare", "list what became better or worse from one sweep to another",
        "results/before results/after", _compare,
    ),
    "explore": Subcommand(
        "benchmarks.cli.explore", "write a page on which problems and optimizers are tried out by hand",
        "--out explore.html", _explore,
    ),
    "submit": Subcommand(
        "benchmarks.cli.submit", "run the standard suite, and show your optimizer's row among the published ones",
        "my_opt.py:MyOpt", _submit,
    ),
    "same": Subcommand(
        "benchmarks.cli.same", "say whether two optimizers are the same method, and where they differ",
        "my_adam.py:MyAdam adam optimizer.eps=1e-6", _same,
    ),
    "doctor": Subcommand(
        "benchmarks.cli.doctor", "demo: train a faulty small network and diagnose it (docs/doctor.md: your own)",
        "scaled_inputs", _doctor,
    ),
    "read": Subcommand(
        "benchmarks.cli.read", "say what happened in a training run, from its log", "log.csv", _read,
    ),
    "check": Subcommand(
        "benchmarks.cli.check", "check whether a problem or an optimizer keeps its promises",
        "my_problem.py:Mine", _check,
    ),
}  # fmt: skip


def parser(name: str) -> Parser:
    """Return the parser of a subcommand."""
    subcommand = SUBCOMMANDS[name]
    prog = f"{program()} {name}"
    made = Parser(
        prog=prog,
        description=f"{subcommand.summary[0].upper()}{subcommand.summary[1:]}.",
        epilog=f"example: {prog} {subcommand.example}",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(
            prog, max_help_position=28, width=columns(TABLES)
        ),
    )
    subcommand.arguments(made)
    return made
