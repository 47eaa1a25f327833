"""`ravine doctor NAME…`: train small networks with a fault each, and print what the doctor finds."""

from __future__ import annotations

from argparse import Namespace

from benchmarks.doctor.demos import DEMOS, find
from benchmarks.doctor.words import words
from ravine.terminal import phase


def main(given: Namespace) -> int:
    """Train the networks of these names and print their reports; without names, list them."""
    chosen = {name: find(name) for name in given.names}
    if not chosen:
        width = max(map(len, DEMOS)) + 2
        for name, demo in DEMOS.items():
            print(f"{name:<{width}}{demo.about} ({words(demo.expected)})")
    for name, demo in chosen.items():
        with phase(f"training {name}"):
            report = demo.train().report()
        print(f"{name}: {demo.about}\n\n{report}\n", flush=True)
    return 0
