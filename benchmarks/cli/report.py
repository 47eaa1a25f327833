"""`ravine report FOLDER…`: the results of a sweep on one page, and its figures for a paper."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.report import file_of, report
from ravine import Refused
from ravine.terminal import phase


def main(given: Namespace) -> int:
    """Write the page, and with --figures the figures, and print the names of the files."""
    with phase("writing the report"):
        page = report(given.folders, given.out)
    print(file_of(given.folders, given.out))
    if given.figures is not None:
        from benchmarks.report import export  # it draws with matplotlib

        try:
            with phase("drawing the figures"):
                files = export.save(page.charts, given.figures)
        except OSError as error:
            raise Refused(
                f"--figures {given.figures} cannot be written: {error.strerror}"
            ) from error
        print(f"{given.figures}/  {len(files)} files, each figure as SVG and PDF")
    return 0
