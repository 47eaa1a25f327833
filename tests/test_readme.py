"""Every command and snippet of the README runs, in its order, in one folder that is empty at first.

The two commands that make a virtual environment are not run here but by .ci/run, as they are
written. A Python snippet under `<!-- file: NAME -->` is saved by that name for the commands after
it; any other is run.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.loading import preset_words
from optimizers import OPTIMIZERS
from optimizers.registry import WRAPPERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>sh|python)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
INSTALLS = "python3 -m venv "


class Block(NamedTuple):
    line: int
    language: str
    file: str | None
    text: str


BLOCKS = [
    Block(README[: each.start()].count("\n") + 1, each["language"], each["file"], each["text"])
    for each in BLOCK.finditer(README)
]


def test_two_commands_for_a_fresh_machine():
    """Each is one line of its own, so that .ci/run finds it."""
    installs = [block.text for block in BLOCKS if INSTALLS in block.text]
    assert [text.count("\n") for text in installs] == [1, 1]
    assert all(text.startswith(INSTALLS) for text in installs)
    assert installs[0].rstrip().endswith("/python -m benchmarks +problem=cliff")
    assert "-m pytest" in installs[1]


def test_its_table_has_every_optimizer_wrapper_and_preset():
    first = README.index("## Those that are here")
    named = set(re.findall(r"`([a-z_/]+)`", README[first : README.index("One of your own", first)]))
    known = {*OPTIMIZERS, *WRAPPERS, *preset_words()}
    assert {word for word in named if word in known} == known
    assert {word for word in named if "zoo/" in word} == set(preset_words())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An empty folder in which every block was run."""
    folder = tmp_path_factory.mktemp("readme")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    for block in BLOCKS:
        if INSTALLS in block.text:
            continue
        if block.file:
            (folder / block.file).write_text(block.text)
            continue
        program = ["bash", "-e", "-c"] if block.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*program, block.text],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,  # 10 s each on two cores that do nothing else
        )
        assert done.returncode == 0, (
            f"README.md, line {block.line}:\n{block.text}\n{done.stdout}\n{done.stderr}"
        )
    return folder


def test_commands_and_snippets_run_and_tables_have_the_columns_that_are_told(folder):
    """One test, for the commands take a minute; "error" and "traceback" are there only after one."""
    raised = {"error", "traceback"}
    for name in ("runs", "summary", "breaking_points"):
        (table,) = re.findall(
            rf"^\*\*`{name}\.csv`\*\*.*?\n\n(.*?)\n\n", README, re.MULTILINE | re.DOTALL
        )
        told = {
            each for row in table.splitlines() for each in re.findall(r"`(.+?)`", row.split("|")[1])
        }
        header = (folder / f"results/first/{name}.csv").read_text().partition("\n")[0].split(",")
        families = {"hp.": "hp.<name>", "problem.": "problem.<field>", "verdict.": "verdict.<name>"}
        raised |= {"transform", "noise", "noise.strength", "end.<name>"}  # only where there are any
        found = {families.get(each[: each.find(".") + 1], each) for each in header}
        assert found | raised == told | raised, name
