"""The store of cells: written whole or not at all, shared by all sweeps, keyed by what decides the numbers."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


@dataclasses.dataclass(frozen=True)
class Stored:
    """A cell as it is kept: what it is, its runs and traces column by column, and the traceback of an error."""

    info: Mapping[str, Any]
    runs: Mapping[str, np.ndarray]
    traces: Mapping[str, np.ndarray]
    traceback: str = ""


class Memory(dict[str, Stored]):
    """Cells of this process alone, by key: what a notebook uses."""

    def has(self, key: str) -> bool:
        """Whether a cell is there."""
        return key in self

    def write(self, key: str, cell: Stored) -> None:
        """Keep a cell."""
        self[key] = cell

    def read(self, key: str) -> Stored:
        """A cell that is there."""
        return self[key]

    def traceback(self, key: str) -> str:
        """The file that has the traceback of a cell: none."""
        return ""


@dataclasses.dataclass(frozen=True)
class Store:
    """Cells in a folder, one folder each: cell.json, runs.parquet, traces.parquet."""

    folder: Path

    def has(self, key: str) -> bool:
        """Whether a cell is there; one that ended in an error is not, so that it is tried again."""
        path = self.folder / key / "cell.json"
        return path.is_file() and not json.loads(path.read_text())["error"]

    def write(self, key: str, cell: Stored) -> None:
        """Put a cell in its place: into a folder of another name first, which is then renamed."""
        path = self.folder / key
        self.folder.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=self.folder))
        for name, columns in (("runs", cell.runs), ("traces", cell.traces)):
            pq.write_table(pa.table(dict(columns)), half / f"{name}.parquet", compression="zstd")
        if cell.traceback:
            (half / "traceback.txt").write_text(cell.traceback)
        (half / "cell.json").write_text(json.dumps(cell.info, indent=1))
        for file in half.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        if path.exists():  # it ended in an error, or another worker was as fast
            shutil.rmtree(path)
        half.rename(path)

    def read(self, key: str) -> Stored:
        """A cell that is there."""
        path = self.folder / key

        def columns(file: str) -> dict[str, np.ndarray]:
            table = pq.read_table(path / file)
            return {name: table[name].to_numpy() for name in table.column_names}

        info = json.loads((path / "cell.json").read_text())
        return Stored(info, columns("runs.parquet"), columns("traces.parquet"))

    def traceback(self, key: str) -> str:
        """The file that has the traceback of a cell that ended in an error."""
        return str(self.folder / key / "traceback.txt")
