"""The tables of a sweep for a paper: LaTeX with booktabs, each number with its interval."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas

from benchmarks.analysis.dial_axis import number
from benchmarks.analysis.intervals import wilson
from benchmarks.analysis.saved_sweep import Saved
from benchmarks.display.breaking_table import FALLING, Entry, Matrix

PACKAGES = "% needs \\usepackage{booktabs} and \\usepackage{longtable}\n"
ESCAPED = str.maketrans({
    **{each: f"\\{each}" for each in "&%$#_{}"}, "\\": r"\textbackslash{}", "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$", "∞": r"$\infty$", "–": "--", "×": r"$\times$",
})  # fmt: skip


def save(saved: Saved, folder: Path, labels: Mapping[str, str]) -> list[Path]:
    """Write summary.tex, and breaking_points.tex if several rungs were run, into the folder; return the files.

    Args:
        saved: The sweep.
        folder: The folder, which is made.
        labels: The names of optimizers in the tables, by their names in the sweep.
    """
    folder.mkdir(parents=True, exist_ok=True)
    matrix, files = Matrix(saved, saved.own), []
    for name, text in (
        ("summary", _summary(matrix, labels)),
        ("breaking_points", _points(matrix, labels)),
    ):
        if text:
            files.append(folder / f"{name}.tex")
            files[-1].write_text(text, "utf-8")
    return files


def _summary(matrix: Matrix, labels: Mapping[str, str]) -> str:
    """Return the table of what the tuned settings solve, and at what cost; empty without numbers."""
    summary, rows = matrix.tables.summary, []
    if "choice" not in summary:
        return ""
    tuned = summary[summary["choice"] == "tuned"].set_index("cell")
    jobs = pandas.Series({str(key): matrix.tables.cells[str(key)].info.job for key in tuned.index})
    for label in matrix.problems:
        entries = {entry.job: entry for entry in matrix.entries.values() if entry.label == label}
        mine = tuned[jobs.isin(entries)]
        order = {name: k for k, name in enumerate(matrix.optimizers)}
        mine = mine.assign(place=mine["optimizer"].map(order)).sort_values(["dial", "place"])
        for key, row in mine.to_dict("index").items():
            low, high = wilson(row["solved"], row["runs"])
            rows.append({
                "problem": tex(label),
                "dial": tex(f"{_dial(entries[jobs[str(key)]])} {number(row['dial'])}"),
                "optimizer": tex(labels.get(row["optimizer"], row["optimizer"])),
                "solved": f"{row['solved']:.0f} [{row['runs'] * low:.1f}, {row['runs'] * high:.1f}]",
                "cost to target": _cost(row),
                "final gap": scientific(row["gap_final"]),
            })  # fmt: skip
    counts = sorted({int(each) for each in tuned["runs"]})
    of = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    caption = (
        f"Instances solved, of {of}, with tuned settings and 95\\% Wilson intervals; the median cost to the target in "
        r"gradients with the interval of its order statistics ($\infty$: most runs miss it); and the median final gap."
    )
    return _table(rows, caption, "tab:summary") if rows else ""


def _points(matrix: Matrix, labels: Mapping[str, str]) -> str:
    """Return the table of breaking points; empty if there are none."""
    rows = [
        {
            "problem": tex(label),
            "dial": tex(_dial(entry)),
            "optimizer": tex(labels.get(name, name)),
            "breaks at": tex(entry.point.point),
            "95\\% interval": tex(entry.point.interval),
        }
        for label in matrix.problems
        for name in matrix.optimizers
        for entry in [matrix.entries.get((name, label))]
        if entry is not None and entry.point is not None
    ]
    counts = sorted({cell.info.protocol.seeds for cell in matrix.tables.cells.values()})
    of = " or ".join(map(str, counts))
    caption = (
        f"Breaking points: the value of the dial up to which half of {of} instances are solved with tuned settings, "
        "with 95\\% intervals. $<$ and $>$: outside the tested values."
    )
    return _table(rows, caption, "tab:breaking-points") if rows else ""


def _dial(entry: Entry) -> str:
    return entry.dial.removesuffix(FALLING)


def _table(rows: Sequence[Mapping[str, str]], caption: str, label: str) -> str:
    """Return rows as a longtable; the problem and its dial stand in the first of their rows."""
    table = pandas.DataFrame(rows)
    repeated = table["problem"].eq(table["problem"].shift())
    same_dial = repeated & table["dial"].eq(table["dial"].shift())
    table.loc[repeated, "problem"] = ""
    table.loc[same_dial, "dial"] = ""
    columns = "lll" + "r" * (len(table.columns) - 3)
    return PACKAGES + table.to_latex(
        index=False,
        escape=False,
        longtable=True,
        caption=caption,
        label=label,
        column_format=columns,
    )


def tex(text: str) -> str:
    """Return text with what LaTeX would read otherwise escaped."""
    return text.translate(ESCAPED)


def scientific(value: float) -> str:
    """Return a number in two digits, as 0.35 or 3.5 · 10⁻⁵."""
    if not math.isfinite(value):
        return "--" if math.isnan(value) else r"$\infty$"
    mantissa, _, exponent = f"{value:.2g}".partition("e")
    power = rf" \cdot 10^{{{int(exponent)}}}" if exponent else ""
    return f"${mantissa}{power}$"


def _cost(row: Mapping[Any, Any]) -> str:
    """Return the median cost with its interval; infinity alone if no end of it is finite."""
    middle, low, high = (
        f"{value:.0f}" if math.isfinite(value) else scientific(value)
        for value in (row[f"cost_to_target{end}"] for end in ("", "_low", "_high"))
    )
    return middle if low == high == scientific(math.inf) else f"{middle} [{low}, {high}]"
