"""`ravine show NAME…`: print the cards of problems, optimizers, noises and transforms."""

from __future__ import annotations

import csv
import dataclasses
import re
import sys
from argparse import Namespace
from collections.abc import Mapping
from typing import Any

import torch

from benchmarks.catalog.loading import named
from benchmarks.catalog.stepping import stepping
from benchmarks.catalog.subsections import by_subsection, docstring, summary, title_of
from benchmarks.checks.claims import told
from benchmarks.cli.help import listed, two_columns
from benchmarks.display.as_json import as_json
from benchmarks.docgen.paths import NAMES_FILE
from optimizers import OPTIMIZERS, Optimizer
from optimizers.adopted import Adopted
from optimizers.registry import AND, WRAPPERS
from optimizers.wrapper import Wrapper, innermost
from problems import PROBLEMS, Card, Problem
from problems.modifiers import NOISES, TRANSFORMS
from problems.precision import default_dtype
from ravine import Refused, nearest
from ravine.terminal import filled


def main(given: Namespace) -> int:
    """Print the card of each name; without names, the list of all problems."""
    names = [named(word) for word in given.names]
    if given.json:
        print(as_json({"shown": [described(name) for name in names or PROBLEMS]}))
    else:
        cards = [card(name) for name in names]  # an unknown name is refused before any is shown
        print("\n".join(cards or [atlas()]))
    return 0


def atlas() -> str:
    """Return all problems by subsection, one line each: dial, dimension, minimum, summary."""
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
        lines += ["", title, *(f"  {line}" for line in listed(rows))]
    return "\n".join(lines[1:])


def card(name: str) -> str:
    """Return the card of a registered name. Raises Refused for an unknown name."""
    kind, prototype, text = _found(name)
    if kind == "problem":
        return _problem_card(name, prototype)
    if kind == "optimizer":
        return _optimizer_card(name, prototype, text)
    if kind == "wrapper":
        return _optimizer_card(f"NAME{AND}{name}", prototype, text)
    lines = [f"{name} · {kind}", "", _wrapped(text)]
    if kind == "noise":
        strengths = ", ".join(f"{each:g}" for each in prototype.ladder)
        said = f"{prototype.strength:g}; ladder {strengths}, {prototype.scale}"
        lines += ["", *two_columns([("noise.strength", said)])]
    return "\n".join(lines)


def described(name: str) -> dict[str, Any]:
    """Return what is known of a registered name as plain values, for JSON. Raises Refused for an unknown name."""
    kind, prototype, text = _found(name)
    known = {
        "name": name,
        "kind": kind,
        "summary": text.partition("\n")[0],
        "description": text,
    }
    if kind == "problem":
        data, stated = prototype.example(), prototype.card
        optimizer, settings = stated.reference
        return {
            **known,
            "subsection": title_of(prototype),
            "fields": {each.name: getattr(prototype, each.name) for each in _fields(prototype)},
            **{
                each: getattr(stated, each)
                for each in ("dial", "scale", "ladder", "target", "truth", "source")
            },
            "dim": len(data["start"]),
            "floor": float(prototype.floor(data)),
            "floor_is_minimum": stated.floor_is_minimum,
            "budget": float(prototype.budget),
            "protocol": dataclasses.asdict(stated.cell),
            "reference": {"optimizer": optimizer, "settings": dict(settings)},
        }
    if kind in ("optimizer", "wrapper"):
        own = prototype.own if kind == "wrapper" else prototype.hyperparameters
        space = {
            each: dataclasses.asdict(prototype.space[each])
            for each in own
            if each in prototype.space
        }
        return {
            **known, "role": prototype.role, "hyperparameters": own, "searched": space,
            "stepping": stepping(prototype),
        }  # fmt: skip
    if kind == "noise":
        stated = ("strength", "ladder", "scale")
        return {**known, **{each: getattr(prototype, each) for each in stated}}
    return known


def _found(name: str) -> tuple[str, Any, str]:
    """Return the kind of a registered name, its prototype, and its docstring."""
    registries = {
        "problem": PROBLEMS, "optimizer": OPTIMIZERS, "noise": NOISES, "transform": TRANSFORMS, "wrapper": WRAPPERS,
    }  # fmt: skip
    for kind, registry in registries.items():
        if name in registry:
            prototype = registry[name]
            return kind, prototype, docstring(prototype, registry.summaries.get(name, ""))
    known = [name for registry in registries.values() for name in registry]
    raise Refused(
        f"unknown problem, optimizer, wrapper, noise or transform {name!r}: {nearest(name, known)}"
    )


def _problem_card(name: str, problem: Problem) -> str:
    card = problem.card
    facts = {
        "dial": f"{card.dial}, {card.scale}; ladder {', '.join(f'{each:g}' for each in card.ladder)}",
        "solved": problem.solved_when,
        "budget": f"{problem.budget:g} gradients",
        "cell": f"{card.cell.trials} trials × ({card.cell.tuning_seeds} tuning + {card.cell.seeds} reporting)"
        f" instances, {card.cell.dtype}",
        "truth": card.truth,
        "reference": _call(*card.reference),
        "control": ", ".join(f"{field}={value}" for field, value in card.control.items()),
        "signature": f"{card.signature}: {_signature(problem)}, and {_signature(problem.control())} on the "
        f"control; at least {card.threshold:g} proves it",
        **({"breaks": _breaks(name, card)} if card.breaks else {}),
        **{f"except {promise}": reason for promise, reason in card.exceptions.items()},
        "source": card.source,
    }
    fields = [
        (f"problem.{field.name}", _value(getattr(problem, field.name)))
        for field in _fields(problem)
    ]
    title = f"{name} · {title_of(problem)}"
    claims = map(told, problem.claims.values())
    parts = [
        title,
        "",
        _wrapped(docstring(problem)),
        "",
        *two_columns(fields),
        "",
        *two_columns(facts.items()),
    ]
    return "\n".join(
        [*parts, "", *two_columns((("claims", "")[k > 0], text) for k, text in enumerate(claims))]
    )


def _breaks(name: str, card: Card) -> str:
    """Return what a problem breaks, and whether the published measurements certify it."""
    assert card.breaks is not None
    optimizer, cause = card.breaks
    said = f"{optimizer} by {' and '.join(filter(None, [cause, card.also]))}"
    if card.same:
        said += f"; counted as one with {' and '.join(card.same)}"
    said = said.replace("_", " ")
    if not NAMES_FILE.is_file():  # in an installed package
        return said
    with NAMES_FILE.open(newline="") as lines:
        why_not = {row["problem"]: row["why_not"] for row in csv.DictReader(lines)}
    if name not in why_not:
        return said
    return f"{said} ({f'not certified: {why_not[name]}' if why_not[name] else 'certified'})"


def _signature(problem: Problem) -> str:
    """Return the signature, measured on one instance."""
    with default_dtype(torch.float64):
        return f"{problem.signature(problem.example()):.4g}"


def _optimizer_card(name: str, optimizer: Optimizer, said: str) -> str:
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
            _wrapped(said),
            "",
            *two_columns(rows),
            *_adoption(name, optimizer),
        ]
    )


def _adoption(name: str, optimizer: Optimizer) -> list[str]:
    """Return how a class of torch was read, as lines; none for other optimizers."""
    inner = innermost(optimizer)
    if not isinstance(inner, Adopted):
        return []
    module, space = sys.modules[inner.method.__module__], optimizer.space
    told = [
        each for each in inner.hyperparameters if "." not in each and _counts_steps(inner, each)
    ]
    fixed = [each for each in optimizer.hyperparameters if each not in space and each not in told]
    numbers = [each for each in fixed if isinstance(optimizer.hyperparameters[each], float)]
    facts = {
        "class": f"{inner.method.__name__} of {module.__file__ or module.__name__}, unchanged",
        "searched": ", ".join(space) or "nothing: no argument is known to be a learning rate",
        "fixed": ", ".join(each for each in fixed if "." not in each) or "nothing",
        **({"told the budget": ", ".join(told)} if told else {}),
        "stepped": stepping(optimizer),
    }
    if numbers:
        field = f"optimizers.{name}.{min(numbers, key=lambda each: '.' in each)}"
        facts["to change"] = (
            f"{field}=0.1 sets it, {field}=0.01,0.1 runs both, '{field}=[0.01,0.1]' searches it"
        )
    return ["", *two_columns(facts.items())]


def _counts_steps(inner: Adopted, name: str) -> bool:
    argument = inner.argument(name)
    return argument is not None and argument.counts_steps


def _wrapped(text: str) -> str:
    """Return a docstring for the width of a terminal, its wrapped lines joined first; elsewhere as it is."""
    joined = re.sub(r"(?<=.{75})\n(?=\S)", " ", text) if sys.stdout.isatty() else text
    return "\n".join(map(filled, joined.splitlines()))


def _fields(prototype: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(prototype)


def _value(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _call(name: str, values: Mapping[str, Any]) -> str:
    return f"{name}({', '.join(f'{field}={_value(value)}' for field, value in values.items())})"
