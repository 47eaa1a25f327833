"""The store of cells: written whole or not at all, shared by all sweeps, keyed by all that decides the numbers."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import re
import shutil
import stat
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeVar
from uuid import uuid4

import numpy as np

from benchmarks.store.cell_info import SCHEMA, CellInfo
from benchmarks.store.schema import check
from ravine import Refused

if TYPE_CHECKING:
    import pyarrow

PATIENCE = 60.0  # seconds after which what is half-written may be a leftover
HALF = re.compile(r"\..+\.[0-9a-f]{32}(\.away)?")  # the name of what is half-written
LOCK = ".lock"  # the name of the file that is locked in a folder
PAUSES = (0.01, 0.05, 0.2)  # seconds between tries to read what another process replaces
LEFT = "it is not touched; ask its owner for permission, or name another folder with cells="
T = TypeVar("T")


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

    def info(self, key: str) -> CellInfo | None:
        """Return the description of a stored cell; None if there is none that can be read."""
        ...

    def find(self, key: str) -> Stored | None:
        """Return a stored cell, or None if there is none; raise Unreadable if it is damaged."""
        ...

    def read(self, key: str) -> Stored:
        """Return a stored cell; raise Unreadable if it is not there, or damaged."""
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

    def info(self, key: str) -> CellInfo | None:
        """Return the description of a stored cell, or None if there is none."""
        return self[key].info if key in self else None

    def find(self, key: str) -> Stored | None:
        """Return a stored cell, or None if there is none."""
        return self.get(key)

    def read(self, key: str) -> Stored:
        """Return a stored cell."""
        return self[key]


class Unreadable(Exception):
    """A stored cell cannot be read; in words: which file of it, and why."""


@dataclasses.dataclass(frozen=True)
class Store:
    """Cells in a folder, one folder each: cell.json, runs.parquet, traces.parquet.

    Several processes may use it at once. A cell is written into a hidden folder, which is then renamed; who is second
    throws its own away. Only a cell that ended in an error or is damaged is replaced (under a lock, if the file system
    has locks), and a reader that meets this moment reads again. What another user does not permit to read or to replace
    is left as it is, and refused.
    """

    folder: Path

    def has(self, key: str) -> bool:
        """True if a cell is stored; False for one that ended in an error, so that it is tried again."""
        info = self.info(key)
        return info is not None and not info.error

    def write(self, key: str, cell: Stored) -> None:
        """Store a cell, unless another process has stored it in the meantime.

        Raises:
            Refused: If another user's is there, which may not be read or replaced.
        """
        path = self.folder / key
        self.folder.mkdir(parents=True, exist_ok=True)
        half = self.folder / f".{key}.{uuid4().hex}"
        half.mkdir()
        lock, _ = _hold(half / "cell.json")  # so that no other process takes it for a leftover
        try:
            self._fill(half, key, cell)
            self._put(half, path)
        finally:
            os.close(lock)
            shutil.rmtree(half, ignore_errors=True)  # if it was not renamed, nobody needs it

    def describe(self, key: str, info: CellInfo) -> None:
        """Replace the description of a stored cell, unless only another user may."""
        half = self.folder / f".{key}.{uuid4().hex}"
        # FileNotFoundError and Unreadable: another process replaces the cell at this moment.
        with suppress(FileNotFoundError, PermissionError, Unreadable):
            _, sums = self._info(key)
            try:
                half.write_text(_text(info, sums))
                half.rename(self.folder / key / "cell.json")
            finally:
                half.unlink(missing_ok=True)

    def info(self, key: str) -> CellInfo | None:
        """Return the description of a stored cell; None if there is none that can be read."""
        with suppress(Unreadable):
            if (self.folder / key).exists():
                return _again(lambda: self._info(key))[0]
        return None

    def find(self, key: str) -> Stored | None:
        """Return a stored cell, or None if there is none.

        Raises:
            Unreadable: If it is damaged.
            Refused: If another user does not permit to read it.
        """
        try:
            return self._found(key)
        except Unreadable as error:
            if isinstance(error.__cause__, PermissionError):
                raise Refused(f"{error}: {LEFT}") from error
            raise

    def read(self, key: str) -> Stored:
        """Return a stored cell.

        Raises:
            Unreadable: If it is not there, damaged, or not permitted to be read.
        """
        cell = self._found(key)
        if cell is None:
            raise Unreadable(f"{self.folder / key} is gone")
        return cell

    def infos(self) -> Iterator[tuple[str, CellInfo]]:
        """Yield the key and the description of each cell that can be read, except those of another schema."""
        for path in self.folder.glob("[!.]*"):
            info = self.info(path.name)
            if info is not None:
                yield path.name, info

    def clean(self) -> None:
        """Remove what processes that ended while they wrote have left."""
        for half in self.folder.glob(".*.*"):
            try:
                if time.time() - half.stat().st_mtime <= PATIENCE:
                    continue
                if half.is_file() and HALF.fullmatch(half.name):
                    half.unlink()
                elif half.is_dir() and is_held(half / "cell.json") is False:
                    shutil.rmtree(half, ignore_errors=True)
            except OSError:  # it is gone, or another user's
                continue

    def _found(self, key: str) -> Stored | None:
        path = self.folder / key
        try:
            return _again(lambda: self._read(key)) if path.exists() else None
        except Unreadable:
            if path.exists():
                raise
            return None

    def _fill(self, half: Path, key: str, cell: Stored) -> None:
        import pyarrow as pa  # slow to import, and a dry run needs none of it
        import pyarrow.parquet as pq

        sums = {}
        for name, columns in (("runs", cell.runs), ("traces", cell.traces)):
            table = pa.table(dict(columns))
            file = half / f"{name}.parquet"
            pq.write_table(table, file, compression="zstd")
            sums[file.name] = zlib.crc32(file.read_bytes())
        info = cell.info
        if cell.traceback:
            (half / "traceback.txt").write_text(cell.traceback)
            info = dataclasses.replace(info, traceback=str(self.folder / key / "traceback.txt"))
        (half / "cell.json").write_text(_text(info, sums))
        for file in half.iterdir():
            with file.open("rb") as handle:
                os.fsync(handle.fileno())

    def _put(self, half: Path, path: Path) -> None:
        """Give a cell its name, in place of one that ended in an error or is damaged.

        The old cell is checked and moved away under the store's lock, so that no other process replaces it in between.
        """
        away = half.with_name(f"{half.name}.away")
        while True:
            try:
                half.rename(path)  # over a folder with files, this fails
                return
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                    raise
            try:
                with alone(self.folder / LOCK):
                    if self._is_sound(path.name):
                        return
                    path.rename(away)
            except FileNotFoundError:  # another process was faster
                continue
            except PermissionError as error:
                raise Refused(f"{path} cannot be replaced ({_said(error)}): {LEFT}") from error
            shutil.rmtree(away, ignore_errors=True)
            with suppress(FileNotFoundError, IsADirectoryError, PermissionError):
                away.unlink()  # a file; a folder of another user is left to that user's `clean`

    def _is_sound(self, key: str) -> bool:
        """True if a cell can be read, whole, and did not end in an error."""
        try:
            cell = self.find(key)
        except Unreadable:
            return False
        return cell is not None and not cell.info.error

    def _info(self, key: str) -> tuple[CellInfo, dict[str, int]]:
        """Return the description of a cell, and the checksums of its files; older cells have none."""
        file = self.folder / key / "cell.json"
        try:
            stated = json.loads(file.read_text())
            if stated.pop("schema") != SCHEMA:
                raise Unreadable(f"{file} is of another version")
            sums = stated.pop("crc32", {})
            check("crc32", sums, Mapping[str, int])
            info = CellInfo.of(stated)
            if info.traceback:  # the store may have been moved, or written from another directory
                traceback = str(self.folder / key / "traceback.txt")
                info = dataclasses.replace(info, traceback=traceback)
            return info, sums
        except (
            OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError,
        ) as error:  # fmt: skip
            raise Unreadable(f"{file} cannot be read ({_said(error)})") from error

    def _read(self, key: str) -> Stored:
        import pyarrow as pa  # slow to import
        import pyarrow.parquet as pq

        info, sums = self._info(key)

        def columns(name: str) -> dict[str, np.ndarray]:
            file = self.folder / key / name
            try:
                whole = file.read_bytes()
                if sums.get(name, zlib.crc32(whole)) != zlib.crc32(whole):
                    raise Unreadable(f"{file} is not as it was written")
                table = pq.read_table(pa.BufferReader(whole))
                return {each: _array(table[each]) for each in table.column_names}
            except (OSError, pa.ArrowException) as error:
                raise Unreadable(f"{file} cannot be read ({_said(error)})") from error

        runs, traces = columns("runs.parquet"), columns("traces.parquet")
        if "status" not in runs:
            raise Unreadable(f"{self.folder / key / 'runs.parquet'} has no column status")
        return Stored(info, runs, traces)


def _again(read: Callable[[], T]) -> T:
    """Read; a few times more if a file is missing, which another process may be replacing."""
    for pause in PAUSES:
        try:
            return read()
        except Unreadable as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
            time.sleep(pause)
    return read()


@contextmanager
def alone(file: Path, waits: Callable[[], None] = lambda: None) -> Iterator[bool]:
    """Hold a lock; the system releases it when a process ends.

    It locks a file opened for writing, because network file systems have no exclusive locks for folders. It creates the
    file and its folder, and removes the file afterwards.

    Args:
        file: The file. Any user who can write to its folder can take the lock.
        waits: Called before it waits for another process.

    Yields:
        False where the file system has no locks.
    """
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            handle, locked = _hold(file, waits)
        except FileNotFoundError:  # its folder has been removed since
            continue
        if _is_at(handle, file):
            break
        os.close(handle)  # the process that had the lock has removed the file
    try:
        with suppress(OSError):  # not the owner
            os.fchmod(handle, stat.S_IMODE(file.parent.stat().st_mode) & 0o666)
        yield locked
    finally:
        with suppress(OSError):
            file.unlink()
        os.close(handle)


def _hold(file: Path, waits: Callable[[], None] = lambda: None) -> tuple[int, bool]:
    """Open a file, made if it is not there, and lock it; return it, and False where the file system has no locks."""
    handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        try:
            waits()
            fcntl.flock(handle, fcntl.LOCK_EX)
        except BaseException:  # Ctrl-C
            os.close(handle)
            raise
    except OSError:
        return handle, False
    return handle, True


def is_held(file: Path) -> bool | None:
    """True if a process holds the lock of a file; None if that cannot be known."""
    try:
        handle = os.open(file, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False


def _is_at(handle: int, file: Path) -> bool:
    """True if an open file is there; one that was removed may still have another name on a network file system."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except OSError:
        return False


def _array(column: pyarrow.ChunkedArray) -> np.ndarray:
    """Return a column as an array; equal words in it are one object."""
    words = str(column.type) == "string"
    return (column.dictionary_encode() if words else column).to_numpy()


def _said(error: BaseException) -> str:
    """Return the kind and the words of an error, in a line."""
    words = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return f"{type(error).__name__}: {' '.join(words.split())}"


def _text(info: CellInfo, sums: Mapping[str, int]) -> str:
    return json.dumps({"schema": SCHEMA, "crc32": dict(sums), **info.plain()}, indent=1)
