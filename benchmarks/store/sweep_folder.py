"""The folder of a sweep: who may write into it, and which cells are in it, whatever kills the process.

The numbers lie in the store of cells. Here lies the list of those that belong to this sweep: a marker file
per cell from the moment when it ends, written by whichever process ran it, and `manifest.json` at the end.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.engine.protocol import Protocol
from benchmarks.store.cells import Store, Stored
from benchmarks.store.provenance import provenance
from ravine import Refused

SCHEMA = 1
MARKERS, ENDED = ".cells", ".ended"


@dataclass(frozen=True)
class SweepFolder:
    """A folder that one protocol fills; it may grow by problems and optimizers."""

    path: Path
    store: Store

    def check(self, protocol: Protocol) -> None:
        """Refuse a place that cannot be written, is something else's, or holds a sweep of another protocol."""
        _check_writable("out", self.path)
        _check_writable("cells", self.store.folder)
        if not self.path.exists() or not any(self.path.iterdir()):
            return
        there = self._manifest().get("config", {}).get("protocol")
        if there is None:
            raise Refused(
                f"out={self.path} holds files of something else: give a new folder, or one of a sweep"
            )
        asked = dataclasses.asdict(protocol)
        differing = [
            f"{name}={_spelled(there.get(name))} and not {_spelled(asked[name])}"
            for name in asked
            if there.get(name) != asked[name]
        ]
        if differing:
            raise Refused(
                f"out={self.path} holds a sweep with {', '.join(differing)}: give another folder"
            )

    def begin(self, argv: Sequence[str], config: Mapping[str, Any]) -> None:
        """Make the folder, and say what it is for before there is anything else in it."""
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
                "cells": [*old.get("cells", []), *self._marked()],
            }
        )
        shutil.rmtree(self.path / MARKERS, ignore_errors=True)
        (self.path / MARKERS).mkdir()

    def mark(self, key: str, note: Mapping[str, Any] | None = None) -> None:
        """A cell of this sweep has ended. `note` is for the other processes."""
        (self.path / MARKERS / key).write_text(json.dumps(note))

    def end(self, job: str, note: Mapping[str, Any]) -> None:
        """All cells of a job have."""
        (self.path / MARKERS / f"{job}{ENDED}").write_text(json.dumps(note))

    def marks(self) -> list[Path]:
        """The files of what has ended since the beginning, in all processes."""
        folder = self.path / MARKERS
        return sorted(folder.iterdir()) if folder.is_dir() else []

    def finish(self, seconds: float) -> dict[str, Stored]:
        """List the cells of the sweep in its manifest and return them by key; without any, remove the folder."""
        manifest, marked = self._manifest(), self._marked()
        cells = self._current([*manifest["cells"], *marked])
        if cells:
            self._write_manifest(
                {**manifest, "seconds": manifest["seconds"] + seconds, "cells": [*cells]}
            )
        shutil.rmtree(self.path / MARKERS, ignore_errors=True)
        if not cells:
            (self.path / "manifest.json").unlink()
            self.path.rmdir()
        return cells

    def _current(self, keys: Iterable[str]) -> dict[str, Stored]:
        """The last cell of each job and rung, for an optimizer may have been edited since the one before.

        Their order does not depend on when each was run.
        """
        current = {}
        for key in keys:
            if (self.store.folder / key).is_dir():
                cell = self.store.read(key)
                current[cell.info["job"], cell.info["dial"]] = key, cell
        order = ("problem", "optimizer", "dial", "job")
        return dict(
            sorted(current.values(), key=lambda item: tuple(item[1].info[name] for name in order))
        )

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
        half.write_text(json.dumps(manifest, indent=1, default=str))
        half.replace(self.path / "manifest.json")


class Notes:
    """What was noted in a folder since the last call; each process has one of its own."""

    def __init__(self, folder: SweepFolder):
        self._folder = folder
        self._seen: set[str] = set()

    def __call__(self) -> list[Mapping[str, Any]]:
        """A note that is just being written is left for the next time."""
        new = []
        for file in self._folder.marks():
            text = "" if file.name in self._seen else file.read_text()
            if text:
                self._seen.add(file.name)
                new.append(json.loads(text))
        return new


def _check_writable(option: str, path: Path) -> None:
    """Refuse a path that is no folder, or where none can be made."""
    existing = next(each for each in (path, *path.absolute().parents) if each.exists())
    if not existing.is_dir():
        raise Refused(f"{option}={path}: {existing} is a file, but must be a folder")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise Refused(f"{option}={path}: {existing} is not writable")


def _spelled(value: Any) -> str:
    return "null" if value is None else str(value)
