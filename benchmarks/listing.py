"""What the command says about itself and about what is registered: usage, lists, cards."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import textwrap
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks.catalog.loading import preset_words
from benchmarks.catalog.subsections import by_subsection, docstring, summary, title_of
from benchmarks.display import WIDTH
from optimizers import OPTIMIZERS, Optimizer
from optimizers.registry import AND, WRAPPERS
from optimizers.wrapper import Wrapper
from problems import PROBLEMS, Problem
from problems.modifiers import NOISES, TRANSFORMS
from problems.precision import default_dtype
from ravine import Refused, nearest


def program() -> str:
    """How this process was called, to be typed again."""
    script = Path(sys.argv[0])
    if script.name == "__main__.py":
        return "python -m benchmarks"
    return f"python {shlex.quote(sys.argv[0])}" if script.suffix == ".py" else "ravine"


def command_line(words: Iterable[str]) -> str:
    """A command that can be pasted into a shell."""
    return " ".join([program(), *map(shlex.quote, words)])


def usage(options: Mapping[str, str]) -> str:
    """Everything that can be named: problems by subsection, optimizers, options with their descriptions."""
    examples = [
        ("+problem=cliff", "all optimizers on one problem"),
        ("+problem=cliff,quadratic optimizer=adam,sgd", "some on two"),
        ("+suite=quick optimizer=my_opt.py:MyOpt,adam", "one problem of each subsection"),
        ("+problem=cliff optimizer=my_opt.py:MyOpt,adam", "yours too: any torch.optim.Optimizer"),
        ("+problem=quadratic problem.condition=1e2,1e4", "two settings of a problem"),
        ("+problem=quadratic rungs=auto hydra/launcher=joblib", "where each breaks, on all cores"),
        ("+problem=cliff 'optimizers.sgd.lr=[1e-5,1]'", "a number pins, a pair is searched"),
        (
            "+problem=rosenbrock transform=rotate noise=gaussian",
            "a problem turned, and seen through noise",
        ),
        ("show", "all problems: dial, dimension, minimum"),
        ("show cliff", "what a problem, an optimizer or a noise is"),
        ("report FOLDER", "a sweep as one page, with its figures"),
        ("compare A B", "what became better or worse between the folders of two sweeps"),
        ("doctor NAME", "what is wrong with a small network, and how one's own is asked"),
        ("check my_problem.py:Mine", "whether a problem keeps what it promises, and what is wrong"),
    ]
    lines = [f"usage: {program()} +problem=NAME[,NAME…] [option=value …]", ""]
    lines += _table((f"{program()} {words}", text) for words, text in examples)
    for title, problems in by_subsection().items():
        lines += [
            "",
            title,
            *_table((name, summary(problem)) for name, problem in problems.items()),
        ]
    lines += [
        "",
        "Optimizers",
        *_table((name, summary(each)) for name, each in sorted(OPTIMIZERS.items())),
    ]
    lines += [
        "",
        "Wrappers, as in optimizer=adam+clip+decay",
        *_table((name, summary(each)) for name, each in sorted(WRAPPERS.items())),
    ]
    lines += [
        "",
        "Other people's optimizers, after pip install -c constraints.txt -e '.[zoo]'",
        *_table([("optimizer=", ", ".join(preset_words()))]),
    ]
    lines += ["", "Options", *_table(options.items())]
    return "\n".join(lines)


def atlas() -> str:
    """All problems by subsection: dial, dimension, minimum and what each is, in a line."""
    lines = []
    for title, problems in by_subsection().items():
        rows = [("problem", "dial", "dim", "minimum", "")]
        for name, problem in problems.items():
            data = problem.example()
            floor = f"{float(problem.floor(data)):.4g}"
            rows.append((
                name,
                problem.card.dial,
                str(len(data["start"])),
                floor if problem.card.floor_is_minimum else f"level {floor}",
                summary(problem),
            ))  # fmt: skip
        widths = [max(map(len, column)) + 2 for column in list(zip(*rows, strict=True))[:-1]]
        lines += ["", title]
        for *cells, text in rows:
            left = "".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
            lines.append(f"  {left}{text}".rstrip())
    return "\n".join(lines[1:])


def card(name: str) -> str:
    """What is registered under a name. Raises Refused for a name that is not."""
    if name in PROBLEMS:
        return _problem_card(name, PROBLEMS[name])
    if name in OPTIMIZERS:
        return _optimizer_card(name, OPTIMIZERS[name])
    if name in NOISES:
        noise = NOISES[name]
        strengths = ", ".join(f"{each:g}" for each in noise.ladder)
        facts = {"noise.strength": f"{noise.strength:g}; ladder {strengths}, {noise.scale}"}
        return "\n".join([f"{name} · noise", "", docstring(noise), "", *_table(facts.items())])
    if name in TRANSFORMS:
        return "\n".join([f"{name} · transform", "", docstring(TRANSFORMS[name])])
    if name in WRAPPERS:
        return _optimizer_card(f"NAME{AND}{name}", WRAPPERS[name])
    known = [*PROBLEMS, *OPTIMIZERS, *WRAPPERS, *NOISES, *TRANSFORMS]
    raise Refused(
        f"unknown problem, optimizer, wrapper, noise or transform {name!r}: {nearest(name, known)}"
    )


def _problem_card(name: str, problem: Problem) -> str:
    card = problem.card
    facts = {
        "dial": f"{card.dial}, {card.scale}; ladder {', '.join(f'{each:g}' for each in card.ladder)}",
        "target": f"relative gap {card.target:g}"
        + ("" if card.floor_is_minimum else " above a level"),
        "budget": f"{problem.budget:g} gradient-equivalents",
        "cell": f"{card.cell.trials} trials × ({card.cell.tuning_seeds} tuning + {card.cell.seeds} reporting)"
        f" instances, {card.cell.dtype}",
        "truth": card.truth,
        "reference": _call(*card.reference),
        "control": ", ".join(f"{field}={value}" for field, value in card.control.items()),
        "signature": f"{card.signature}: {_signature(problem)}, and {_signature(problem.control())} on the "
        f"control; at least {card.threshold:g} proves it",
        **{f"except {promise}": reason for promise, reason in card.exceptions.items()},
        "source": card.source,
    }
    fields = [
        (f"problem.{field.name}", _value(getattr(problem, field.name)))
        for field in _fields(problem)
    ]
    title = f"{name} · {title_of(problem)}"
    claims = [
        f"{each.statement}: {each.stated if isinstance(each.stated, str) else f'{each.stated:g}'} ({each.source})"
        for each in problem.claims.values()
    ]
    parts = [title, "", docstring(problem), "", *_table(fields), "", *_table(facts.items())]
    return "\n".join(
        [*parts, "", *_table((("claims", "")[k > 0], text) for k, text in enumerate(claims))]
    )


def _signature(problem: Problem) -> str:
    """The signature as it is measured now, on one instance."""
    with default_dtype(torch.float64):
        return f"{problem.signature(problem.example()):.4g}"


def _optimizer_card(name: str, optimizer: Optimizer) -> str:
    rows = []
    kind, shown = "optimizer", optimizer.hyperparameters
    if isinstance(optimizer, Wrapper) and name.startswith(f"NAME{AND}"):
        kind, shown = "wrapper", optimizer.own
    for field, value in shown.items():
        searched = optimizer.space.get(field)
        text = _value(value)
        if searched is not None:
            unit = "" if searched.unit == "none" else f" {searched.unit}"
            text += f"   searched: {searched.scale} [{searched.low:g}, {searched.high:g}]{unit}"
        rows.append((f"optimizers.{name}.{field}", text))
    role = "" if optimizer.role == "ranked" else f" · {optimizer.role}, not ranked"
    return "\n".join(
        [
            f"{name} · {kind}{role}",
            "",
            docstring(optimizer),
            "",
            *_table(rows),
        ]
    )


def _fields(prototype: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(prototype)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _call(name: str, values: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{field}={_value(value)}' for field, value in values.items())})"


def _table(rows: Iterable[tuple[str, str]]) -> list[str]:
    """Two columns, the second one wrapped."""
    rows = list(rows)
    width = max((len(left) for left, _ in rows), default=0) + 2
    lines = []
    for left, right in rows:
        wrapped = textwrap.wrap(right, max(40, WIDTH - 2 - width)) or [""]
        lines.append(f"  {left:<{width}}{wrapped[0]}".rstrip())
        lines += [" " * (width + 2) + line for line in wrapped[1:]]
    return lines
