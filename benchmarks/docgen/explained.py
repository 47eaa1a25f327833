"""Publish the measured causes of sweeps, and what is read off the runs that they explain.

`python -m benchmarks.docgen.explained FOLDER …` reads the folders of sweeps with explain=true, for instance one per
optimizer. It writes docs/explained.csv, their table of measured causes; docs/readings.csv, the readings of the
reporting runs of the tuned trial that are not solved, at the first rung at which their job was explained; and
docs/outcomes.csv, how each optimizer × problem is explained. All rows of an optimizer that is in one of the folders are
replaced; those of other optimizers stay.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Sequence
from pathlib import Path

import pandas

from benchmarks.analysis.agreement import CANNOT_BE_JUDGED, NOT_MEASURED, UNBROKEN, outcome
from benchmarks.analysis.causes import tuned
from benchmarks.analysis.columns import WITHOUT_NUMBERS
from benchmarks.analysis.dial_axis import number
from benchmarks.analysis.folder import read_results, read_table
from benchmarks.analysis.ranking import standings
from benchmarks.docgen.paths import DOCS
from benchmarks.engine.status import UNJUDGED
from ravine import Refused

EXPLAINED, READINGS, OUTCOMES = (
    DOCS / f"{name}.csv" for name in ("explained", "readings", "outcomes")
)


def readings(explained: pandas.DataFrame, runs: pandas.DataFrame) -> pandas.DataFrame:
    """Return one row for each run that the causes of its job explain: its verdict, and its other causes by strength.

    Args:
        explained: The rows of `explained.csv`.
        runs: The runs of the sweep, with the column `job`.
    """
    runs = runs[~runs["status"].isin(WITHOUT_NUMBERS)]
    written = {dial: f"{dial:g}" for dial in runs["dial"].unique()}  # as `dials` has them
    broken = explained.drop_duplicates("job").set_index("job")["dials"]
    first = {job: f"{float(str(dials).split(',')[0]):g}" for job, dials in broken.items()}
    at_first = runs[runs["dial"].map(written) == runs["job"].map(first)]
    rows = [tuned(of_job) for _, of_job in at_first.groupby("job", sort=False)]
    found = pandas.concat([at_first[:0], *rows])
    names = ["problem", "dial", "optimizer", "seed", "verdict", "also"]
    return found.loc[found["status"] != "solved", names].reset_index(drop=True)


def outcomes(explained: pandas.DataFrame, points: pandas.DataFrame) -> pandas.DataFrame:
    """Return how each optimizer × problem is explained: one row with its breaking point and one of `OUTCOMES`.

    Args:
        explained: The rows of `explained.csv`; a pair that does not break has none.
        points: The rows of `breaking_points.csv`.
    """
    jobs = dict(iter(explained.groupby(["problem", "optimizer"])))
    hardest = points.set_index(["problem", "optimizer"])["last_rung"].to_dict()
    rows = []
    for row in standings(points).to_dict("records"):
        pair = row["problem"], row["optimizer"]
        if row["text"] in {status.replace("_", " ") for status in UNJUDGED}:
            found = CANNOT_BE_JUDGED
        elif pair in jobs:
            found = outcome(jobs[pair])
        else:
            solves_all = row["further"] == math.inf or row["text"] == number(hardest[pair])
            found = UNBROKEN if solves_all else NOT_MEASURED
        rows.append([*pair, row["text"], found])
    return pandas.DataFrame(rows, columns=["problem", "optimizer", "breaking_point", "outcome"])


def main(words: Sequence[str]) -> int:
    """Replace the rows of the optimizers in the given folders, in all three tables."""
    if not words:
        print("give folders of sweeps with explain=true", file=sys.stderr)
        return 2
    causes, read, ends = [], [], []
    try:
        for folder in map(Path, words):
            results = read_results(folder, whole=True)
            explained, points = (
                read_table(folder, name) for name in ("explained", "breaking_points")
            )
            jobs = {key: info.job for key, info in results.cells.items()}
            causes.append(explained)
            read.append(
                readings(explained, results.runs.assign(job=results.runs["cell"].map(jobs)))
            )
            ends.append(outcomes(explained, points))
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return 2
    found = pandas.concat(ends)
    twice = found[found.duplicated(["problem", "optimizer"])]
    if len(twice):
        problem, optimizer = twice.iloc[0][["problem", "optimizer"]]
        print(
            f"{optimizer} on {problem} is in two of the folders: give one of them", file=sys.stderr
        )
        return 2
    given = set(found["optimizer"])
    for file, tables in ((EXPLAINED, causes), (READINGS, read), (OUTCOMES, ends)):
        rows = pandas.concat([_of_others(file, given), *tables])
        # In an order that does not depend on which optimizer was published first.
        rows.sort_values("optimizer", kind="stable").to_csv(file, index=False)
    return 0


def _of_others(file: Path, optimizers: Collection[str]) -> pandas.DataFrame:
    """Return the published rows of all other optimizers, as they are written."""
    if not file.exists():
        return pandas.DataFrame()
    rows = pandas.read_csv(file, dtype=str, keep_default_na=False)
    return rows[~rows["optimizer"].isin(optimizers)]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
