"""The folder of a sweep: the list of its cells, which survives if the process is killed.

The numbers are in the store of cells. The folder lists the cells of this sweep: the process that runs a cell writes a
marker file when it ends, and `manifest.json` lists all of them at the end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine.protocol import Protocol
from benchmarks.store.cell_info import SCHEMA, SKIPPED, CellInfo, by_job, cells_of, ordered
from benchmarks.store.cells import Store, Stored
from benchmarks.store.provenance import provenance
from ravine import Refused

NAMED = 4  # optimizers or problems in a line; of more, their number is said
MARKERS, ENDED = ".cells", ".ended"


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
        _check_writable("out", self.path)
        _check_writable("cells", self.store.folder)
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        manifest = self._manifest()
        if manifest.get("schema", SCHEMA) != SCHEMA:
            raise Refused(f"out={other_schema(self.path, manifest['schema'])}")
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
                f"out={self.path} holds a sweep with {', '.join(differing)}: give another folder"
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
        there = cells_of(self._manifest().get("jobs", []))
        found = dict(planned) if there else {}
        keys = {(*info.ladder, info.dial): key for key, info in found.items()}
        replaced = {
            key: info
            for key, info in there.items()
            if keys.get((*info.ladder, info.dial), key) != key.removesuffix(SKIPPED)
        }
        if (
            protocol.rungs != 1
        ):  # a ladder is of one code, also where that of another went on searching
            ladders = {info.ladder for info in replaced.values()}
            replaced = {key: info for key, info in there.items() if info.ladder in ladders}
        gone = {
            key: info
            for key, info in there.items()
            if key not in {**replaced, **found} and not (self.store.folder / key).is_dir()
        }
        lost = Lost(replaced, gone)
        if keep and lost.cells:
            raise Refused(
                f"out={self.path} holds {lost.text()}: they are kept (keep=true), so give another folder"
            )
        return lost

    def begin(
        self, argv: Sequence[str], config: Mapping[str, Any], without: Container[str] = ()
    ) -> None:
        """Make the folder and write its manifest, before anything else is in it; leave out the cells `without`."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise Refused(f"out={self.path} cannot be made: {error.strerror}") from error
        old = self._manifest()
        jobs = old.get("config", {}).get("jobs", [])
        jobs += [each for each in config["jobs"] if each not in jobs]
        self._write_manifest(
            {
                "schema": SCHEMA,
                "argv": list(argv),
                "config": {**config, "jobs": jobs},
                **provenance(),
                "threads": config["threads"],
                "seconds": old.get("seconds", 0.0),
                "jobs": by_job(
                    {k: info for k, info in self._current(old).items() if k not in without}
                ),
            }
        )
        shutil.rmtree(self.path / MARKERS, ignore_errors=True)
        (self.path / MARKERS).mkdir()

    def mark(self, key: str, note: Mapping[str, Any] | None = None) -> None:
        """Mark that a cell has ended. `note` is for the other processes."""
        (self.path / MARKERS / key).write_text(json.dumps(note))

    def end(self, job: str, note: Mapping[str, Any]) -> None:
        """Mark that all cells of a job have ended."""
        (self.path / MARKERS / f"{job}{ENDED}").write_text(json.dumps(note))

    def marks(self) -> list[Path]:
        """Return the marker files of all processes since `begin`."""
        folder = self.path / MARKERS
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def finish(self, seconds: float) -> dict[str, Stored]:
        """List the cells of the sweep in its manifest and return them by key; without cells, remove the folder."""
        manifest = self._manifest()
        infos = self._current(manifest)
        if infos:
            seconds += manifest["seconds"]
            self._write_manifest({**manifest, "seconds": seconds, "jobs": by_job(infos)})
        shutil.rmtree(self.path / MARKERS, ignore_errors=True)
        if not infos:
            (self.path / "manifest.json").unlink()
            self.path.rmdir()
        return {key: self.store.read(key) for key in infos}

    def _current(self, manifest: Mapping[str, Any]) -> dict[str, CellInfo]:
        """Return the last cell of each job and rung, of those in the manifest and those that ended since.

        There may be several, if an optimizer was edited between sweeps.
        """
        current = {}
        for key in [*cells_of(manifest.get("jobs", [])), *self._marked()]:
            if (self.store.folder / key).is_dir():
                info = self.store.info(key)
                current[info.job, info.dial] = key, info
        return ordered(dict(current.values()))

    def _marked(self) -> list[str]:
        return [each.name for each in self.marks() if each.suffix != ENDED]

    def _manifest(self) -> dict[str, Any]:
        file = self.path / "manifest.json"
        if not file.is_file():
            return {}
        try:
            return json.loads(file.read_text())
        except ValueError as error:
            raise Refused(f"{file} cannot be read: {error}") from error

    def _write_manifest(self, manifest: Mapping[str, Any]) -> None:
        half = self.path / ".manifest.json"
        try:
            half.write_text(json.dumps(manifest, indent=1, default=str))
            half.replace(self.path / "manifest.json")
        except OSError:  # the disk is full: half a manifest would pass for a file of something else
            half.unlink(missing_ok=True)
            raise


class Notes:
    """A function that returns the notes in a folder since its last call; each process has its own."""

    def __init__(self, folder: SweepFolder):
        self._folder = folder
        self._seen: set[str] = set()

    def __call__(self) -> list[Mapping[str, Any]]:
        """Return the new notes; one that is still being written is left for the next call."""
        new = []
        for file in self._folder.marks():
            text = "" if file.name in self._seen else file.read_text()
            if text:
                self._seen.add(file.name)
                new.append(json.loads(text))
        return new


def other_schema(folder: Path, schema: Any) -> str:
    """Return the refusal of a folder that another version of Ravine wrote."""
    return (
        f"{folder} was written by another version of Ravine (schema {schema}, this one has {SCHEMA}): "
        "run its command again, into a new folder"
    )


def _which(cells: Mapping[str, CellInfo]) -> str:
    """Return whose results on which problems, or how many where that is long."""
    optimizers = sorted({info.optimizer for info in cells.values()})
    problems = sorted({info.problem for info in cells.values()})
    lists = [(optimizers, "optimizers"), (problems, "problems")]
    return " on ".join(
        ", ".join(names) if len(names) <= NAMED else f"{len(names)} {what}" for names, what in lists
    )


def _check_writable(option: str, path: Path) -> None:
    """Raise Refused for a path that is not a folder, or where none can be made."""
    existing = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not existing.is_dir():
        raise Refused(f"{option}={path}: {existing} is a file, but must be a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Refused(f"{option}={path}: {existing} is not writable")


def _spelled(value: Any) -> str:
    return "null" if value is None else str(value)
