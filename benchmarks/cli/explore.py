"""`ravine explore`: write the page on which problems are tried out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks import explorer
from ravine import Refused, nearest

FILE = "results/explore.html"
USAGE = f"explore [out={FILE}]"


def main(words: Sequence[str]) -> int:
    """Write the page, and print the name of its file."""
    file = Path(FILE)
    for word in words:
        name, equal, value = word.partition("=")
        if name != "out" or not equal:
            raise Refused(f"unknown option {word!r}: {nearest(name, ['out'])}; {USAGE}")
        if not value:
            raise Refused(f"out is empty, but must be a file, as in out={FILE}")
        file = Path(value)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and not explorer.is_page(file):
            raise Refused(f"{file} is here already and is not such a page: give another file")
        explorer.write(file)
    except OSError as error:
        raise Refused(f"out={file} cannot be written: {error.strerror}") from error
    print(file)
    return 0
