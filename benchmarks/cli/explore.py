"""`ravine explore`: write the page on which problems are tried out by hand."""

from __future__ import annotations

from argparse import Namespace

from benchmarks import explorer
from ravine import Refused


def main(given: Namespace) -> int:
    """Write the page, and print the name of its file."""
    file = given.out
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.exists() and not explorer.is_page(file):
            raise Refused(f"{file} is here already and is not such a page: give another file")
        explorer.write(file)
    except OSError as error:
        raise Refused(f"{file} cannot be written: {error.strerror}") from error
    print(file)
    return 0
