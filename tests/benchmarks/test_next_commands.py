"""The commands that a sweep prints to go on with are the user's own, but for what they change."""

from __future__ import annotations

import os
import shlex
import signal

import pytest

from benchmarks.store.cells import Store

SMALL = "trials=2 tuning_seeds=1 seeds=2 budget=10"
OURS = f"optimizer=sgd,momentum optimizers.sgd.lr=1 {SMALL} threads=1 cells=kept noise=gaussian"
COMMANDS = [  # what is run, the label of a command that it prints, and the words in which that differs
    (
        f"+problem=quadratic {OURS} transform=rotate out=swept",
        "Find the breaking points",
        "rungs=auto out=swept-breaking-points",
    ),
    (f"+problem=quadratic {OURS} rungs=1", "Find the breaking points", "rungs=auto"),
    (
        f"+suite=plateaus {OURS} preset=quick rungs=2 out=runs/swept",
        "Look closer",
        "+problem=NAME rungs=auto out=runs/swept-NAME",
    ),
    (f"+suite=plateaus {OURS} rungs=2", "Look closer", "+problem=NAME rungs=auto"),
    (
        f"+suite=plateaus {OURS} preset=quick rungs=auto out=swept",
        "Look closer",
        "+problem=NAME rungs=auto preset=careful out=swept-NAME",
    ),
]


def parts(words: list[str]) -> dict[str, str]:
    return {name: value for name, _, value in (word.partition("=") for word in words)}


def printed(out: str, label: str) -> list[str]:
    """The words of the one command that is printed behind a label, after the program's."""
    (line,) = [each for each in out.splitlines() if each.startswith(f"{label}:  ")]
    words = shlex.split(line.partition(":  ")[2])
    return words[next(k for k, word in enumerate(words) if "=" in word or word == "submit") :]


@pytest.mark.parametrize(("given", "label", "differs"), COMMANDS)
def test_a_printed_command_is_the_users_but_for_what_changes(ravine, files, given, label, differs):
    code, out, err = ravine(given)
    assert code == 0, err
    found = printed(out, label)
    named = parts(found)["+problem"]
    given_parts, changed = parts(given.split()), parts(differs.replace("NAME", named).split())
    kept = {name: value for name, value in given_parts.items() if name not in {"+suite", "out"}}
    assert parts(found) == kept | changed and len(found) == len(parts(found))
    assert ravine(*found, "dry_run=true").code == 0  # its folder takes it


@pytest.mark.usefixtures("heeded")
def test_an_interrupted_command_goes_on_as_it_was_typed(ravine, files, monkeypatch):
    write = Store.write

    def interrupted(*given):
        write(*given)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Store, "write", interrupted)
    given = f"+problem=quadratic {OURS} hydra/launcher=basic out=swept"
    code, out, _ = ravine(given)
    assert code == 130 and set(printed(out, "Go on")) == set(given.split())
    given = f"submit sgd +problem=quadratic rungs=2 {SMALL} seeds=3 part=mine hydra/launcher=basic"
    code, out, _ = ravine(given.replace("seeds=2 ", ""))
    assert code == 130 and printed(out, "Go on") == given.replace("seeds=2 ", "").split()
