"""The keys of some cells in this copy of the source, and a picture's digest, after each edit of the standard input."""

import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import scipy.stats  # noqa: F401  once, and not in each fork
import torch


def keys():
    """By name, the key of each cell. The packages are imported here: after the edit, in a fork."""
    from benchmarks.catalog import loading
    from benchmarks.catalog.contenders import contender
    from benchmarks.docgen import atlas
    from benchmarks.engine.protocol import Protocol
    from benchmarks.explain.removals import Conditioned
    from benchmarks.store.key import cell_key
    from problems import PROBLEMS
    from problems.modifiers import noisy, transformed

    loading.load("mine/problem.py:Mine", "problem")
    loading.load("mine/optimizer.py:Own", "optimizer")
    rosenbrock = noisy(transformed(PROBLEMS["rosenbrock"], ["rotate"]), "gaussian")
    cliff, protocol = PROBLEMS["cliff"], Protocol()
    cells = {
        "quadratic sgd": ("quadratic", PROBLEMS["quadratic"], "sgd"),
        "cliff adam": ("cliff", cliff, "adam"),
        "cliff adam+clip": ("cliff", cliff, "adam+clip"),
        "hardest cliff adam": ("cliff", cliff.at_dial(cliff.card.ladder[-1]), "adam"),
        "cliff RAdam": ("cliff", cliff, torch.optim.RAdam),
        "noisy rosenbrock momentum": ("rosenbrock", rosenbrock, "momentum"),
        "quadratic Own": ("quadratic", PROBLEMS["quadratic"], "Own"),
        "Mine sgd": ("Mine", PROBLEMS["Mine"], "sgd"),
    }
    quadratic, without = PROBLEMS["quadratic"], replace(contender("sgd"), removal=Conditioned())
    return {
        "picture of cliff": atlas.digest("cliff"),
        "quadratic sgd conditioned": cell_key(
            "quadratic", quadratic, without, protocol.settled(quadratic)
        ),
    } | {
        name: cell_key(problem, at, contender(what), protocol.settled(at))
        for name, (problem, at, what) in cells.items()
    }


def edited(edit):
    """Apply an edit, and return what takes it back."""
    pattern, replacement, *folders = edit["edit"]
    files = [file for each in folders for file in sorted(Path().glob(each))]
    for file in files:
        text = file.read_text()
        changed, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
        if count and changed != text:
            file.write_text(changed)
            return lambda: file.write_text(text)
    raise LookupError(f"{pattern!r} is in none of {folders}")


def in_a_fork(function):
    reads, writes = os.pipe()
    if os.fork() == 0:
        os.write(writes, json.dumps(function()).encode())
        os._exit(0)
    os.close(writes)
    with os.fdopen(reads, "rb") as answer:
        os.wait()
        return json.loads(answer.read())


edits = json.load(sys.stdin)
found = {}
for each in edits:
    if each["anew"]:
        undo = edited(each)
        found[each["name"]] = in_a_fork(keys)
        undo()
found["as it is"] = keys()
for each in edits:
    if not each["anew"]:
        undo = edited(each)
        found[each["name"]] = keys()
        undo()
for each in edits:
    if each["together"]:
        edited(each)
found["all prose together"] = in_a_fork(keys)
json.dump(found, sys.stdout)
