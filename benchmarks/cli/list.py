"""`ravine list`: the sweeps of the past, the newest first."""

from __future__ import annotations

import dataclasses
from argparse import Namespace
from datetime import datetime
from typing import Any

from benchmarks.cli.help import command_line, listed
from benchmarks.display.as_json import as_json
from benchmarks.display.numbers_as_text import counted
from benchmarks.store.past_sweeps import Past, past_sweeps
from ravine import Refused, printable


def main(given: Namespace) -> int:
    """Print a line for each sweep in a folder, or with --last only the folder of the newest."""
    found = past_sweeps(given.folder)
    if given.last:
        if not found and not given.json:
            raise Refused(f"no sweep in {given.folder}")
        found = found[:1]
    if given.json:
        print(as_json({"sweeps": [_plain(each) for each in found]}))
    elif not found:
        print(f"No sweep in {given.folder}.")
    elif given.last:
        print(printable(str(found[0].folder)))
    else:
        print("\n".join(listed([_row(each) for each in found])))
    return 0


def _plain(sweep: Past) -> dict[str, Any]:
    plain = dataclasses.asdict(sweep)
    written = (
        datetime.fromtimestamp(plain.pop("written")).astimezone().isoformat(timespec="seconds")
    )
    return {**plain, "ended": written}  # keys of JSON keep their names


def _row(sweep: Past) -> list[str]:
    cells = counted(sweep.cells, "cell") + (f", {sweep.failed} failed" if sweep.failed else "")
    when = datetime.fromtimestamp(sweep.written).strftime("%Y-%m-%d %H:%M")
    return [
        printable(str(sweep.folder)),
        when,
        cells,
        sweep.state,
        printable(command_line(sweep.command)) if sweep.command else "",
    ]
