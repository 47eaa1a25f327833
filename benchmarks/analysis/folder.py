"""Read and check the folder of a finished sweep, for `compare` and `report`.

A folder that is incomplete, of another schema, or edited by hand is refused in one line.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas

from benchmarks.analysis.consistency import contradictions
from benchmarks.store.cell_info import SCHEMA, CellInfo, cells_of
from benchmarks.store.sweep_folder import MARKERS, other_schema
from ravine import Refused


@dataclass(frozen=True)
class Results:
    """A folder's manifest, the description of its cells, and the tables, which agree with them."""

    folder: Path
    manifest: Mapping[str, Any]
    cells: Mapping[str, CellInfo]
    runs: pandas.DataFrame
    summary: pandas.DataFrame


def read_results(folder: Path) -> Results:
    """Return the contents of a sweep's folder. Raises Refused if it is incomplete or was edited."""
    manifest, cells = _manifest(folder)
    runs, summary = (read_table(folder, name) for name in ("runs", "summary"))
    wrong = next(contradictions(manifest, cells, runs, summary), None)
    if wrong:
        raise contradicted(folder, wrong)
    return Results(folder, manifest, cells, runs, summary)


def _manifest(folder: Path) -> tuple[dict[str, Any], dict[str, CellInfo]]:
    """Return the manifest and the description of the cells.

    Raises Refused unless the folder is a finished sweep of this schema.
    """
    file = folder / "manifest.json"
    if not folder.is_dir():
        why = "is a file" if folder.exists() else "does not exist"
        raise Refused(f"{folder} {why}, but must be the folder of a sweep")
    if not file.is_file():
        raise Refused(f"{folder} is not the folder of a sweep: it has no manifest.json")
    try:
        manifest = json.loads(file.read_text())
        schema, _ = manifest["schema"], manifest["config"]["protocol"]
        cells = cells_of(manifest["jobs"]) if schema == SCHEMA else {}
    except (ValueError, TypeError, AttributeError) as error:
        raise Refused(f"{file} cannot be read: {error}") from error
    except KeyError as error:
        raise Refused(f"{file} is not a sweep's: it has no {error}") from error
    if schema != SCHEMA:
        raise Refused(other_schema(folder, schema))
    if (folder / MARKERS).exists() or not cells:
        raise Refused(
            f"{folder} is half-written: its sweep is still running, or was killed; "
            "giving the same command again finishes it"
        )
    return manifest, cells


def read_table(folder: str | Path, name: str) -> pandas.DataFrame:
    """Read a table of a sweep's folder, whichever file it is in.

    Args:
        folder: The folder of a sweep.
        name: "runs", "summary", "breaking_points" or "traces".

    Returns:
        The table.

    Raises:
        Refused: If there is no such table, or it cannot be read.
    """
    files = [Path(folder) / f"{name}.{kind}" for kind in ("csv", "parquet")]
    file = next((each for each in files if each.is_file()), None)
    if file is None:
        wanted = files[name == "traces"].name
        raise Refused(
            f"{folder} is half-written: it has no {wanted}; "
            "giving the command of its sweep again writes it"
        )
    try:
        if file.suffix == ".parquet":
            return pandas.read_parquet(file).replace("", math.nan)  # as read from a CSV
        return pandas.read_csv(file, low_memory=False).copy()  # in one block, because it is wide
    except (ValueError, OSError) as error:
        raise Refused(f"{file} cannot be read: {error}") from error


def contradicted(folder: Path, wrong: str) -> Refused:
    """Return the refusal of tables that do not agree with each other, or with the list of cells."""
    return Refused(
        f"{folder} contradicts itself, as if edited by hand: {wrong}; "
        "giving the command of its sweep again writes it anew"
    )
