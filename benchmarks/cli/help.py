"""The text of --help, and commands to be pasted into a shell."""

from __future__ import annotations

import shlex
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.catalog.loading import CONF, preset_words
from benchmarks.catalog.subsections import by_subsection, summary
from benchmarks.catalog.suites import suites
from benchmarks.cli.options import DESCRIPTIONS
from optimizers import OPTIMIZERS
from optimizers.registry import WRAPPERS
from problems.modifiers import NOISES, TRANSFORMS
from ravine import Registry
from ravine.terminal import TABLES, WIDEST, columns


def program() -> str:
    """Return the program's name as it was typed."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return "python -m benchmarks"
    return f"python {shlex.quote(sys.argv[0])}" if script.suffix == ".py" else "ravine"


def command_line(words: Iterable[str]) -> str:
    """Return a command that can be pasted into a shell."""
    return " ".join([program(), *map(shlex.quote, words)])


def usage(subcommands: Iterable[tuple[str, str]]) -> str:
    """Return the help: examples, problems by subsection, optimizers, options with their descriptions.

    Args:
        subcommands: An example of each subcommand, and what it does.
    """
    named = {
        "suite=": suites(),
        "preset=": sorted(each.stem for each in (CONF / "preset").glob("*.yaml")),
        "transform=": TRANSFORMS,
        "noise=": ["none", *NOISES],
    }
    lists = {option: DESCRIPTIONS[option] + ", ".join(names) for option, names in named.items()}
    options = {**DESCRIPTIONS, **lists}
    examples = [
        ("+problem=cliff", "all optimizers on one problem"),
        ("+problem=cliff,quadratic optimizer=adam,sgd", "two optimizers on two problems"),
        ("+suite=quick optimizer=my_opt.py:MyOpt,adam", "one problem of each subsection"),
        (
            "+problem=cliff optimizer=my_opt.py:MyOpt,adam",
            "your optimizer: any torch.optim.Optimizer",
        ),
        ("+problem=quadratic problem.condition=1e2,1e4", "two settings of a problem"),
        ("+problem=quadratic rungs=auto hydra/launcher=basic", "breaking points, on one core"),
        (
            "+problem=cliff 'optimizers.sgd.lr=[1e-5,1]'",
            "a number is fixed, a pair is a search range",
        ),
        (
            "+problem=rosenbrock transform=rotate noise=gaussian",
            "a rotated problem with noisy gradients",
        ),
        ("+problem=cliff explain=true", "measure why optimizers break"),
        *subcommands,
    ]
    lines = [
        f"usage: {program()} +problem=NAME[,NAME…] [option=value …]",
        f"       {program()} SUBCOMMAND …  (SUBCOMMAND --help explains it)",
        "",
    ]
    lines += two_columns((f"{program()} {words}", text) for words, text in examples)
    for title, problems in by_subsection().items():
        lines += [
            "",
            title,
            *two_columns((name, summary(problem)) for name, problem in problems.items()),
        ]
    lines += [
        "",
        "Optimizers",
        *two_columns(_summaries(OPTIMIZERS)),
    ]
    lines += [
        "",
        "Wrappers, as in optimizer=adam+clip+decay",
        *two_columns(_summaries(WRAPPERS)),
    ]
    lines += [
        "",
        "Other people's optimizers, after pip install -c constraints.txt -e '.[zoo]'",
        *two_columns([("optimizer=", ", ".join(preset_words()))]),
    ]
    lines += ["", "Options", *two_columns(options.items())]
    return "\n".join(lines)


def _summaries(registry: Registry[Any]) -> list[tuple[str, str]]:
    """Return the names of a registry, each with its summary."""
    return [
        (name, summary(each, registry.summaries.get(name, "")))
        for name, each in sorted(registry.items())
    ]


def two_columns(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Return rows as lines of two columns, the second one wrapped; below a first one that takes more than half."""
    rows, room = list(rows), columns(TABLES)
    half = [len(left) + 4 for left, _ in rows if len(left) + 4 <= room // 2]
    indent = max(half, default=6)
    lines = []
    for left, right in rows:
        wrapped = [" " * indent + line for line in textwrap.wrap(right, room - indent)]
        if len(left) + 4 <= indent and wrapped:
            lines.append(f"  {left}".ljust(indent) + wrapped.pop(0).lstrip())
        else:
            lines.append(f"  {left}".rstrip())
        lines += wrapped
    return lines


def listed(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines: cells side by side, then the last one, or on a narrow terminal below them, wrapped.

    Where there is no terminal, each row is one line.
    """
    widths = [max(map(len, cells)) + 2 for cells in list(zip(*rows, strict=True))[:-1]]
    room = columns(WIDEST) - 2
    lines = []
    for *cells, text in rows:
        facts = "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
        if len(facts) + len(text) <= room or not sys.stdout.isatty():
            lines.append(f"{facts}{text}".rstrip())
            continue
        below = textwrap.wrap(text, room - 4, break_on_hyphens=False, break_long_words=False)
        lines += [facts.rstrip(), *(f"    {line}" for line in below)]
    return lines
