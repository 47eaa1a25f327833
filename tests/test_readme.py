"""Every command and snippet of the README runs, in a folder that has nothing but the published reference at first;
what reads a folder that another leaves runs in the same one, in README's order.

The two commands that make a virtual environment are not run here but by .ci/run, as they are
written. A Python snippet under `<!-- file: NAME -->` is saved by that name for the commands after
it; any other is run.
"""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from benchmarks.catalog.loading import preset_words
from optimizers import OPTIMIZERS
from optimizers.registry import WRAPPERS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCK = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>sh|python)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
REFERENCE = "results/reference"
INSTALLS = "python3 -m venv "
OUT = re.compile(r"(?<!-)\bout=(\S+)")  # of a sweep, and not --out= of a report


class Block(NamedTuple):
    line: int
    language: str
    file: str | None
    text: str


BLOCKS = [
    Block(README[: each.start()].count("\n") + 1, each["language"], each["file"], each["text"])
    for each in BLOCK.finditer(README)
]


def left_by(blocks):
    """The folders that sweeps of these blocks leave."""
    return [folder for block in blocks for folder in OUT.findall(block.text)]


def in_chains(blocks):
    """The blocks that are run, each one behind those that leave the folders it names."""
    chains = []
    for block in blocks:
        if block.file or INSTALLS in block.text:
            continue
        before = [each for each in chains if any(name in block.text for name in left_by(each))]
        chains = [each for each in chains if each not in before]
        chains.append(sorted([*itertools.chain(*before), block], key=lambda each: each.line))
    return chains


CHAINS = in_chains(BLOCKS)


def test_two_commands_for_a_fresh_machine():
    """Each is one line of its own, so that .ci/run finds it."""
    installs = [block.text for block in BLOCKS if INSTALLS in block.text]
    assert [text.count("\n") for text in installs] == [1, 1]
    assert all(text.startswith(INSTALLS) for text in installs)
    assert installs[0].rstrip().endswith("/python -m benchmarks +problem=cliff")
    assert "-m pytest" in installs[1]


def test_its_table_has_every_optimizer_wrapper_and_preset():
    first = README.index("## Built-in optimizers")
    named = set(re.findall(r"`([a-z_/]+)`", README[first : README.index("One of your own", first)]))
    known = {*OPTIMIZERS, *WRAPPERS, *preset_words()}
    assert {word for word in named if word in known} == known
    assert {word for word in named if "zoo/" in word} == set(preset_words())


def told_columns(name):
    """The columns of a table as README has them, families by one name."""
    (table,) = re.findall(
        rf"^\*\*`{name}\.csv`\*\*.*?\n\n(.*?)\n\n", README, re.MULTILINE | re.DOTALL
    )
    return {
        each for row in table.splitlines() for each in re.findall(r"`(.+?)`", row.split("|")[1])
    }


def found_columns(file):
    header = file.read_text().partition("\n")[0].split(",")
    families = {"hp.": "hp.<name>", "problem.": "problem.<field>", "verdict.": "verdict.<name>"}
    return {families.get(each[: each.find(".") + 1], each) for each in header}


# Half a minute and more; .ci/full runs them.
LONG = re.compile(r"\+suite=|out=results/(first|mine)\b|benchmarks submit ")


def marked(chain):
    long = any(LONG.search(block.text) for block in chain)
    return pytest.param(chain, id=f"line {chain[0].line}", marks=[pytest.mark.slow] if long else [])


@pytest.mark.parametrize("chain", [marked(each) for each in CHAINS])
def test_commands_and_snippets_run_and_tables_have_the_columns_that_are_told(chain, tmp_path):
    """In a folder that is empty but for the reference and the files that stand before them."""
    (tmp_path / REFERENCE).parent.mkdir()
    (tmp_path / REFERENCE).symlink_to(ROOT / REFERENCE)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    for block in BLOCKS[: BLOCKS.index(chain[-1]) + 1]:
        if block.file:
            (tmp_path / block.file).write_text(block.text)
        if block not in chain:
            continue
        program = ["bash", "-e", "-c"] if block.language == "sh" else [sys.executable, "-c"]
        done = subprocess.run(
            [*program, block.text],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,  # 10 s each on two cores that do nothing else
        )
        assert done.returncode == 0, (
            f"README.md, line {block.line}:\n{block.text}\n{done.stdout}\n{done.stderr}"
        )
    # Only where there are any; the first two after an error alone.
    rare = {"error", "traceback", "transform", "noise", "noise.strength", "end.<name>"}
    for folder in left_by(chain):
        for name in ("runs", "summary", "breaking_points"):
            found, told = found_columns(tmp_path / folder / f"{name}.csv"), told_columns(name)
            assert found | rare == told | rare, f"{folder}/{name}.csv"


def test_there_are_tables_whose_columns_are_compared():
    assert any(left_by(chain) for chain in CHAINS)
