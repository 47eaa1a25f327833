"""`ravine doctor NAME…`: train small networks with a fault each, and print what the doctor finds."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.cli.help import two_columns
from benchmarks.display.as_json import as_json
from benchmarks.doctor.demos import DEMOS, find
from benchmarks.doctor.words import words
from ravine.terminal import phase


def main(given: Namespace) -> int:
    """Train the networks of these names and print their reports; without names, list them."""
    chosen = {name: find(name) for name in given.names}
    found = []
    for name, demo in (chosen or DEMOS).items():
        about = {"name": name, "about": demo.about, "expected": demo.expected}
        if not chosen:
            found.append(about)
            continue
        with phase(f"training {name}"):
            report = demo.train().report()
        if given.json:
            found.append({**about, **report.plain()})
        else:
            print(f"{name}: {demo.about}\n\n{report}\n", flush=True)
    if given.json:
        print(as_json({"networks": found}))
    elif not chosen:
        rows = [(name, f"{demo.about} ({words(demo.expected)})") for name, demo in DEMOS.items()]
        print("\n".join(two_columns(rows)))
    return 0
