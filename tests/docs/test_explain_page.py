"""The page on explanations has each removal, with its cause and what it is compared with."""

from __future__ import annotations

from benchmarks.docgen.paths import DOCS
from benchmarks.explain.removals import Cause

PAGE = (DOCS / "explain.md").read_text()


def test_the_table_has_each_removal_as_it_is_in_the_code():
    lines = [line.strip("| ").split(" | ") for line in PAGE.splitlines() if line.startswith("| ")]
    rows = [(name, cause.strip("`"), beyond) for name, cause, _, _, beyond, _ in lines[2:]]
    expected = [
        (each.name, each.cause, each.beyond or "–")
        for each in Cause.__subclasses__()
        if each.__module__ == Cause.__module__ and isinstance(each.__dict__.get("name"), str)
    ]
    assert rows[:-1] == expected
    assert rows[-1][0] == "other fields"
