"""Select the runs of the chosen trials, and name the problem's variant in each row.

The statistics take the runs and the summary of a sweep (docs/manual/tables.md has their columns), from a `Sweep` or
read from its files. Each row depends only on the rows of its own optimizer, or of its own pair: adding
another method changes nothing. Intervals are exact order statistics and Wilson's.

Tests of pairs are conditional on the chosen trials: they ask whether other instances would give the
same answer. `best_of` shows what another search would have found.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas

from benchmarks.analysis.columns import OF_PROBLEMS, WITHOUT_NUMBERS

RUNG = ["problem", "dial", "variant"]
CELL = [*RUNG, "optimizer", "cell"]
OF_A_RUN = [
    *CELL, "choice", "trial", "search", "role", "seed", "status", "cost", "cost_to_target", "gap_final", "u",
]  # fmt: skip
ROUNDING = 1e-9  # relative: sums of probabilities, and costs read from a file, are equal up to this


def with_variant(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return rows with a column `variant`: the fields of their problem as text.

    Problem, dial and variant identify what was run, in frames from memory and from files alike (in a file, a column of
    whole numbers with gaps is one of floats).

    Args:
        rows: Rows of any table of a sweep.

    Returns:
        The same rows with the column `variant`.
    """
    return rows.assign(variant=rows["cell"].map(_variants(rows)))


def _variants(rows: pandas.DataFrame) -> dict[Any, str]:
    """Return by cell the fields of its problem as text."""
    fields = sorted(filter(is_field, map(str, rows)))

    def text(values: Sequence[Any]) -> str:
        known = [(name, each) for name, each in zip(fields, values, strict=True) if each == each]
        return ", ".join(
            f"{name.removeprefix('problem.')} {alike(each)}" for name, each in known if each
            is not None
        )  # fmt: skip

    cells = rows.drop_duplicates("cell")
    return {
        cell: text(values)
        for cell, values in zip(
            cells["cell"], cells[fields].itertuples(index=False, name=None), strict=True
        )
    }


def is_field(name: str) -> bool:
    """True for the name of a column with a field of a problem."""
    return name.startswith(OF_PROBLEMS)


def without_fields(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return rows without the problems' fields, of which a suite has two hundred."""
    return rows[[name for name in map(str, rows) if not is_field(name)]]


def alike(value: Any) -> str:
    """Return a value as text; a whole number and the equal float from a file give the same text."""
    is_number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    return repr(float(value)).removesuffix(".0") if is_number else str(value)


def chosen(rows: pandas.DataFrame, summary: pandas.DataFrame) -> pandas.DataFrame:
    """Return the reporting runs, or their traces, of the selected trials.

    A trial that two choices share appears for both. A skipped cell (no trial solves an easier rung) counts as
    misses at the price of its budget, on the same instances and for the same choices as the other cells of its
    problem and optimizer.

    Args:
        rows: The rows of `runs.csv`, or of `traces.parquet`.
        summary: The rows of `summary.csv` of the same sweeps.

    Returns:
        The rows with a column `choice`.
    """
    choices = summary.reindex(columns=["cell", "choice", "trial"]).dropna()
    choices = choices.astype({"trial": "int64"})
    if "role" not in rows:  # traces, which only reporting runs have
        return _whole(rows).merge(choices, on=["cell", "trial"])
    found = _whole(rows[rows["role"] == "reporting"]).merge(choices, on=["cell", "trial"])
    skipped = rows[rows["status"] == "skipped"]
    examples = found.groupby(["problem", "optimizer"])["cell"].min()
    places = found.groupby("cell", sort=False).indices
    pairs = zip(skipped["problem"], skipped["optimizer"], strict=True)
    likes = [(row, places[examples[of]]) for row, of in enumerate(pairs) if of in examples.index]
    if not likes:
        return found
    numbers, others = zip(*likes, strict=True)
    origin = skipped.take(np.repeat(numbers, [len(each) for each in others]))
    where = ["dial", "cell", "budget", "variant", *filter(is_field, map(str, rows))]
    own = {name: origin[name].to_numpy() for name in where if name in origin}
    instead = found.take(np.concatenate(others)).assign(
        status="missed", cost=own["budget"], cost_to_target=math.nan, gap_final=math.nan, **own
    )
    # Assigning has put each column into a block of its own, and those of the two frames would be cut alike.
    return pandas.concat([found, instead.copy()], ignore_index=True)


def _whole(rows: pandas.DataFrame) -> pandas.DataFrame:
    """Return rows with their trial as a whole number. `astype` of a frame would put each column into its own block."""
    return rows.assign(trial=rows["trial"].astype("int64"))


def with_numbers(runs: pandas.DataFrame) -> pandas.DataFrame:
    """Return the runs that have numbers, without the problems' fields: a suite has two hundred of them."""
    has_numbers = ~runs["status"].isin(WITHOUT_NUMBERS)
    found = runs.loc[has_numbers, [name for name in OF_A_RUN if name in runs and name != "variant"]]
    found = found.assign(variant=found["cell"].map(_variants(runs)))
    return found[[name for name in OF_A_RUN if name in found]]
