"""`ravine read LOG`: what happened in a training run, from its log alone."""

from __future__ import annotations

import textwrap
from argparse import Namespace

from benchmarks.doctor.logs import CANNOT, read, readings
from ravine.terminal import columns

WIDTH = 80  # columns of text where there is no terminal


def main(given: Namespace) -> int:
    """Print the readings of one log."""
    for text in (*readings(read(given.log)), CANNOT):
        print(textwrap.fill(text, columns(WIDTH), subsequent_indent="  ", break_on_hyphens=False))
    return 0
