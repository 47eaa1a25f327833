"""The results of a sweep on one page, and its figures for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.analysis.saved_sweep import read_saved
from benchmarks.pages import REPORT
from benchmarks.report import render
from benchmarks.report.compose import composed
from benchmarks.report.page import Page
from ravine import Refused

TITLE_END = " · Ravine</title>".encode()  # in every report


def report(folders: Sequence[str | Path], out: str | Path | None = None) -> Page:
    """Write the report of one sweep, or of several as one, and return the page.

    out: the file; by default `REPORT`, in the sweep's folder or, for several, in the current one. Raises
    Refused for a folder that is not a complete sweep or was edited, for a file that cannot be written, and for one in
    the current folder that is not a report and was not named.
    """
    paths = [Path(each) for each in folders]
    if out is None and len(paths) > 1:
        _check_own(Path(REPORT))
    said = composed(*read_saved(paths))
    try:
        render.write(said, file_of(paths, out))
    except OSError as error:
        raise Refused(f"{file_of(paths, out)} cannot be written: {error.strerror}") from error
    return said


def file_of(folders: Sequence[Path], out: str | Path | None) -> Path:
    """Return the file of the page."""
    if out is not None:
        return Path(out)
    return folders[0] / REPORT if len(folders) == 1 else Path(REPORT)


def _check_own(file: Path) -> None:
    """Refuse to overwrite a file that is not a report."""
    if file.exists() and not (file.is_file() and TITLE_END in file.read_bytes()):
        raise Refused(f"{file} is here already and is not a report: name the file, --out {file}")


__all__ = ["file_of", "report"]
