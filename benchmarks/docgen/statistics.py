"""Make the page on statistics: each rule in a few sentences, with the figures of its simulation.

`python -m benchmarks.docgen.statistics` simulates everything and writes docs/statistics.md. With names of rules, it
prints the figures of these alone.
"""

from __future__ import annotations

import importlib
import sys

import pandas
import torch

from benchmarks.docgen.paths import DOCS
from benchmarks.pages.markdown import markdown_cell, markdown_table
from benchmarks.simulations import RULES
from ravine import nearest

FILE = DOCS / "statistics.md"
HEAD = """# Statistics

How optimizers are compared, and what each rule promises. Every figure below is simulated where the truth is known, with
a fixed seed; the command under a table prints it again. Written by `python -m benchmarks.docgen.statistics`.
"""


def section(name: str) -> str:
    """Return a rule's section: its title, its text, and the figures of its simulation."""
    rule = importlib.import_module(f"benchmarks.simulations.{name}")
    return (
        f"## {rule.TITLE}\n\n{rule.RULE.strip()}\n\n{shown(rule.simulate())}\n\n"
        f"`python -m benchmarks.docgen.statistics {name}`\n"
    )


def shown(rows: pandas.DataFrame) -> str:
    """Return a frame as a Markdown table; numbers have three digits."""
    return markdown_table(
        [*map(str, rows)], (map(_cell, row) for row in rows.itertuples(index=False))
    )


def _cell(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else markdown_cell(str(value))


def main(names: list[str]) -> int:
    """Print the figures of these rules, or write the page of all."""
    torch.set_num_threads(1)
    for name in names:
        if name not in RULES:
            print(f"unknown rule {name!r}: {nearest(name, RULES)}", file=sys.stderr)
            return 2
        print(section(name))
    if not names:
        FILE.write_text("\n".join([HEAD, *map(section, RULES)]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
