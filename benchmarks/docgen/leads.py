"""Publish how far some methods lead gradient descent along a dial, predicted by theory and measured.

`python -m benchmarks.docgen.leads` measures them with the plain loops of the problems' evidence (a few minutes), and
writes docs/leads.csv, docs/leads.svg and docs/leads.md; with names of problems, it measures only theirs; with `--page`,
none.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Collection, Iterator
from types import ModuleType

import matplotlib as mpl
import pandas
import torch

from benchmarks.catalog.subsections import title_of
from benchmarks.docgen.atlas import page_of
from benchmarks.docgen.paths import DOCS
from benchmarks.pages.markdown import markdown_cell, markdown_row
from benchmarks.plots.problem_picture import places
from benchmarks.plots.style import COLOURS, LOOK, Picture, save
from problems import PROBLEMS, Problem
from problems.claims import evidence
from problems.precision import default_dtype
from problems.theory import ENOUGH, NEAR, Leads
from ravine import Refused

FILE, PICTURE, PAGE = (DOCS / f"leads.{suffix}" for suffix in ("csv", "svg", "md"))
PAGE_ONLY = "--page"
COLUMNS = ["problem", "dial", "leader", "rung", "predicted", "measured", "near"]
HEAD = f"""# Who leads gradient descent, and by how much

For these problems theory predicts, at every value of the dial, how many steps gradient descent and another method need
to reach the target. The *lead* is the first number over the second; below 1, gradient descent is ahead. Lines are
predictions, and dots are measurements: plain loops on the exact gradient, with each method at the best of many learning
rates, which a sweep's search of 25 trials need not find. A prediction *holds* if it is within a factor of {NEAR:g} of
the measurement at {ENOUGH:.0%} of the rungs or more. The problem's code and [certificates](certificates.md) have the
derivation. `python -m benchmarks.docgen.leads` writes this page; all numbers are in [leads.csv](leads.csv).

![The lead of each method over gradient descent along the dial, predicted and measured](leads.svg)

| problem | leader | rungs | within a factor of {NEAR:g} | farthest off: measured over predicted | prediction |
|---|---|---|---|---|---|"""


def known() -> dict[str, Callable[[Problem], tuple[Leads, ...]]]:
    """Return the functions `leads` of the problems' evidence, by problem."""
    modules: Iterator[tuple[str, ModuleType]] = (
        (name, module) for name, problem in PROBLEMS.items() for module in evidence(type(problem))
    )
    found = {name: module.leads for name, module in modules if hasattr(module, "leads")}
    return dict(sorted(found.items()))


def rows(name: str) -> pandas.DataFrame:
    """Return one row for each leader and rung of a problem: the leads, predicted and measured."""
    problem = PROBLEMS.find(name)
    with default_dtype(torch.float64):
        found = known()[name](problem)
    return pandas.DataFrame(
        [
            (name, problem.card.dial, each.leader, *row)
            for each in found
            for row in zip(each.rungs, each.predicted, each.measured, each.near, strict=True)
        ],
        columns=COLUMNS,
    )


def text(table: pandas.DataFrame) -> str:
    """Return the page as Markdown."""
    lines = [HEAD]
    for (name, leader), leads in table.groupby(["problem", "leader"], sort=False):
        ratio = leads["measured"] / leads["predicted"]
        farthest = max(ratio, key=lambda each: max(each, 1 / each))
        near, page = leads["near"], page_of(title_of(PROBLEMS[str(name)])).as_posix()
        cells = [
            f"[{name}]({page}#{name})", f"`{leader}`", len(leads), f"{near.sum()} of {len(near)}", f"{farthest:.2f}",
            "holds" if near.mean() >= ENOUGH else "MISSED",
        ]  # fmt: skip
        lines.append(markdown_row(markdown_cell(str(each)) for each in cells))
    return "\n".join([*lines, ""])


def picture(table: pandas.DataFrame) -> Picture:
    """Return one panel for each problem: leads along the dial."""
    panels = list(table.groupby("problem", sort=False))
    place_of = places(table["leader"].astype(str))
    with mpl.rc_context(LOOK):
        columns = math.ceil(len(panels) / 2)
        figure = Picture(figsize=(3.4 * columns, 5.6), layout="constrained")
        for place, (name, of_problem) in enumerate(panels, start=1):
            axes = figure.add_subplot(2, columns, place)
            card = PROBLEMS.find(str(name)).card
            for leader, leads in of_problem.groupby("leader", sort=False):
                colour = COLOURS[place_of[str(leader)]]
                axes.plot(leads["rung"], leads["predicted"], color=colour, linewidth=1.4)
                axes.plot(
                    leads["rung"], leads["measured"], "o", color=colour, markersize=4, label=leader
                )
            axes.axhline(1, color="0.7", linewidth=0.8, zorder=0)
            axes.set(title=name, xlabel=card.dial, ylabel="lead over sgd", yscale="log")
            axes.set_xscale(card.scale if card.scale == "log" else "linear")
            axes.legend(loc="upper left")
    return figure


def main(words: Collection[str]) -> int:
    """Write the table, the picture and the page."""
    names = [each for each in words if each != PAGE_ONLY]
    if unknown := [each for each in names if each not in known()]:
        raise Refused(f"no lead is predicted on {unknown[0]} (known: {', '.join(known())})")
    before = pandas.read_csv(FILE) if FILE.exists() else pandas.DataFrame(columns=COLUMNS)
    wanted = [] if PAGE_ONLY in words else names or list(known())
    parts = [rows(name) if name in wanted else before[before["problem"] == name] for name in known()]  # fmt: skip
    table = pandas.concat(parts, ignore_index=True)
    table.to_csv(FILE, index=False, float_format="%.6g")
    save(picture(table), PICTURE)
    PAGE.write_text(text(table), "utf-8")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except Refused as refusal:
        sys.exit(f"leads: {refusal}")
