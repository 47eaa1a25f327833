"""`ravine report`: the results of a sweep on one page, and its figures for a paper."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.analysis.saved_sweep import read_saved
from benchmarks.report import render
from benchmarks.report.compose import composed
from benchmarks.report.page import Page
from ravine import Refused, nearest

FILE = "report.html"
TITLE_END = " · Ravine</title>".encode()  # in every report
FLAGS = ("--out", "--figures")
USAGE = f"report FOLDER… [--out {FILE}] [--figures DIR]"


def report(folders: Sequence[str | Path], out: str | Path | None = None) -> Page:
    """Write the report of one sweep, or of several as one, and return the page.

    out: the file; by default report.html, in the sweep's folder or, for several, in the current one. Raises
    Refused for a folder that is not a complete sweep or was edited, for a file that cannot be written, and for one in
    the current folder that is not a report and was not named.
    """
    paths = [Path(each) for each in folders]
    if out is None and len(paths) > 1:
        _check_own(Path(FILE))
    said = composed(*read_saved(paths))
    try:
        render.write(said, _file(paths, out))
    except OSError as error:
        raise Refused(f"{_file(paths, out)} cannot be written: {error.strerror}") from error
    return said


def main(words: Sequence[str]) -> int:
    """`ravine report FOLDER…`: write the page, and with --figures the figures, and print the names of the files."""
    folders, given = _parsed(words)
    said = report(folders, given.get("--out"))
    print(_file(folders, given.get("--out")))
    if "--figures" in given:
        from benchmarks.report import export  # it draws with matplotlib

        folder = Path(given["--figures"])
        try:
            files = export.save(said.charts, folder)
        except OSError as error:
            raise Refused(f"--figures {folder} cannot be written: {error.strerror}") from error
        print(f"{folder}/  {len(files)} files, each figure as SVG and PDF")
    return 0


def _file(folders: Sequence[Path], out: str | Path | None) -> Path:
    if out is not None:
        return Path(out)
    return folders[0] / FILE if len(folders) == 1 else Path(FILE)


def _check_own(file: Path) -> None:
    """Refuse to overwrite a file that is not a report."""
    if file.exists() and not (file.is_file() and TITLE_END in file.read_bytes()):
        raise Refused(f"{file} is here already and is not a report: name the file, --out {file}")


def _parsed(words: Sequence[str]) -> tuple[list[Path], dict[str, str]]:
    folders, given, rest = [], {}, list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("-"):
            folders.append(Path(word))
            continue
        flag, equal, value = word.partition("=")
        if flag not in FLAGS:
            raise Refused(f"unknown flag {flag}: {nearest(flag, FLAGS)}")
        given[flag] = value if equal else rest.pop(0) if rest else ""
        if not given[flag]:
            raise Refused(f"{flag} needs a path: {USAGE}")
    if not folders:
        raise Refused(f"report needs the folder of a sweep: {USAGE}")
    return folders, given


__all__ = ["FILE", "main", "report"]
