"""Find the sweeps of the past: what was run when, and whether it ended."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.store.cells import LOCK, is_held
from benchmarks.store.sweep_folder import KEY, MARKERS, read_manifest
from ravine import Refused


@dataclass(frozen=True)
class Past:
    """A sweep's folder.

    written: when it was last written, in seconds since 1970.
    command: the words of its last command; none of a sweep in Python.
    cells: how many have ended; failed: of these, in an error.
    seconds: how long its commands took together.
    state: "finished", "running", "interrupted" (not all of its cells were run), "killed" or "unreadable"; "running or
        killed" where the file system has no locks.
    """

    folder: Path
    written: float
    command: Sequence[str]
    cells: int
    failed: int
    seconds: float
    state: str


def past_sweeps(root: Path) -> list[Past]:
    """Return the sweeps in a folder and below, the newest first."""
    return sorted(_found(root), key=lambda each: each.written, reverse=True)


def _found(root: Path) -> Iterator[Past]:
    for where, folders, files in os.walk(root):
        folders[:] = [
            each for each in folders if not each.startswith(".") and not KEY.fullmatch(each)
        ]
        if "manifest.json" not in files:
            continue
        folders.clear()
        folder = Path(where)
        written = (folder / "manifest.json").stat().st_mtime
        try:
            manifest, cells = read_manifest(folder)
        except Refused:
            yield Past(folder, written, [], 0, 0, 0.0, "unreadable")
            continue
        if "rows" in manifest:  # a part, which `submit` has made of a sweep
            continue
        failed = sum(bool(info.traceback) for info in cells.values())
        command, seconds = manifest.get("argv", []), manifest.get("seconds", 0.0)
        state = _state(folder, manifest)
        yield Past(folder, written, command, len(cells), failed, seconds, state)


def _state(folder: Path, manifest: Mapping[str, Any]) -> str:
    if not (folder / MARKERS).exists():
        return "interrupted" if manifest.get("interrupted") else "finished"
    return {True: "running", False: "killed", None: "running or killed"}[is_held(folder / LOCK)]
