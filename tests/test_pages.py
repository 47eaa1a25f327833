"""Every command and snippet of the README and of the pages for users runs.

The folder has nothing but the published tables and the pages' files at first; what reads a folder that another leaves
runs in the same one, in the page's order. The two commands that make a virtual environment are not run here but by
.ci/run, as they are written. A Python snippet under `<!-- file: NAME -->` is saved by that name for the
commands of all pages; any other is run. The words of a `text` block are in the output of the command before it.
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
from pyarrow import parquet

from benchmarks.analysis.columns import NUMBERS, WORDS
from benchmarks.catalog.loading import preset_words
from optimizers import OPTIMIZERS
from optimizers.registry import WRAPPERS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
FOLDERS = ("tutorials", "how_to", "manual")
PAGES = [
    ROOT / "README.md",
    DOCS / "start.md",
    DOCS / "validity.md",
    *sorted(page for folder in FOLDERS for page in (DOCS / folder).glob("*.md")),
]
TABLES = (DOCS / "manual" / "tables.md").read_text()
BLOCK = re.compile(
    r"^(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>sh|python|text)\n(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PUBLISHED = ("reference", "study")  # below results
INSTALLS = "python3 -m venv "
OUT = re.compile(r"(?<!-)\bout=(\S+)")  # of a sweep, and not --out= of a report


class Block(NamedTuple):
    page: Path
    line: int
    language: str
    file: str | None
    text: str
    printed: str  # of the `text` block behind it


def blocks_of(page):
    text, found = page.read_text(), []
    for each in BLOCK.finditer(text):
        if each["language"] == "text":
            if found and found[-1].language == "sh":
                found[-1] = found[-1]._replace(printed=each["text"])
        else:
            line = text[: each.start()].count("\n") + 1
            found.append(Block(page, line, each["language"], each["file"], each["text"], ""))
    return found


BLOCKS = {page: blocks_of(page) for page in PAGES}
EVERY = [block for blocks in BLOCKS.values() for block in blocks]
FILES = {block.file: block.text for block in EVERY if block.file}


def left_by(blocks):
    """The folders that sweeps of these blocks leave."""
    run = (block.text for block in blocks if "dry_run=true" not in block.text)
    return [folder for text in run for folder in OUT.findall(text)]


def in_chains(blocks):
    """The blocks of a page that are run, each one behind those that leave the folders it names."""
    chains = []
    for block in blocks:
        if block.file or INSTALLS in block.text:
            continue
        before = [each for each in chains if any(name in block.text for name in left_by(each))]
        chains = [each for each in chains if each not in before]
        chains.append(sorted([*itertools.chain(*before), block], key=lambda each: each.line))
    return chains


CHAINS = [chain for blocks in BLOCKS.values() for chain in in_chains(blocks)]


def test_two_commands_for_a_fresh_machine():
    """Each is one line of its own, so that .ci/run finds it."""
    installs = [block.text for block in BLOCKS[ROOT / "README.md"] if INSTALLS in block.text]
    assert [text.count("\n") for text in installs] == [1, 1]
    assert all(text.startswith(INSTALLS) for text in installs)
    assert installs[0].rstrip().endswith("/python -m benchmarks +problem=cliff")
    assert "-m pytest" in installs[1]


def test_the_readme_has_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 145


def test_a_file_is_the_same_on_all_pages():
    for block in EVERY:
        assert not block.file or block.text == FILES[block.file], (block.page.name, block.line)


def test_the_page_has_every_optimizer_wrapper_and_preset():
    named = set(re.findall(r"`([a-z_/]+)`", (DOCS / "manual" / "optimizers.md").read_text()))
    known = {*OPTIMIZERS, *WRAPPERS, *preset_words()}
    assert known <= named
    assert {word for word in named if "zoo/" in word} == set(preset_words())


def told_columns(name):
    """The columns of a table as its section has them, families by one name."""
    (section,) = re.findall(rf"^## `{name}\..*?\n(.*?)(?=^## )", TABLES, re.MULTILINE | re.DOTALL)
    rows = (line for line in section.splitlines() if line.startswith("| `"))
    return {each for row in rows for each in re.findall(r"`(.+?)`", row.split("|")[1])}


def found_columns(folder, name):
    """The columns of a table that a sweep left, None if it left none of this name."""
    file = next(folder.glob(f"{name}.*"), None)
    if file is None:
        return None
    if file.suffix == ".parquet":
        header = parquet.read_schema(file).names
    else:
        header = file.read_text().partition("\n")[0].split(",")
    families = {
        "hp.": "hp.<name>", "problem.": "problem.<field>", "verdict.": "verdict.<name>", "x.": "x.<k>",
        "chain.": "chain.<k>",
    }  # fmt: skip
    return {families.get(each[: each.find(".") + 1], each) for each in header}


# Only where there are any: after an error, with a modifier, in few dimensions, with noise, for known limits.
RARE = {
    "error", "traceback", "transform", "noise", "noise.strength", "end.<name>", "x.<k>", "chain.<k>", "noise_sq",
    "noise_h", "bias", "bias_sq", "stability",
}  # fmt: skip
NAMES = ("runs", "summary", "breaking_points", "explained", "traces")


@pytest.mark.parametrize("name", NAMES)
def test_each_column_that_is_read_is_told(name):
    assert {*NUMBERS[name], *WORDS[name]} <= told_columns(name)


# Half a minute and more; .ci/full runs them.
LONG = re.compile(r"\+suite=|out=results/(first|mine|decay)\b|benchmarks submit ")


def marked(chain):
    long = any(LONG.search(block.text) for block in chain)
    where = f"{chain[0].page.relative_to(ROOT)} line {chain[0].line}"
    return pytest.param(chain, id=where, marks=[pytest.mark.slow] if long else [])


@pytest.mark.parametrize("chain", [marked(each) for each in CHAINS])
def test_commands_and_snippets_run_and_tables_have_the_columns_that_are_told(chain, tmp_path):
    (tmp_path / "results").mkdir()
    for name in PUBLISHED:
        (tmp_path / "results" / name).symlink_to(ROOT / "results" / name)
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    for block in chain:
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
            f"{block.page}, line {block.line}:\n{block.text}\n{done.stdout}\n{done.stderr}"
        )
        words = {*re.findall(r"[a-z_]{3,}", block.printed)}
        assert words <= {*re.findall(r"[a-z_]{3,}", done.stdout)}, done.stdout
    for folder, name in itertools.product(left_by(chain), NAMES):
        found, told = found_columns(tmp_path / folder, name), told_columns(name)
        assert found is None or found | RARE == told | RARE, f"{folder}/{name}"


def test_there_are_tables_whose_columns_are_compared():
    assert any(left_by(chain) for chain in CHAINS)
    assert any("benchmarks explain" in block.text for chain in CHAINS for block in chain)
