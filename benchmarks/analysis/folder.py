"""Read and check the folder of a finished sweep, for `compare` and `report`.

A folder that is incomplete, of another schema, or edited by hand is refused in one line.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pandas

from benchmarks.analysis.causes import EXPLAINED
from benchmarks.analysis.chosen_runs import is_field, with_variant, without_fields
from benchmarks.analysis.columns import NUMBERS, WORDS
from benchmarks.analysis.consistency import CHOSEN_ROWS, contradictions
from benchmarks.store.cell_info import CellInfo
from benchmarks.store.sweep_folder import BEFORE, MARKERS, read_manifest, tables_before
from ravine import LeftOut, Refused, nearest

READINGS = 5  # at most, of a folder whose tables are replaced again and again
T = TypeVar("T")
AGAIN = "giving the command of its sweep again writes it anew"
KNOWN = (
    "problem",
    "dial_name",
    "optimizer",
    "job",
    "removal",
    "cause",
    "holds",
    "instances",
    "solved",
    "text",
)
OF_A_CAUSE = ("solved_without", "text_without", "beyond")  # known where a cause holds


@dataclass(frozen=True)
class Results:
    """A folder's manifest, the description of its cells, and the tables, which agree with them.

    explained: The rows of its jobs in `explained.csv`; none if nothing was explained.
    """

    folder: Path
    manifest: Mapping[str, Any]
    cells: Mapping[str, CellInfo]
    runs: pandas.DataFrame
    summary: pandas.DataFrame
    explained: pandas.DataFrame


def read_results(folder: Path, *, whole: bool = False, fields: bool = True) -> Results:
    """Return the contents of a sweep's folder.

    whole: Refuse a folder that keeps only the runs of the chosen trials. fields: Whether the runs have the fields of
    their problem; if not, they have the column `variant`. Raises Refused also for a folder that is incomplete or was
    edited. Of a folder to which a sweep is being added, it returns what was there before.
    """
    manifest, cells = _with_tables(folder)
    if whole and manifest.get("rows") == CHOSEN_ROWS:
        raise Refused(
            f"{folder} has only the runs of the chosen trials: enough for compare, too few for a report: "
            f"compare {folder} with a sweep of yours"
        )
    runs, summary = read_table(folder, "runs", fields=fields), read_table(folder, "summary")
    wrong = next(contradictions(manifest, cells, runs, summary), None)
    if wrong:
        raise contradicted(folder, wrong)
    explained = _explained(folder)
    of_cells = explained["job"].isin({info.job for info in cells.values()})
    return Results(folder, manifest, cells, runs, summary, explained[of_cells])


def _explained(folder: Path) -> pandas.DataFrame:
    """Return the table of what was explained, without rows if there is none."""
    if not (folder / "explained.csv").exists():
        return pandas.DataFrame(columns=EXPLAINED)
    table = read_table(folder, "explained")
    for name in EXPLAINED:
        if name not in table:
            raise contradicted(folder, f"explained has no column {name}")
    holding = table[table["holds"].astype(str) == "True"]
    for rows, names in ((table, KNOWN), (holding, OF_A_CAUSE)):
        for name in names:
            if rows[name].isna().any():
                raise contradicted(folder, f"{name} in explained is missing")
    return table


def unchanged(read: Callable[[], T], folders: Sequence[Path]) -> T:
    """Return what `read` does; read again if a sweep replaces the tables of a folder meanwhile."""
    for _ in range(READINGS):
        before = [_stamp(each) for each in folders]
        try:
            found = read()
        except Refused:
            if before == [_stamp(each) for each in folders]:
                raise
        else:
            if before == [_stamp(each) for each in folders]:
                return found
    raise Refused(f"the tables of {', '.join(map(str, folders))} are being written: try again")


def _stamp(folder: Path) -> list[int | None]:
    """Return what changes when the tables of a folder are replaced."""
    found: list[int | None] = []
    for file in (folder / "manifest.json", folder / MARKERS / BEFORE):
        try:
            found.append(file.stat().st_mtime_ns)
        except OSError:
            found.append(None)
    return [*found, os.path.isdir(folder / MARKERS)]  # noqa: PTH112 (as in `finished`)


def _with_tables(folder: Path) -> tuple[dict[str, Any], dict[str, CellInfo]]:
    """Return what `finished` does; of a half-written folder with the tables of before, their manifest and cells."""
    before = tables_before(folder)
    if before is None:
        return finished(folder)
    warnings.warn(
        f"{folder} is half-written, as its sweep is still running, or was killed: these are its results from before",
        LeftOut,
        stacklevel=3,
    )
    return before


def finished(folder: Path) -> tuple[dict[str, Any], dict[str, CellInfo]]:
    """Return the manifest and the description of the cells.

    Raises Refused unless the folder is a finished sweep of this schema.
    """
    file = folder / "manifest.json"
    if not os.path.isdir(folder):  # noqa: PTH112 (is_dir raises where a name is too long)
        why = "is a file" if os.path.exists(folder) else "does not exist"  # noqa: PTH110
        raise Refused(f"{folder} {why}, but must be the folder of a sweep")
    if not file.exists():
        raise Refused(f"{folder} is not the folder of a sweep: it has no manifest.json")
    manifest, cells = read_manifest(folder)
    check_ended(folder)
    if not cells:
        raise _half_written(folder)
    return manifest, cells


def check_ended(folder: Path) -> None:
    """Raise Refused for a folder whose sweep is running or was killed: it has only what was there before."""
    if os.path.isdir(folder / MARKERS):  # noqa: PTH112 (as in `finished`)
        raise _half_written(folder)


def _half_written(folder: Path) -> Refused:
    return Refused(
        f"{folder} is half-written: its sweep is still running, or was killed; "
        "giving the same command again finishes it"
    )


def read_table(folder: str | Path, name: str, *, fields: bool = True) -> pandas.DataFrame:
    """Read a table of a sweep's folder, whichever file it is in.

    Args:
        folder: The folder of a sweep.
        name: "runs", "summary", "breaking_points", "traces" or "explained".
        fields: Whether to read the fields of the problems; if not, the column `variant` has them as text. A suite has
            two hundred of them, which are the same in all rows of a cell.

    Returns:
        The table.

    Raises:
        Refused: If there is no such table, or it cannot be read.
    """
    files = [Path(folder) / f"{name}.{kind}" for kind in ("csv", "parquet")]
    file = next((each for each in files if each.is_file()), None)
    if file is None:
        wanted = files[name == "traces"].name
        raise Refused(f"{folder} is half-written: it has no {wanted}; {AGAIN}")
    try:
        if file.suffix == ".parquet":
            table = _of_parquet(file, fields).replace("", math.nan)  # as read from a CSV
        else:
            _check_end(file)
            table = pandas.read_csv(file, low_memory=False)
            table = table if fields else without_fields(with_variant(table))
        table = table.copy()  # in one block, because it is wide
    except (ValueError, OSError) as error:
        raise Refused(f"{file} cannot be read: {error}; {AGAIN}") from error
    wrong = next(_wrong(name, table), None)
    if wrong:
        raise contradicted(Path(folder), wrong)
    return table


def _check_end(file: Path) -> None:
    """Raise ValueError for a table that was cut off."""
    with file.open("rb") as opened:
        opened.seek(max(os.fstat(opened.fileno()).st_size - 1, 0))
        if opened.read() not in (b"\n", b""):
            raise ValueError("its last line has no end, as if it was cut off")


def _of_parquet(file: Path, fields: bool) -> pandas.DataFrame:
    """Return the table in a file; without the fields, it takes these from the first row of each cell alone."""
    if fields:
        return pandas.read_parquet(file)
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    rows = table.drop_columns([each for each in table.column_names if is_field(each)]).to_pandas()
    firsts = table.filter(~rows["cell"].duplicated().to_numpy()).to_pandas()
    variants = with_variant(firsts.replace("", math.nan)).set_index("cell")["variant"]
    return rows.assign(variant=rows["cell"].map(variants))


def _wrong(name: str, table: pandas.DataFrame) -> Iterator[str]:
    """Yield each column of a table that holds something else than it should."""
    for column in NUMBERS.get(name, ()):
        if column in table and not pandas.api.types.is_numeric_dtype(table[column]):
            known = table[column].dropna()
            odd = known[pandas.to_numeric(known, errors="coerce").isna()].astype(str)
            if len(odd):
                yield f"{column} in {name} is {odd.iloc[0]!r}, but must be a number"
    for column, allowed in WORDS.get(name, {}).items():
        found = table[column].dropna().unique() if column in table else ()
        for odd in {str(each) for each in found} - allowed:
            yield f"{column} in {name} is {odd!r}: {nearest(odd, allowed)}"


def contradicted(folder: Path, wrong: str) -> Refused:
    """Return the refusal of tables that do not agree with each other, or with the list of cells."""
    return Refused(f"{folder} contradicts itself, as if edited by hand: {wrong}; {AGAIN}")
