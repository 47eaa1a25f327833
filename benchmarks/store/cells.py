"""The store of cells: written whole or not at all, shared by all sweeps, keyed by all that decides the numbers."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.store.cell_info import SCHEMA, CellInfo


@dataclasses.dataclass(frozen=True)
class Stored:
    """A stored cell: its description, its runs and traces by column, and the traceback of an error."""

    info: CellInfo
    runs: Mapping[str, np.ndarray]
    traces: Mapping[str, np.ndarray]
    traceback: str = ""


class Cells(Protocol):
    """A store of cells, by key."""

    def has(self, key: str) -> bool:
        """True if a cell is stored."""
        ...

    def write(self, key: str, cell: Stored) -> None:
        """Store a cell."""
        ...

    def describe(self, key: str, info: CellInfo) -> None:
        """Replace the description of a stored cell."""
        ...

    def read(self, key: str) -> Stored:
        """Return a stored cell."""
        ...


class Memory(dict[str, Stored]):
    """Cells in the memory of this process, for notebooks."""

    def has(self, key: str) -> bool:
        """True if a cell is stored."""
        return key in self

    def write(self, key: str, cell: Stored) -> None:
        """Store a cell."""
        self[key] = cell

    def describe(self, key: str, info: CellInfo) -> None:
        """Replace the description of a stored cell."""
        self[key] = dataclasses.replace(self[key], info=info)

    def read(self, key: str) -> Stored:
        """Return a stored cell."""
        return self[key]


@dataclasses.dataclass(frozen=True)
class Store:
    """Cells in a folder, one folder each: cell.json, runs.parquet, traces.parquet."""

    folder: Path

    def has(self, key: str) -> bool:
        """True if a cell is stored; False for one that ended in an error, so that it is tried again."""
        return (self.folder / key / "cell.json").is_file() and not self.info(key).error

    def write(self, key: str, cell: Stored) -> None:
        """Store a cell: write a folder of another name, then rename it."""
        path = self.folder / key
        self.folder.mkdir(parents=True, exist_ok=True)
        half = Path(tempfile.mkdtemp(prefix=f".{key}.", dir=self.folder))
        for name, columns in (("runs", cell.runs), ("traces", cell.traces)):
            pq.write_table(pa.table(dict(columns)), half / f"{name}.parquet", compression="zstd")
        info = cell.info
        if cell.traceback:
            (half / "traceback.txt").write_text(cell.traceback)
            info = dataclasses.replace(info, traceback=str(path / "traceback.txt"))
        (half / "cell.json").write_text(_text(info))
        for file in half.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())
        if path.exists():  # it ended in an error, or another worker was as fast
            shutil.rmtree(path)
        half.rename(path)

    def describe(self, key: str, info: CellInfo) -> None:
        """Replace the description of a stored cell."""
        with tempfile.NamedTemporaryFile("w", dir=self.folder / key, delete=False) as half:
            half.write(_text(info))
        Path(half.name).rename(self.folder / key / "cell.json")

    def info(self, key: str) -> CellInfo:
        """Return the description of a stored cell."""
        stated = json.loads((self.folder / key / "cell.json").read_text())
        return CellInfo.of({name: stated[name] for name in stated if name != "schema"})

    def read(self, key: str) -> Stored:
        """Return a stored cell."""
        path = self.folder / key

        def columns(file: str) -> dict[str, np.ndarray]:
            table = pq.read_table(path / file)
            return {name: table[name].to_numpy() for name in table.column_names}

        return Stored(self.info(key), columns("runs.parquet"), columns("traces.parquet"))

    def infos(self) -> Iterator[tuple[str, CellInfo]]:
        """Yield the key and the description of each cell, except those of another schema."""
        for file in self.folder.glob("*/cell.json"):
            stated = json.loads(file.read_text())
            if stated.pop("schema", None) == SCHEMA:
                yield file.parent.name, CellInfo.of(stated)


def _text(info: CellInfo) -> str:
    return json.dumps({"schema": SCHEMA, **info.plain()}, indent=1)
