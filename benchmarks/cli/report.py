"""`ravine report FOLDER…`: the results of a sweep on one page, and its figures for a paper."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Collection, Sequence

from benchmarks.analysis.saved_sweep import read_saved
from benchmarks.report import file_of, report
from ravine import Refused, nearest
from ravine.terminal import phase


def main(given: Namespace) -> int:
    """Write the page, and with --figures the figures, and print the names of the files."""
    if not given.folders:
        raise Refused(
            "report needs the folder of a sweep, as in report results/first --latex tables (the newest: list --last)"
        )
    if given.label and given.figures is None and given.latex is None:
        raise Refused("--label needs --figures or --latex: pages keep the names of the sweep")
    tables = read_saved(given.folders)[0] if given.label or given.latex is not None else None
    labels = {} if tables is None else _labels(given.label, set(tables.summary["optimizer"]))
    with phase("writing the report"):
        page = report(given.folders, given.out)
    print(file_of(given.folders, given.out))
    if given.figures is not None:
        from benchmarks.report import export  # it draws with matplotlib

        try:
            with phase("drawing the figures"):
                files = export.save(page.charts, given.figures, labels)
        except OSError as error:
            raise Refused(
                f"--figures {given.figures} cannot be written: {error.strerror}"
            ) from error
        print(f"{given.figures}/  {len(files)} files, each figure as SVG and PDF")
    if given.latex is not None and tables is not None:
        from benchmarks.report import latex

        try:
            files = latex.save(tables, given.latex, labels)
        except OSError as error:
            raise Refused(f"--latex {given.latex} cannot be written: {error.strerror}") from error
        print(f"{given.latex}/  {'  '.join(each.name for each in files)}")
    return 0


def _labels(given: Sequence[str], optimizers: Collection[str]) -> dict[str, str]:
    """Return the names that optimizers are given. Raises Refused for an optimizer that is not there."""
    pairs = (each.rpartition("=") for each in given)
    labels = {name: label for name, _, label in pairs}
    for name, label in labels.items():
        if not name or not label:
            raise Refused(
                "--label takes an optimizer and its name in figures, as in --label MyOpt=Ours"
            )
        if name not in optimizers:
            raise Refused(
                f"--label names no optimizer of the sweep, {name!r}: {nearest(name, optimizers)}"
            )
    return labels
