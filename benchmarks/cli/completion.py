"""Tab completion for bash, zsh and fish, by argcomplete: what may come next in a command.

The command itself is run for each Tab, so nothing here imports torch: the names are those of the registries, and
classes in files are found by reading them.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import os
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.catalog.loading import CONF, load_plugins, preset_words
from benchmarks.catalog.suites import suites
from benchmarks.cli.options import DESCRIPTIONS, FLAGS
from optimizers import OPTIMIZERS
from optimizers.registry import AND, WRAPPERS
from problems import PROBLEMS
from problems.modifiers import NOISES, TRANSFORMS
from ravine import Refused, nearest

INSTALL = "--install-completion"
COMMAND = "ravine"
SHELLS = ("bash", "zsh", "fish")
BEFORE = {"zsh": "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"}
RESULTS = "results/*/manifest.json"
GROUPS = ("problem.", "optimizer.", "optimizers.")  # of options, each with a field behind it
Completer = Callable[..., Iterable[str]]


def completing() -> bool:
    """True if a shell asks for completions."""
    return "_ARGCOMPLETE" in os.environ


def complete(subcommands: Iterable[str], parser: Callable[[str], argparse.ArgumentParser]) -> None:
    """Answer the shell, and end the process.

    Args:
        subcommands: Their names.
        parser: Returns the parser of one.
    """
    import argcomplete

    with suppress(Refused):  # a plugin that fails is said by the command
        load_plugins()
    line = os.environ["COMP_LINE"][: int(os.environ["COMP_POINT"])]
    words = f"{line}|".split()  # the bar stands for what is being typed
    name = words[1] if len(words) > 2 else ""
    top = argparse.ArgumentParser(add_help=False)
    if name in subcommands:
        known = top.add_subparsers()
        known.add_parser(name, parents=[parser(name)], add_help=False)
    else:
        for flag in FLAGS:
            top.add_argument(flag, action="store_true")
        given: Any = top.add_argument("words", nargs="*")
        given.completer = lambda prefix, parsed_args, **_: [
            *(subcommands if not parsed_args.words else ()), *sweep(prefix, parsed_args),
        ]  # fmt: skip
    argcomplete.autocomplete(top, always_complete_options=False)


def install(*words: str) -> str:
    """Write the completion of a shell, by default the user's own, and return where it is.

    Raises Refused for a shell other than bash, zsh and fish.
    """
    from argcomplete.shell_integration import shellcode

    shell = words[0] if words else Path(os.environ.get("SHELL", "")).name
    if shell not in SHELLS or len(words) > 1:
        raise Refused(
            f"{INSTALL} is for one shell, not {' '.join(words) or shell!r}: {nearest(shell, SHELLS)}"
        )
    home = Path.home()
    if shell == "fish":
        folder = Path(os.environ.get("XDG_CONFIG_HOME", home / ".config")) / "fish" / "completions"
        file = folder / f"{COMMAND}.fish"
    else:
        folder = Path(os.environ.get("XDG_DATA_HOME", home / ".local" / "share")) / COMMAND
        file = folder / f"completion.{shell}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file.write_text(BEFORE.get(shell, "") + shellcode([COMMAND], shell=shell))
        if shell == "fish":
            return f"{file}: each new fish completes {COMMAND}"
        start = (
            Path(os.environ.get("ZDOTDIR", home)) / ".zshrc" if shell == "zsh" else home / ".bashrc"
        )
        line = f'source "{file}"'
        known = start.read_text() if start.exists() else ""
        if line not in known:
            gap = "\n" if known and not known.endswith("\n") else ""
            with start.open("a") as appended:
                appended.write(f"{gap}{line}\n")
    except OSError as error:
        raise Refused(f"{error.filename} cannot be written: {error.strerror}") from error
    return f"{file}: each new {shell} completes {COMMAND}, by a line in {start}"


# What completes an argument. Each takes what is typed so far, and returns words that may stand there.


def problems(prefix: str, **_: Any) -> list[str]:
    """Return problems, after the last comma."""
    return _after(prefix, ",", [*PROBLEMS, *_classes(prefix.rpartition(",")[2])])


def optimizers(prefix: str, **_: Any) -> list[str]:
    """Return optimizers after the last comma, and wrappers after a plus."""
    last = prefix.rpartition(",")[2]
    if AND in last:
        return _after(prefix, AND, WRAPPERS)
    return _after(prefix, ",", [*OPTIMIZERS, *preset_words(), *_classes(last)])


def problems_and_optimizers(prefix: str, **_: Any) -> list[str]:
    """Return problems and optimizers."""
    return [*problems(prefix), *optimizers(prefix)]


def anything(prefix: str, **_: Any) -> list[str]:
    """Return all that `show` describes."""
    return [*problems_and_optimizers(prefix), *WRAPPERS, *NOISES, *TRANSFORMS]


def sweeps(prefix: str, **_: Any) -> list[str]:
    """Return folders of sweeps, those in results/ first, and other folders on the way to one."""
    known = [str(each.parent) for each in sorted(Path().glob(RESULTS))]
    return [*known, *folders(prefix)]


def folders(prefix: str, **_: Any) -> list[str]:
    """Return folders."""
    return [each for each in _paths(prefix) if each.endswith("/")]


def demos(prefix: str, **_: Any) -> list[str]:
    """Return the small networks of the doctor, whose module imports torch."""
    spec = find_spec("benchmarks.doctor.demos")
    assert spec is not None and spec.origin is not None
    for node in ast.parse(Path(spec.origin).read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "DEMOS":
            return [*ast.literal_eval(f"[{', '.join(map(ast.unparse, node.value.keys))}]")]  # type: ignore[attr-defined]
    return []


def submitted(prefix: str, parsed_args: Namespace, **_: Any) -> list[str]:
    """Return optimizers, then options of a sweep and of `submit`."""
    if not parsed_args.words:
        return optimizers(prefix)
    return [*sweep(prefix, parsed_args), "part=", "against="]


def sweep(prefix: str, parsed_args: Namespace, **_: Any) -> list[str]:
    """Return options of a sweep, or values of the option that is typed."""
    pairs = (word.lstrip("+").partition("=") for word in parsed_args.words)
    given = {name: value.split(",") for name, _, value in pairs}
    name, equal, value = prefix.partition("=")
    plus = "+" * name.startswith("+")
    name = name.removeprefix("+")
    if equal:
        return [f"{plus}{name}={each}" for each in _values(name, value, given)]
    names = [*(f"{each}=" for each in _options()), *GROUPS, "+problem=", "+suite="]
    group = next((each for each in GROUPS if name.startswith(each)), None)
    if group is not None:
        names = [f"{group}{field}" for field in _fields(group, name.removeprefix(group), given)]
    return [each if each.startswith(plus) else f"{plus}{each}" for each in names]


def _options() -> list[str]:
    return [each.partition("=")[0] for each in DESCRIPTIONS if each.islower() and "=" in each]


def _fields(group: str, typed: str, given: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Yield fields of the given problem or optimizers, or of all of them."""
    if group == "optimizers.":
        owner, dot, _ = typed.rpartition(".")
        yield from (f"{owner}.{each}=" for each in _hyperparameters([owner]))
        yield from () if dot else (f"{each}." for each in OPTIMIZERS)
    elif group == "optimizer.":
        yield from (f"{each}=" for each in _hyperparameters(given.get("optimizer", OPTIMIZERS)))
    else:
        named = [each for each in given.get("problem", ()) if each in PROBLEMS] or PROBLEMS
        yield from dict.fromkeys(f"{field.name}=" for each in named for field in _of_problem(each))


def _of_problem(name: str) -> tuple[Any, ...]:
    prototype: Any = PROBLEMS[name]
    return dataclasses.fields(prototype)


def _hyperparameters(names: Iterable[str]) -> list[str]:
    known = (OPTIMIZERS[each].hyperparameters for each in names if each in OPTIMIZERS)
    return [*dict.fromkeys(field for fields in known for field in fields)]


def _values(name: str, value: str, given: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the values that an option may have."""
    if name in ("problem", "optimizer"):
        return problems(value) if name == "problem" else optimizers(value)
    if name in ("out", "cells", "part", "against"):
        return sweeps(value)
    if name == "transform":
        return _after(value, ",[", TRANSFORMS)
    dials = [
        card.dial
        for card in (PROBLEMS[each].card for each in given.get("problem", ()) if each in PROBLEMS)
    ]
    allowed = {
        "suite": suites, "noise": lambda: ["none", *NOISES], "dial": lambda: [*dials, "noise.strength"],
        "preset": lambda: [each.stem for each in (CONF / "preset").glob("*.yaml")],
        "rungs": lambda: ["1", "3", "auto"], "dtype": lambda: ["float32", "float64"],
        "device": lambda: ["cpu", "cuda"], "hydra/launcher": lambda: ["basic", "processes", "slurm", "dask", "ray"],
        **dict.fromkeys(("keep", "dry_run", "explain"), lambda: ["true", "false"]),
    }  # fmt: skip
    if name in allowed:
        return _after(value, ",", allowed[name]())
    field = name.removeprefix("problem.")
    owners = [PROBLEMS[each] for each in given.get("problem", ()) if each in PROBLEMS]
    ladders = [each.card.ladder for each in owners if each.card.dial == field]
    booleans = [each for each in owners if isinstance(getattr(each, field, None), bool)]
    rungs = [f"{rung:g}" for ladder in ladders for rung in ladder]
    return _after(value, ",", [*rungs, *(["true", "false"] if booleans else [])])


def _after(prefix: str, separators: str, names: Iterable[str]) -> list[str]:
    """Return the names, each behind what is typed up to the last separator."""
    at = max(prefix.rfind(each) for each in separators) + 1
    return [prefix[:at] + name for name in names]


def _paths(prefix: str) -> Iterator[str]:
    """Yield folders, with a slash behind, and Python's files, with a colon behind."""
    start = prefix.rpartition("/")
    folder = Path(f"{start[0]}{start[1]}" or ".").expanduser()
    for each in sorted(folder.iterdir()) if folder.is_dir() else ():
        if not each.name.startswith((".", "__")):
            end = "/" if each.is_dir() else ":" if each.suffix == ".py" else None
            if end is not None:
                yield f"{start[0]}{start[1]}{each.name}{end}"


def _classes(typed: str) -> Iterator[str]:
    """Yield Python's files, and behind a file's colon its classes."""
    file, colon, _ = typed.rpartition(":")
    if not colon:
        yield from _paths(typed)
    elif Path(file).is_file():
        with suppress(SyntaxError, ValueError):
            found = ast.parse(Path(file).read_text()).body
            yield from (f"{file}:{each.name}" for each in found if isinstance(each, ast.ClassDef))
