"""`ravine same A B`: whether two optimizers are the same method, and where they differ."""

from __future__ import annotations

import ast
import io
from argparse import Namespace
from contextlib import redirect_stdout
from typing import Any

from benchmarks.cli.options import BROKEN
from ravine import Refused

USAGE = "same A B [optimizer.FIELD=value …], as in same my_adam.py:MyAdam adam optimizer.eps=1e-6"


def main(given: Namespace) -> int:
    """Compare two optimizers, print what is found, and return 1 if they are not the same method."""
    named = [word for word in given.words if "=" not in word]
    if len(named) != 2:
        raise Refused(f"compare two optimizers, and not {len(named)}: {USAGE}")
    settings = dict(_setting(word) for word in given.words if "=" in word)

    from benchmarks.display.same import same

    with redirect_stdout(io.StringIO()):  # some classes print a line for each instance
        found = same(*named, settings=settings)
    print(found)
    return 0 if found.same else BROKEN


def _setting(word: str) -> tuple[str, Any]:
    """Return a hyperparameter's name and value."""
    name, _, text = word.partition("=")
    owner, _, field = name.partition(".")
    if owner != "optimizer" or not field:
        raise Refused(f"{word!r} is no setting: {USAGE}")
    value = {"true": "True", "false": "False", "null": "None"}.get(text, text)
    try:
        return field, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return field, text
