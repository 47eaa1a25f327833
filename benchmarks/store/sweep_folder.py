"""The folder of a sweep: the list of its cells, which survives if the process is killed.

The numbers are in the store of cells. The folder lists the cells of this sweep: the process that runs a cell writes a
marker file when it ends, and `manifest.json` lists all of them at the end. As long as there is the folder of markers,
the folder is half-written: what its tables hold, if it has any, is in the manifest that is kept with the markers.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.engine.protocol import Protocol
from benchmarks.store.cell_info import SCHEMA, SKIPPED, CellInfo, by_job, cells_of, ordered
from benchmarks.store.cells import LOCK, Store, Stored, Unreadable, alone
from benchmarks.store.provenance import provenance
from benchmarks.store.schema import check, shortened
from ravine import Refused
from ravine.whole_file import write_whole

NAMED = 4  # optimizers or problems in a line; of more, their number is said
MARKERS, ENDED, BEATS = ".cells", ".ended", "beats"
BEFORE, TABLES = ".before.json", ".tables"  # in the folder of markers
KEY = re.compile(rf"[0-9a-f]{{24}}({SKIPPED})?")  # the name of a cell's folder


@dataclass(frozen=True)
class Lost:
    """What a folder holds and a sweep into it would not keep, by key.

    replaced: cells that the sweep runs anew, for code, versions or anything else that decides numbers has changed.
    gone: cells that are no longer in the store, so that no table can be made of them.
    """

    replaced: Mapping[str, CellInfo]
    gone: Mapping[str, CellInfo]

    @property
    def cells(self) -> Mapping[str, CellInfo]:
        """Return all of them."""
        return {**self.replaced, **self.gone}

    def text(self) -> str:
        """Return what they are, in a line."""
        parts = [
            (self.replaced, "results of other code (or another version)"),
            (self.gone, "results whose cells are gone"),
        ]
        return " and ".join(f"{what}, {_which(cells)}" for cells, what in parts if cells)


@dataclass(frozen=True)
class SweepFolder:
    """A folder for sweeps of one protocol; later sweeps may add problems and optimizers."""

    path: Path
    store: Store

    def check(self, protocol: Protocol) -> None:
        """Raise Refused for a folder that is not writable, has other files, or holds a sweep of another protocol."""
        check_writable("out", self.path)
        check_writable("cells", self.store.folder)
        _check_cells(self.store.folder)
        # A sweep that was killed as it began leaves no more than these.
        if not self.path.exists() or all(
            each.name.startswith((MARKERS, LOCK, ".manifest", ".slurm", ".nfs"))
            for each in self.path.iterdir()
        ):
            return
        manifest, _ = self._manifest()
        there = manifest.get("config", {}).get("protocol")
        if there is None:
            raise Refused(
                f"out={self.path} holds files that are not a sweep's: give a new folder, or one of a sweep"
            )
        asked = dataclasses.asdict(protocol)
        differing = [
            f"{name}={_spelled(there.get(name))}, not {_spelled(asked[name])}"
            for name in asked
            if there.get(name) != asked[name]
        ]
        if differing:
            raise Refused(
                f"out={self.path} holds a sweep with {', '.join(differing)}: give another folder, as in "
                f"out={self.path}-2"
            )

    def lost(
        self, protocol: Protocol, planned: Iterable[tuple[str, CellInfo]], keep: bool = False
    ) -> Lost:
        """Return the cells of the folder that a sweep would not keep.

        Args:
            protocol: That of the sweep, which is also the folder's.
            planned: Key and info of each cell that the sweep is certain to run.
            keep: Refuse to lose any.
        """
        _, there = self._manifest()
        found = dict(planned) if there else {}
        keys = {(*info.ladder, info.dial): key for key, info in found.items()}
        replaced = {}
        for key, info in there.items():
            own = key.removesuffix(SKIPPED)
            if keys.get((*info.ladder, info.dial), own) != own:
                replaced[key] = info
        if (
            protocol.rungs != 1
        ):  # a ladder is of one code, also where that of another went on searching
            ladders = {info.ladder for info in replaced.values()}
            replaced = {key: info for key, info in there.items() if info.ladder in ladders}
        gone = {
            key: info
            for key, info in there.items()
            if key not in {**replaced, **found} and self.store.info(key) is None
        }
        lost = Lost(replaced, gone)
        if keep and lost.cells:
            raise Refused(
                f"out={self.path} holds {lost.text()}: they are kept (keep=true), so give another folder"
            )
        return lost

    @contextmanager
    def alone(self, say: Callable[[str], None]) -> Iterator[None]:
        """Make the folder and keep other sweeps out of it, also those of other processes; wait for one that is in it.

        Args:
            say: Called with a line before it waits, and where the file system has no locks.

        Raises:
            Refused: If the folder cannot be made.
        """
        new = [each for each in (self.path, *self.path.parents) if not each.exists()]
        _make("out", self.path)
        waits = f"out={self.path}: another sweep is running there, this one waits until it ends"
        try:
            with alone(self.path / LOCK, lambda: say(waits)) as locked:
                if not locked:
                    say(
                        f"out={self.path}: this file system has no locks, so start no second sweep there "
                        "before this one has ended"
                    )
                yield
        finally:
            for each in dict.fromkeys([self.path, *new]):
                with suppress(OSError):
                    each.rmdir()  # if nothing is in it

    def begin(
        self, argv: Sequence[str], config: Mapping[str, Any], without: Container[str] = ()
    ) -> None:
        """Write the manifest, before anything else is in the folder; leave out the cells `without`.

        What the tables of the folder hold is kept aside until they are written anew.
        """
        _make("cells", self.store.folder)
        self.store.clean()
        markers = self.path / MARKERS
        old, listed = self._manifest()
        current = self._current(listed)
        if not markers.exists():
            spare = self._spare()
            spare.mkdir()
            if old:
                shutil.copyfile(self.path / "manifest.json", spare / BEFORE)
            spare.rename(markers)
        jobs = old.get("config", {}).get("jobs", [])
        jobs += [each for each in config["jobs"] if each not in jobs]
        commands = old.get("commands", [old["argv"]] if "argv" in old else [])
        self._write_manifest(
            {
                "schema": SCHEMA,
                "argv": list(argv),
                "commands": [*(each for each in commands if each != list(argv)), list(argv)],
                "config": {**config, "jobs": jobs},
                **provenance(),
                "threads": config["threads"],
                "seconds": old.get("seconds", 0.0),
                "jobs": by_job({k: info for k, info in current.items() if k not in without}),
            }
        )
        for each in self.marks():
            each.unlink()
        shutil.rmtree(markers / BEATS, ignore_errors=True)
        (markers / BEATS).mkdir()

    def mark(self, key: str, note: Mapping[str, Any] | None = None) -> None:
        """Mark that a cell has ended. `note` is for the other processes; its "job" is the job's name in this sweep."""
        (self.path / MARKERS / key).write_text(json.dumps(note))

    def end(self, job: str, note: Mapping[str, Any]) -> None:
        """Mark that all cells of a job have ended."""
        (self.path / MARKERS / f"{job}{ENDED}").write_text(json.dumps(note))

    def marks(self) -> list[Path]:
        """Return the marker files of all processes since `begin`."""
        folder = self.path / MARKERS
        return sorted(each for each in folder.glob("[!.]*") if each.name != BEATS)

    def begin_job(self, number: int) -> None:
        """Note that a job begins on another machine, perhaps again; in vain if the sweep is over."""
        beat = self.path / MARKERS / BEATS / str(number)
        with suppress(FileNotFoundError):
            if beat.exists():
                beat.with_name(f"{number}.{uuid4().hex}").touch()
            beat.touch()

    def begun_again(self) -> Counter[int]:
        """Return how many times each job has begun on another machine, after the first time."""
        files = (self.path / MARKERS / BEATS).glob("*.*")
        return Counter(int(each.stem) for each in files)

    def has_begun(self) -> bool:
        """True if any job has begun on another machine."""
        return any((self.path / MARKERS / BEATS).glob("*"))

    def forget_job(self, number: int) -> None:
        """Forget the signs of life of a job that is given to another machine."""
        (self.path / MARKERS / BEATS / str(number)).unlink(missing_ok=True)

    def absolute(self) -> SweepFolder:
        """Return the same folder for a process in another working directory."""
        return SweepFolder(self.path.absolute(), Store(self.store.folder.absolute()))

    def beat(self, number: int) -> None:
        """Give a sign of life of a job that runs on another machine; in vain if the sweep is over."""
        with suppress(FileNotFoundError):
            (self.path / MARKERS / BEATS / str(number)).touch()

    def last_beat(self, number: int) -> float | None:
        """Return the time of the last sign of life of a job, None if it has not begun."""
        with suppress(FileNotFoundError):
            return (self.path / MARKERS / BEATS / str(number)).stat().st_mtime
        return None

    def finish(
        self, seconds: float, say: Callable[[str], None], interrupted: bool = False
    ) -> dict[str, Stored]:
        """List the cells of the sweep in its manifest and return them by key; without cells, end it.

        Args:
            seconds: How long the sweep took.
            say: Called with a line about each cell that cannot be read, and so is in no table.
            interrupted: True if not all of its cells were run.
        """
        manifest, listed = self._manifest()
        infos = self._current(listed)
        if infos:
            seconds += manifest["seconds"]
            self._write_manifest(
                {**manifest, "seconds": seconds, "interrupted": interrupted, "jobs": by_job(infos)}
            )
        else:
            before = self.path / MARKERS / BEFORE
            if before.exists():  # nothing was done: the folder is as it was
                before.replace(self.path / "manifest.json")
            elif not any(each.suffix in (".csv", ".parquet") for each in self.path.iterdir()):
                (self.path / "manifest.json").unlink()
            self._end()
        cells = {}
        for key, info in infos.items():
            try:
                cell = self.store.read(key)
                own = dataclasses.replace(cell.info, job=info.job)
                cells[key] = dataclasses.replace(cell, info=own)
            except Unreadable as error:
                say(f"{error}: it is in no table; its command runs it again")
        return cells

    def replace_tables(self, write: Callable[[Path], list[str]]) -> list[str]:
        """Replace the tables once all are written, and end the sweep.

        Args:
            write: Writes all tables into a folder, and returns the names of the files.

        Returns:
            The names of the files.
        """
        aside = self.path / MARKERS / TABLES
        shutil.rmtree(aside, ignore_errors=True)  # of a process that was killed
        aside.mkdir()
        names = write(aside)
        (self.path / MARKERS / BEFORE).unlink(missing_ok=True)  # no manifest describes a mixture
        for name in names:
            (aside / name).replace(self.path / name)
            for other in (
                (self.path / name).with_suffix(".csv"),
                (self.path / name).with_suffix(".parquet"),
            ):
                if other.name != name:
                    other.unlink(
                        missing_ok=True
                    )  # the same table, from when it was smaller or larger
        self._end()
        return names

    def _end(self) -> None:
        """Remove the markers; the folder is finished at once, also if another machine writes a sign of life."""
        spare = self._spare()
        (self.path / MARKERS).rename(spare)
        shutil.rmtree(spare, ignore_errors=True)

    def _spare(self) -> Path:
        """Return where the markers are made and removed; nothing is there."""
        for each in self.path.glob(f"{MARKERS}.*"):
            shutil.rmtree(each, ignore_errors=True)
        return self.path / f"{MARKERS}.{uuid4().hex}"

    def _current(self, listed: Mapping[str, CellInfo]) -> dict[str, CellInfo]:
        """Return the last cell of each job and rung, of those listed in the manifest and those that ended since.

        There may be several, if an optimizer was edited between sweeps. The names of the jobs are those of this folder:
        the store has the name from the last sweep that used a cell, where the cell may belong to another ladder.
        """
        marked = self._marked()
        jobs = {key: info.job for key, info in listed.items() if key not in marked}
        current = {}
        for key, job in {**jobs, **marked}.items():
            info = self.store.info(key)
            if info is not None:
                info = dataclasses.replace(info, job=job or info.job)
                current[info.job, info.dial] = key, info
        return ordered(dict(current.values()))

    def _marked(self) -> dict[str, str]:
        """Return the name of the job of each marked cell, by key; "" if its note is incomplete or names none."""
        marked = {}
        for file in self.marks():
            if file.suffix != ENDED:
                note = None
                with suppress(ValueError):
                    note = json.loads(file.read_text())
                marked[file.name] = (note or {}).get("job", "")
        return marked

    def _manifest(self) -> tuple[dict[str, Any], dict[str, CellInfo]]:
        return read_manifest(self.path) if (self.path / "manifest.json").exists() else ({}, {})

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        write_whole(json.dumps(manifest, indent=1, default=str), self.path / "manifest.json")


class Notes:
    """A function that returns the notes in a folder since its last call, in the order in which they were written."""

    def __init__(self, folder: SweepFolder):
        self._folder = folder
        self._seen: set[str] = set()

    def __call__(self) -> list[Mapping[str, Any]]:
        """Return the new notes; one that is still being written is left for the next call."""
        new = []
        for file in self._folder.marks():
            if file.name not in self._seen:
                with suppress(ValueError, FileNotFoundError):
                    new.append(json.loads(file.read_text()))
                    self._seen.add(file.name)
        return sorted(new, key=lambda note: note["time"])


NEEDED = {"schema": int, "config": dict, "config.protocol": dict, "jobs": list}  # in a manifest
ALLOWED = {
    "config.jobs": list, "seconds": float, "packages": dict, "argv": list, "commands": list, "git": dict,
    "python": str, "cpu": str, "threads": int, "rows": str, "interrupted": bool,
}  # fmt: skip


def tables_before(folder: Path) -> tuple[dict[str, Any], dict[str, CellInfo]] | None:
    """Return manifest and cells of the tables in a half-written folder; None if it has none, or is replacing them."""
    before = folder / MARKERS / BEFORE
    # Path.is_file raises where a name is too long.
    return read_manifest(folder, before) if os.path.isfile(before) else None  # noqa: PTH113


def read_manifest(
    folder: Path, file: Path | None = None
) -> tuple[dict[str, Any], dict[str, CellInfo]]:
    """Return the manifest of a sweep's folder, or that in another file, and the description of its cells by key.

    Raises Refused, in a line that names the way out, for one that cannot be read, is of another schema, or has an
    entry of another type.
    """
    file = file or folder / "manifest.json"
    way_out = f"give another folder, or delete {folder} and run its command again"
    try:
        manifest = json.loads(file.read_text())
        if not isinstance(manifest, dict):
            raise TypeError(f"it holds {shortened(manifest)}, but must hold a table")
        if "schema" in manifest and manifest["schema"] != SCHEMA:
            raise Refused(
                f"{folder} was written by another version of Ravine "
                f"(schema {shortened(manifest['schema'])}, this one has {SCHEMA}): {way_out}"
            )
        _check_types(manifest)
        cells = cells_of(manifest["jobs"])
    except Refused:
        raise
    except RecursionError as error:
        raise Refused(f"{file} cannot be read: it is nested too deeply; {way_out}") from error
    except KeyError as error:
        raise Refused(f"{file} is not a sweep's: it has no {error}; {way_out}") from error
    except (ValueError, TypeError, AttributeError, OSError) as error:
        raise Refused(f"{file} cannot be read: {error}; {way_out}") from error
    return manifest, cells


def _check_types(manifest: Mapping[str, Any]) -> None:
    """Raise KeyError for an entry that is missing, TypeError for one of another type."""
    for path, kind in {**NEEDED, **ALLOWED}.items():
        owner, _, name = path.rpartition(".")
        table = manifest[owner] if owner else manifest
        if name not in table and path in ALLOWED:
            continue
        check(path, table[name], kind)
    for words in (manifest.get("argv", []), *manifest.get("commands", [])):
        if not (isinstance(words, list) and all(isinstance(each, str) for each in words)):
            raise TypeError(f"{shortened(words)} is no command: it must be a list of texts")


def _which(cells: Mapping[str, CellInfo]) -> str:
    """Return whose results on which problems, or how many where that is long."""
    optimizers = sorted({info.optimizer for info in cells.values()})
    problems = sorted({info.problem for info in cells.values()})
    lists = [(optimizers, "optimizers"), (problems, "problems")]
    return " on ".join(
        ", ".join(names) if len(names) <= NAMED else f"{len(names)} {what}" for names, what in lists
    )


def check_writable(option: str, path: Path) -> None:
    """Raise Refused for a path that is not a folder, or where none can be made."""
    try:
        existing = next(each for each in (path, *path.absolute().parents) if each.exists())
    except OSError as error:  # a name that is too long
        raise Refused(f"{option}={shortened(str(path))}: {error.strerror}") from error
    if not existing.is_dir():
        raise Refused(f"{option}={path}: {existing} is a file, but must be a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Refused(f"{option}={path}: {existing} is not writable")


def _check_cells(folder: Path) -> None:
    """Raise Refused for a folder that holds something else than cells and hidden files."""
    names = (each.name for each in folder.iterdir()) if folder.is_dir() else ()
    for name in names:
        if not name.startswith(".") and not KEY.fullmatch(name):
            raise Refused(
                f"cells={folder} holds {name}, which is not a cell: give a new folder, or one of cells"
            )


def _make(option: str, folder: Path) -> None:
    """Make the folder of an option. Raises Refused if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Refused(f"{option}={folder} cannot be made: {error.strerror}") from error


def _spelled(value: Any) -> str:
    return "null" if value is None else str(value)
