"""`ravine read LOG`: what happened in a training run, from its log alone."""

from __future__ import annotations

import textwrap
from argparse import Namespace

from benchmarks.display.as_json import as_json
from benchmarks.doctor.logs import CANNOT, read, readings
from ravine.terminal import PROSE, columns


def main(given: Namespace) -> int:
    """Print the readings of one log."""
    log = read(given.log)
    if given.json:
        series = {"loss": log.loss, "lr": log.lr, "grad_norm": log.grad_norm}
        values = {
            name: {"step": each.step.tolist(), "value": each.value.tolist()}
            for name, each in series.items()
        }
        print(as_json({"log": given.log, "readings": readings(log), "series": values}))
        return 0
    for text in (*readings(log), CANNOT):
        print(textwrap.fill(text, columns(PROSE), subsequent_indent="  ", break_on_hyphens=False))
    return 0
